package daemon

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/parqueue/parqueue/internal/testtool"
	"github.com/parqueue/parqueue/internal/transfer"
)

// described checks requests and answers against docs/daemon.openapi.yaml.
type described struct {
	t      *testing.T
	router routers.Router
	next   http.RoundTripper
	seen   map[string]bool // methods and paths
}

func newDescribed(t *testing.T, next http.RoundTripper) *described {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(testtool.Root(), "docs", "daemon.openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &described{t, router, next, map[string]bool{}}
}

// RoundTrip implements http.RoundTripper.
func (d *described) RoundTrip(r *http.Request) (*http.Response, error) {
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		return d.next.RoundTrip(r) // what the API doesn't have
	}
	d.seen[route.Method+" "+route.Path] = true
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	request := openapi3filter.ValidateRequest(r.Context(), input)
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if request != nil && resp.StatusCode < 400 {
		d.t.Errorf("%s %s was taken and is not as described: %v", r.Method, r.URL.Path, request)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: options}
	if err := openapi3filter.ValidateResponse(r.Context(), answer.SetBodyBytes(body)); err != nil {
		d.t.Errorf("the answer to %s %s is not as described: %v", r.Method, r.URL.Path, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// decodeLines reads JSON lines as a list.
func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	all := []any{}
	for lines := bufio.NewScanner(body); lines.Scan(); {
		var one any
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// What the daemon takes and answers is what docs/daemon.openapi.yaml says, for
// every request of it.
func TestOpenAPI(t *testing.T) {
	openapi3filter.RegisterBodyDecoder("application/jsonl", decodeLines)
	r := newRunning(t, Config{Version: "v1.2.3", ProfilesDir: "/profiles"})
	d := newDescribed(t, r.client.http.Transport)
	r.client.http.Transport = d
	ctx, id, dir := t.Context(), newDataset(t), writeFiles(t, 3, 1000)

	up, end := r.ask(NewTransfer{Kind: KindUploadDataset, Server: &Server{URL: shared.url, APIKey: shared.key}, DatasetID: id, Paths: []string{dir}})
	if end.State != StateDone || up.Kind != KindUploadDataset {
		t.Errorf("the upload ended with %+v", end)
	}
	_, end = r.ask(NewTransfer{Kind: KindDownloadDataset, Limits: &Limits{Connections: 2}, DatasetID: id, To: filepath.Join(dir, "back")})
	if end.State != StateDone || end.FilesDone != 3 {
		t.Errorf("the download ended with %+v", end)
	}
	down, end := r.ask(NewTransfer{Kind: KindDownloadDataset, DatasetID: id, Files: []string{"none.parquet"}, To: dir})
	if end.State != StateFailed || Fault(end.Error).Code != "file_not_found" {
		t.Errorf("a file that is not there: %+v", end)
	}
	_, end = r.ask(NewTransfer{Kind: KindUploadDataset, DatasetID: id, Paths: []string{filepath.Join(dir, "none")}})
	if end.State != StateFailed || !bytes.Contains(end.Error, []byte(`"problems"`)) {
		t.Errorf("a path that is not there: %+v", end)
	}
	r.tryAssets(dir)
	if all, err := r.client.Transfers(ctx); err != nil || len(all) != 8 {
		t.Errorf("listed %+v, %v", all, err)
	}
	if one, err := r.client.Transfer(ctx, up.ID); err != nil || one.State != StateDone || len(one.Result) == 0 {
		t.Errorf("shown %+v, %v", one, err)
	}
	for action, id := range map[string]string{"resume": down.ID, "pause": up.ID, "cancel": up.ID} {
		if _, err := r.client.Change(ctx, id, action, nil); (err == nil) != (action == "resume") {
			t.Errorf("%s: %v", action, err)
		}
	}
	if err := r.client.SetLimits(ctx, Limits{Connections: 5, BytesPerSecond: 7}); err != nil {
		t.Error(err)
	}
	if err := r.client.SetLimits(ctx, Limits{Connections: 5000}); err == nil {
		t.Error("5000 connections were taken")
	}
	var limits Limits
	if err := r.client.call(ctx, http.MethodGet, "/v1/limits", nil, &limits); err != nil || limits.BytesPerSecond != 7 {
		t.Errorf("the limits are %+v, %v", limits, err)
	}
	if _, err := r.client.Status(ctx); err != nil {
		t.Error(err)
	}
	r.tryAPI(id)
	r.tryRefusals(d.next)
	if err := r.client.Stop(ctx); err != nil {
		t.Error(err)
	}
	for path, item := range d.paths() {
		for method := range item.Operations() {
			if !d.seen[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

func (d *described) paths() map[string]*openapi3.PathItem {
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(testtool.Root(), "docs", "daemon.openapi.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	return doc.Paths.Map()
}

// tryAssets moves assets.
func (r *running) tryAssets(dir string) {
	r.t.Helper()
	first := filepath.Join(dir, "0.parquet")
	n := NewTransfer{Kind: KindUploadAsset, Path: first, OwnerType: "project", OwnerID: "reports"}
	n.Title, n.Tags, n.Metadata = "A title", []string{"a"}, json.RawMessage(`{"k": [1]}`)
	up, end := r.ask(n)
	var made transfer.AssetUploadResult
	if err := json.Unmarshal(end.Result, &made); err != nil || end.State != StateDone || made.AssetID == "" || made.Version != 1 {
		r.t.Fatalf("the upload of an asset ended with %+v, %s", end, end.Error)
	}
	if one, err := r.client.Transfer(r.t.Context(), up.ID); err != nil || one.AssetID != made.AssetID {
		r.t.Errorf("shown %+v, %v", one, err)
	}
	_, end = r.ask(NewTransfer{Kind: KindUploadAsset, Path: filepath.Join(dir, "1.parquet"), AssetID: made.AssetID})
	if err := json.Unmarshal(end.Result, &made); err != nil || made.Version != 2 {
		r.t.Errorf("new content ended with %+v, %s", end, end.Error)
	}
	for version, name := range map[int64]string{1: "0.parquet", 0: "1.parquet"} {
		to := filepath.Join(dir, "assets")
		_, end = r.ask(NewTransfer{Kind: KindDownloadAsset, AssetID: made.AssetID, Version: version, To: to})
		got, err := os.ReadFile(filepath.Join(to, name))
		want, _ := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) || end.FilesDone != 1 {
			r.t.Errorf("the download of version %d ended with %+v, %s, %v", version, end, end.Error, err)
		}
	}
}

// tryAPI passes requests on.
func (r *running) tryAPI(dataset string) {
	r.t.Helper()
	for _, one := range []struct{ endpoint, request, want string }{
		{"get-dataset", `{"dataset_id":"` + dataset + `"}`, `"file_count":3`},
		{"get-dataset", `{"dataset_id":"dataset-none"}`, `"code":"dataset_not_found"`},
		{"try-authentication", `{}`, `"authenticated":true`},
		{"no-such", `{}`, `"code":"route_not_found"`},
	} {
		resp, err := r.client.http.Post(r.client.base+"/v1/api/"+one.endpoint, "application/json", strings.NewReader(`{"request":`+one.request+`}`))
		if err != nil {
			r.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(strings.ReplaceAll(string(text), " ", ""), one.want) {
			r.t.Errorf("%s answered %d %s, %v", one.endpoint, resp.StatusCode, text, err)
		}
	}
}

// tryRefusals sends what is wrong.
func (r *running) tryRefusals(plain http.RoundTripper) {
	r.t.Helper()
	checked := r.client.http
	for _, one := range []struct {
		method, path, body, protocol string
		status                       int
		code                         string
	}{
		{"GET", "/v1/status", "", "2", 409, "protocol_mismatch"},
		{"GET", "/v1/nothing", "", "", 404, "route_not_found"},
		{"GET", "/v1/transfers/none", "", "", 404, "transfer_not_found"},
		{"GET", "/v1/transfers/none/events", "", "1", 404, "transfer_not_found"},
		{"POST", "/v1/transfers", "nonsense", "1", 400, "invalid_json"},
		{"POST", "/v1/transfers", `{"kind":"upload_dataset","more":1}`, "1", 400, "invalid_json"},
		{"POST", "/v1/transfers", `{"kind":"walk"}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"upload_dataset","dataset_id":"d","paths":["relative"]}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"download_dataset","dataset_id":"d","to":"relative"}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"download_dataset","dataset_id":"d","to":"/tmp","server":{"url":"` + shared.url + `"}}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"upload_asset","path":"/a"}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"upload_asset","path":"a","asset_id":"a"}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", `{"kind":"download_asset","to":"/tmp"}`, "1", 400, "invalid_request"},
		{"POST", "/v1/transfers", strings.Repeat(" ", requestLimit+1), "1", 413, "request_too_large"},
	} {
		req, err := http.NewRequest(one.method, r.client.base+one.path, strings.NewReader(one.body))
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if one.protocol != "" {
			req.Header.Set(protocolHeader, one.protocol)
		}
		c := checked
		if one.status == 413 {
			c = &http.Client{Transport: plain}
		}
		resp, err := c.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if f := Fault(text); resp.StatusCode != one.status || string(f.Code) != one.code || f.Hint == "" {
			r.t.Errorf("%s %s %.60s was answered %d %s", one.method, one.path, one.body, resp.StatusCode, text)
		}
	}
}
