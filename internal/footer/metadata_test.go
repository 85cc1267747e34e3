package footer_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
)

// TestMetadata gives footers whose parts contradict each other, or do not.
func TestMetadata(t *testing.T) {
	sound := chunkWith(columnMetadata(10))
	chunk := columnMetadata(10)
	const invalid, encrypted, unsupported = fault.CodeInvalidParquet, fault.CodeEncryptedParquet, fault.CodeUnsupportedParquet
	for name, test := range map[string]struct {
		footer object
		want   fault.Code
	}{
		"sound":                         {sound, ""},
		"no version":                    {sound.without(1), invalid},
		"no schema":                     {sound.without(2), invalid},
		"no number of rows":             {sound.without(3), invalid},
		"no row groups":                 {sound.without(4), invalid},
		"number of rows 0":              {sound.set(3, int64(0)), ""}, // left out by some writers
		"number of rows differs":        {sound.set(3, int64(2)), invalid},
		"number of rows below 0":        {sound.set(3, int64(-1)), invalid},
		"rows of a group below 0":       {sound.set(4, []object{rowGroup(-1, object{{2, int64(0)}, {3, chunk}})}), invalid},
		"rows overflow":                 {sound.set(4, []object{rowGroup(math.MaxInt64, object{{3, chunk}}), rowGroup(math.MaxInt64, object{{3, chunk}})}), invalid},
		"rows wrap around to the claim": {sound.set(3, int64(2)).set(4, []object{rowGroup(math.MaxInt64, object{{3, chunk}}), rowGroup(math.MaxInt64, object{{3, chunk}}), rowGroup(4, object{{3, chunk}})}), invalid},
		"rows of 65 bits":               {sound.set(3, raw{6, []byte("\x82\x80\x80\x80\x80\x80\x80\x80\x80\x02")}), invalid},
		"codec of 33 bits":              {chunkWith(chunk.set(4, raw{5, binary.AppendVarint(nil, 1<<32)})), invalid},
		"rows as 32 bits":               {sound.set(3, int32(1)), invalid},
		"schema that is one struct":     {sound.set(2, root(1)), invalid},
		"schema that is a list of ints": {sound.set(2, []int32{1, 2}), invalid},
		"schema twice":                  {append(sound[:3:3], field{2, []object{root(1), leaf("x", int64s, opt)}}, sound[3]), invalid},
		"row groups before the schema":  {object{sound[0], sound[3], sound[1], sound[2]}, ""},
		"group without columns":         {sound.set(4, []object{rowGroup(1)}), invalid},
		"group without its size":        {sound.set(4, []object{rowGroup(1, object{{3, chunk}}).without(2)}), invalid},
		"columns as a set":              {sound.set(4, []object{rowGroup(1).set(1, raw{10, listHead(12, 0)})}), invalid},
		"ordinal out of range":          {sound.set(4, []object{rowGroup(1, object{{3, chunk}}).set(7, int16(-9))}), ""},
		"sorted by no column":           {sound.set(4, []object{rowGroup(1, object{{3, chunk}}).set(4, []object{{{1, int32(99)}, {2, true}, {3, false}}})}), ""},
		"encryption":                    {sound.set(8, object{{1, object{}}}), encrypted},
		"signing key":                   {sound.set(9, "key"), encrypted},
		"column orders":                 {sound.set(7, []object{{{1, object{}}}}), ""},
		"key without value":             {sound.set(5, []object{{{1, "k"}}}), ""},
		"created by anyone":             {sound.set(6, "\xff"+strings.Repeat("w", 300)), ""},
		"created by a number":           {sound.set(6, int32(1)), invalid},
		"extension field":               {sound.set(32767, "flatbuffers"), ""},

		"other file":                {oneChunk(object{{1, "part-0.parquet"}, {2, int64(0)}, {3, chunk}}), unsupported},
		"other file, no name":       {oneChunk(object{{1, ""}, {2, int64(0)}, {3, chunk}}), ""},
		"encrypted column":          {oneChunk(object{{2, int64(0)}, {8, object{{1, object{}}}}}), encrypted},
		"encrypted metadata":        {oneChunk(object{{2, int64(0)}, {3, chunk}, {9, "secret"}}), encrypted},
		"no metadata":               {oneChunk(object{{2, int64(0)}}), invalid},
		"metadata of a wrong type":  {oneChunk(object{{2, int64(0)}, {3, "x"}}), invalid},
		"metadata twice":            {oneChunk(object{{2, int64(0)}, {3, chunk}, {3, chunk}}), invalid},
		"column of another type":    {chunkWith(chunk.set(1, int32(int32s))), invalid},
		"codec 7":                   {chunkWith(chunk.set(4, int32(7))), ""},
		"codec 8":                   {chunkWith(chunk.set(4, int32(8))), invalid},
		"values below 0":            {chunkWith(chunk.set(5, int64(-1))), invalid},
		"uncompressed below 0":      {chunkWith(chunk.set(6, int64(-1))), invalid},
		"compressed below 0":        {chunkWith(chunk.set(7, int64(-1))), invalid},
		"compressed 11 of 10":       {chunkWith(chunk.set(7, int64(11))), invalid},
		"end overflows":             {chunkWith(chunk.set(7, int64(math.MaxInt64))), invalid},
		"begin in the magic":        {chunkWith(chunk.set(9, int64(3))), invalid},
		"begin below 0":             {chunkWith(chunk.set(9, int64(-4))), invalid},
		"begin beyond":              {chunkWith(chunk.set(9, int64(15)).set(7, int64(0))), invalid},
		"begin at the end, empty":   {chunkWith(chunk.set(9, int64(14)).set(7, int64(0))), ""},
		"no data page offset":       {chunkWith(chunk.without(9)), invalid},
		"no codec":                  {chunkWith(chunk.without(4)), invalid},
		"no number of values":       {chunkWith(chunk.without(5)), invalid},
		"no path":                   {chunkWith(chunk.without(3)), ""}, // the position says which column
		"values and no pages":       {chunkWith(chunk.set(7, int64(0)).set(9, int64(0))), invalid},
		"no values and no pages":    {chunkWith(chunk.set(5, int64(0)).set(7, int64(0)).set(9, int64(0))), ""}, // pyarrow, without rows
		"only a dictionary":         {chunkWith(chunk.set(5, int64(0)).set(9, int64(0)).set(11, int64(4))), ""},
		"values, only a dictionary": {chunkWith(chunk.set(9, int64(0)).set(11, int64(4))), invalid},
		"dictionary, then data":     {chunkWith(chunk.set(9, int64(9)).set(11, int64(4))), ""},
		"dictionary at 0 is none":   {chunkWith(chunk.set(11, int64(0))), ""},
		"dictionary below 0":        {chunkWith(chunk.set(11, int64(-1))), invalid},
		"dictionary in the magic":   {chunkWith(chunk.set(11, int64(2))), invalid},
		"dictionary beyond":         {chunkWith(chunk.set(11, int64(1000))), invalid},
		"dictionary moves the end":  {chunkWith(chunk.set(9, int64(9)).set(7, int64(6))), invalid},
		"index page anywhere":       {chunkWith(chunk.set(10, int64(-5))), ""},
		"Bloom filter anywhere":     {chunkWith(chunk.set(14, int64(-5)).set(15, int32(-1))), ""},
		"huge statistics":           {chunkWith(chunk.set(12, object{{5, strings.Repeat("m", 100_000)}, {3, int64(-1)}})), ""},
		"statistics of lies":        {chunkWith(chunk.set(12, object{{5, raw{8, []byte{0xff, 0xff, 0xff, 0xff, 7}}}})), invalid},
		"unknown fields everywhere": {chunkWith(chunk.set(60, everyType()).set(200, everyType())).set(70, everyType()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(file("0123456789", test.footer.encode()))
			wantCode(t, err, test.want)
		})
	}
}

