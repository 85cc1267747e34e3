package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

func TestCrossOrigin(t *testing.T) {
	const origin = "https://app.example.com"
	ask := func(f *fixture, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodOptions, path, nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		return f.do(r)
	}
	f := newFixture(t)
	if w := ask(f, "/list-datasets"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without an origin a preflight is answered %d %v", w.Code, w.Header())
	}

	f.config.AllowOrigin = origin
	f.config.Principal = func(*http.Request) (keys.Principal, error) {
		return keys.Principal{}, fault.New(fault.CodeUnauthorized, "No key.", "Send one.")
	}
	w := ask(f, "/list-datasets") // it comes without a key
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "Authorization", "Access-Control-Max-Age": "7200",
	} {
		if got := w.Header().Get(name); w.Code != http.StatusNoContent || !strings.HasPrefix(got, want) {
			t.Errorf("a preflight is answered %d, %s: %q", w.Code, name, got)
		}
	}
	if got := w.Header().Get("Access-Control-Allow-Credentials"); got != "" {
		t.Errorf("credentials are allowed: %q", got)
	}
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/list-datasets", strings.NewReader("{}")),
		httptest.NewRequest(http.MethodPost, "/nothing", nil),
		httptest.NewRequest(http.MethodOptions, "/list-datasets", nil), // which is no preflight
	} {
		w := f.do(r)
		if w.Code < 400 || w.Header().Get("Access-Control-Allow-Origin") != origin || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-Request-Id") {
			t.Errorf("%s %s is refused with %d, %v", r.Method, r.URL, w.Code, w.Header())
		}
	}
}
