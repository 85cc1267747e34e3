package e2e

import (
	"bytes"
	"strings"
	"testing"
)

// TestBadNames uploads under names that some system reads as another one. They
// are refused, never cleaned.
func TestBadNames(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	for name, reason := range map[string]string{
		"../../etc/passwd":                    "separator",
		"a/b.parquet":                         "separator",
		"/etc/passwd":                         "separator",
		`..\..\x`:                             "separator",
		`C:\x.parquet`:                        "separator",
		"..":                                  "folder",
		".":                                   "folder",
		".hidden.parquet":                     "dot",
		"x.parquet.":                          "dot",
		" x.parquet":                          "space",
		"x.parquet ":                          "space",
		"CON":                                 "Windows",
		"con.parquet":                         "Windows",
		"Lpt1.tar.parquet":                    "Windows",
		"invoice\u202Eteuqrap.exe":            "invisible",
		"zero\u200Bwidth.parquet":             "invisible",
		"line\u2028.parquet":                  "invisible",
		"e\u0301te\u0301.parquet":             "NFC",
		"\xff\xfe.parquet":                    "UTF-8",
		strings.Repeat("x", 292) + ".parquet": "255",
		strings.Repeat("é", 128):              "255",
	} {
		t.Run(name, func(t *testing.T) {
			kind, body := form(text("dataset_id", g.id), file(name, parquet(t, 1)))
			a := g.send(t, kind, body)
			a.refused(t, 400, "invalid_file_name", reason)
			if bytes.Contains(a.body, []byte("\u202E")) {
				t.Error("the answer repeats the character that turns the direction of writing")
			}
			g.unchanged(t)
		})
	}
}

// TestBadNameHeaders writes the name's header in ways that readers disagree on.
func TestBadNameHeaders(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	for _, test := range []struct {
		disposition string
		code        string
		text        string // of the sentence
	}{
		{`form-data; name="file"; filename="a.parquet"; filename*=UTF-8''b.parquet`, "invalid_file_name", "two different names"},
		{`form-data; name="file"; filename*=UTF-8''..%2F..%2Fx`, "invalid_file_name", "separator"},
		{`form-data; name="file"; filename*=UTF-8''a%00b`, "invalid_file_name", "control character"},
		{`form-data; name="file"; filename="a.parquet"; filename="b.parquet"`, "invalid_multipart", "Content-Disposition"},
		{"form-data; name=\"file\"; filename=\"a\x00b.parquet\"", "invalid_multipart", "not a well-formed"},
		{"form-data; name=\"file\"; filename=\"a\tb.parquet\"", "invalid_file_name", "control character"},
		{`form-data; name="file"; filename=""`, "invalid_file_name", "is empty"},
		{`form-data; name="file"; filename="a.parquet`, "invalid_multipart", "Content-Disposition"},
	} {
		t.Run(test.disposition, func(t *testing.T) {
			kind, body := form(text("dataset_id", g.id), part{"Content-Disposition: " + test.disposition, parquet(t, 1)})
			g.send(t, kind, body).refused(t, 400, test.code, test.text)
			g.unchanged(t)
		})
	}
}

// TestGoodNames uploads under unusual names and gets them back under the same.
func TestGoodNames(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	id, content := c.create(t), map[string][]byte{}
	names := []string{"données.parquet", "日本語.parquet", "a b.parquet", "100%.parquet", "a+b&c=d;e.parquet", "it's.parquet",
		"no extension", "two..dots.parquet", "console.parquet", "🎉.parquet", `say "hi".parquet`, "<b>.parquet", strings.Repeat("n", 255)}
	for i, name := range names {
		content[name] = parquet(t, i)
		escaped := strings.ReplaceAll(name, `"`, "%22") // as browsers, curl and Python write it
		if f := c.mustUpload(t, id, escaped, content[name]); f.FileName != name && f.FileName != escaped {
			t.Errorf("%q became %q", name, f.FileName)
		}
	}
	c.wantFiles(t, id, names, content)
}
