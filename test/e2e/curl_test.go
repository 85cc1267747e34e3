package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCurl runs the documented curl commands, and the ways in which people vary them.
func TestCurl(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	dir := t.TempDir()
	content := map[string][]byte{}
	for i, name := range []string{"id-first.parquet", "file-first.parquet", "query.parquet", "header.parquet", "chunked.parquet", "été 1.parquet"} {
		content[name] = parquet(t, i)
	}
	write(t, dir, content)
	id := srv.admin().create(t)
	curl := func(args ...string) answer {
		t.Helper()
		return runCurl(t, dir, append([]string{"-H", "Authorization: Key " + srv.key}, args...)...)
	}
	upload := srv.url + "/upload-to-dataset"

	want := []string{}
	for _, sample := range []struct {
		name string
		args []string
	}{
		{"id-first.parquet", []string{"-F", "dataset_id=" + id, "-F", "file=@id-first.parquet", upload}},
		{"file-first.parquet", []string{"-F", "file=@file-first.parquet", "-F", "dataset_id=" + id, upload}},
		{"query.parquet", []string{"-F", "file=@query.parquet", upload + "?dataset_id=" + id}},
		{"header.parquet", []string{"-H", "X-Dataset-Id: " + id, "-F", "file=@header.parquet", upload}},
		{"chunked.parquet", []string{"-H", "Transfer-Encoding: chunked", "-F", "dataset_id=" + id, "-F", "file=@chunked.parquet", upload}},
		{"été 1.parquet", []string{"-X", "POST", "-F", "dataset_id=" + id, "-F", "file=@été 1.parquet;type=application/octet-stream", upload}},
	} {
		var f listed
		curl(sample.args...).decode(t, http.StatusOK, &f)
		if f.FileName != sample.name || f.FileID == "" || f.RowCount == 0 || len(f.Schema.Fields) == 0 {
			t.Errorf("uploading %s answered %+v", sample.name, f)
		}
		want = append(want, sample.name)
	}
	srv.admin().wantFiles(t, id, want, content)

	body := `{"dataset_id": "` + id + `", "file_name": "query.parquet"}`
	for _, sample := range [][]string{
		{"--request", "POST", "--url", srv.url + "/download-from-dataset", "--header", "Content-Type: application/json", "--data", body},
		{srv.url + "/download-from-dataset", "-d", body}, // curl calls this a form
		{srv.url + "/download-from-stage", "-d", "stage_id=" + id, "-d", "file_name=query.parquet"},
		{srv.url + "/download-from-stage", "--data-urlencode", "stage_id=" + id, "--data-urlencode", "file_name=query.parquet"},
	} {
		if a := curl(sample...); a.status != http.StatusOK || string(a.body) != string(content["query.parquet"]) {
			t.Errorf("curl %s: %d %s", strings.Join(sample, " "), a.status, tail(string(a.body), 300))
		}
	}
	missing := `{"dataset_id": "` + id + `", "file_name": "nothing.parquet"}`
	r := curl(srv.url+"/download-from-dataset", "-H", "Content-Type: application/json", "-d", missing).refused(t, http.StatusNotFound, "file_not_found")
	if r.Error != "File not found in dataset" {
		t.Errorf("the documented error is %q", r.Error)
	}

	var made struct {
		StageID string `json:"stage_id"`
	}
	curl("-X", "POST", srv.url+"/create-stage").decode(t, http.StatusOK, &made)
	var stageFiles struct {
		Files []string `json:"files"`
	}
	curl("-F", "stage_id="+made.StageID, "-F", "file=@query.parquet", srv.url+"/upload-to-stage")
	curl(srv.url+"/list-stage-files", "-H", "Content-Type: application/json", "-d", `{"stage_id": "`+made.StageID+`"}`).decode(t, http.StatusOK, &stageFiles)
	if !slices.Equal(stageFiles.Files, []string{"query.parquet"}) {
		t.Errorf("list-stage-files answered %q", stageFiles.Files)
	}

	// The command that the upload page shows in its box sends no file at all.
	curl("--request", "POST", "--url", upload, "--header", "Content-Type: application/json", "--data", `{"dataset_id": "`+id+`"}`).
		refused(t, http.StatusUnsupportedMediaType, "unsupported_media_type", "multipart/form-data", "file=@")
}

// runCurl runs curl and reads the status, the headers and the body.
func runCurl(t testing.TB, dir string, args ...string) answer {
	t.Helper()
	body, head := filepath.Join(t.TempDir(), "body"), filepath.Join(t.TempDir(), "head")
	stdout, stderr, err := command(t, dir, nil, "curl", append([]string{"-sS", "-o", body, "-D", head, "-w", "%{http_code}"}, args...)...)
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, stderr)
	}
	header := http.Header{}
	for _, line := range strings.Split(string(readFile(t, head)), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header.Add(name, value)
		}
	}
	return answer{status: int(atoi(t, stdout)), header: header, body: readFile(t, body)}
}
