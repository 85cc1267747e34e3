package lambda_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/testtool"
)

// Every alarm reaches somebody, who finds out from docs/operations.md what it means.
func TestAlarms(t *testing.T) {
	operations, err := os.ReadFile(filepath.Join(testtool.Root(), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	topic := []any{object{"!Ref": "AlarmTopic"}}
	watched := map[string]bool{}
	for name, resource := range at(template(t), "Resources").(object) {
		if at(resource, "Type") != "AWS::CloudWatch::Alarm" {
			continue
		}
		properties := at(resource, "Properties")
		if !reflect.DeepEqual(at(properties, "AlarmActions"), topic) || !reflect.DeepEqual(at(properties, "OKActions"), topic) {
			t.Errorf("%s tells nobody", name)
		}
		if !strings.Contains(string(operations), "| `"+name+"` |") {
			t.Errorf("docs/operations.md does not say what %s means", name)
		}
		metric, _ := at(properties, "MetricName").(string)
		watched[metric] = true
	}
	for _, metric := range []string{"5XXError", "Throttles", "Errors", "Invocations", "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"} {
		if !watched[metric] {
			t.Errorf("no alarm watches %s", metric)
		}
	}
}

// A request can be followed from API Gateway through its function.
func TestTracing(t *testing.T) {
	if at(template(t), "Globals", "Function", "Tracing") != "Active" || at(template(t), "Resources", "Api", "Properties", "TracingEnabled") != true {
		t.Error("the functions, or the API, are not traced")
	}
}
