package footer_test

import (
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
)

// TestTypes gives one column in many descriptions. want is its type, or "" where
// the parts of the description contradict each other.
func TestTypes(t *testing.T) {
	flba := func(n int32, more ...field) object { return leaf("x", fixed, req, append([]field{{2, n}}, more...)...) }
	decimal := func(precision, scale int32) field {
		return logicalType(5, field{1, scale}, field{2, precision})
	}
	unit := func(n int) field { return field{2, object{{n, object{}}}} }
	integer := func(bits int8, signed bool) field { return logicalType(10, field{1, bits}, field{2, signed}) }
	for name, test := range map[string]struct {
		element object
		want    string
	}{
		"boolean":                   {leaf("x", boolean, req), "bool"},
		"int32":                     {leaf("x", int32s, req), "int32"},
		"int64":                     {leaf("x", int64s, req), "int64"},
		"int96":                     {leaf("x", int96, req), "timestamp(ns,int96)"},
		"float":                     {leaf("x", float32s, req), "float"},
		"double":                    {leaf("x", double, req), "double"},
		"byte_array":                {leaf("x", bytesType, req), "binary"},
		"fixed":                     {flba(7), "fixed(7)"},
		"fixed without length":      {leaf("x", fixed, req), ""},
		"fixed of 0":                {flba(0), ""},
		"fixed of -1":               {flba(-1), ""},
		"fixed of 2G":               {flba(1<<31 - 1), ""},
		"length of an int is noise": {leaf("x", int32s, req, field{2, int32(64)}), "int32"},

		"string":                     {leaf("x", bytesType, req, logicalType(1)), "string"},
		"string, converted":          {leaf("x", bytesType, req, convertedType(0)), "string"},
		"string of int":              {leaf("x", int32s, req, logicalType(1)), ""},
		"string of int, converted":   {leaf("x", int32s, req, convertedType(0)), ""},
		"enum":                       {leaf("x", bytesType, req, logicalType(4)), "string"},
		"enum, converted":            {leaf("x", bytesType, req, convertedType(4)), "string"},
		"json":                       {leaf("x", bytesType, req, logicalType(12)), "json"},
		"json, converted":            {leaf("x", bytesType, req, convertedType(19)), "json"},
		"bson":                       {leaf("x", bytesType, req, logicalType(13)), "bson"},
		"bson, converted":            {leaf("x", bytesType, req, convertedType(20)), "bson"},
		"geometry":                   {leaf("x", bytesType, req, logicalType(17)), "geometry"},
		"geography":                  {leaf("x", bytesType, req, logicalType(18, field{1, "OGC:CRS84"})), "geography"},
		"geometry of double":         {leaf("x", double, req, logicalType(17)), ""},
		"uuid":                       {flba(16, logicalType(14)), "uuid"},
		"uuid of 15 bytes":           {flba(15, logicalType(14)), ""},
		"uuid of any bytes":          {leaf("x", bytesType, req, logicalType(14)), ""},
		"float16":                    {flba(2, logicalType(15)), "float16"},
		"float16 of 4 bytes":         {flba(4, logicalType(15)), ""},
		"interval":                   {flba(12, convertedType(21)), "interval"},
		"interval of 16 bytes":       {flba(16, convertedType(21)), ""},
		"null":                       {leaf("x", int32s, opt, logicalType(11)), "null"},
		"date":                       {leaf("x", int32s, req, logicalType(6)), "date"},
		"date, converted":            {leaf("x", int32s, req, convertedType(6)), "date"},
		"date of int64":              {leaf("x", int64s, req, logicalType(6)), ""},
		"list of a leaf":             {leaf("x", bytesType, req, logicalType(3)), ""},
		"map of a leaf":              {leaf("x", bytesType, req, logicalType(2)), ""},
		"variant of a leaf":          {leaf("x", bytesType, req, logicalType(16)), ""},
		"list of a leaf, converted":  {leaf("x", bytesType, req, convertedType(3)), ""},
		"type of the future":         {leaf("x", int64s, req, logicalType(40)), "int64"},
		"interval has no logical":    {flba(12, logicalType(9)), "fixed(12)"},
		"logical type of no kind":    {leaf("x", int64s, req, field{10, object{}}), "int64"},
		"future beats converted":     {leaf("x", bytesType, req, convertedType(0), logicalType(40)), "binary"},
		"converted of the future":    {leaf("x", int64s, req, convertedType(77)), "int64"},
		"converted below 0":          {leaf("x", int64s, req, convertedType(-1)), "int64"},
		"two logical types":          {leaf("x", bytesType, req, field{10, object{{1, object{}}, {12, object{}}}}), ""},
		"logical type, not a struct": {leaf("x", bytesType, req, field{10, int32(1)}), ""},

		"decimal of int32":            {leaf("x", int32s, req, decimal(9, 2)), "decimal(9,2)"},
		"decimal too long for int32":  {leaf("x", int32s, req, decimal(10, 2)), ""},
		"decimal of int64":            {leaf("x", int64s, req, decimal(18, 0)), "decimal(18,0)"},
		"decimal too long for int64":  {leaf("x", int64s, req, decimal(19, 0)), ""},
		"decimal of 5 bytes":          {flba(5, decimal(11, 2)), "decimal(11,2)"},
		"decimal too long for 5":      {flba(5, decimal(12, 2)), ""},
		"decimal of 16 bytes":         {flba(16, decimal(38, 38)), "decimal(38,38)"},
		"decimal of bytes":            {leaf("x", bytesType, req, decimal(76, 2)), "decimal(76,2)"},
		"decimal beyond 256 bits":     {leaf("x", bytesType, req, decimal(77, 2)), ""},
		"decimal of no digits":        {leaf("x", int32s, req, decimal(0, 0)), ""},
		"decimal without parts":       {leaf("x", int32s, req, logicalType(5)), ""},
		"scale over precision":        {leaf("x", int32s, req, decimal(3, 4)), ""},
		"scale below 0":               {leaf("x", int32s, req, decimal(3, -1)), ""},
		"decimal of double":           {leaf("x", double, req, decimal(3, 1)), ""},
		"decimal, converted":          {leaf("x", int64s, req, convertedType(5), field{7, int32(2)}, field{8, int32(10)}), "decimal(10,2)"},
		"decimal, converted, scale 0": {leaf("x", int64s, req, convertedType(5), field{8, int32(10)}), "decimal(10,0)"},
		"decimal, both, logical wins": {leaf("x", int64s, req, convertedType(5), field{7, int32(1)}, field{8, int32(9)}, decimal(10, 2)), "decimal(10,2)"},

		"int8":                {leaf("x", int32s, req, integer(8, true)), "int8"},
		"uint16":              {leaf("x", int32s, req, integer(16, false)), "uint16"},
		"int32, logical":      {leaf("x", int32s, req, integer(32, true)), "int32"},
		"uint64":              {leaf("x", int64s, req, integer(64, false)), "uint64"},
		"int64 in 32 bits":    {leaf("x", int32s, req, integer(64, true)), ""},
		"int32 in 64 bits":    {leaf("x", int64s, req, integer(32, true)), ""},
		"int of 0 bits":       {leaf("x", int32s, req, integer(0, true)), ""},
		"int of -8 bits":      {leaf("x", int32s, req, integer(-8, true)), ""},
		"uint8, converted":    {leaf("x", int32s, req, convertedType(11)), "uint8"},
		"uint64, converted":   {leaf("x", int64s, req, convertedType(14)), "uint64"},
		"int8, converted":     {leaf("x", int32s, req, convertedType(15)), "int8"},
		"int64, converted":    {leaf("x", int64s, req, convertedType(18)), "int64"},
		"converted too small": {leaf("x", int32s, req, convertedType(18)), ""},

		"time(ms)":                 {leaf("x", int32s, req, logicalType(7, field{1, true}, unit(1))), "time(ms)"},
		"time(us)":                 {leaf("x", int64s, req, logicalType(7, field{1, false}, unit(2))), "time(us)"},
		"time(ns)":                 {leaf("x", int64s, req, logicalType(7, field{1, true}, unit(3))), "time(ns)"},
		"time(us) in 32 bits":      {leaf("x", int32s, req, logicalType(7, field{1, true}, unit(2))), ""},
		"time(ms) in 64 bits":      {leaf("x", int64s, req, logicalType(7, field{1, true}, unit(1))), ""},
		"time without unit":        {leaf("x", int64s, req, logicalType(7, field{1, true})), ""},
		"time of empty unit":       {leaf("x", int64s, req, logicalType(7, field{1, true}, field{2, object{}})), ""},
		"time of two units":        {leaf("x", int64s, req, logicalType(7, field{2, object{{1, object{}}, {2, object{}}}})), ""},
		"time(ms), converted":      {leaf("x", int32s, req, convertedType(7)), "time(ms)"},
		"time(us), converted":      {leaf("x", int64s, req, convertedType(8)), "time(us)"},
		"timestamp":                {leaf("x", int64s, req, logicalType(8, field{1, false}, unit(3))), "timestamp(ns,local)"},
		"timestamp, utc":           {leaf("x", int64s, req, logicalType(8, field{1, true}, unit(1))), "timestamp(ms,utc)"},
		"timestamp of int96":       {leaf("x", int96, req, logicalType(8, field{1, true}, unit(1))), ""},
		"timestamp, converted":     {leaf("x", int64s, req, convertedType(9)), "timestamp(ms,utc)"},
		"timestamp, both":          {leaf("x", int64s, req, convertedType(10), logicalType(8, field{1, false}, unit(2))), "timestamp(us,local)"},
		"timestamp(us), converted": {leaf("x", int64s, req, convertedType(10)), "timestamp(us,utc)"},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := read(file("", metadataOf(root(1), test.element).encode()))
			if test.want == "" {
				wantCode(t, err, fault.CodeInvalidParquet)
				return
			}
			wantCode(t, err, "")
			if got := info.Schema.Fields[0].Type; got != test.want {
				t.Errorf("the type is %s, want %s", got, test.want)
			}
		})
	}
}

