package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// pandasIndex is the name pandas gives to a column that it makes of an index.
var pandasIndex = regexp.MustCompile(`^__index_level_\d+__$`)

// extraHint says where a column that was not expected may come from.
func extraHint(f Field, folded map[string][]string) string {
	if pandasIndex.MatchString(f.Name) {
		return "pandas stores its index as a column: write with df.to_parquet(..., index=False)."
	}
	return caseHint(f, folded)
}

// missingHint says why a column that was expected may not be there.
func missingHint(f Field, folded map[string][]string) string {
	if pandasIndex.MatchString(f.Name) {
		return "The dataset's schema has a pandas index as a column: write with df.to_parquet(..., index=True), or start a new dataset from files written with index=False."
	}
	return caseHint(f, folded)
}

func caseHint(f Field, folded map[string][]string) string {
	for _, other := range folded[strings.ToLower(f.Name)] {
		if other != f.Name {
			return fmt.Sprintf("%q and %q differ only by case; names are case-sensitive.", clip(f.Name, maxToldBytes), clip(other, maxToldBytes))
		}
	}
	return ""
}

// kind is the part of a type before its parameters.
func kind(typ string) string {
	k, _, _ := strings.Cut(typ, "(")
	return k
}

// changeHint names the usual cause of a change and what to do about it, or is
// "" when there is no usual one. A rule that comes first is more specific.
func changeHint(expected, found Field) string {
	for _, rule := range changeRules() {
		if hint := rule(expected, found); hint != "" {
			return hint
		}
	}
	return ""
}

type changeRule func(expected, found Field) string

func changeRules() []changeRule {
	return []changeRule{
		partsRule, nullRule, int96Rule, timestampRule, dateRule, numberRule, decimalRule, textRule, nestedRule,
	}
}

// partsRule looks for the cause inside lists and maps, whose difference is told
// as a whole.
func partsRule(e, f Field) string {
	if e.Type != f.Type {
		return ""
	}
	pairs := [][2]*Field{{e.Element, f.Element}, {e.Key, f.Key}, {e.Value, f.Value}}
	for _, pair := range pairs {
		if pair[0] != nil && pair[1] != nil && !sameField(*pair[0], *pair[1]) {
			return changeHint(*pair[0], *pair[1])
		}
	}
	return ""
}

func nullRule(e, f Field) string {
	switch {
	case f.Type == "null":
		return "Every value in this column is None, so the writer knew no type: give it one, with astype(...) in pandas or an explicit schema in pyarrow."
	case e.Type == "null":
		return "The column of the file that set the schema holds only None and so has no type: start a new dataset with a file that has one."
	}
	return ""
}

const int96 = "timestamp(ns,int96)"

func int96Rule(e, f Field) string {
	switch {
	case f.Type == int96 && kind(e.Type) == "timestamp":
		return "INT96 is the old way to store a timestamp, and Spark's default: set spark.sql.parquet.outputTimestampType to " +
			sparkTimestamp(e.Type) + "; leave out use_deprecated_int96_timestamps in pyarrow and times=\"int96\" in fastparquet."
	case f.Type == int96:
		return "INT96 is how Spark stores a timestamp by default, and pyarrow with use_deprecated_int96_timestamps."
	case e.Type == int96:
		return "The dataset's timestamps are INT96: write this file with spark.sql.parquet.outputTimestampType=INT96 or pyarrow's use_deprecated_int96_timestamps=True, or start a new dataset."
	}
	return ""
}

func sparkTimestamp(typ string) string {
	if strings.HasPrefix(typ, "timestamp(ms,") {
		return "TIMESTAMP_MILLIS"
	}
	return "TIMESTAMP_MICROS"
}

// timestampRule explains a different unit or zone.
func timestampRule(e, f Field) string {
	eUnit, eZone, ok := timestampParts(e.Type)
	fUnit, fZone, both := timestampParts(f.Type)
	if !ok || !both {
		return ""
	}
	var hints []string
	if eUnit != fUnit {
		hints = append(hints, unitHint(eUnit))
	}
	if eZone != fZone {
		hints = append(hints, zoneHint(eZone))
	}
	return strings.Join(hints, " ")
}

// timestampParts splits timestamp(us,utc).
func timestampParts(typ string) (unit, zone string, ok bool) {
	inside, ok := strings.CutPrefix(typ, "timestamp(")
	if !ok {
		return "", "", false
	}
	return strings.Cut(strings.TrimSuffix(inside, ")"), ",")
}

func unitHint(unit string) string {
	if unit == "ns" {
		return "The unit differs: convert to nanoseconds first, with astype(\"datetime64[ns]\") in pandas or cast(pl.Datetime(\"ns\")) in polars."
	}
	return fmt.Sprintf("The unit differs: write with coerce_timestamps=%q in pyarrow and pandas, or cast(pl.Datetime(%q)) in polars.", unit, unit)
}

