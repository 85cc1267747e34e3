package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// assetAnswer is an asset as the endpoints answer it.
type assetAnswer struct {
	AssetID     string          `json:"asset_id"`
	OwnerType   string          `json:"owner_type"`
	OwnerID     string          `json:"owner_id"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Alias       string          `json:"alias"`
	Tags        []string        `json:"tags"`
	Metadata    json.RawMessage `json:"metadata"`
	FileName    string          `json:"file_name"`
	SizeBytes   int64           `json:"size_bytes"`
	Checksum    string          `json:"checksum_crc64nvme"`
	Version     int64           `json:"version"`
	CreatedAt   string          `json:"created_at"`
	UpdatedAt   string          `json:"updated_at"`
	ETag        string          `json:"etag"`
}

// assetUpload is an upload of an asset's content as the endpoints answer it.
type assetUpload struct {
	upload
	AssetID string `json:"asset_id"`
	Version int64  `json:"version"`
}

// putAsset begins an asset or a version of one, sends the content and completes it.
func (c client) putAsset(t testing.TB, path string, content []byte, fields object) assetUpload {
	t.Helper()
	body := object{"size_bytes": len(content)}
	for k, v := range fields {
		body[k] = v
	}
	var u assetUpload
	c.json(t, path, body).decode(t, http.StatusOK, &u)
	send(t, u.upload, content)
	c.json(t, "/complete-upload", object{"upload_id": u.UploadID, "checksum": crc64nvme(content)}).decode(t, http.StatusOK, &u)
	return u
}

func (c client) asset(t testing.TB, id string) (a assetAnswer, etag string) {
	t.Helper()
	answer := c.json(t, "/get-asset-metadata", object{"asset_id": id})
	answer.decode(t, http.StatusOK, &a)
	return a, answer.header.Get("ETag")
}

func (c client) assets(t testing.TB, filter object) []string {
	t.Helper()
	ids := []string{}
	for cursor := ""; ; {
		body := object{"limit": 2}
		for k, v := range filter {
			body[k] = v
		}
		if cursor != "" {
			body["cursor"] = cursor
		}
		var page struct {
			Assets     []assetAnswer
			NextCursor string `json:"next_cursor"`
		}
		c.json(t, "/list-assets", body).decode(t, http.StatusOK, &page)
		for _, a := range page.Assets {
			ids = append(ids, a.AssetID)
		}
		if cursor = page.NextCursor; cursor == "" {
			return ids
		}
	}
}

func (c client) downloadAsset(t testing.TB, fields object) []byte {
	t.Helper()
	a := c.json(t, "/download-asset", fields)
	if a.status != http.StatusOK {
		t.Fatalf("downloading %v: %d %s", fields, a.status, a.body)
	}
	return a.body
}

// TestAssets takes an asset through its life, over a server that is killed in between.
func TestAssets(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	first, second := bytes.Repeat([]byte("not Parquet\n"), 600_000), []byte("the second version")
	owner := object{"owner_type": "project", "owner_id": "Reports_2026.v1"}
	u := assetUpload{}
	fields := object{"owner_type": "project", "owner_id": "Reports_2026.v1", "file_name": "report.txt", "title": "Report", "description": "two\nlines", "alias": "latest",
		"tags": []string{"draft", "été"}, "metadata": object{"run": 7, "by": object{"name": "<a&b>"}}, "part_size": 5 << 20, "limit": 1, "size_bytes": len(first)}
	c.json(t, "/create-asset", fields).decode(t, http.StatusOK, &u)
	if u.State != "open" || u.PartCount != 2 || len(u.PartURLs) != 1 || u.NextPartsFrom != 2 || !strings.HasPrefix(u.AssetID, "file-") {
		t.Fatalf("created %+v", u)
	}
	send(t, u.upload, first)
	c.json(t, "/get-asset-metadata", object{"asset_id": u.AssetID}).refused(t, http.StatusNotFound, "asset_not_found")
	c.json(t, "/complete-upload", object{"upload_id": u.UploadID}).refused(t, http.StatusConflict, "upload_incomplete")
	srv.kill()
	srv = serve(t, setup{data: srv.data})
	c = srv.admin()
	c.json(t, "/get-upload", object{"upload_id": u.UploadID, "parts_from": 2}).decode(t, http.StatusOK, &u)
	send(t, u.upload, first)
	c.json(t, "/complete-upload", object{"upload_id": u.UploadID, "checksum": crc64nvme(first)}).decode(t, http.StatusOK, &u)
	if u.State != "appended" || u.Version != 1 {
		t.Fatalf("completed %+v", u)
	}
	srv.kill()
	srv = serve(t, setup{data: srv.data})
	c = srv.admin()

	a, etag := c.asset(t, u.AssetID)
	if a.AssetID != u.AssetID || a.OwnerID != "Reports_2026.v1" || a.OwnerType != "project" || a.Title != "Report" || a.Description != "two\nlines" || a.Alias != "latest" ||
		!slices.Equal(a.Tags, []string{"draft", "été"}) || string(a.Metadata) != `{"by":{"name":"\u003ca\u0026b\u003e"},"run":7}` || a.FileName != "report.txt" ||
		a.SizeBytes != int64(len(first)) || a.Checksum != crc64nvme(first) || a.Version != 1 || a.CreatedAt == "" || a.UpdatedAt != a.CreatedAt || etag == "" || etag != a.ETag {
		t.Fatalf("the asset is %+v with the ETag %s", a, etag)
	}
	if got := c.downloadAsset(t, object{"asset_id": a.AssetID}); !bytes.Equal(got, first) {
		t.Fatal("it came back with other bytes")
	}

	again := c.putAsset(t, "/create-asset-version", second, object{"asset_id": a.AssetID})
	if again.AssetID != a.AssetID || again.Version != 2 {
		t.Fatalf("the second version is %+v", again)
	}
	for version, want := range map[int][]byte{0: second, 1: first, 2: second} {
		fields := object{"asset_id": a.AssetID}
		if version > 0 {
			fields["version"] = version
		}
		if got := c.downloadAsset(t, fields); !bytes.Equal(got, want) {
			t.Errorf("version %d came back with other bytes", version)
		}
	}
	c.json(t, "/download-asset", object{"asset_id": a.AssetID, "version": 3}).refused(t, http.StatusNotFound, "asset_not_found")
	var list struct{ Versions []assetAnswer }
	c.json(t, "/list-asset-versions", object{"asset_id": a.AssetID}).decode(t, http.StatusOK, &list)
	if len(list.Versions) != 2 || list.Versions[0].Version != 2 || list.Versions[1].Checksum != crc64nvme(first) || list.Versions[0].FileName != "report.txt" {
		t.Fatalf("the versions are %+v", list)
	}
	part := c.must(t, request{path: "/download-asset", contentType: "application/json", body: strings.NewReader(`{"asset_id": "` + a.AssetID + `", "version": 1}`),
		header: map[string]string{"Range": "bytes=4-10", "If-Range": `"` + crc64nvme(first) + `"`}})
	if part.status != http.StatusPartialContent || string(part.body) != "Parquet" {
		t.Errorf("a range is %d %q", part.status, part.body)
	}

	set := func(fields object, ifMatch string) answer {
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return c.must(t, request{path: "/set-asset-metadata", contentType: "application/json", body: bytes.NewReader(body), header: map[string]string{"If-Match": ifMatch}})
	}
	set(object{"asset_id": a.AssetID, "title": "x"}, etag).refused(t, http.StatusPreconditionFailed, "asset_changed")
	_, etag = c.asset(t, a.AssetID)
	changed := set(object{"asset_id": a.AssetID, "title": nil, "tags": []string{"final"}, "metadata": nil}, etag)
	var b assetAnswer
	changed.decode(t, http.StatusOK, &b)
	if b.Title != "report.txt" || !slices.Equal(b.Tags, []string{"final"}) || string(b.Metadata) != "{}" || b.Alias != "latest" || changed.header.Get("ETag") == etag {
		t.Fatalf("changed to %+v", b)
	}

	other := c.putAsset(t, "/create-asset", nil, object{"owner_type": "project", "owner_id": "Reports_2026.v1", "file_name": "empty", "tags": []string{"final"}})
	if got := c.downloadAsset(t, object{"asset_id": other.AssetID}); len(got) != 0 {
		t.Errorf("an empty asset came back with %d bytes", len(got))
	}
	taken := c.json(t, "/create-asset", object{"owner_type": "project", "owner_id": "Reports_2026.v1", "file_name": "x", "size_bytes": 1, "alias": "latest"})
	if !strings.Contains(string(taken.body), `"alias_asset_id":"`+a.AssetID+`"`) {
		t.Errorf("the refusal does not say whose the alias is: %s", taken.body)
	}
	taken.refused(t, http.StatusConflict, "alias_taken")
	c.json(t, "/set-asset-metadata", object{"asset_id": other.AssetID, "alias": "latest"}).refused(t, http.StatusConflict, "alias_taken")
	for _, l := range []struct {
		filter object
		want   []string
	}{
		{object{}, []string{other.AssetID, a.AssetID}},
		{owner, []string{other.AssetID, a.AssetID}},
		{object{"tag": "final"}, []string{other.AssetID, a.AssetID}},
		{object{"tag": "draft"}, []string{}},
		{object{"alias": "latest"}, []string{a.AssetID}},
		{object{"owner_type": "project", "owner_id": "Reports_2026.v1", "alias": "latest"}, []string{a.AssetID}},
		{object{"owner_type": "collection", "owner_id": "Reports_2026.v1"}, []string{}},
	} {
		if got := c.assets(t, l.filter); !slices.Equal(got, l.want) {
			t.Errorf("%v lists %v, want %v", l.filter, got, l.want)
		}
	}

	if stdout, _, err := parqueue(t, "doctor", "--data", srv.data, "--json", "--grace", "0s"); err != nil || !strings.Contains(stdout, `"findings": []`) {
		t.Errorf("the doctor says %v %s", err, stdout)
	}
	key := map[string]string{"Idempotency-Key": "delete-it"}
	for n := range 2 {
		gone := c.must(t, request{path: "/delete-asset", contentType: "application/json", body: strings.NewReader(`{"asset_id": "` + a.AssetID + `"}`), header: key})
		if gone.status != http.StatusOK || (gone.header.Get("Idempotency-Replayed") == "true") != (n == 1) {
			t.Fatalf("deleted with %d %s %v", gone.status, gone.body, gone.header)
		}
	}
	for _, path := range []string{"/get-asset-metadata", "/download-asset", "/list-asset-versions", "/delete-asset"} {
		c.json(t, path, object{"asset_id": a.AssetID}).refused(t, http.StatusNotFound, "asset_not_found")
	}
	c.json(t, "/create-asset-version", object{"asset_id": a.AssetID, "size_bytes": 1}).refused(t, http.StatusNotFound, "asset_not_found")
	if stdout, _, err := parqueue(t, "doctor", "--data", srv.data, "--json", "--grace", "0s"); err != nil || !strings.Contains(stdout, `"objects": 1,`) {
		t.Errorf("after the deletion the doctor says %v %s", err, stdout)
	}
}

// TestAssetsOfDatasets works with files of a dataset as assets, however they came.
func TestAssetsOfDatasets(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	id := c.create(t)
	direct := c.mustUpload(t, id, "direct.parquet", parquet(t, 1))
	content := parquet(t, 2)
	owner := object{"owner_type": "collection", "owner_id": id}
	u := c.putAsset(t, "/create-asset", content, object{"owner_type": "collection", "owner_id": id, "file_name": "asset.parquet", "alias": "newest", "tags": []string{"x"}, "metadata": object{"k": 1}})
	files := c.files(t, id)
	if len(files) != 2 || files[1].FileID != u.AssetID || u.Version != 1 {
		t.Fatalf("the files are %+v after %+v", files, u)
	}
	a, _ := c.asset(t, u.AssetID)
	if a.OwnerID != id || a.OwnerType != "collection" || a.Alias != "newest" || string(a.Metadata) != `{"k":1}` || a.Title != "asset.parquet" {
		t.Fatalf("the asset is %+v", a)
	}
	d, etag := c.asset(t, direct.FileID)
	if d.Title != "direct.parquet" || d.Alias != "" || len(d.Tags) != 0 || string(d.Metadata) != "{}" || d.Version != 1 || etag == "" {
		t.Fatalf("the asset is %+v", d)
	}
	c.json(t, "/set-asset-metadata", object{"asset_id": direct.FileID, "tags": []string{"x"}, "title": "First"}).decode(t, http.StatusOK, &d)
	if now, _ := c.asset(t, direct.FileID); now.Title != "First" || now.ETag == etag {
		t.Fatalf("the asset is %+v", now)
	}
	if got := c.assets(t, owner); !slices.Equal(got, []string{direct.FileID, u.AssetID}) {
		t.Errorf("the dataset's assets are %v", got)
	}
	if got := c.assets(t, object{"tag": "x"}); len(got) != 2 {
		t.Errorf("those with the tag are %v", got)
	}
	if got := c.downloadAsset(t, object{"asset_id": u.AssetID, "version": 1}); !bytes.Equal(got, content) {
		t.Error("it came back with other bytes")
	}
	c.json(t, "/create-asset-version", object{"asset_id": u.AssetID, "size_bytes": 100}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/create-asset", object{"owner_type": "collection", "owner_id": id, "file_name": "asset.parquet", "size_bytes": 100}).refused(t, http.StatusConflict, "file_exists")
	c.json(t, "/create-asset", object{"owner_type": "collection", "owner_id": "dataset-1", "file_name": "a", "size_bytes": 100}).refused(t, http.StatusNotFound, "dataset_not_found")

	var not assetUpload
	c.json(t, "/create-asset", object{"owner_type": "collection", "owner_id": id, "file_name": "not.parquet", "size_bytes": len("no Parquet at all")}).decode(t, http.StatusOK, &not)
	send(t, not.upload, []byte("no Parquet at all"))
	c.json(t, "/complete-upload", object{"upload_id": not.UploadID}).refused(t, http.StatusBadRequest, "not_parquet")

	c.json(t, "/delete-asset", object{"asset_id": u.AssetID}).decode(t, http.StatusOK, &object{})
	if got := c.names(t, id); !slices.Equal(got, []string{"direct.parquet"}) {
		t.Errorf("the files are %v", got)
	}
	c.json(t, "/get-asset-metadata", object{"asset_id": u.AssetID}).refused(t, http.StatusNotFound, "asset_not_found")
	c.json(t, "/delete-dataset", object{"dataset_id": id}).decode(t, http.StatusOK, &object{})
	c.json(t, "/get-asset-metadata", object{"asset_id": direct.FileID}).refused(t, http.StatusNotFound, "asset_not_found")
	if got := c.assets(t, object{"tag": "x"}); len(got) != 0 {
		t.Errorf("those with the tag are %v", got)
	}
}

// TestAssetsApart sees that keys reach what they may, and nothing else.
func TestAssetsApart(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	mine, theirs := c.create(t), c.create(t)
	inMine, inTheirs := c.mustUpload(t, mine, "a.parquet", parquet(t, 1)), c.mustUpload(t, theirs, "a.parquet", parquet(t, 1))
	free := c.putAsset(t, "/create-asset", []byte("x"), object{"owner_type": "project", "owner_id": "p", "file_name": "x", "tags": []string{"t"}})
	for _, id := range []string{inMine.FileID, inTheirs.FileID} {
		c.json(t, "/set-asset-metadata", object{"asset_id": id, "tags": []string{"t"}}).decode(t, http.StatusOK, &object{})
	}
	stdout, _, err := parqueue(t, "keys", "create", "--data", srv.data, "--tenant", "local", "--scopes", "write", "--datasets", mine, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(stdout), &made); err != nil || made.Key == "" {
		t.Fatalf("%v: %s", err, stdout)
	}
	limited := client{url: srv.url, key: made.Key}
	strangerKey, _ := newKey(t, srv.data, "stranger", "admin")
	readerKey, _ := newKey(t, srv.data, "local", "read")
	stranger, reader := client{url: srv.url, key: strangerKey}, client{url: srv.url, key: readerKey}

	for name, c := range map[string]client{"limited": limited, "stranger": stranger} {
		for _, id := range []string{free.AssetID, inTheirs.FileID} {
			for _, path := range []string{"/get-asset-metadata", "/download-asset", "/list-asset-versions", "/delete-asset"} {
				c.json(t, path, object{"asset_id": id}).refused(t, http.StatusNotFound, "asset_not_found")
			}
			c.json(t, "/set-asset-metadata", object{"asset_id": id, "title": "mine"}).refused(t, http.StatusNotFound, "asset_not_found")
			c.json(t, "/create-asset-version", object{"asset_id": id, "size_bytes": 1}).refused(t, http.StatusNotFound, "asset_not_found")
			keyed := c.must(t, request{path: "/delete-asset", contentType: "application/json", body: strings.NewReader(`{"asset_id": "` + id + `"}`), header: map[string]string{"Idempotency-Key": "k"}})
			keyed.refused(t, http.StatusNotFound, "asset_not_found")
		}
		c.json(t, "/get-upload", object{"upload_id": free.UploadID}).refused(t, http.StatusNotFound, "upload_not_found")
		if got := c.assets(t, object{"owner_type": "project", "owner_id": "p"}); len(got) != 0 {
			t.Errorf("%s lists %v", name, got)
		}
	}
	if got := limited.assets(t, object{"tag": "t"}); !slices.Equal(got, []string{inMine.FileID}) {
		t.Errorf("the limited key lists %v", got)
	}
	limited.json(t, "/list-assets", object{"owner_type": "collection", "owner_id": theirs}).refused(t, http.StatusNotFound, "dataset_not_found")
	limited.json(t, "/create-asset", object{"owner_type": "project", "owner_id": "p", "file_name": "x", "size_bytes": 1}).refused(t, http.StatusForbidden, "forbidden")
	limited.json(t, "/create-asset", object{"owner_type": "collection", "owner_id": theirs, "file_name": "x", "size_bytes": 100}).refused(t, http.StatusNotFound, "dataset_not_found")
	limited.json(t, "/set-asset-metadata", object{"asset_id": inMine.FileID, "title": "mine"}).decode(t, http.StatusOK, &object{})

	if got := reader.downloadAsset(t, object{"asset_id": free.AssetID}); string(got) != "x" {
		t.Errorf("the reader downloads %q", got)
	}
	for _, path := range []string{"/delete-asset", "/set-asset-metadata", "/create-asset-version", "/create-asset"} {
		reader.json(t, path, object{"asset_id": free.AssetID, "title": "x", "size_bytes": 1, "file_name": "x", "owner_type": "project", "owner_id": "p"}).
			refused(t, http.StatusForbidden, "forbidden")
	}
}

// TestAssetRefusals sees that what can't be is refused before any byte moves.
func TestAssetRefusals(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	c := srv.admin()
	sound := func() object {
		return object{"owner_type": "project", "owner_id": "p", "file_name": "x", "size_bytes": 1}
	}
	for _, r := range []struct {
		field string
		value any
		code  string
	}{
		{"owner_type", "team", "invalid_request"}, {"owner_type", nil, "invalid_request"}, {"owner_type", "", "invalid_request"},
		{"owner_id", "a/b", "invalid_request"}, {"owner_id", "é", "invalid_request"}, {"owner_id", strings.Repeat("a", 129), "invalid_request"}, {"owner_id", "a#b", "invalid_request"},
		{"file_name", "../x", "invalid_file_name"}, {"file_name", "", "invalid_request"}, {"size_bytes", -1, "invalid_request"}, {"size_bytes", int64(6) << 40, "request_too_large"},
		{"title", strings.Repeat("t", 513), "invalid_name"}, {"title", "a\nb", "invalid_name"}, {"title", 7, "invalid_request"},
		{"description", strings.Repeat("d", 8<<10+1), "invalid_name"}, {"description", "\x00", "invalid_name"},
		{"alias", " x", "invalid_name"}, {"alias", "e\u0301", "invalid_name"}, {"alias", "\u200bx", "invalid_name"}, {"alias", strings.Repeat("a", 129), "invalid_name"},
		{"tags", "x", "invalid_request"}, {"tags", []any{nil}, "invalid_request"}, {"tags", []string{"a", "a"}, "invalid_request"}, {"tags", []string{""}, "invalid_name"},
		{"tags", make([]string, 21), "invalid_request"}, {"tags", []string{strings.Repeat("a", 65)}, "invalid_name"},
		{"metadata", []int{1}, "invalid_metadata"}, {"metadata", "text", "invalid_metadata"}, {"metadata", object{"a": strings.Repeat("b", 64<<10)}, "invalid_metadata"},
		{"checksum", "AAAA", "invalid_request"}, {"part_size", 1, "invalid_request"},
	} {
		body := sound()
		body[r.field] = r.value
		answer := c.json(t, "/create-asset", body)
		status := http.StatusBadRequest
		if r.code == "request_too_large" {
			status = http.StatusRequestEntityTooLarge
		}
		t.Run(fmt.Sprintf("%s %.20v", r.field, r.value), func(t *testing.T) { answer.refused(t, status, r.code) })
	}
	u := c.putAsset(t, "/create-asset", []byte("x"), sound())
	c.json(t, "/set-asset-metadata", object{"asset_id": u.AssetID}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/list-assets", object{"owner_type": "project"}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/list-assets", object{"cursor": "x"}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/list-asset-versions", object{"asset_id": u.AssetID, "cursor": "x"}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/download-asset", object{"asset_id": u.AssetID, "version": 0}).refused(t, http.StatusBadRequest, "invalid_request")
	c.json(t, "/download-asset", object{"asset_id": "../../etc/passwd"}).refused(t, http.StatusNotFound, "asset_not_found")
	large := object{"a": strings.Repeat("b", 64<<10-8)} // with the quotes and braces it is 64 KiB
	c.json(t, "/set-asset-metadata", object{"asset_id": u.AssetID, "metadata": large}).decode(t, http.StatusOK, &object{})
}