// TestNested gives groups in the forms of old and new writers. want is the
// schema with its nullability, or a code.
func TestNested(t *testing.T) {
	int32Leaf := func(name string, repetition int32) object { return leaf(name, int32s, repetition) }
	list, mapped, pairs := convertedType(3), convertedType(1), convertedType(2)
	const invalid = string(fault.CodeInvalidParquet)
	for name, test := range map[string]struct {
		elements []object
		want     string
	}{
		"struct":                      {[]object{root(1), groupOf("s", opt, 2), int32Leaf("a", req), int32Leaf("b", opt)}, `"s":struct<"a":int32,"b":int32?>?`},
		"struct without fields":       {[]object{root(2), groupOf("s", opt, 0), int32Leaf("a", req)}, `"s":struct<>?,"a":int32`},
		"struct of a future kind":     {[]object{root(1), groupOf("s", opt, 1, logicalType(50)), int32Leaf("a", req)}, `"s":struct<"a":int32>?`},
		"string group":                {[]object{root(1), groupOf("s", opt, 1, logicalType(1)), int32Leaf("a", req)}, invalid},
		"string group, converted":     {[]object{root(1), groupOf("s", opt, 1, convertedType(0)), int32Leaf("a", req)}, invalid},
		"variant":                     {[]object{root(1), groupOf("v", opt, 2, logicalType(16)), leaf("metadata", bytesType, req), leaf("value", bytesType, opt)}, `"v":variant?`},
		"one name twice in a struct":  {[]object{root(1), groupOf("s", opt, 2), int32Leaf("a", req), int32Leaf("a", req)}, string(fault.CodeUnsupportedParquet)},
		"one name at two levels":      {[]object{root(1), groupOf("a", opt, 1), int32Leaf("a", req)}, `"a":struct<"a":int32>?`},
		"bare repeated leaf":          {[]object{root(1), int32Leaf("a", rep)}, `"a":list<int32>`},
		"bare repeated group":         {[]object{root(1), groupOf("s", rep, 1), int32Leaf("a", opt)}, `"s":list<struct<"a":int32?>>`},
		"list, three levels":          {[]object{root(1), groupOf("l", opt, 1, list), groupOf("list", rep, 1), int32Leaf("element", opt)}, `"l":list<int32?>?`},
		"list, logical type":          {[]object{root(1), groupOf("l", opt, 1, logicalType(3)), groupOf("list", rep, 1), int32Leaf("element", req)}, `"l":list<int32>?`},
		"list, other names":           {[]object{root(1), groupOf("l", req, 1, list), groupOf("bag", rep, 1), int32Leaf("array", opt)}, `"l":list<int32?>`},
		"list, two levels":            {[]object{root(1), groupOf("l", opt, 1, list), int32Leaf("element", rep)}, `"l":list<int32>?`},
		"list, two levels, struct":    {[]object{root(1), groupOf("l", opt, 1, list), groupOf("element", rep, 2), int32Leaf("a", req), int32Leaf("b", opt)}, `"l":list<struct<"a":int32,"b":int32?>>?`},
		"list, array of one":          {[]object{root(1), groupOf("l", opt, 1, list), groupOf("array", rep, 1), int32Leaf("a", req)}, `"l":list<struct<"a":int32>>?`},
		"list, tuple of one":          {[]object{root(1), groupOf("l", opt, 1, list), groupOf("l_tuple", rep, 1), int32Leaf("a", req)}, `"l":list<struct<"a":int32>>?`},
		"list, tuple of another":      {[]object{root(1), groupOf("l", opt, 1, list), groupOf("m_tuple", rep, 1), int32Leaf("a", req)}, `"l":list<int32>?`},
		"list, one repeated field":    {[]object{root(1), groupOf("l", opt, 1, list), groupOf("list", rep, 1), int32Leaf("a", rep)}, `"l":list<struct<"a":list<int32>>>?`},
		"list of list, two levels":    {[]object{root(1), groupOf("l", opt, 1, list), groupOf("array", rep, 1, list), int32Leaf("array", rep)}, `"l":list<list<int32>>?`},
		"list of list, three levels":  {[]object{root(1), groupOf("l", opt, 1, list), groupOf("list", rep, 1), groupOf("element", opt, 1, list), groupOf("list", rep, 1), int32Leaf("element", opt)}, `"l":list<list<int32?>?>?`},
		"list of nothing":             {[]object{root(1), groupOf("l", opt, 0, list)}, invalid},
		"list of an empty group":      {[]object{root(1), groupOf("l", opt, 1, list), groupOf("list", rep, 0)}, invalid},
		"list of two":                 {[]object{root(1), groupOf("l", opt, 2, list), int32Leaf("a", rep), int32Leaf("b", rep)}, invalid},
		"list that does not repeat":   {[]object{root(1), groupOf("l", opt, 1, list), int32Leaf("a", opt)}, invalid},
		"map":                         {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 2), int32Leaf("key", req), int32Leaf("value", opt)}, `"m":map<int32,int32?>?`},
		"map, logical type":           {[]object{root(1), groupOf("m", opt, 1, logicalType(2)), groupOf("key_value", rep, 2), int32Leaf("key", req), int32Leaf("value", opt)}, `"m":map<int32,int32?>?`},
		"map, inner annotation":       {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("map", rep, 2, pairs), int32Leaf("key", req), int32Leaf("value", opt)}, `"m":map<int32,int32?>?`},
		"map, annotated as pairs":     {[]object{root(1), groupOf("m", opt, 1, pairs), groupOf("map", rep, 2), int32Leaf("key", req), int32Leaf("value", opt)}, `"m":map<int32,int32?>?`},
		"map, other names":            {[]object{root(1), groupOf("m", req, 1, mapped), groupOf("entries", rep, 2), int32Leaf("k", req), int32Leaf("v", req)}, `"m":map<int32,int32>`},
		"map, optional key":           {[]object{root(1), groupOf("m", req, 1, mapped), groupOf("entries", rep, 2), int32Leaf("k", opt), int32Leaf("v", req)}, `"m":map<int32?,int32>`},
		"map without values":          {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 1), int32Leaf("key", req)}, `"m":list<int32>?`},
		"map with repeated value":     {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 2), int32Leaf("key", req), int32Leaf("value", rep)}, `"m":map<int32,list<int32>>?`},
		"map with repeated key":       {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 2), int32Leaf("key", rep), int32Leaf("value", opt)}, invalid},
		"map of three":                {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 3), int32Leaf("key", req), int32Leaf("value", opt), int32Leaf("more", opt)}, invalid},
		"map of nothing":              {[]object{root(1), groupOf("m", opt, 0, mapped)}, invalid},
		"map of an empty group":       {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", rep, 0)}, invalid},
		"map of a leaf":               {[]object{root(1), groupOf("m", opt, 1, mapped), int32Leaf("key", rep)}, invalid},
		"map that does not repeat":    {[]object{root(1), groupOf("m", opt, 1, mapped), groupOf("key_value", opt, 2), int32Leaf("key", req), int32Leaf("value", opt)}, invalid},
		"polars' map is a plain list": {[]object{root(1), groupOf("m", opt, 1, list), groupOf("list", rep, 1), groupOf("element", opt, 2), int32Leaf("key", opt), int32Leaf("value", opt)}, `"m":list<struct<"key":int32?,"value":int32?>?>?`},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := read(file("", metadataOf(test.elements...).encode()))
			got := render(info.Schema.Fields)
			if err != nil {
				got = string(fault.CodeOf(err))
			}
			if got != test.want {
				t.Errorf("the schema is\n%s, want\n%s (%v)", got, test.want, err)
			}
		})
	}
}

