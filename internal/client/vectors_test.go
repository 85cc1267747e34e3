package client_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
)

// vector is what a server answers, and what a client of any language makes of it.
type vector struct {
	Name      string
	Operation string
	Answers   []struct {
		Status  int
		Headers map[string]string
		JSON    json.RawMessage
		Text    string
		Cut     bool
	}
	Requests int
	Code     fault.Code
}

// What is tried again, how often, and what an answer that is none of Parqueue's
// means, is the same for the clients of all languages.
func TestVectors(t *testing.T) {
	content, err := os.ReadFile("../../testdata/vectors/retries.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Operation+" "+v.Name, func(t *testing.T) {
			c, requests := server(t, v.handlers()...)
			var err error
			if v.Operation == "datasets.create" {
				_, err = c.CreateDataset(t.Context(), "n", nil)
			} else {
				_, err = c.Dataset(t.Context(), "dataset-00000000-0000-7000-8000-000000000001")
			}
			if fault.CodeOf(err) != v.Code || len(requests()) != v.Requests {
				t.Errorf("%v after %d requests, want %q after %d", err, len(requests()), v.Code, v.Requests)
			}
			for _, r := range requests() {
				if r.key != requests()[0].key || (r.key == "") != (v.Operation == "datasets.get") {
					t.Errorf("the Idempotency-Key is %q, and was %q", r.key, requests()[0].key)
				}
			}
		})
	}
}

func (v vector) handlers() []http.HandlerFunc {
	var all []http.HandlerFunc
	for _, a := range v.Answers {
		if a.Cut {
			all = append(all, cut)
			continue
		}
		all = append(all, func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range a.Headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(a.Status)
			_, _ = io.WriteString(w, string(a.JSON)+a.Text)
		})
	}
	return all
}
