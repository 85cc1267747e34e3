package lambda_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/testtool"
)

// The queue's messages come from the rule alone, are kept while the function may
// be at work, and are told one by one which to send again.
func TestTheInboxReachesItsFunction(t *testing.T) {
	resources := at(template(t), "Resources")
	function := at(resources, "IngestObject", "Properties")
	source := at(function, "Events", "Stored", "Properties")
	if !reflect.DeepEqual(at(source, "FunctionResponseTypes"), []any{"ReportBatchItemFailures"}) || at(source, "Queue", "!GetAtt") != "InboxQueue.Arn" {
		t.Errorf("the queue is read as %v", source)
	}
	timeout, _ := at(function, "Timeout").(int)
	if visible, _ := at(resources, "InboxQueue", "Properties", "VisibilityTimeout").(int); visible < 6*timeout || timeout == 0 {
		t.Errorf("a message is hidden for %d s while the function may take %d", visible, timeout)
	}
	if at(resources, "InboxQueue", "Properties", "RedrivePolicy", "deadLetterTargetArn", "!GetAtt") != "InboxDeadLetters.Arn" {
		t.Error("the queue has no dead-letter queue")
	}
	statements := list(at(resources, "InboxQueuePolicy", "Properties", "PolicyDocument", "Statement"))
	if len(statements) != 1 || at(statements[0], "Condition", "ArnEquals", "aws:SourceArn", "!GetAtt") != "InboxRule.Arn" || at(statements[0], "Action") != "sqs:SendMessage" {
		t.Errorf("the queue's policy is %v", statements)
	}
	pattern := at(resources, "InboxRule", "Properties", "EventPattern")
	if want := (object{"bucket": object{"name": []any{object{"!Ref": "InboxBucket"}}}, "object": object{"key": []any{object{"prefix": "incoming/"}}}}); !reflect.DeepEqual(at(pattern, "detail"), want) {
		t.Errorf("the rule's pattern is %v", pattern)
	}
}

// batch is an event of the queue.
type batch struct {
	Records []map[string]any `json:"Records"`
}

// noticed makes a batch of messages about keys in the inbox, like the sample.
func noticed(t *testing.T, keys ...string) batch {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "events", ingestionName, "batch.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sample batch
	if err := json.Unmarshal(text, &sample); err != nil {
		t.Fatal(err)
	}
	var b batch
	for n, key := range keys {
		var event map[string]any
		if err := json.Unmarshal([]byte(sample.Records[0]["body"].(string)), &event); err != nil {
			t.Fatal(err)
		}
		detail := event["detail"].(object)
		detail["bucket"].(object)["name"] = embeddeds3test.Inbox
		detail["object"].(object)["key"] = key
		body, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		b.Records = append(b.Records, map[string]any{"messageId": fmt.Sprint(n), "body": string(body)})
	}
	return b
}

// ingest invokes the function and returns the ids of the messages that failed.
func (d *deployment) ingest(t *testing.T, b any) string {
	t.Helper()
	var answer struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
		ErrorMessage string `json:"errorMessage"`
	}
	d.functions[ingestionName].invoke(t, b, &answer)
	if answer.ErrorMessage != "" {
		t.Fatal(answer.ErrorMessage)
	}
	var failed []string
	for _, f := range answer.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return strings.Join(failed, " ")
}

