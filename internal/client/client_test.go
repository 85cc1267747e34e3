package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// quick is a retry whose waits cost a test nothing.
var quick = client.Retry{First: time.Millisecond, Most: 2 * time.Millisecond, Patience: 10 * time.Second}

// seen is a request as the server saw it.
type seen struct {
	path, authorization, key string
	body                     map[string]any
}

// server answers each request with the next answer, and the last one for ever.
func server(t *testing.T, answers ...http.HandlerFunc) (*client.Client, func() []seen) {
	t.Helper()
	var mu sync.Mutex
	var all []seen
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := seen{path: r.URL.Path, authorization: r.Header.Get("Authorization"), key: r.Header.Get("Idempotency-Key")}
		_ = json.NewDecoder(r.Body).Decode(&s.body)
		mu.Lock()
		all = append(all, s)
		next := answers[min(len(all), len(answers))-1]
		mu.Unlock()
		next(w, r)
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(client.Config{URL: srv.URL + "/base/", Key: "pq_live_x", Retry: quick})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() []seen {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"dataset_id":`)
	panic(http.ErrAbortHandler)
}

const made = `{"dataset_id":"dataset-1","name":"n"}`

// What may pass is tried again, as the same request: a write with the same key.
func TestTriesAgain(t *testing.T) {
	for name, bad := range map[string]http.HandlerFunc{
		"overloaded":             answer(503, `{"code":"unavailable","error":"Busy."}`),
		"throttled by a gateway": answer(429, `{"message":"Too Many Requests"}`),
		"a bad gateway":          answer(502, `<html>`),
		"a timeout":              answer(504, `{"message":"Endpoint request timed out"}`),
		"an internal error":      answer(500, `{"code":"internal","error":"Something went wrong."}`),
		"many writers":           answer(409, `{"code":"conflict","error":"Too many writers."}`),
		"half an answer":         cut,
		"half, said to be whole": answer(200, `{"dataset_id":"data`),
		"nothing":                answer(200, ""),
	} {
		t.Run(name, func(t *testing.T) {
			c, requests := server(t, bad, bad, answer(200, made))
			d, err := c.CreateDataset(t.Context(), "n", nil)
			if err != nil || d.ID != "dataset-1" {
				t.Fatalf("%+v, %v", d, err)
			}
			all := requests()
			if len(all) != 3 {
				t.Fatalf("%d requests", len(all))
			}
			for _, r := range all {
				if r.path != "/base/create-dataset" || r.authorization != "Key pq_live_x" || r.key == "" || r.key != all[0].key || r.body["name"] != "n" {
					t.Errorf("sent %+v", r)
				}
			}
		})
	}
}

// A refusal is the server's own error again, and is not asked for twice.
func TestRefusals(t *testing.T) {
	c, requests := server(t, answer(409, `{"code":"schema_mismatch","error":"No.","message":"No.","hint":"Do.","schema_file":"a.parquet"}`))
	_, err := c.CompleteUpload(t.Context(), "upload-1", "")
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.CodeSchemaMismatch || f.Message != "No." || f.Hint != "Do." || f.Details["schema_file"] != "a.parquet" || len(f.Details) != 1 {
		t.Errorf("got %+v", err)
	}
	if len(requests()) != 1 {
		t.Errorf("%d requests", len(requests()))
	}
	for status, want := range map[int]fault.Code{401: fault.CodeUnauthorized, 403: fault.CodeForbidden, 404: fault.CodeUnavailable, 200: fault.CodeUnavailable, 307: fault.CodeUnavailable} {
		c, requests := server(t, answer(status, "<html>hello</html>"))
		if _, err := c.Dataset(t.Context(), "dataset-1"); fault.CodeOf(err) != want || len(requests()) != 1 {
			t.Errorf("status %d: %v after %d requests, want %s", status, err, len(requests()), want)
		}
	}
}

// A defect that stays is given up after few tries, and so is an outage that
// outlasts the patience. The error is the plain one.
func TestGivesUp(t *testing.T) {
	c, requests := server(t, answer(500, `{"code":"internal","error":"Something went wrong."}`))
	if _, err := c.Dataset(t.Context(), "dataset-1"); !fault.Is(err, fault.CodeInternal) || len(requests()) != 5 {
		t.Errorf("%v after %d requests", err, len(requests()))
	}
	impatient, err := client.New(client.Config{URL: "http://127.0.0.1:1", Key: "k", Retry: client.Retry{First: time.Millisecond, Patience: 5 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := impatient.Dataset(t.Context(), "dataset-1"); !fault.Is(err, fault.CodeUnavailable) {
		t.Error(err)
	}
}

// Failures that are likely to stay are counted by themselves: a network that was
// away for a while leaves as many tries as there were.
func TestGivesUpAfterSuchFailures(t *testing.T) {
	r := client.Retry{First: time.Microsecond, Patience: time.Minute}
	passing, staying := client.Again(errors.New("no network")), client.AgainFew(errors.New("refused"), 3)
	failures, tries := []error{passing, staying, passing, passing, staying, passing}, 0
	err := r.Do(t.Context(), func(context.Context) error {
		tries++
		if tries > len(failures) {
			return staying
		}
		return failures[tries-1]
	})
	if tries != 7 || err == nil || err.Error() != "refused" {
		t.Errorf("%v after %d tries", err, tries)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, err := c.Dataset(ctx, "dataset-1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The key goes to the server and nowhere else.
func TestFollowsNoRedirect(t *testing.T) {
	other, requests := server(t, answer(200, made))
	c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL(), http.StatusTemporaryRedirect)
	})
	if _, err := c.Dataset(t.Context(), "dataset-1"); !fault.Is(err, fault.CodeUnavailable) {
		t.Error(err)
	}
	if len(requests()) != 0 {
		t.Errorf("followed: %+v", requests())
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		for chunk := strings.Repeat(" ", 1<<20); ; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	if _, err := c.Dataset(t.Context(), "dataset-1"); !fault.Is(err, fault.CodeUnavailable) {
		t.Error(err)
	}
}

func TestListingsGoOn(t *testing.T) {
	c, requests := server(t,
		answer(200, `{"files":[{"file_name":"a"},{"file_name":"b"}],"next_cursor":"p1.2"}`),
		answer(200, `{"files":[{"file_name":"c"}]}`))
	var names []string
	for f, err := range c.Files(t.Context(), "dataset-1") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	if fmt.Sprint(names) != "[a b c]" || requests()[1].body["cursor"] != "p1.2" {
		t.Errorf("%v by %+v", names, requests())
	}
}

func TestURLs(t *testing.T) {
	for given, want := range map[string]string{
		"https://Example.com/Prod/":  "https://example.com/Prod",
		"http://127.0.0.1:8080":      "http://127.0.0.1:8080",
		"http://localhost:1/":        "http://localhost:1",
		"http://[::1]:1":             "http://[::1]:1",
		"http://example.com":         "",
		"http://127.0.0.1.evil.com":  "",
		"ftp://example.com":          "",
		"example.com":                "",
		"https://user:pw@x.com":      "",
		"https://x.com/?a=b":         "",
		"":                           "",
		"https://":                   "",
		"http://localhost.evil.com/": "",
	} {
		got, err := client.CheckURL(given, false)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", given, got, err, want)
		}
	}
	if got, err := client.CheckURL("http://example.com", true); got == "" || err != nil {
		t.Errorf("plain HTTP that is allowed: %q, %v", got, err)
	}
}
