package objectstore_test

import (
	"mime"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/objectstore"
)

func TestAttachment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"data.parquet":       `attachment; filename="data.parquet"`,
		"two words.parquet":  `attachment; filename="two words.parquet"`,
		"a;b,c=d.parquet":    `attachment; filename="a;b,c=d.parquet"`,
		`say "hi".parquet`:   `attachment; filename="say _hi_.parquet"; filename*=UTF-8''say%20%22hi%22.parquet`,
		`back\slash`:         `attachment; filename="back_slash"; filename*=UTF-8''back%5Cslash`,
		"100%.parquet":       `attachment; filename="100_.parquet"; filename*=UTF-8''100%25.parquet`,
		"a\r\nSet-Cookie: x": `attachment; filename="a__Set-Cookie: x"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x`,
		"nul\x00\x7f":        `attachment; filename="nul__"; filename*=UTF-8''nul%00%7F`,
		"日本.parquet":         `attachment; filename="__.parquet"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.parquet`,
		"abc\u202egpj.exe":   `attachment; filename="abc_gpj.exe"; filename*=UTF-8''abc%E2%80%AEgpj.exe`,
		"bad\xffutf8":        `attachment; filename="bad_utf8"; filename*=UTF-8''bad%EF%BF%BDutf8`,
		"it's*(1).parquet":   `attachment; filename="it's*(1).parquet"`,
		"é's*(1)":            `attachment; filename="_'s*(1)"; filename*=UTF-8''%C3%A9%27s%2A%281%29`,
		"":                   `attachment; filename=""`,
	} {
		if got := objectstore.Attachment(name); got != want {
			t.Errorf("Attachment(%q) =\n%s, want\n%s", name, got, want)
		}
	}
}

func FuzzAttachment(f *testing.F) {
	f.Add("a\";x=\"y\r\n")
	f.Fuzz(func(t *testing.T, name string) {
		header := objectstore.Attachment(name)
		for _, c := range []byte(header) {
			if c < ' ' || c >= 0x7f {
				t.Fatalf("Attachment(%q) has byte %#x", name, c)
			}
		}
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "attachment" || len(params) != 1 {
			t.Fatalf("Attachment(%q) = %s parses as %q %v, %v", name, header, kind, params, err)
		}
		if got := params["filename"]; got != strings.ToValidUTF8(name, "\ufffd") {
			t.Fatalf("Attachment(%q) = %s comes back as %q", name, header, got)
		}
	})
}
