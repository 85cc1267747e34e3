package api

import "net/http"

// tryAuthentication answers that the key is valid: had it not been, the request
// would not have come this far.
func (a *API) tryAuthentication(w http.ResponseWriter, r *request) error {
	return writeJSON(w, http.StatusOK, map[string]any{"authenticated": true, "tenant": r.who.Tenant, "scopes": r.who.Scopes})
}

// noQuota is the largest integer that every JSON reader keeps exact.
const noQuota = 1<<53 - 1

// getQuotas answers in the clients' shape. Parqueue sets no quotas: the account
// or the disk that it runs on does.
func (a *API) getQuotas(w http.ResponseWriter, r *request) error {
	quota := map[string]int64{"row_quota": noQuota, "token_quota": noQuota}
	answer := map[string]any{"quotas": []any{quota}}
	if a.UploadLimit > 0 {
		answer["upload_limit_bytes"] = a.UploadLimit
	}
	return writeJSON(w, http.StatusOK, answer)
}
