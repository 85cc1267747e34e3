package dynamo_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// traffic counts the bytes of bodies on the way to DynamoDB and back.
type traffic struct{ sent, got atomic.Int64 }

// Do implements aws.HTTPClient.
func (c *traffic) Do(r *http.Request) (*http.Response, error) {
	c.sent.Add(r.ContentLength)
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		answer.Body = countedBody{answer.Body, &c.got}
	}
	return answer, err
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read implements io.Reader.
func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// A dataset's schema is written once. From then on its width costs an append
// nothing: neither bytes on the way nor capacity, which goes by the size of items.
func TestAWideSchemaCostsAnAppendNothing(t *testing.T) {
	count := &traffic{}
	client := dynamotest.Client(dynamotest.Endpoint(t), func(o *dynamodb.Options) { o.HTTPClient = count })
	c := dynamo.New(client, dynamotest.CreateTable(t, client))
	var first, later [2]int64
	for i, columns := range []int{3, 5000} {
		d, err := c.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: fmt.Sprint("dataset-", i), CreatedAt: time.Now()}, dataset.Idempotency{})
		if err != nil {
			t.Fatal(err)
		}
		append := func(name string) int64 {
			before := count.sent.Load() + count.got.Load()
			_, err := c.Append(t.Context(), dataset.Append{Tenant: tenant, DatasetID: d.ID, Schema: wide(columns), Files: []dataset.File{
				{ID: fmt.Sprint("file-", name, i), Name: name, SizeBytes: 1000, RowCount: 10, UploadedAt: time.Unix(1, 0)},
			}})
			if err != nil {
				t.Fatal(err)
			}
			return count.sent.Load() + count.got.Load() - before
		}
		first[i] = append("a")
		later[i] = append("b")
		t.Logf("%d columns: %d bytes for the first file, %d for the second", columns, first[i], later[i])
	}
	const times = 50 // a time is up to nine digits longer than another one
	if later[1] > later[0]+times {
		t.Errorf("an append takes %d bytes with 3 columns and %d with 5,000", later[0], later[1])
	}
	if first[1] < 3*later[1] {
		t.Errorf("the schema of 5,000 columns is not among the %d bytes", first[1])
	}
}

// wide is a schema with so many columns.
func wide(columns int) schema.Schema {
	var s schema.Schema
	for n := range columns {
		s.Fields = append(s.Fields, schema.Field{Name: fmt.Sprintf("column_%05d", n), Type: "double"})
	}
	return s
}
