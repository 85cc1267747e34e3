package e2e

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guarded is a dataset that a test tries to damage.
type guarded struct {
	client
	id     string
	before []listed
}

// guard makes a dataset with one file.
func guard(t *testing.T, c client) guarded {
	t.Helper()
	id := c.create(t)
	c.mustUpload(t, id, "first.parquet", parquet(t, 0))
	return guarded{c, id, c.files(t, id)}
}

// unchanged checks that the dataset lists what it listed before.
func (g guarded) unchanged(t *testing.T) {
	t.Helper()
	if after := g.files(t, g.id); fmt.Sprint(after) != fmt.Sprint(g.before) {
		t.Errorf("the dataset changed:\n%+v, was\n%+v", after, g.before)
	}
}

// send uploads a form as it is.
func (g guarded) send(t *testing.T, contentType string, body []byte) answer {
	t.Helper()
	return g.must(t, request{path: "/upload-to-dataset", contentType: contentType, body: bytes.NewReader(body)})
}

// TestBadForms sends forms that are no upload. Each is refused with its reason,
// and nothing changes.
func TestBadForms(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	good, id := parquet(t, 1), text("dataset_id", g.id)
	data := file("data.parquet", good)
	whole := func(parts ...part) []byte {
		_, body := form(parts...)
		return body
	}
	unclosed := bytes.TrimSuffix(whole(id, data), []byte("--"+boundary+"--\r\n"))
	for _, test := range []struct {
		name   string
		kind   string // Content-Type; formType when empty, none when "-"
		body   []byte
		status int
		code   string
		words  []string
	}{
		{"no dataset_id", "", whole(data), 400, "invalid_request", []string{"dataset_id", "missing"}},
		{"empty dataset_id", "", whole(text("dataset_id", ""), data), 400, "invalid_request", []string{"dataset_id"}},
		{"no file", "", whole(id), 400, "invalid_request", []string{"file", "missing"}},
		{"no parts", "", whole(), 400, "invalid_request", []string{"dataset_id"}},
		{"dataset_id twice", "", whole(id, id, data), 400, "invalid_request", []string{"dataset_id", "twice"}},
		{"dataset_id and stage_id", "", whole(id, text("stage_id", g.id), data), 400, "invalid_request", []string{"twice"}},
		{"file twice", "", whole(id, data, file("other.parquet", good)), 400, "invalid_request", []string{"file", "twice"}},
		{"file as text", "", whole(id, text("file", string(good))), 400, "invalid_request", []string{"file", "text"}},
		{"dataset_id as a file", "", whole(part{`Content-Disposition: form-data; name="dataset_id"; filename="id"`, []byte(g.id)}, data), 400, "invalid_request", []string{"dataset_id", "file"}},
		{"long dataset_id", "", whole(text("dataset_id", strings.Repeat("x", 10<<10)), data), 400, "invalid_request", []string{"dataset_id"}},
		{"unknown dataset", "", whole(text("dataset_id", "dataset-00000000-0000-7000-8000-000000000000"), data), 404, "dataset_not_found", []string{"dataset"}},
		{"an id that is no id", "", whole(text("dataset_id", "../../etc"), data), 404, "dataset_not_found", []string{"dataset"}},
		{"another field is skipped, the rest still checked", "", whole(text("colour", "red"), data), 400, "invalid_request", []string{"dataset_id"}},
		{"no disposition", "", whole(part{"X-Nothing: 1", nil}), 400, "invalid_multipart", nil},
		{"base64", "", whole(id, part{data.header + "\r\nContent-Transfer-Encoding: base64", []byte("UEFSMQ==")}), 400, "invalid_multipart", []string{"base64"}},
		{"20 parts", "", whole(append(many(20), id, data)...), 400, "invalid_multipart", []string{"parts"}},
		{"a header of 100 KB", "", whole(id, part{data.header + "\r\nX-Pad: " + strings.Repeat("x", 100<<10), good}), 400, "invalid_multipart", []string{"header"}},
		{"no closing boundary", "", unclosed, 400, "incomplete_body", []string{"boundary"}},
		{"cut in the file", "", unclosed[:len(unclosed)-1000], 400, "incomplete_body", nil},
		{"another boundary", "multipart/form-data; boundary=other", whole(id, data), 400, "incomplete_body", nil},
		{"no boundary", "multipart/form-data", whole(id, data), 400, "invalid_multipart", []string{"boundary"}},
		{"not a form", "", good, 400, "incomplete_body", nil},
		{"empty", "", nil, 400, "incomplete_body", nil},
		{"the file alone", "application/octet-stream", good, 415, "unsupported_media_type", []string{"application/octet-stream", "multipart/form-data"}},
		{"text", "text/plain", []byte("hello"), 415, "unsupported_media_type", []string{"text/plain"}},
		{"another multipart", "multipart/mixed; boundary=" + boundary, whole(id, data), 415, "unsupported_media_type", []string{"multipart/form-data"}},
		{"urlencoded", "application/x-www-form-urlencoded", []byte("dataset_id=" + g.id), 415, "unsupported_media_type", nil},
		{"JSON", "application/json", []byte(`{"dataset_id":"` + g.id + `"}`), 415, "unsupported_media_type", []string{"JSON"}},
		{"no Content-Type", "-", whole(id, data), 415, "unsupported_media_type", []string{"multipart/form-data"}},
		{"a malformed Content-Type", "multipart/form-data; boundary", whole(id, data), 400, "invalid_multipart", []string{"boundary"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			kind := map[string]string{"": formType, "-": ""}[test.kind]
			if kind == "" && test.kind != "-" {
				kind = test.kind
			}
			g.send(t, kind, test.body).refused(t, test.status, test.code, test.words...)
			g.unchanged(t)
		})
	}
}