// checkInbox puts files into the inbox and passes the queue's batches on.
func (d *deployment) checkInbox(t *testing.T, s *stores) {
	datasetID, _ := d.ok(t, "create-dataset", sample(t, "create-dataset", "post")).json(t)["dataset_id"].(string)
	adapted := func(function, name string) event {
		e := sample(t, function, name)
		return e.withBody(bytes.ReplaceAll(e.body(t), []byte(sampleDataset), []byte(datasetID)))
	}
	put := func(key string, content []byte) string {
		_, err := s.bucket.Client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(embeddeds3test.Inbox), Key: &key, Body: bytes.NewReader(content),
		})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	folder := "incoming/" + datasetID + "/"
	file := adapted("upload-to-dataset", "post").file(t)
	another := append(bytes.Clone(file[:4]), append([]byte("another"), file[4:]...)...)
	keys := []string{
		put(folder+"inbox 1+1.parquet", file), put(folder+"inbox-2%20.parquet", another), put(folder+"monday.parquet", []byte("no Parquet")),
		put(folder+"tuesday morning.parquet", []byte("no Parquet")), put("incoming/nowhere/a.parquet", file), folder + "gone.parquet",
	}
	s.calls.take(ingestionName)
	for range 2 { // a batch comes twice
		if failed := d.ingest(t, noticed(t, keys...)); failed != "" {
			t.Errorf("failed: %s", failed)
		}
	}
	transactions := 0
	for _, actions := range s.calls.take(ingestionName) {
		if strings.Contains(actions, "dynamodb:PutItem") {
			transactions++
		}
	}
	if transactions != 1 {
		t.Errorf("two files were appended in %d steps", transactions)
	}
	names := map[any]bool{}
	for _, row := range list(d.ok(t, "list-dataset-files", adapted("list-dataset-files", "post")).json(t)["files"]) {
		names[at(row, "file_name")] = true
	}
	if !names["inbox 1+1.parquet"] || !names["inbox-2%20.parquet"] || names["monday.parquet"] {
		t.Errorf("listed %v", names)
	}
	put(folder+"lost.parquet", append(bytes.Clone(file[:4]), append([]byte("lost"), file[4:]...)...))
	schedule, err := os.ReadFile(filepath.Join(testtool.Root(), "events", sweepName, "schedule.json"))
	if err != nil {
		t.Fatal(err)
	}
	if failed := d.ingest(t, json.RawMessage(schedule)); failed != "" {
		t.Errorf("a schedule: failed %q", failed)
	}
	d.functions[ingestionName].logged(t, "looked through the inbox", 1)
	var other batch
	text, err := os.ReadFile(filepath.Join(testtool.Root(), "events", ingestionName, "other.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &other); err != nil {
		t.Fatal(err)
	}
	if failed := d.ingest(t, other); strings.Count(failed, "059f36b4") != 2 {
		t.Errorf("of what are no events of the inbox failed: %q", failed)
	}
	for _, hostile := range []string{``, `null`, `[]`, `{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"another"},"object":{"key":"incoming/x/y"}}}`} {
		if failed := d.ingest(t, batch{[]map[string]any{{"messageId": "7", "body": hostile}}}); failed != "7" {
			t.Errorf("of %s failed: %q", hostile, failed)
		}
	}

	rejected := func() (found []any) {
		for _, row := range list(d.ok(t, "list-rejections", adapted("list-rejections", "post")).json(t)["rejections"]) {
			found = append(found, at(row, "file_name"), at(row, "reason", "code"))
		}
		return found
	}
	if got := rejected(); !reflect.DeepEqual(got, []any{"monday.parquet", "not_parquet", "tuesday morning.parquet", "not_parquet"}) {
		t.Errorf("rejected: %v", got)
	}
	if retried := d.ok(t, "retry-rejection", adapted("retry-rejection", "post")).json(t); retried["retried"] != true || retried["object_key"] != folder+"monday.parquet" {
		t.Errorf("retried: %v", retried)
	}
	d.refused(t, "retry-rejection", adapted("retry-rejection", "post"), http.StatusNotFound, "rejection_not_found")
	d.ok(t, "delete-rejection", adapted("delete-rejection", "post"))
	d.refused(t, "delete-rejection", adapted("delete-rejection", "post"), http.StatusNotFound, "rejection_not_found")
	if got := rejected(); len(got) != 0 {
		t.Errorf("still rejected: %v", got)
	}
	if failed := d.ingest(t, noticed(t, folder+"monday.parquet")); failed != "" || len(rejected()) != 2 {
		t.Errorf("after the retry: failed %q, rejected %v", failed, rejected())
	}
}
