package e2e

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestBadKeys sends requests with no key and with what is no valid key. Nothing
// tells one bad key from another.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	last := srv.key[len(srv.key)-1]
	other := map[bool]string{true: "b", false: "a"}[last == 'a']
	kind, body := form(text("dataset_id", g.id), file("stolen.parquet", parquet(t, 1)))
	first := ""
	for name, header := range map[string]string{
		"none":                "",
		"scheme alone":        "Key",
		"scheme and a space":  "Key ",
		"another scheme":      "Basic " + srv.key,
		"no scheme":           srv.key,
		"nonsense":            "Key hello",
		"changed at the end":  "Key " + srv.key[:len(srv.key)-1] + other,
		"changed within":      "Key " + srv.key[:14] + map[bool]string{true: "b", false: "a"}[srv.key[14] == 'a'] + srv.key[15:],
		"cut":                 "Key " + srv.key[:len(srv.key)-5],
		"longer":              "Key " + srv.key + "a",
		"other case":          "Key " + strings.ToUpper(srv.key),
		"10 KB":               "Key " + strings.Repeat("k", 10<<10),
		"not ASCII":           "Key clé",
		"two keys":            "Key " + srv.key + " " + srv.key,
		"a quote for a query": "Key ' OR 1=1 --",
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []request{
				{method: http.MethodGet, path: "/try-authentication"},
				{method: http.MethodGet, path: "/create-dataset"},
				{path: "/list-datasets"},
				{path: "/upload-to-dataset", contentType: kind, body: bytes.NewReader(body)},
			} {
				if header != "" {
					r.header = map[string]string{"Authorization": header}
				}
				a := client{url: srv.url}.must(t, r)
				a.refused(t, http.StatusUnauthorized, "unauthorized", "Authorization")
				if !strings.HasPrefix(header, "Key ") || header == "Key " {
					continue // no key was sent, and the answer may say so
				}
				if first == "" {
					first = string(a.body)
				}
				if string(a.body) != first {
					t.Errorf("the answer tells this key from others: %s and %s", a.body, first)
				}
			}
			g.unchanged(t)
		})
	}
	if rows := datasets(t, g.client); len(rows) != 1 {
		t.Errorf("%d datasets, want 1", len(rows))
	}
}

// TestScopes tries what a key's scopes do not include.
func TestScopes(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	text, _ := newKey(t, srv.data, "local", "read")
	g := guard(t, srv.admin())
	reader := client{srv.url, text}
	if got := reader.names(t, g.id); len(got) != 1 {
		t.Errorf("a reader lists %q", got)
	}
	reader.download(t, g.id, "first.parquet")
	a, err := reader.upload(g.id, "second.parquet", parquet(t, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.refused(t, http.StatusForbidden, "forbidden", "write")
	reader.must(t, request{method: http.MethodGet, path: "/create-dataset"}).refused(t, http.StatusForbidden, "forbidden", "write")
	g.unchanged(t)
}

// TestRevokedKey revokes a key under a running server.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	text, id := newKey(t, srv.data, "acme", "read,write")
	c := client{srv.url, text}
	dataset := c.create(t)
	if stdout, stderr, err := parqueue(t, "keys", "revoke", id, "--data", srv.data); err != nil {
		t.Fatalf("keys revoke: %v\n%s%s", err, stdout, stderr)
	}
	c.must(t, request{method: http.MethodGet, path: "/try-authentication"}).refused(t, http.StatusUnauthorized, "unauthorized")
	a, err := c.upload(dataset, "late.parquet", parquet(t, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	a.refused(t, http.StatusUnauthorized, "unauthorized")
	other, _ := newKey(t, srv.data, "acme", "read")
	if got := (client{srv.url, other}).names(t, dataset); len(got) != 0 {
		t.Errorf("the dataset has %q", got)
	}
}

// TestTenants has one tenant look for another's dataset. It is answered exactly
// as for a dataset that never was.
func TestTenants(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	g := guard(t, srv.admin())
	text1, _ := newKey(t, srv.data, "acme", "read,write")
	stranger := client{srv.url, text1}
	never := "dataset-" + "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
	ids := regexp.MustCompile(`(dataset-)?[0-9a-f]{8}-[0-9a-f-]{27}`)

	ask := func(id string) []answer {
		kind, body := form(text("dataset_id", id), file("x.parquet", parquet(t, 1)))
		return []answer{
			stranger.json(t, "/list-dataset-files", map[string]string{"dataset_id": id}),
			stranger.json(t, "/download-from-dataset", map[string]string{"dataset_id": id, "file_name": "first.parquet"}),
			stranger.json(t, "/list-stage-files", map[string]string{"stage_id": id}),
			stranger.must(t, request{path: "/upload-to-dataset", contentType: kind, body: bytes.NewReader(body)}),
			stranger.must(t, request{path: "/upload-to-dataset", contentType: kind, body: bytes.NewReader(body),
				header: map[string]string{"Idempotency-Key": "k"}}),
		}
	}
	others, nobodys := ask(g.id), ask(never)
	for i := range others {
		others[i].refused(t, http.StatusNotFound, "dataset_not_found")
		got, want := ids.ReplaceAllString(string(others[i].body), "ID"), ids.ReplaceAllString(string(nobodys[i].body), "ID")
		if got != want || others[i].status != nobodys[i].status || len(others[i].header) != len(nobodys[i].header) {
			t.Errorf("another's: %d %s\nnobody's: %d %s", others[i].status, got, nobodys[i].status, want)
		}
	}
	if rows := datasets(t, stranger); len(rows) != 0 {
		t.Errorf("the stranger lists %v", rows)
	}
	g.unchanged(t)
}