// many are fields that mean nothing.
func many(n int) []part {
	parts := make([]part, n)
	for i := range parts {
		parts[i] = text("x", "")
	}
	return parts
}

// TestTwoIDs gives an id in two places: the same one is taken, another refused.
func TestTwoIDs(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	other := g.create(t)
	kind, body := form(text("dataset_id", g.id), file("second.parquet", parquet(t, 2)))
	for _, r := range []request{
		{path: "/upload-to-dataset?dataset_id=" + other},
		{path: "/upload-to-dataset", header: map[string]string{"X-Dataset-Id": other}},
	} {
		r.contentType, r.body = kind, bytes.NewReader(body)
		g.must(t, r).refused(t, 400, "invalid_request", "two different", "dataset_id")
		g.unchanged(t)
	}
	agreeing := request{path: "/upload-to-dataset?dataset_id=" + g.id, contentType: kind, body: bytes.NewReader(body), header: map[string]string{"X-Dataset-Id": g.id}}
	if a := g.must(t, agreeing); a.status != http.StatusOK {
		t.Errorf("the same id in three places: %d %s", a.status, a.body)
	}
}

// TestTinyParts sends 4.4 MB of empty parts, which cost far more to read than
// their bytes.
func TestTinyParts(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	tiny := []byte("--" + boundary + "\r\nA:b\r\n\r\n\r\n")
	body := append(bytes.Repeat(tiny, 80_000), "--"+boundary+"--\r\n"...)
	a := g.send(t, formType, body)
	a.refused(t, 400, "invalid_multipart")
	if a.took > 2*time.Second {
		t.Errorf("%d bytes of parts took %v", len(body), a.took)
	}
	g.unchanged(t)
	named := append(bytes.Repeat([]byte("--"+boundary+"\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"), 80_000), "--"+boundary+"--\r\n"...)
	a = g.send(t, formType, named)
	a.refused(t, 400, "invalid_multipart", "parts")
	t.Logf("%d parts of %d bytes: refused after %v", 80_000, len(named), a.took)
	g.unchanged(t)
}

// TestDuplicateName uploads a name twice: with other bytes, with the same, and
// again after the refusal.
func TestDuplicateName(t *testing.T) {
	t.Parallel()
	g := guard(t, serve(t, setup{}).admin())
	for i := range 3 {
		a, err := g.upload(g.id, "first.parquet", parquet(t, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := a.refused(t, http.StatusConflict, "file_exists")
		if r.Error != "File with this name already exists in the dataset" {
			t.Errorf("the message that clients know is %q", r.Error)
		}
		g.unchanged(t)
	}
	if !bytes.Equal(g.download(t, g.id, "first.parquet"), parquet(t, 0)) {
		t.Error("the first file has other bytes now")
	}
	large := io.MultiReader(bytes.NewReader(parquet(t, 0)), io.LimitReader(zeros{}, 12<<20))
	kind, head, foot := openForm(g.id, "first.parquet")
	body := io.MultiReader(strings.NewReader(head), large, strings.NewReader(foot))
	g.must(t, request{path: "/upload-to-dataset", contentType: kind, body: body}).refused(t, http.StatusConflict, "file_exists")
	g.unchanged(t)
}

// openForm is a form up to the bytes of its file, and from there on.
func openForm(datasetID, name string) (contentType, head, foot string) {
	const mark = "\x00here\x00"
	contentType, body := form(text("dataset_id", datasetID), file(name, []byte(mark)))
	head, foot, _ = strings.Cut(string(body), mark)
	return contentType, head, foot
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRefusalsLeaveNothing sends uploads that are refused after their bytes
// have been stored, and one that is cut off. Their bytes are removed again.
func TestRefusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	before := stored(t, srv.data)
	large := padded(t, 1, 20<<20)
	for code, send := range map[string]func() []byte{
		"file_exists": func() []byte {
			_, body := form(file("first.parquet", large), text("dataset_id", g.id))
			return body
		},
		"schema_mismatch": func() []byte {
			_, body := form(text("dataset_id", g.id), file("other.parquet", fixture(t, "different", "pyarrow_dict_int.parquet")))
			return body
		},
		"invalid_request": func() []byte {
			_, body := form(file("homeless.parquet", large))
			return body
		},
		"not_parquet": func() []byte {
			_, body := form(text("dataset_id", g.id), file("zeros.parquet", make([]byte, 20<<20)))
			return body
		},
		"truncated_parquet": func() []byte {
			_, body := form(text("dataset_id", g.id), file("cut.parquet", large[:len(large)-9]))
			return body
		},
		"incomplete_body": func() []byte {
			_, body := form(text("dataset_id", g.id), file("cut.parquet", large))
			return body[:len(body)/2]
		},
	} {
		var r refusal
		a := g.send(t, formType, send())
		if a.decode(t, a.status, &r); r.Code != code {
			t.Errorf("answered %s, want the code %s", a.body, code)
		}
		g.unchanged(t)
	}
	if after := stored(t, srv.data); after != before {
		t.Errorf("refused uploads changed the files of the object store from\n%s to\n%s", before, after)
	}
}

// stored describes every file of the object store.
func stored(t *testing.T, data string) string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(data, "objects"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files = append(files, fmt.Sprintf("%s: %d bytes", strings.TrimPrefix(path, data), info.Size()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(files, "\n")
}
