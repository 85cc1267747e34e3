package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// upload is an upload as the endpoints answer it.
type upload struct {
	UploadID  string `json:"upload_id"`
	State     string `json:"state"`
	PartSize  int64  `json:"part_size"`
	PartCount int    `json:"part_count"`
	PartURLs  []struct {
		PartNumber int    `json:"part_number"`
		Offset     int64  `json:"offset"`
		SizeBytes  int64  `json:"size_bytes"`
		URL        string `json:"url"`
	} `json:"part_urls"`
	NextPartsFrom int `json:"next_parts_from"`
	Parts         []struct {
		PartNumber int `json:"part_number"`
	} `json:"parts"`
	Position int64 `json:"position"`
}

type object = map[string]any

// begin creates an upload of content.
func (c client) begin(t testing.TB, id, name string, content []byte, more object) upload {
	t.Helper()
	body := object{"dataset_id": id, "file_name": name, "size_bytes": len(content)}
	for k, v := range more {
		body[k] = v
	}
	var u upload
	c.json(t, "/create-upload", body).decode(t, http.StatusOK, &u)
	return u
}

// put sends one part to its URL.
func put(url string, part []byte) error {
	r, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(part))
	if err != nil {
		return err
	}
	resp, err := httpClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}

// send sends the parts that an answer has URLs of, but for some.
func send(t testing.TB, u upload, content []byte, but ...int) {
	t.Helper()
	for _, p := range u.PartURLs {
		if slices.Contains(but, p.PartNumber) {
			continue
		}
		if err := put(p.URL, content[p.Offset:p.Offset+p.SizeBytes]); err != nil {
			t.Fatalf("part %d: %v", p.PartNumber, err)
		}
	}
}

// largeContent is a valid file of about a size, in memory.
func largeContent(t testing.TB, number int, size int64) []byte {
	t.Helper()
	head, footer := split(t, parquet(t, number))
	middle, err := io.ReadAll(io.LimitReader(&counting{}, size))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{head, middle, footer}, nil)
}

