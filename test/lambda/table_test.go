package lambda_test

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
)

// The template's table is the one that the catalog is written for.
func TestTable(t *testing.T) {
	want := dynamo.Definition("any")
	var attributes, keys []any
	for _, a := range want.AttributeDefinitions {
		attributes = append(attributes, object{"AttributeName": aws.ToString(a.AttributeName), "AttributeType": string(a.AttributeType)})
	}
	for _, k := range want.KeySchema {
		keys = append(keys, object{"AttributeName": aws.ToString(k.AttributeName), "KeyType": string(k.KeyType)})
	}
	table := at(template(t), "Resources", "Table", "Properties").(object)
	for name, want := range map[string]any{
		"AttributeDefinitions":    attributes,
		"KeySchema":               keys,
		"BillingMode":             string(want.BillingMode),
		"TimeToLiveSpecification": object{"AttributeName": dynamo.TimeToLive, "Enabled": true},
	} {
		if !reflect.DeepEqual(table[name], want) {
			t.Errorf("%s is %v, want %v", name, table[name], want)
		}
	}
	if len(want.GlobalSecondaryIndexes)+len(want.LocalSecondaryIndexes) > 0 || table["GlobalSecondaryIndexes"] != nil {
		t.Error("the table has indexes, which this test does not compare")
	}
}
