package footer

import (
	"math"
	"strconv"
)

const (
	maxFixed     = 16 << 20 // bytes of a fixed_len_byte_array
	maxPrecision = 76       // digits of a decimal: what 256 bits hold
)

// leafType names the type of a column that is stored, and reports whether the
// parts of its description fit together. The logical type counts before the
// converted one, and an unknown one counts as none.
func leafType(e *element) (string, bool) {
	switch {
	case e.log == logOther:
		return physicalType(e), true
	case e.log != noLogical:
		return logicalType(e)
	case e.conv != noConverted:
		return convertedType(e)
	}
	return physicalType(e), true
}

func physicalType(e *element) string {
	switch e.typ {
	case physBoolean:
		return "bool"
	case physInt32:
		return "int32"
	case physInt64:
		return "int64"
	case physInt96:
		return "timestamp(ns,int96)"
	case physFloat:
		return "float"
	case physDouble:
		return "double"
	case physFixed:
		return "fixed(" + strconv.Itoa(int(e.length)) + ")"
	}
	return "binary"
}

func logicalType(e *element) (string, bool) {
	switch e.log {
	case logString, logEnum:
		return "string", e.typ == physByteArray
	case logJSON:
		return "json", e.typ == physByteArray
	case logBSON:
		return "bson", e.typ == physByteArray
	case logGeometry:
		return "geometry", e.typ == physByteArray
	case logGeography:
		return "geography", e.typ == physByteArray
	case logUUID:
		return "uuid", e.typ == physFixed && e.length == 16
	case logFloat16:
		return "float16", e.typ == physFixed && e.length == 2
	case logUnknown:
		return "null", true
	case logDate:
		return "date", e.typ == physInt32
	case logDecimal:
		return decimalType(e)
	case logInteger:
		return integerType(e, e.bits, e.signed)
	case logTime:
		return timeType(e, e.unit)
	case logStamp:
		return timestampType(e, e.unit, e.utc)
	}
	return "", false // LIST, MAP and VARIANT are groups
}

func convertedType(e *element) (string, bool) {
	switch e.conv {
	case convUTF8, convEnum:
		return "string", e.typ == physByteArray
	case convJSON:
		return "json", e.typ == physByteArray
	case convBSON:
		return "bson", e.typ == physByteArray
	case convDecimal:
		return decimalType(e)
	case convDate:
		return "date", e.typ == physInt32
	case convTimeMillis:
		return timeType(e, 1)
	case convTimeMicros:
		return timeType(e, 2)
	case convTimestampMillis:
		return timestampType(e, 1, true)
	case convTimestampMicros:
		return timestampType(e, 2, true)
	case convInterval:
		return "interval", e.typ == physFixed && e.length == 12
	}
	if e.conv >= convUint8 && e.conv <= convUint64 {
		return integerType(e, 8<<(e.conv-convUint8), false)
	}
	if e.conv >= convInt8 && e.conv <= convInt64 {
		return integerType(e, 8<<(e.conv-convInt8), true)
	}
	return "", false // LIST and MAP are groups
}

func integerType(e *element, bits int8, signed bool) (string, bool) {
	name := "int" + strconv.Itoa(int(bits))
	if !signed {
		name = "u" + name
	}
	switch bits {
	case 8, 16, 32:
		return name, e.typ == physInt32
	case 64:
		return name, e.typ == physInt64
	}
	return "", false
}

func timeType(e *element, unit byte) (string, bool) {
	if unit == 1 {
		return "time(ms)", e.typ == physInt32
	}
	return "time(" + unitName(unit) + ")", unit != 0 && e.typ == physInt64
}

func timestampType(e *element, unit byte, utc bool) (string, bool) {
	zone := ",local)"
	if utc {
		zone = ",utc)"
	}
	return "timestamp(" + unitName(unit) + zone, unit != 0 && e.typ == physInt64
}

func unitName(unit byte) string {
	switch unit {
	case 1:
		return "ms"
	case 2:
		return "us"
	}
	return "ns"
}

func decimalType(e *element) (string, bool) {
	ok := e.precision >= 1 && int(e.precision) <= decimalDigits(e) && e.scale >= 0 && e.scale <= e.precision
	return "decimal(" + strconv.Itoa(int(e.precision)) + "," + strconv.Itoa(int(e.scale)) + ")", ok
}

// decimalDigits is how many decimal digits the values of a column can hold; 0
// where a decimal cannot be stored in that way at all.
func decimalDigits(e *element) int {
	switch e.typ {
	case physInt32:
		return 9
	case physInt64:
		return 18
	case physByteArray:
		return maxPrecision
	case physFixed:
		bits := min(8*float64(e.length)-1, 256)
		return min(int(math.Floor(bits*math.Log10(2))), maxPrecision)
	}
	return 0
}
