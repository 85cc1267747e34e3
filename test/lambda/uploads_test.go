package lambda_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// largeFile is more than a download answers with itself unless it is told to.
const largeFile = 6 << 20

// checkLargeFile sends files in parts to where the functions say, and appends
// them: one when it is complete, one with append-files. A third is given up.
func (d *deployment) checkLargeFile(t *testing.T, adapted func(function, name string) event) {
	file := largeParquet(t, largeFile)
	begin := func(name string) object {
		e := adapted("create-upload", "post")
		body := strings.NewReplacer("part-0005.parquet", name, "1234567890", fmt.Sprint(len(file)), "}", `, "part_size": 5242880}`).Replace(string(e.body(t)))
		return d.ok(t, "create-upload", e.withBody([]byte(body)).withHeader("Idempotency-Key", name)).json(t)
	}
	about := func(function string, upload object, more string) event {
		e := adapted(function, "post")
		body := bytes.ReplaceAll(e.body(t), []byte(sampleUpload), []byte(upload["upload_id"].(string)))
		return e.withBody(bytes.Replace(body, []byte("}"), []byte(more+"}"), 1))
	}
	send := func(upload object) {
		for _, part := range list(upload["part_urls"]) {
			from, size := int(at(part, "offset").(float64)), int(at(part, "size_bytes").(float64))
			sendPart(t, at(part, "url").(string), file[from:from+size])
		}
	}

	first := begin("part-0005.parquet")
	d.refused(t, "complete-upload", about("complete-upload", first, ""), http.StatusConflict, "upload_incomplete")
	send(first)
	if got := d.ok(t, "get-upload", about("get-upload", first, "")).json(t); len(list(got["parts"])) != 2 || len(list(got["part_urls"])) != 2 {
		t.Errorf("get-upload answered %v", got)
	}
	for range 2 { // the first answer is lost
		if got := d.ok(t, "complete-upload", about("complete-upload", first, "")).json(t); got["state"] != "appended" || got["position"] != float64(4) {
			t.Errorf("complete-upload answered %v", got)
		}
	}
	d.refused(t, "abort-upload", about("abort-upload", first, ""), http.StatusConflict, "upload_closed")

	second := begin("part-0006.parquet")
	send(second)
	if got := d.ok(t, "complete-upload", about("complete-upload", second, `, "append": false`)).json(t); got["state"] != "complete" {
		t.Errorf("complete-upload answered %v", got)
	}
	if got := d.ok(t, "append-files", about("append-files", second, "")).json(t); got["appended_count"] != float64(1) || at(list(got["files"])[0], "position") != float64(5) {
		t.Errorf("append-files answered %v", got)
	}

	third := begin("part-0007.parquet")
	send(third)
	for range 2 {
		if got := d.ok(t, "abort-upload", about("abort-upload", third, "")).json(t); got["state"] != "aborted" {
			t.Errorf("abort-upload answered %v", got)
		}
	}
	d.refused(t, "complete-upload", about("complete-upload", third, ""), http.StatusConflict, "upload_closed")

	states := map[string]string{}
	for _, row := range list(d.ok(t, "list-uploads", adapted("list-uploads", "post")).json(t)["uploads"]) {
		states[at(row, "file_name").(string)] = at(row, "state").(string)
	}
	if fmt.Sprint(states) != "map[part-0005.parquet:appended part-0006.parquet:appended part-0007.parquet:aborted]" {
		t.Errorf("list-uploads answered %v", states)
	}

	d.checkSinglePut(t, adapted, file)

	// A file that is not Parquet is found out when it is whole, and removed.
	file = bytes.Repeat([]byte("PAR1"), len(file)/4)
	fourth := begin("part-0008.parquet")
	send(fourth)
	d.refused(t, "complete-upload", about("complete-upload", fourth, ""), http.StatusBadRequest, "invalid_parquet")
}

// checkSinglePut sends a file as one, which is in the dataset behind the two of
// before.
func (d *deployment) checkSinglePut(t *testing.T, adapted func(function, name string) event, file []byte) {
	create, about := adapted("create-upload", "post"), func(function string, upload object) event {
		e := adapted(function, "post")
		return e.withBody(bytes.ReplaceAll(e.body(t), []byte(sampleUpload), []byte(upload["upload_id"].(string))))
	}
	body := strings.NewReplacer("part-0005.parquet", "part-0009.parquet", "1234567890", fmt.Sprint(len(file)), "}", `, "single_put": true}`).Replace(string(create.body(t)))
	upload := d.ok(t, "create-upload", create.withBody([]byte(body))).json(t)
	d.refused(t, "complete-upload", about("complete-upload", upload), http.StatusConflict, "upload_incomplete")
	if got := d.ok(t, "get-upload", about("get-upload", upload)).json(t); len(list(got["parts"])) != 0 || len(list(got["part_urls"])) != 1 {
		t.Errorf("get-upload answered %v", got)
	}
	part := list(upload["part_urls"])[0]
	for _, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
		if got := putPart(t, part, file); got != want {
			t.Errorf("the PUT was answered %d, want %d", got, want)
		}
	}
	if got := d.ok(t, "get-upload", about("get-upload", upload)).json(t); len(list(got["parts"])) != 1 {
		t.Errorf("get-upload answered %v", got)
	}
	for range 2 { // the first answer is lost
		if got := d.ok(t, "complete-upload", about("complete-upload", upload)).json(t); got["state"] != "appended" || got["position"] != float64(6) {
			t.Errorf("complete-upload answered %v", got)
		}
	}
}