func zoneHint(zone string) string {
	if zone == "utc" {
		return "The times have no zone: give them one, with dt.tz_localize(\"UTC\") in pandas or dt.replace_time_zone(\"UTC\") in polars."
	}
	return "The times have a zone and the dataset's have none: drop it, with dt.tz_localize(None) in pandas or dt.replace_time_zone(None) in polars."
}

func dateRule(e, f Field) string {
	switch {
	case e.Type == "date" && kind(f.Type) == "timestamp":
		return "A date was written as a timestamp: convert it, with .dt.date in pandas or cast(pl.Date) in polars; fastparquet cannot store dates."
	case kind(e.Type) == "timestamp" && f.Type == "date":
		return "A timestamp was written as a date: convert it, with pd.to_datetime(...) in pandas or cast(pl.Datetime) in polars."
	}
	return ""
}

func numberRule(e, f Field) string {
	switch {
	case isInteger(e.Type) && f.Type == "double":
		return "pandas turns integers with missing values into double: convert the column with astype(\"" + pandasInteger(e.Type) + "\") first."
	case e.Type == "double" && isInteger(f.Type):
		return "This file has integers where the dataset has double, as pandas does for integers without missing values: convert the column with astype(\"float64\")."
	case isInteger(e.Type) && isInteger(f.Type):
		return "The width or sign of the integers differs: convert the column with astype(\"" + pandasInteger(e.Type) + "\") in pandas or a cast in SQL or polars."
	case isFloat(e.Type) && isFloat(f.Type):
		return "The precision of the numbers differs: convert the column with astype(\"" + floatName(e.Type) + "\") in pandas or a cast in SQL or polars."
	}
	return ""
}

func isInteger(typ string) bool {
	switch typ {
	case "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64":
		return true
	}
	return false
}

func isFloat(typ string) bool { return typ == "float16" || typ == "float" || typ == "double" }

func floatName(typ string) string {
	switch typ {
	case "double":
		return "float64"
	case "float":
		return "float32"
	}
	return typ
}

// pandasInteger is pandas' nullable dtype for an integer type: Int64 for int64.
func pandasInteger(typ string) string {
	if rest, ok := strings.CutPrefix(typ, "uint"); ok {
		return "UInt" + rest
	}
	return "I" + typ[1:]
}

func decimalRule(e, f Field) string {
	switch {
	case kind(e.Type) == "decimal" && f.Type == "double":
		return "fastparquet and some casts store decimals as double: write with another engine (engine=\"pyarrow\" in pandas) or cast to " + e.Type + "."
	case e.Type == "double" && kind(f.Type) == "decimal":
		return "This file has decimals where the dataset has double: cast the column to double."
	case kind(e.Type) == "decimal" && kind(f.Type) == "decimal":
		return "Precision or scale differ: cast the column to " + e.Type + "."
	}
	return ""
}

func textRule(e, f Field) string {
	switch {
	case e.Type == "string" && f.Type == "binary":
		return "The column holds bytes: decode them to text, or have the writer mark them as UTF-8."
	case e.Type == "binary" && f.Type == "string":
		return "The column holds text where the dataset has bytes: encode it first, for example with str.encode(\"utf-8\")."
	case e.Type == "uuid" && (f.Type == "string" || f.Type == "fixed(16)"):
		return "The column is not marked as a UUID: cast it to the writer's UUID type."
	}
	return ""
}

func nestedRule(e, f Field) string {
	switch {
	case isNested(e.Type) && f.Type == "json":
		return "fastparquet stores nested values as JSON text: write with another engine (engine=\"pyarrow\" in pandas)."
	case e.Type == "json" && isNested(f.Type):
		return "The dataset's column is JSON text, as fastparquet stores nested values: turn the values into JSON text, or start a new dataset."
	case e.Type == Map && isPairList(f):
		return "polars stores a map as a list of key and value: write the column as a map, for example with pyarrow and an explicit map type."
	case isPairList(e) && f.Type == Map:
		return "The dataset's column is a list of key and value, as polars stores a map: write the column as a list of structs, or start a new dataset."
	case e.Type == Map && f.Type == Struct:
		return "pandas stores a column of dicts as a struct: pass an explicit pyarrow schema with a map type."
	}
	return ""
}

func isNested(typ string) bool { return typ == List || typ == Map || typ == Struct }

// isPairList reports whether a field is list<struct<key,value>>.
func isPairList(f Field) bool {
	if f.Type != List || f.Element == nil || len(f.Element.Fields) != 2 {
		return false
	}
	a, b := f.Element.Fields[0].Name, f.Element.Fields[1].Name
	return (a == "key" && b == "value") || (a == "value" && b == "key")
}
