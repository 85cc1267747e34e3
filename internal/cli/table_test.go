package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/cli"
	"github.com/parqueue/parqueue/internal/keys"
)

// Keys of a deployment are made, listed and revoked in its table.
func TestKeysInATable(t *testing.T) {
	endpoint := dynamotest.Endpoint(t)
	client := dynamotest.Client(endpoint)
	table := dynamotest.CreateTable(t, client)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, log bytes.Buffer
		code = cli.Main(append([]string{"keys"}, args...), &out, &log)
		return code, out.String(), log.String()
	}

	code, stdout, stderr := run("create", "--table", table, "--tenant", "acme", "--scopes", "read")
	if code != 0 {
		t.Fatalf("create: %d %s", code, stderr)
	}
	authenticator := keys.Authenticator{Store: dynamo.New(client, table)}
	header := "Key " + strings.TrimSpace(stdout)
	who, err := authenticator.Authenticate(t.Context(), header)
	if err != nil || who.Tenant != "acme" || who.Has(keys.ScopeWrite) || !who.Has(keys.ScopeRead) {
		t.Fatalf("the key that was made is %+v, %v", who, err)
	}

	_, stdout, _ = run("list", "--table", table, "--json")
	var list struct {
		Keys []struct {
			ID string `json:"key_id"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list.Keys) != 1 || list.Keys[0].ID != who.KeyID {
		t.Fatalf("listed %s, %v", stdout, err)
	}
	if code, _, stderr := run("revoke", "--table", table, who.KeyID); code != 0 {
		t.Fatalf("revoke: %d %s", code, stderr)
	}
	if who, err := authenticator.Authenticate(t.Context(), header); err == nil {
		t.Fatalf("the revoked key is taken for %+v", who)
	}

	code, _, stderr = run("list", "--table", "no-such-table")
	if code != 3 || !strings.Contains(stderr, "error: The table no-such-table can't be used.") || !strings.Contains(stderr, "hint: ") {
		t.Fatalf("a table that is not there: %d %s", code, stderr)
	}
}
