package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/catalog/dynamo"
)

// contention is how much harder than the emulator a table is to write to.
type contention struct {
	// conflicts refuses a transaction while another one works on one of its
	// items, as DynamoDB does and the emulator does not, and one in twenty for no
	// such reason.
	conflicts   bool
	read, write time.Duration // what a read and a transaction take longer
}

// deployed is about as slow as DynamoDB is for a function in its region.
var deployed = contention{conflicts: true, read: 3 * time.Millisecond, write: 12 * time.Millisecond} //nolint:gochecknoglobals // a constant

// contended is an emulated table under contention.
type contended struct {
	dynamo.API
	contention

	mu     sync.Mutex
	busy   map[string]bool // items that a transaction works on
	sent   int             // transactions
	looked int             // items that queries looked at
}

// GetItem takes its time.
func (c *contended) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	time.Sleep(c.read)
	return c.API.GetItem(ctx, in, o...)
}

// TransactWriteItems works on all of its items for all of its time.
func (c *contended) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	items := itemsOf(in)
	if reasons := c.begin(items); reasons != nil {
		time.Sleep(c.read)
		return nil, &types.TransactionCanceledException{CancellationReasons: reasons}
	}
	defer c.end(items)
	time.Sleep(c.write)
	return c.API.TransactWriteItems(ctx, in, o...)
}

// Query counts what it looks at.
func (c *contended) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	out, err := c.API.Query(ctx, in, o...)
	if err == nil {
		c.mu.Lock()
		c.looked += int(out.ScannedCount)
		c.mu.Unlock()
	}
	return out, err
}

// begin takes the items, or says why it does not.
func (c *contended) begin(items []string) []types.CancellationReason {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent++
	if !c.conflicts {
		return nil
	}
	conflict := rand.N(20) == 0
	reasons := make([]types.CancellationReason, len(items))
	for i, item := range items {
		reasons[i].Code = aws.String("None")
		if c.busy[item] || i == 0 && conflict {
			conflict = true
			reasons[i].Code = aws.String("TransactionConflict")
		}
	}
	if conflict {
		return reasons
	}
	for _, item := range items {
		c.busy[item] = true
	}
	return nil
}

func (c *contended) end(items []string) {
	if !c.conflicts {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range items {
		delete(c.busy, item)
	}
}

// itemsOf names the items that a transaction is about.
func itemsOf(in *dynamodb.TransactWriteItemsInput) []string {
	names := make([]string, len(in.TransactItems))
	for i, action := range in.TransactItems {
		var key map[string]types.AttributeValue
		switch {
		case action.Put != nil:
			key = action.Put.Item
		case action.Update != nil:
			key = action.Update.Key
		case action.Delete != nil:
			key = action.Delete.Key
		default:
			key = action.ConditionCheck.Key
		}
		names[i] = key["pk"].(*types.AttributeValueMemberS).Value + " " + key["sk"].(*types.AttributeValueMemberS).Value
	}
	return names
}