// TestTree gives schemas whose shape is the question.
func TestTree(t *testing.T) {
	x := leaf("x", int64s, opt)
	deep := func(groups int) []object {
		elements := []object{root(1)}
		for range groups {
			elements = append(elements, groupOf("g", opt, 1))
		}
		return append(elements, x)
	}
	const invalid, limit, unsupported = fault.CodeInvalidParquet, fault.CodeParquetLimit, fault.CodeUnsupportedParquet
	for name, test := range map[string]struct {
		elements []object
		want     fault.Code
	}{
		"one column":                   {[]object{root(1), x}, ""},
		"a column too few":             {[]object{root(2), x}, invalid},
		"a column too many":            {[]object{root(1), x, leaf("y", int64s, opt)}, invalid},
		"negative number of children":  {[]object{root(-1), x}, invalid},
		"only a root":                  {[]object{root(0)}, unsupported},
		"only a root with a type":      {[]object{leaf("x", int64s, req)}, invalid},
		"root with a type":             {[]object{root(1).set(1, int32(1)), x}, invalid},
		"root without a name":          {[]object{{{5, int32(1)}}, x}, ""},
		"root that repeats":            {[]object{root(1).set(3, int32(rep)), x}, ""},
		"root within the root":         {[]object{root(1), groupOf("root", req, 1), x}, ""},
		"column with a type and more":  {[]object{root(1), x.set(5, int32(1)), leaf("y", int64s, opt)}, invalid},
		"leaf that has 0 children":     {[]object{root(1), x.set(5, int32(0))}, ""},
		"neither type nor children":    {[]object{root(1), {{3, int32(opt)}, {4, "x"}}}, invalid},
		"no repetition":                {[]object{root(1), x.without(3)}, invalid},
		"repetition 3":                 {[]object{root(1), x.set(3, int32(3))}, invalid},
		"repetition -1":                {[]object{root(1), x.set(3, int32(-1))}, invalid},
		"type 8":                       {[]object{root(1), x.set(1, int32(8))}, invalid},
		"type -7":                      {[]object{root(1), x.set(1, int32(-7))}, invalid},
		"type 257":                     {[]object{root(1), x.set(1, int32(257))}, invalid},
		"no name":                      {[]object{root(1), x.without(4)}, invalid},
		"empty name":                   {[]object{root(1), x.set(4, "")}, invalid},
		"name that is half UTF-8":      {[]object{root(1), x.set(4, "a\xe2\x82")}, invalid},
		"name with everything in it":   {[]object{root(1), x.set(4, "a.b \"c\" \x00 \u202e ü 😀")}, ""},
		"name of 4,096 bytes":          {[]object{root(1), x.set(4, strings.Repeat("n", 4096))}, ""},
		"name of 4,097 bytes":          {[]object{root(1), x.set(4, strings.Repeat("n", 4097))}, limit},
		"name that is a number":        {[]object{root(1), x.set(4, int32(1))}, invalid},
		"type in 64 bits":              {[]object{root(1), x.set(1, int64(2))}, invalid},
		"one name twice":               {[]object{root(2), x, x}, unsupported},
		"names that differ by case":    {[]object{root(2), x, x.set(4, "X")}, ""},
		"64 levels":                    {deep(63), ""},
		"65 levels":                    {deep(64), limit},
		"field ids and unknown fields": {[]object{root(1), x.set(9, int32(7)).set(11, "?").set(400, float64(1))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(file("", metadataOf(test.elements...).encode()))
			wantCode(t, err, test.want)
		})
	}
}

// A message says which column it is about, and stays short and printable.
func TestMessageNamesColumn(t *testing.T) {
	bad := leaf("bad", boolean, req, logicalType(1))
	for want, elements := range map[string][]object{
		`column "bad": `:     {root(2), leaf("good", int64s, opt), bad},
		`column "s.t.bad": `: {root(2), groupOf("before", opt, 1), leaf("x", int64s, opt), groupOf("s", opt, 2), leaf("x", int64s, opt), groupOf("t", opt, 1), bad},
		`"s.x" is there `:    {root(1), groupOf("s", opt, 2), leaf("x", int64s, opt), leaf("x", int64s, opt)},
		`column "` + strings.Repeat("ü", 32) + `…"`: {root(1), bad.set(4, strings.Repeat("ü", 2000))},
		`\u202e`: {root(1), bad.set(4, "\u202e")},
	} {
		_, err := read(file("", metadataOf(elements...).encode()))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the message is %v, want it to say %s", err, want)
		}
	}
}
