package dynamo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/catalogtest"
	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
)

func TestContract(t *testing.T) {
	client, table := dynamotest.Start(t)
	catalogtest.Run(t, func(_ testing.TB, now func() time.Time) catalogtest.Store {
		return &traced{dynamo.New(client, table, dynamo.WithClock(now)), client, table}
	})
}

// traced is a catalog that shows what is in its table.
type traced struct {
	*dynamo.Catalog
	client *dynamodb.Client
	table  string
}

// Traces implements catalogtest.Traced.
func (c *traced) Traces(t testing.TB, tenant string) []string {
	t.Helper()
	pages := dynamodb.NewScanPaginator(c.client, &dynamodb.ScanInput{
		TableName: &c.table, ConsistentRead: aws.Bool(true),
		FilterExpression:          aws.String("contains(pk, :tenant) OR contains(sk, :tenant)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":tenant": &types.AttributeValueMemberS{Value: tenant}},
	})
	var traces []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			if trace := trace(i); !strings.Contains(trace, "pk=I#") {
				traces = append(traces, trace)
			}
		}
	}
	return traces
}

// trace is an item as a text.
func trace(i map[string]types.AttributeValue) string {
	var fields []string
	for name, value := range i {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			fields = append(fields, name+"="+v.Value)
		case *types.AttributeValueMemberN:
			fields = append(fields, name+"="+v.Value)
		case *types.AttributeValueMemberB:
			fields = append(fields, fmt.Sprintf("%s=%x", name, v.Value))
		default:
			fields = append(fields, fmt.Sprintf("%s=%v", name, v))
		}
	}
	slices.Sort(fields)
	return strings.Join(fields, " ")
}
