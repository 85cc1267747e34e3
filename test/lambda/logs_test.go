package lambda_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/api"
)

// sampleRequest is the id that API Gateway gave the requests in events/.
const sampleRequest = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

// checkLogs wants a line of JSON for each request of each endpoint, by which an
// operator finds it.
func (d *deployment) checkLogs(t *testing.T) {
	ofDataset := 0
	for _, endpoint := range api.Endpoints() {
		f := d.functions[endpoint.Name]
		f.logs(t, `"request_id":"`+sampleRequest+`"`)
		for _, line := range requestLines(f.log.String()) {
			for _, field := range []string{"time", "level", "request_id", "invocation_id", "endpoint", "status", "bytes", "ms"} {
				if line[field] == nil {
					t.Errorf("%s logged no %s: %v", endpoint.Name, field, line)
				}
			}
			if line["status"] == 200.0 && (line["tenant"] == nil || line["key_id"] == nil) {
				t.Errorf("%s logged nobody: %v", endpoint.Name, line)
			}
			if line["dataset_id"] != nil {
				ofDataset++
			}
		}
	}
	if ofDataset == 0 {
		t.Error("no request was logged with its dataset")
	}
}

// logs waits until a function has logged a text: the emulator passes it on after the
// answer.
func (f *function) logs(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(f.log.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("logged no %s:\n%s", text, f.log)
			return
		}
	}
}

// requestLines are the lines of a log that are about requests.
func requestLines(log string) []object {
	var requests []object
	for text := range strings.Lines(log) {
		var line object
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == "request" {
			requests = append(requests, line)
		}
	}
	return requests
}

// checkSecrets looks in all that the functions logged for what must not leave
// them: keys and what could be tried against a copy of the table, credentials,
// presigned URLs, and what is in files.
func (d *deployment) checkSecrets(t *testing.T, s *stores, key string) {
	hash := sha256.Sum256([]byte(key))
	secrets := map[string]string{
		"the key":            key,
		"the key's secret":   key[len(key)-36:],
		"the key's hash":     hex.EncodeToString(hash[:]),
		"an Authorization":   "Key pq_",
		"a credential":       s.bucket.SecretKey,
		"a presigned URL":    "X-Amz-Signature",
		"a session's token":  "X-Amz-Security-Token",
		"the file's content": "PAR1",
	}
	for name, f := range d.functions {
		log := f.log.String()
		for what, secret := range secrets {
			if strings.Contains(log, secret) {
				t.Errorf("%s logged %s:\n%s", name, what, log)
			}
		}
	}
}
