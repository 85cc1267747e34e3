package api

import (
	"net/http"
	"strings"
)

// What a page of another origin may send, and may read beside the body.
const (
	crossOriginRequest = "Authorization, Content-Type, Idempotency-Key, If-Match, If-Range, Range"
	crossOriginAnswer  = "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Retry-After, X-Dataset-Position, X-Request-Id"
	crossOriginMaxAge  = "7200" // seconds that a browser remembers it
)

// allowOrigin lets pages of the configured origin read an answer. It never allows
// credentials: a browser has none for this API, whose keys are sent by the page.
func (a *API) allowOrigin(h http.Header) {
	if a.AllowOrigin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", a.AllowOrigin)
	h.Set("Access-Control-Expose-Headers", crossOriginAnswer)
}

// isPreflight reports whether a browser asks if a page may send a request, which it
// does without the page's key. Behind API Gateway, the template answers it.
func (a *API) isPreflight(r *http.Request) bool {
	return a.AllowOrigin != "" && r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

func preflight(w http.ResponseWriter, e Endpoint) error {
	w.Header().Set("Access-Control-Allow-Methods", strings.Join(e.Methods, ", "))
	w.Header().Set("Access-Control-Allow-Headers", crossOriginRequest)
	w.Header().Set("Access-Control-Max-Age", crossOriginMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
