package schema_test

import (
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/schema"
)

// TestHints names the known causes of a difference. want is a part of the hint,
// or "" where there is nothing to say.
func TestHints(t *testing.T) {
	a := of("x", "")
	for name, test := range map[string]struct {
		expected, found schema.Field
		want            string
	}{
		"int with a None":         {of("x", "int64"), of("x", "double"), `astype("Int64")`},
		"uint8 with a None":       {of("x", "uint8"), of("x", "double"), `astype("UInt8")`},
		"double without a None":   {of("x", "double"), of("x", "int64"), `astype("float64")`},
		"wider":                   {of("x", "int32"), of("x", "int64"), `astype("Int32")`},
		"less exact":              {of("x", "double"), of("x", "float"), `astype("float64")`},
		"more exact":              {of("x", "float"), of("x", "double"), `astype("float32")`},
		"only None":               {of("x", "string"), of("x", "null"), "None"},
		"only None at first":      {of("x", "null"), of("x", "string"), "start a new dataset"},
		"spark":                   {of("x", "timestamp(us,utc)"), of("x", "timestamp(ns,int96)"), "TIMESTAMP_MICROS"},
		"spark, ms":               {of("x", "timestamp(ms,utc)"), of("x", "timestamp(ns,int96)"), "TIMESTAMP_MILLIS"},
		"date and spark":          {of("x", "date"), of("x", "timestamp(ns,int96)"), "INT96"},
		"spark first":             {of("x", "timestamp(ns,int96)"), of("x", "timestamp(us,utc)"), "outputTimestampType=INT96"},
		"ms for us":               {of("x", "timestamp(us,utc)"), of("x", "timestamp(ms,utc)"), `coerce_timestamps="us"`},
		"us for ns":               {of("x", "timestamp(ns,utc)"), of("x", "timestamp(us,utc)"), "datetime64[ns]"},
		"zone for none":           {of("x", "timestamp(us,local)"), of("x", "timestamp(us,utc)"), "tz_localize(None)"},
		"none for zone":           {of("x", "timestamp(us,utc)"), of("x", "timestamp(us,local)"), `tz_localize("UTC")`},
		"unit and zone":           {of("x", "timestamp(us,utc)"), of("x", "timestamp(ms,local)"), `in polars. The times have no zone`},
		"timestamp for date":      {of("x", "date"), of("x", "timestamp(ms,local)"), ".dt.date"},
		"date for timestamp":      {of("x", "timestamp(ms,local)"), of("x", "date"), "to_datetime"},
		"double for decimal":      {of("x", "decimal(10,2)"), of("x", "double"), "fastparquet"},
		"decimal for double":      {of("x", "double"), of("x", "decimal(10,2)"), "cast"},
		"other decimal":           {of("x", "decimal(10,2)"), of("x", "decimal(12,2)"), "decimal(10,2)"},
		"json for list":           {listOf("x", of("", "string")), of("x", "json"), "fastparquet"},
		"json for struct":         {structOf("x", of("a", "string")), of("x", "json"), "fastparquet"},
		"struct for json":         {of("x", "json"), structOf("x", of("a", "string")), "fastparquet"},
		"polars' map":             {mapOf("x", of("", "string"), of("", "int64")), listOf("x", structOf("", of("key", "string"), of("value", "int64"))), "polars"},
		"map for polars' map":     {listOf("x", structOf("", of("key", "string"), of("value", "int64"))), mapOf("x", of("", "string"), of("", "int64")), "polars"},
		"pandas' dicts":           {mapOf("x", of("", "string"), of("", "int64")), structOf("x", of("k", "int64")), "dicts"},
		"bytes for text":          {of("x", "string"), of("x", "binary"), "decode"},
		"text for bytes":          {of("x", "binary"), of("x", "string"), "encode"},
		"text for uuid":           {of("x", "uuid"), of("x", "string"), "UUID"},
		"inside a list":           {listOf("x", of("", "int64")), listOf("x", of("", "double")), `astype("Int64")`},
		"inside a map":            {mapOf("x", of("", "string"), of("", "date")), mapOf("x", of("", "string"), of("", "timestamp(us,utc)")), ".dt.date"},
		"two that are just other": {of("x", "bool"), of("x", "string"), ""},

		"pandas' index":            {a, of("__index_level_0__", "int64"), "index=False"},
		"pandas' third index":      {a, of("__index_level_2__", "int64"), "index=False"},
		"pandas' index is missing": {of("__index_level_0__", "int64"), a, "index=True"},
		"a name like it":           {a, of("__index_level__", "int64"), ""},
		"case":                     {of("Name", "string"), of("name", "string"), "differ only by case"},
	} {
		t.Run(name, func(t *testing.T) {
			got := firstHint(schema.Diff(columns(test.expected), columns(test.found)), test.expected.Type == "")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("the hint is %q, want it to speak of %q", got, test.want)
			}
		})
	}
}

// firstHint is the hint on the change, or on the extra or missing column.
func firstHint(d schema.Difference, extra bool) string {
	switch {
	case len(d.Changed) > 0:
		return d.Changed[0].Hint
	case extra:
		return d.Extra[0].Hint
	}
	return d.Missing[0].Hint
}

// A name that differs by case is pointed out on both sides.
func TestCaseHintOnBothSides(t *testing.T) {
	d := schema.Diff(columns(of("ID", "int64")), columns(of("id", "int64")))
	if d.Missing[0].Hint == "" || d.Extra[0].Hint != `"id" and "ID" differ only by case; names are case-sensitive.` {
		t.Errorf("the hints are %q and %q", d.Missing[0].Hint, d.Extra[0].Hint)
	}
}
