package dynamo_test

import (
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/catalogtest"
	"github.com/parqueue/parqueue/internal/catalog/dynamo"
	"github.com/parqueue/parqueue/internal/catalog/dynamotest"
)

func TestContract(t *testing.T) {
	client, table := dynamotest.Start(t)
	catalogtest.Run(t, func(_ testing.TB, now func() time.Time) catalogtest.Store {
		return dynamo.New(client, table, dynamo.WithClock(now))
	})
}
