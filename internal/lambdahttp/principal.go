package lambdahttp

import (
	"net/http"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/keys"
)

// The authorizer hands a principal on as strings, the only values that API
// Gateway passes from an authorizer to a function. All four are always there:
// a missing one is a fault of the deployment and lets nobody in.
const (
	contextTenant   = "tenant"
	contextKeyID    = "key_id"
	contextScopes   = "scopes"   // separated by spaces
	contextDatasets = "datasets" // separated by spaces, or everyDataset
)

// everyDataset stands for a key that is not limited to some datasets. It is
// written out so that a value lost on the way cannot be mistaken for it.
const everyDataset = "*"

// Principal is who a request comes from, as the API's authorizer found out. It
// reads what API Gateway says, never a header, which anyone can send.
func Principal(r *http.Request) (keys.Principal, error) {
	gateway, ok := gatewayContext(r.Context())
	if !ok {
		return keys.Principal{}, notAuthorized()
	}
	values := make(map[string]string, 4)
	for _, name := range []string{contextTenant, contextKeyID, contextScopes, contextDatasets} {
		value, _ := gateway.Authorizer[name].(string)
		if strings.TrimSpace(value) == "" {
			return keys.Principal{}, notAuthorized()
		}
		values[name] = value
	}
	principal := keys.Principal{Tenant: values[contextTenant], KeyID: values[contextKeyID]}
	for scope := range strings.FieldsSeq(values[contextScopes]) {
		principal.Scopes = append(principal.Scopes, keys.Scope(scope))
	}
	if values[contextDatasets] != everyDataset {
		principal.Datasets = strings.Fields(values[contextDatasets])
	}
	return principal, nil
}

// principalContext is the inverse of Principal.
func principalContext(p keys.Principal) map[string]any {
	scopes := make([]string, len(p.Scopes))
	for i, scope := range p.Scopes {
		scopes[i] = string(scope)
	}
	datasets := everyDataset
	if len(p.Datasets) > 0 {
		datasets = strings.Join(p.Datasets, " ")
	}
	return map[string]any{
		contextTenant:   p.Tenant,
		contextKeyID:    p.KeyID,
		contextScopes:   strings.Join(scopes, " "),
		contextDatasets: datasets,
	}
}

func notAuthorized() *fault.Error {
	return fault.New(fault.CodeUnauthorized, "The request carries no checked API key.",
		"Send the header `Authorization: Key <key>` to the API's own address.")
}
