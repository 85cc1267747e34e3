package lambda_test

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"testing"
)

// sampleAsset is the asset that the samples in events/ name.
const sampleAsset = "file-0193b0a6-5b7e-7d02-b3c4-7a8b9c0d1e2f"

// checkAssets takes an asset through its life, and a file of the dataset as one.
func (d *deployment) checkAssets(t *testing.T, adapted func(function, name string) event, datasetID string) {
	content := bytes.Repeat([]byte("%PDF-"), 6291456/5+1)[:6291456]
	var id string
	about := func(function string) event {
		e := adapted(function, "post")
		return e.withBody(bytes.ReplaceAll(e.body(t), []byte(sampleAsset), []byte(id)))
	}
	with := func(e event, from, to string) event {
		return e.withBody(bytes.Replace(e.body(t), []byte(from), []byte(to), 1))
	}
	complete := func(upload object) object {
		for _, part := range list(upload["part_urls"]) {
			from, size := int(at(part, "offset").(float64)), int(at(part, "size_bytes").(float64))
			sendPart(t, at(part, "url").(string), content[from:from+size])
		}
		e := adapted("complete-upload", "post")
		e.withBody(bytes.ReplaceAll(e.body(t), []byte(sampleUpload), []byte(upload["upload_id"].(string))))
		first, second := d.ok(t, "complete-upload", e).json(t), d.ok(t, "complete-upload", e).json(t)
		if !reflect.DeepEqual(first, second) {
			t.Errorf("complete-upload answered %v and then %v", first, second)
		}
		return first
	}

	created := complete(d.ok(t, "create-asset", adapted("create-asset", "post").withHeader("Idempotency-Key", "asset")).json(t))
	id, _ = created["asset_id"].(string)
	if created["state"] != "appended" || created["version"] != 1.0 || id == "" {
		t.Fatalf("created %v", created)
	}
	d.refused(t, "create-asset", adapted("create-asset", "post"), http.StatusConflict, "alias_taken")
	got := d.ok(t, "get-asset-metadata", about("get-asset-metadata"))
	if a := got.json(t); a["title"] != "Summary" || a["owner_id"] != "reports-2026" || at(a, "metadata", "pages") != 12.0 || a["alias"] != "latest" {
		t.Errorf("got %v", a)
	}
	if next := complete(d.ok(t, "create-asset-version", about("create-asset-version").withHeader("Idempotency-Key", "version")).json(t)); next["version"] != 2.0 || next["asset_id"] != id {
		t.Errorf("the next version is %v", next)
	}
	if versions := list(d.ok(t, "list-asset-versions", about("list-asset-versions")).json(t)["versions"]); len(versions) != 2 || at(versions[0], "file_name") != "summary-2.pdf" {
		t.Errorf("the versions are %v", versions)
	}
	for _, version := range []string{"", `, "version": 1`} {
		e := with(about("download-asset"), "}", version+`, "delivery": "stream"}`)
		if a := d.call(t, "download-asset", e.withHeader("Range", "bytes=1-3")); a.StatusCode != http.StatusPartialContent || string(a.bytes(t)) != "PDF" {
			t.Errorf("downloaded %.100q", a.bytes(t))
		}
	}
	stale := about("set-asset-metadata").withHeader("If-Match", got.MultiValueHeaders.Get("ETag"))
	d.refused(t, "set-asset-metadata", stale, http.StatusPreconditionFailed, "asset_changed")
	set := d.ok(t, "set-asset-metadata", about("set-asset-metadata").withHeader("Idempotency-Key", "set")).json(t)
	if again := d.ok(t, "set-asset-metadata", about("set-asset-metadata").withHeader("Idempotency-Key", "set")).json(t); set["title"] != "Summary of 2026" || set["alias"] != "" || !reflect.DeepEqual(again, set) {
		t.Errorf("changed to %v and then %v", set, again)
	}
	for _, filter := range []string{"}", `, "tag": "final"}`} {
		if assets := list(d.ok(t, "list-assets", with(adapted("list-assets", "post"), "}", filter)).json(t)["assets"]); len(assets) != 1 || at(assets[0], "asset_id") != id {
			t.Errorf("%s lists %v", filter, assets)
		}
	}

	files := list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post")).json(t)["files"])
	inDataset := at(files[1], "file_id").(string)
	said := about("set-asset-metadata").withBody(fmt.Appendf(nil, `{"asset_id": %q, "alias": "second", "tags": ["x"]}`, inDataset))
	if a := d.ok(t, "set-asset-metadata", said).json(t); a["owner_id"] != datasetID || a["position"] != 1.0 {
		t.Errorf("a file of the dataset is %v", a)
	}
	for _, filter := range []string{``, `, "tag": "x"`, `, "alias": "second"`} {
		e := adapted("list-assets", "post").withBody(fmt.Appendf(nil, `{"owner_type": "collection", "owner_id": %q%s}`, datasetID, filter))
		if assets := list(d.ok(t, "list-assets", e).json(t)["assets"]); len(assets) != 1 && (filter != "" || len(assets) != len(files)) {
			t.Errorf("%s lists %v", filter, assets)
		}
	}
	sdk := adapted("create-asset", "post").withBody(fmt.Appendf(nil, `{"owner_type": "collection", "owner_id": %q, "file_name": "part-0001.parquet", "size_bytes": 1000}`, datasetID))
	d.refused(t, "create-asset", sdk, http.StatusConflict, "file_exists")

	other := &deployment{functions: d.functions, who: object{"tenant": "other", "key_id": "key-1", "scopes": "admin", "datasets": "*"}}
	for _, function := range []string{"get-asset-metadata", "set-asset-metadata", "create-asset-version", "download-asset", "list-asset-versions", "delete-asset"} {
		other.refused(t, function, about(function), http.StatusNotFound, "asset_not_found")
	}
	deletion := about("delete-asset").withHeader("Idempotency-Key", "delete-asset")
	deleted := d.ok(t, "delete-asset", deletion).json(t)
	if again := d.ok(t, "delete-asset", deletion).json(t); deleted["deleted"] != true || !reflect.DeepEqual(again, deleted) {
		t.Errorf("deleted %v and then %v", deleted, again)
	}
	d.refused(t, "get-asset-metadata", about("get-asset-metadata"), http.StatusNotFound, "asset_not_found")
}