func crc64nvme(content []byte) string {
	sum := crc64.Checksum(content, crc64.MakeTable(0x9a6c_9329_ac4b_c9b5))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// TestLargeUploadInParts sends 200 MB side by side, with curl and with Go, over
// a server that is killed in between, and goes on knowing the upload's id alone.
func TestLargeUploadInParts(t *testing.T) {
	t.Parallel()
	content := largeContent(t, 1, 200<<20)
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	before := c.mustUpload(t, id, "before.parquet", parquet(t, 2))
	u := c.begin(t, id, "large.parquet", content, object{"limit": 5, "checksum": crc64nvme(content)})
	if u.State != "open" || u.PartCount != 13 || len(u.PartURLs) != 5 || u.NextPartsFrom != 6 {
		t.Fatalf("created %+v", u)
	}
	dir := t.TempDir()
	for _, p := range u.PartURLs[:2] {
		write(t, dir, map[string][]byte{"part": content[p.Offset : p.Offset+p.SizeBytes]})
		if out, err := exec.Command("curl", "-sS", "--fail", "-T", filepath.Join(dir, "part"), p.URL).CombinedOutput(); err != nil {
			t.Fatalf("curl: %v %s", err, out)
		}
	}
	if len(c.files(t, id)) != 1 {
		t.Fatal("a file is listed before it is complete")
	}
	srv.kill()

	srv = serve(t, setup{data: srv.data})
	c = srv.admin()
	var wg sync.WaitGroup
	for from := 1; from > 0; {
		var page upload
		c.json(t, "/get-upload", object{"upload_id": u.UploadID, "parts_from": from, "limit": 10}).decode(t, http.StatusOK, &page)
		arrived := map[int]bool{}
		for _, p := range page.Parts {
			arrived[p.PartNumber] = true
		}
		if from == 1 && (len(arrived) != 2 || !arrived[1] || !arrived[2]) {
			t.Fatalf("of the first parts %v arrived", arrived)
		}
		for _, p := range page.PartURLs {
			if arrived[p.PartNumber] {
				continue
			}
			wg.Go(func() {
				if err := put(p.URL, content[p.Offset:p.Offset+p.SizeBytes]); err != nil {
					t.Errorf("part %d: %v", p.PartNumber, err)
				}
			})
		}
		from = page.NextPartsFrom
	}
	wg.Wait()
	for range 2 { // the first answer is lost
		a := c.json(t, "/complete-upload", object{"upload_id": u.UploadID})
		f, err := a.file()
		if err != nil || f.Position != before.Position+1 || f.SizeBytes != int64(len(content)) {
			t.Fatalf("completed %s, %v", a.body, err)
		}
	}
	if peak := peakMemory(t, srv.pid); peak > memoryLimit {
		t.Errorf("the server took %d MB of memory", peak>>20)
	}
	c.wantFiles(t, id, []string{"before.parquet", "large.parquet"},
		map[string][]byte{"before.parquet": parquet(t, 2), "large.parquet": content})
	c.json(t, "/abort-upload", object{"upload_id": u.UploadID}).refused(t, http.StatusConflict, "upload_closed", "appended")
	c.json(t, "/get-upload", object{"upload_id": u.UploadID}).decode(t, http.StatusOK, &u)
	if u.State != "appended" || u.Position != 1 || len(u.PartURLs) > 5 {
		t.Errorf("afterwards the upload is %+v", u)
	}
}

// TestUploadMistakes are mistakes that leave the upload as it is, to be made good.
func TestUploadMistakes(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	id, content := c.create(t), largeContent(t, 1, 11<<20)
	complete := func(u upload, more object) answer {
		body := object{"upload_id": u.UploadID}
		for k, v := range more {
			body[k] = v
		}
		return c.json(t, "/complete-upload", body)
	}
	u := c.begin(t, id, "a.parquet", content, object{"part_size": 5 << 20})
	send(t, u, content, 2)
	missing := complete(u, nil).refused(t, http.StatusConflict, "upload_incomplete")
	if fmt.Sprint(missing.Details["missing_parts"]) != "[2]" || missing.Details["file_name"] != "a.parquet" {
		t.Errorf("details %v", missing.Details)
	}
	if err := put(u.PartURLs[1].URL, content[:1000]); err == nil {
		t.Error("a part of another size was taken")
	}
	damaged := slices.Clone(content)
	damaged[6<<20]++
	send(t, u, damaged, 1, 3)
	complete(u, object{"checksum": crc64nvme(content)}).refused(t, http.StatusBadRequest, "checksum_mismatch", "again")
	complete(u, object{"checksum": "nonsense"}).refused(t, http.StatusBadRequest, "invalid_request", "base64")
	send(t, u, content, 1, 3)
	complete(u, object{"checksum": crc64nvme(content)}).decode(t, http.StatusOK, &u)
	c.wantFiles(t, id, []string{"a.parquet"}, map[string][]byte{"a.parquet": content})
	complete(u, object{"checksum": crc64nvme(damaged)}).refused(t, http.StatusBadRequest, "checksum_mismatch")

	// A file that is not Parquet ends its upload.
	zeros := make([]byte, 1000)
	broken := c.begin(t, id, "b.parquet", zeros, nil)
	send(t, broken, zeros)
	complete(broken, nil).refused(t, http.StatusBadRequest, "not_parquet")
	complete(broken, nil).refused(t, http.StatusConflict, "upload_closed", "aborted")
	if got := c.names(t, id); len(got) != 1 {
		t.Errorf("the dataset lists %q", got)
	}
	for _, missing := range []string{"upload-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11", "upload-1", "../x"} {
		for _, path := range []string{"/get-upload", "/complete-upload", "/abort-upload"} {
			c.json(t, path, object{"upload_id": missing}).refused(t, http.StatusNotFound, "upload_not_found")
		}
	}
}

// TestUploadPreflight refuses what can be known before any byte moves.
func TestUploadPreflight(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	id, small := c.create(t), parquet(t, 1)
	c.mustUpload(t, id, "taken.parquet", small)
	_, foot := split(t, small)
	other := fixture(t, "different", "fastparquet_int96.parquet")
	_, otherFoot := split(t, other)
	const large = 5 << 40
	footer := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	for name, try := range map[string]struct {
		body   object
		status int
		code   string
		words  []string
	}{
		"a taken name":       {object{"file_name": "taken.parquet"}, 409, "file_exists", nil},
		"a wrong schema":     {object{"footer": footer(otherFoot)}, 409, "schema_mismatch", nil},
		"a footer too long":  {object{"footer": footer(append(bytes.Repeat([]byte{0xff}, 200), foot[len(foot)-8:]...)), "size_bytes": 300}, 400, "invalid_parquet", nil},
		"no Parquet":         {object{"footer": footer([]byte("no parquet at all"))}, 400, "truncated_parquet", nil},
		"half a footer":      {object{"footer": footer(foot[10:])}, 400, "invalid_request", []string{fmt.Sprint(len(foot))}},
		"no base64":          {object{"footer": "~~~"}, 400, "invalid_request", []string{"base64"}},
		"a file too large":   {object{"size_bytes": large + 1}, 413, "request_too_large", []string{"5 TiB"}},
		"an empty file":      {object{"size_bytes": 0}, 400, "not_parquet", []string{"empty"}},
		"no size":            {object{"size_bytes": nil}, 400, "invalid_request", []string{"size_bytes"}},
		"parts too small":    {object{"part_size": 5<<20 - 1}, 400, "invalid_request", []string{"part_size"}},
		"too many parts":     {object{"size_bytes": large, "part_size": 5 << 20}, 400, "invalid_request", []string{"part_size"}},
		"a path for a name":  {object{"file_name": "../x"}, 400, "invalid_file_name", nil},
		"a wrong checksum":   {object{"checksum": "AAAA"}, 400, "invalid_request", []string{"CRC-64"}},
		"a missing dataset":  {object{"dataset_id": "dataset-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11"}, 404, "dataset_not_found", nil},
		"a footer as number": {object{"footer": 7}, 400, "invalid_request", []string{"string"}},
	} {
		body := object{"dataset_id": id, "file_name": "new.parquet", "size_bytes": 1 << 30}
		for k, v := range try.body {
			body[k] = v
		}
		t.Run(name, func(t *testing.T) {
			c.json(t, "/create-upload", body).refused(t, try.status, try.code, try.words...)
		})
	}
	damaged := bytes.Clone(foot)
	for i := range damaged[:len(foot)/2] {
		damaged[i] = 0xff
	}
	c.json(t, "/create-upload", object{"dataset_id": id, "file_name": "x", "size_bytes": 1 << 30, "footer": footer(damaged)}).
		refused(t, http.StatusBadRequest, "invalid_parquet")
	var u upload
	c.json(t, "/create-upload", object{"dataset_id": id, "file_name": "new.parquet", "size_bytes": int64(large), "footer": footer(foot)}).decode(t, http.StatusOK, &u)
	if u.PartCount > 10_000 || u.PartSize*int64(u.PartCount) < large || len(u.PartURLs) != 100 {
		t.Errorf("5 TiB in %d parts of %d bytes", u.PartCount, u.PartSize)
	}
	var list struct {
		Uploads []upload `json:"uploads"`
	}
	c.json(t, "/list-uploads", object{"dataset_id": id}).decode(t, http.StatusOK, &list)
	if len(list.Uploads) != 1 {
		t.Errorf("what was refused left uploads: %+v", list.Uploads)
	}
}

// TestUploadIdempotency repeats requests with a key.
func TestUploadIdempotency(t *testing.T) {
	t.Parallel()
	c := serve(t, setup{}).admin()
	id, content := c.create(t), parquet(t, 1)
	keyed := func(path, key, body string) answer {
		return c.must(t, request{path: path, contentType: "application/json", body: strings.NewReader(body), header: map[string]string{"Idempotency-Key": key}})
	}
	create := fmt.Sprintf(`{"dataset_id": %q, "file_name": "a.parquet", "size_bytes": %d}`, id, len(content))
	var first, second upload
	keyed("/create-upload", "k1", create).decode(t, http.StatusOK, &first)
	keyed("/create-upload", "k1", create).decode(t, http.StatusOK, &second)
	if first.UploadID != second.UploadID || len(second.PartURLs) != 1 {
		t.Errorf("created %+v and then %+v", first, second)
	}
	keyed("/create-upload", "k1", strings.Replace(create, "a.parquet", "b.parquet", 1)).refused(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	send(t, second, content)
	complete := `{"upload_id": "` + first.UploadID + `"}`
	keyed("/complete-upload", "k2", complete).decode(t, http.StatusOK, &first)
	again := keyed("/complete-upload", "k2", complete)
	if again.decode(t, http.StatusOK, &second); again.header.Get("Idempotency-Replayed") != "true" || second.Position != 0 {
		t.Errorf("repeated: %s", again.body)
	}
	keyed("/create-upload", "k1", create).decode(t, http.StatusOK, &second) // its name is taken by itself
	if second.UploadID != first.UploadID || second.State != "appended" {
		t.Errorf("afterwards the key's upload is %+v", second)
	}
	other := c.begin(t, id, "c.parquet", content, nil)
	send(t, other, content)
	keyed("/complete-upload", "k2", `{"upload_id": "`+other.UploadID+`"}`).refused(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	if got := c.names(t, id); !slices.Equal(got, []string{"a.parquet"}) {
		t.Errorf("the dataset lists %q", got)
	}
}

// TestAppendFiles uploads 120 files side by side, completes them out of order
// and appends them in the order wanted.
func TestAppendFiles(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	const n = 120
	ids, names, content := make([]string, n), make([]string, n), map[string][]byte{}
	for i := range n {
		names[i] = fmt.Sprintf("%c-%03d.parquet", 'z'-i%26, i)
		content[names[i]] = parquet(t, i)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := n - 1 - worker; i >= 0; i -= 8 {
				u := c.begin(t, id, names[i], content[names[i]], nil)
				send(t, u, content[names[i]])
				a := c.json(t, "/complete-upload", object{"upload_id": u.UploadID, "append": false})
				if a.decode(t, http.StatusOK, &u); u.State != "complete" {
					t.Errorf("completed %s", a.body)
				}
				ids[i] = u.UploadID
			}
		})
	}
	wg.Wait()
	appendAll := func(ids []string) answer {
		return c.json(t, "/append-files", object{"dataset_id": id, "upload_ids": ids})
	}

	// What can be known is refused before the first run.
	open := c.begin(t, id, "open.parquet", content[names[0]], nil)
	r := appendAll(append(slices.Clone(ids), open.UploadID)).refused(t, http.StatusConflict, "upload_incomplete")
	if r.Details["file_name"] != "open.parquet" || r.Details["upload_id"] != open.UploadID || r.Details["appended_count"] != 0.0 {
		t.Errorf("details %v", r.Details)
	}
	appendAll([]string{ids[0], ids[0]}).refused(t, http.StatusBadRequest, "invalid_request", "twice")
	appendAll(nil).refused(t, http.StatusBadRequest, "invalid_request")
	appendAll([]string{ids[0], "upload-0193b0a6-5b7e-7c61-9d4b-2f6f0e8f3a11"}).refused(t, http.StatusNotFound, "upload_not_found")

	// A name that is taken stops the run that it is in; the earlier ones stand.
	taken := c.mustUpload(t, id, names[70], content[names[70]])
	r = appendAll(ids).refused(t, http.StatusConflict, "file_exists")
	if r.Details["file_name"] != names[70] || r.Details["upload_id"] != ids[70] || r.Details["appended_count"] != 64.0 {
		t.Errorf("details %v", r.Details)
	}
	want := append([]string{taken.FileName}, names[:64]...)
	if got := c.names(t, id); !slices.Equal(got, want) {
		t.Fatalf("after a run that was refused the dataset lists %q", got)
	}
	// Without it the same list goes on.
	rest := slices.Delete(slices.Clone(ids), 70, 71)
	want = append(want, slices.Delete(slices.Clone(names[64:]), 6, 7)...)
	for range 2 { // the first answer is lost
		var done struct {
			AppendedCount int      `json:"appended_count"`
			Files         []listed `json:"files"`
		}
		appendAll(rest).decode(t, http.StatusOK, &done)
		if done.AppendedCount != n-1 || len(done.Files) != n-1 || done.Files[n-2].Position != n-1 {
			t.Fatalf("appended %d, %d files", done.AppendedCount, len(done.Files))
		}
	}
	c.wantFiles(t, id, want, content)
	slices.Reverse(rest)
	appendAll(rest).refused(t, http.StatusConflict, "upload_closed", "before")
	var list struct {
		Uploads []upload `json:"uploads"`
	}
	c.json(t, "/list-uploads", object{"state": "complete"}).decode(t, http.StatusOK, &list)
	if len(list.Uploads) != 1 || list.Uploads[0].UploadID != ids[70] {
		t.Errorf("complete are %+v", list.Uploads)
	}
}

// Another tenant sees no upload, and a key that reads gets no URL to write to.
func TestUploadsArePrivate(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	u := c.begin(t, id, "a.parquet", parquet(t, 1), nil)
	key, _ := newKey(t, srv.data, "other", "admin")
	other := client{url: srv.url, key: key}
	for _, path := range []string{"/get-upload", "/complete-upload", "/abort-upload"} {
		other.json(t, path, object{"upload_id": u.UploadID}).refused(t, http.StatusNotFound, "upload_not_found")
	}
	other.json(t, "/append-files", object{"dataset_id": id, "upload_ids": []string{u.UploadID}}).refused(t, http.StatusNotFound, "dataset_not_found")
	own := other.create(t)
	other.json(t, "/append-files", object{"dataset_id": own, "upload_ids": []string{u.UploadID}}).refused(t, http.StatusNotFound, "upload_not_found")
	other.json(t, "/list-uploads", object{"dataset_id": id}).refused(t, http.StatusNotFound, "dataset_not_found")
	if a := other.json(t, "/list-uploads", object{}); strings.TrimSpace(string(a.body)) != `{"uploads":[]}` {
		t.Errorf("another tenant lists %s", a.body)
	}
	key, _ = newKey(t, srv.data, "local", "read")
	reader := client{url: srv.url, key: key}
	reader.json(t, "/get-upload", object{"upload_id": u.UploadID}).refused(t, http.StatusForbidden, "forbidden", "write")
	if strings.Contains(srv.output.String(), "X-Amz-Signature") {
		t.Error("the log shows a presigned URL")
	}
}
