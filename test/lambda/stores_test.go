package lambda_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/keys"
)

// builtVariable names the folder of what build has built.
const builtVariable = "PARQUEUE_TEST_BUILT_FUNCTIONS"

func TestMain(m *testing.M) {
	embeddeds3test.RunChild()
	os.Exit(withBuilt(m.Run))
}

// withBuilt has a folder for the functions while tests run.
func withBuilt(run func() int) int {
	folder, err := os.MkdirTemp("", "parqueue-functions-")
	if err == nil {
		err = os.Setenv(builtVariable, folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	return run()
}

// stores are the table and the bucket of a deployment: a DynamoDB emulator and
// the embedded S3, each a process of its own.
type stores struct {
	tenant   string
	dynamoDB string // where the emulator is
	table    string
	catalog  *dynamo.Catalog
	bucket   *embeddeds3test.Store
	calls    *calls
}

func startStores(t *testing.T) *stores {
	t.Helper()
	endpoint := dynamotest.Endpoint(t)
	client := dynamotest.Client(endpoint)
	table := dynamotest.CreateTable(t, client)
	return &stores{
		tenant: "acme", dynamoDB: endpoint, table: table,
		catalog: dynamo.New(client, table), bucket: embeddeds3test.Start(t),
		calls: newCalls(),
	}
}

// addKey makes a key of the stores' tenant and returns its text.
func (s *stores) addKey(t *testing.T, scope keys.Scope) string {
	t.Helper()
	key, text, err := keys.New(s.tenant, "test", []keys.Scope{scope}, nil, time.Time{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.catalog.AddKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return text
}

// env is the environment that Lambda and the template give to a function.
func (s *stores) env(t *testing.T, function string) []string {
	t.Helper()
	env := []string{
		"AWS_REGION=" + s.bucket.Region, "AWS_ACCESS_KEY_ID=" + s.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.bucket.SecretKey,
	}
	env = append(env, "STACK_NAME=parqueue", "METRICS="+at(template(t), "Parameters", "Metrics", "Default").(string))
	variables, _ := at(functions(t)[function], "Environment", "Variables").(object)
	if variables["TABLE_NAME"] != nil {
		env = append(env, "TABLE_NAME="+s.table,
			"AWS_ENDPOINT_URL_DYNAMODB="+s.guard(t, function, s.dynamoDB, tableActions))
	}
	if variables["BUCKET_NAME"] != nil {
		env = append(env, "BUCKET_NAME="+s.bucket.Bucket,
			"AWS_ENDPOINT_URL_S3="+s.guard(t, function, s.bucket.Endpoint, objectActions))
	}
	if variables["INBOX_NAME"] != nil {
		env = append(env, "INBOX_NAME="+embeddeds3test.Inbox, "INBOX_TENANT="+s.tenant)
		if variables["BUCKET_NAME"] == nil {
			env = append(env, "AWS_ENDPOINT_URL_S3="+s.guard(t, function, s.bucket.Endpoint, objectActions))
		}
	}
	return env
}
