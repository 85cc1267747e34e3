package footer_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/footer"
)

// ranges is a reader that keeps a record of what was read.
type ranges struct {
	io.ReaderAt
	lengths []int
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	r.lengths = append(r.lengths, len(p))
	return r.ReaderAt.ReadAt(p, off)
}

// TestReads counts requests: one of at most 64 KiB, and a second one for what
// is missing of a long footer.
func TestReads(t *testing.T) {
	data := strings.Repeat("0", 200_000)
	long := chunkWith(columnMetadata(10)).set(5, []object{{{1, strings.Repeat("k", 100_000)}}}).encode()
	for name, test := range map[string]struct {
		content []byte
		want    []int
	}{
		"small file":    {file("0123456789", chunkWith(columnMetadata(10)).encode()), nil},
		"short footer":  {file(data, chunkWith(columnMetadata(10)).encode()), []int{64 << 10}},
		"long footer":   {file(data, long), []int{64 << 10, len(long) + 8 - 64<<10}},
		"exactly so":    {file(data, longFooter(64<<10-8)), []int{64 << 10}},
		"one byte more": {file(data, longFooter(64<<10-7)), []int{64 << 10, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &ranges{ReaderAt: bytes.NewReader(test.content)}
			if _, err := footer.Read(r, int64(len(test.content))); err != nil {
				t.Fatal(err)
			}
			if name == "small file" {
				test.want = []int{len(test.content)}
			}
			if len(r.lengths) != len(test.want) || r.lengths[0] != test.want[0] || r.lengths[len(r.lengths)-1] != test.want[len(test.want)-1] {
				t.Errorf("read ranges of %d bytes, want %d", r.lengths, test.want)
			}
		})
	}
}

// longFooter is a sound footer of a given length.
func longFooter(n int) []byte {
	sound := chunkWith(columnMetadata(10))
	short := len(sound.set(5, []object{{{1, strings.Repeat("k", 20_000)}}}).encode())
	return sound.set(5, []object{{{1, strings.Repeat("k", 20_000+n-short)}}}).encode()
}

// TestMagic looks at files that are not Parquet, or not all of it.
func TestMagic(t *testing.T) {
	sound := file("0123456789", chunkWith(columnMetadata(10)).encode())
	big := file(strings.Repeat("0", 200_000), chunkWith(columnMetadata(10)).encode())
	text := func(s string) []byte { return []byte(s + "\n" + strings.Repeat("1,2,3\n", 20)) }
	for name, test := range map[string]struct {
		content []byte
		want    fault.Code
		hint    string
	}{
		"empty":               {nil, fault.CodeNotParquet, "Parquet file"},
		"one byte":            {[]byte("P"), fault.CodeNotParquet, "whole"},
		"eleven bytes":        {[]byte("PAR1\x00\x00\x00PAR1"), fault.CodeNotParquet, "whole"},
		"only magics":         {[]byte("PAR1\x00\x00\x00\x00PAR1"), fault.CodeInvalidParquet, "damaged"},
		"csv":                 {text("a,b,c"), fault.CodeNotParquet, "CSV"},
		"csv with mark":       {text("\xef\xbb\xbfä,b,c"), fault.CodeNotParquet, "CSV"},
		"json":                {text(" {\"a\": 1}"), fault.CodeNotParquet, "JSON"},
		"json lines":          {text("[1,2]"), fault.CodeNotParquet, "JSON"},
		"html":                {text("<!DOCTYPE html>"), fault.CodeNotParquet, "error page"},
		"gzip":                {text("\x1f\x8b\x08\x00"), fault.CodeNotParquet, "gzip"},
		"zstd":                {text("\x28\xb5\x2f\xfd"), fault.CodeNotParquet, "Zstandard"},
		"zip":                 {text("PK\x03\x04"), fault.CodeNotParquet, "zip"},
		"arrow":               {text("ARROW1\x00\x00"), fault.CodeNotParquet, "Arrow"},
		"feather":             {text("FEA1"), fault.CodeNotParquet, "Feather"},
		"orc":                 {text("ORC"), fault.CodeNotParquet, "ORC"},
		"avro":                {text("Obj\x01"), fault.CodeNotParquet, "Avro"},
		"sqlite":              {text("SQLite format 3\x00"), fault.CodeNotParquet, "SQLite"},
		"hdf5":                {text("\x89HDF\r\n"), fault.CodeNotParquet, "HDF5"},
		"noise":               {bytes.Repeat([]byte{0xff, 0x00, 0x81}, 50), fault.CodeNotParquet, "to_parquet"},
		"large noise":         {bytes.Repeat([]byte{0xff, 0x00, 0x81}, 50_000), fault.CodeNotParquet, "to_parquet"},
		"text cut in a rune":  {[]byte(strings.Repeat("a", 511) + strings.Repeat("€", 50_000)), fault.CodeNotParquet, "CSV"},
		"cut":                 {sound[:len(sound)-5], fault.CodeTruncatedParquet, "whole"},
		"large and cut":       {big[:len(big)-1], fault.CodeTruncatedParquet, "whole"},
		"more at the end":     {append(bytes.Clone(sound), '\n'), fault.CodeTruncatedParquet, "whole"},
		"head lost":           {append([]byte("x"), sound[1:]...), fault.CodeNotParquet, "to_parquet"},
		"large and head lost": {append([]byte("x"), big[1:]...), "", ""}, // not looked at: see CheckHead
		"encrypted":           {[]byte("PARE" + strings.Repeat("x", 30) + "PARE"), fault.CodeEncryptedParquet, "encryption"},
		"encrypted and cut":   {[]byte("PARE" + strings.Repeat("x", 30)), fault.CodeEncryptedParquet, "encryption"},
		"length 0":            {length(sound, 0), fault.CodeInvalidParquet, "damaged"},
		"length too short":    {length(sound, 20), fault.CodeInvalidParquet, "damaged"},
		"length of the file":  {length(sound, uint32(len(sound))), fault.CodeInvalidParquet, "damaged"},
		"length -1":           {length(sound, 1<<32-1), fault.CodeInvalidParquet, "damaged"},
		"length over limit":   {length(make([]byte, 64<<20+100), 64<<20+1), fault.CodeParquetLimit, "limits"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "length over limit" {
				copy(test.content[len(test.content)-4:], "PAR1")
			}
			_, err := read(test.content)
			wantCode(t, err, test.want)
			var f *fault.Error
			if errors.As(err, &f) && !strings.Contains(f.Hint, test.hint) {
				t.Errorf("the hint is %q, want it to speak of %q", f.Hint, test.hint)
			}
		})
	}
}