// everyType is a struct with a field of each of Thrift's types.
func everyType() object {
	varints := binary.AppendUvarint([]byte{0x80, 0x01}, math.MaxUint64)
	return object{
		{1, true}, {2, false}, {3, int8(-1)}, {4, int16(-1)}, {5, int32(-1)}, {6, int64(math.MinInt64)}, {7, math.Inf(1)},
		{8, strings.Repeat("b", 200)}, {9, []int32{1, 2, 3}}, {10, raw{10, append(listHead(6, 2), varints...)}},
		{11, raw{11, []byte{2, 0x85, 1, 'k', 7, 0, 9}}}, {12, object{{1, object{}}}}, {13, raw{13, make([]byte, 16)}},
		{14, raw{9, []byte{0x31, 1, 2, 1}}}, {15, raw{11, []byte{0}}}, {16, raw{9, []byte{0x23, 1, 2}}},
		{17, raw{9, append(listHead(7, 2), make([]byte, 16)...)}}, {18, []string{"", "x"}}, {-4, int32(3)}, {1000, raw{9, []byte{0x19, 0x05}}},
	}
}

// TestMalformedThrift gives bytes that are no Thrift at all. Each has a sound
// footer before it, which ends where the bytes begin.
func TestMalformedThrift(t *testing.T) {
	sound := chunkWith(columnMetadata(10)).encode()
	open := sound[:len(sound)-1] // without the stop
	for name, tail := range map[string]string{
		"nothing":                   "",
		"type 14":                   "\x6e",
		"type 15 in a list":         "\x69\x1f\x00",
		"varint of 11 bytes":        "\x66\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x00",
		"varint that never ends":    "\x66" + strings.Repeat("\x80", 100_000),
		"string of 2 GiB":           "\x68\xff\xff\xff\xff\x07",
		"string of 2^63 bytes":      "\x68\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"string of 2^64-1 bytes":    "\x68\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"string of 1 byte too many": "\x68\x02a",
		"list of 2^63 items":        "\x69\xf5\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"list of 2^32+1 items":      "\x69\xf5\x81\x80\x80\x80\x10\x00\x00",
		"map of 2^31 entries":       "\x6b\x80\x80\x80\x80\x08\x88",
		"map without its types":     "\x6b\x01",
		"map of stops":              "\x6b\x02\x00\x00\x00\x00",
		"half a double":             "\x67\x00\x00",
		"half a UUID":               "\x6d\x00\x00",
		"half a list of doubles":    "\x69\x27" + strings.Repeat("\x00", 12),
		"half a list of bools":      "\x69\x31\x01",
		"struct without stop":       "\x6c",
		"list of stops":             "\x69\x20\x00\x00",
		"field number of 33 bits":   "\x05\x80\x80\x80\x80\x20\x02",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(file("0123456789", append(bytes.Clone(open), tail...)))
			wantCode(t, err, fault.CodeInvalidParquet)
		})
	}
}

