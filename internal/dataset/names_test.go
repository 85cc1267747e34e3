package dataset

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
)

func TestCheckFileName(t *testing.T) {
	accepted := []string{
		"data.parquet", "a", "Größe.parquet", "データ.parquet", "a b.parquet", `a"b.parquet`, "100%.parquet", "a#b?.parquet",
		"console.parquet", "COM10.parquet", "x..y", "emoji 🎉.parquet", strings.Repeat("a", 255), strings.Repeat("é", 127),
	}
	for _, name := range accepted {
		if err := CheckFileName(name); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	refused := map[string]string{
		"":                       "is empty",
		strings.Repeat("a", 256): "longer than 255 bytes",
		strings.Repeat("é", 128): "longer than 255 bytes",
		"\xff.parquet":           "not valid UTF-8",
		".":                      "is a folder's",
		"..":                     "is a folder's",
		"a/b.parquet":            "path separator",
		`..\..\x`:                "path separator",
		"a\x00b":                 "control character",
		"a\nb":                   "control character",
		"a\u0085b":               "control character",
		"a\u202Egnp.parquet":     "invisible formatting",
		"a\u200Bb":               "invisible formatting",
		"a\u2028b":               "invisible formatting",
		".hidden":                "begins or ends",
		"a.":                     "begins or ends",
		" a":                     "begins or ends",
		"CON":                    "device",
		"con.parquet":            "device",
		"Aux .txt":               "device",
		"LPT9.x":                 "device",
		"com².parquet":           "device",
		"conin$":                 "device",
		"Gro\u0308ße.parquet":    "composed form",
	}
	for name, want := range refused {
		err := CheckFileName(name)
		if fault.CodeOf(err) != fault.CodeInvalidFileName || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want a refusal that says %q", name, err, want)
		}
	}
}

func TestRefusedNamesAreShownSafely(t *testing.T) {
	for in, want := range map[string]string{
		"a\u202Eb":               "a\uFFFDb",
		"a\x00b\xff":             "a\uFFFDb\uFFFD",
		strings.Repeat("é", 200): strings.Repeat("é", 32) + "…",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCheckMetadata(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		`{}`:                      `{}`,
		` { "a" : [ 1 , null ] }`: `{"a":[1,null]}`,
	} {
		got, err := checkMetadata(json.RawMessage(in))
		if err != nil || string(got) != want {
			t.Errorf("checkMetadata(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	large := `{"a":"` + strings.Repeat("x", MaxMetadataBytes) + `"}`
	for _, in := range []string{`null`, `[]`, `"a"`, `{`, `{}{}`, large} {
		if _, err := checkMetadata(json.RawMessage(in)); fault.CodeOf(err) != fault.CodeInvalidMetadata {
			t.Errorf("checkMetadata(%.20q) = %v, want %s", in, err, fault.CodeInvalidMetadata)
		}
	}
}

func TestValidID(t *testing.T) {
	if !ValidID("dataset-0192f0c1-2345-7abc-8def-0123456789ab") {
		t.Error("an id of ours is refused")
	}
	for _, id := range []string{
		"", "dataset-", "0192f0c1-2345-7abc-8def-0123456789ab", "dataset-0192F0C1-2345-7ABC-8DEF-0123456789AB",
		"dataset-{0192f0c1-2345-7abc-8def-0123456789ab}", "dataset-0192f0c123457abc8def0123456789ab", "dataset-urn:uuid:0192f0c1-2345-7abc-8def-0123456789",
	} {
		if ValidID(id) {
			t.Errorf("%q passes for a dataset's id", id)
		}
	}
}