func TestCheckHead(t *testing.T) {
	for head, want := range map[string]fault.Code{
		"":            fault.CodeNotParquet,
		"PAR":         fault.CodeNotParquet,
		"PAR1":        "",
		"PAR1 and on": "",
		"PARE and on": fault.CodeEncryptedParquet,
		"a,b,c\n":     fault.CodeNotParquet,
	} {
		wantCode(t, footer.CheckHead([]byte(head)), want)
	}
}

// TestLimits raises and lowers each limit around one file.
func TestLimits(t *testing.T) {
	nested := metadataOf(root(1), groupOf("group", opt, 1), leaf("x", int64s, opt)).
		set(3, int64(1)).
		set(4, []object{rowGroup(1, object{{3, columnMetadata(10)}})}).
		set(20, object{{1, object{}}})
	content := file("0123456789", nested.encode())
	exact := footer.Limits{
		FooterBytes: int64(len(nested.encode())), SchemaElements: 3, SchemaDepth: 2, ThriftDepth: 2, NameBytes: 5, NamesBytes: 10, RowGroups: 1,
	}
	check := func(limits footer.Limits, want fault.Code) {
		t.Helper()
		_, err := footer.ReadLimited(bytes.NewReader(content), int64(len(content)), limits)
		wantCode(t, err, want)
	}
	check(exact, "")
	for _, lower := range []func(*footer.Limits){
		func(l *footer.Limits) { l.FooterBytes-- },
		func(l *footer.Limits) { l.SchemaElements-- },
		func(l *footer.Limits) { l.SchemaDepth-- },
		func(l *footer.Limits) { l.ThriftDepth-- },
		func(l *footer.Limits) { l.NameBytes-- },
		func(l *footer.Limits) { l.NamesBytes-- },
		func(l *footer.Limits) { l.RowGroups-- },
	} {
		limits := exact
		lower(&limits)
		check(limits, fault.CodeParquetLimit)
	}
}

// failing is a store that is out of reach after some reads.
type failing struct {
	io.ReaderAt
	good int
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.good == 0 {
		return 0, f.err
	}
	f.good--
	return f.ReaderAt.ReadAt(p, off)
}

// An error of the reader is no fault of the file: it comes back wrapped.
func TestReaderFails(t *testing.T) {
	long := file("0123456789", chunkWith(columnMetadata(10)).set(5, []object{{{1, strings.Repeat("k", 100_000)}}}).encode())
	cut := file(strings.Repeat("0", 100_000), nil)
	cut = append(cut, "x"...)
	errGone := errors.New("gone")
	for _, test := range []struct {
		content []byte
		good    int
		fails   error
		want    error
	}{
		{long, 0, errGone, errGone},
		{long, 1, errGone, errGone},
		{cut, 1, errGone, errGone},
		{long, 1, io.EOF, io.ErrUnexpectedEOF},
		{long, 0, nil, io.ErrUnexpectedEOF},
	} {
		_, err := footer.Read(&failing{bytes.NewReader(test.content), test.good, test.fails}, int64(len(test.content)))
		if !errors.Is(err, test.want) || fault.CodeOf(err) != fault.CodeInternal {
			t.Errorf("after %d good reads the error is %v, want %v", test.good, err, test.want)
		}
	}
}