// A footer may be followed by bytes that it does not cover, as the signature
// of a signed one; no reader minds.
func TestTrailingBytes(t *testing.T) {
	sound := chunkWith(columnMetadata(10)).encode()
	_, err := read(file("0123456789", append(sound, "more"...)))
	wantCode(t, err, "")
}

// Every cut of a sound footer is refused, and no cut of a file does harm.
func TestEveryCut(t *testing.T) {
	sound := chunkWith(columnMetadata(10).set(12, everyType())).encode()
	for n := range sound {
		_, err := read(file("0123456789", sound[:n]))
		wantCode(t, err, fault.CodeInvalidParquet)
	}
	whole := file("0123456789", sound)
	for n := range whole {
		if _, err := read(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(whole))
		}
	}
}

func TestInfo(t *testing.T) {
	footer := chunkWith(columnMetadata(10)).
		set(3, int64(0)). // the row groups count
		set(4, []object{rowGroup(3, object{{3, columnMetadata(10)}}), rowGroup(4, object{{3, columnMetadata(10)}})}).
		set(6, strings.Repeat("é", 300))
	info, err := read(file("0123456789", footer.encode()))
	if err != nil {
		t.Fatal(err)
	}
	if info.NumRows != 7 || info.RowGroups != 2 || info.CreatedBy != strings.Repeat("é", 128) {
		t.Errorf("read %d rows, %d row groups, created by %q", info.NumRows, info.RowGroups, info.CreatedBy)
	}
}
