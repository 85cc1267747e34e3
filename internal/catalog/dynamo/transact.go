package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/dataset"
)

// write is something that one transaction does.
type write interface {
	// input is the transaction to send. As long as it is the same one it has
	// the same token, by which DynamoDB recognises a repetition for 10 minutes.
	// It is nil when nothing is left to do. errAgain has it asked again after a pause.
	input(ctx context.Context) (*dynamodb.TransactWriteItemsInput, error)

	// refused looks at why a transaction changed nothing, one reason for each
	// of its actions. It returns errAgain to have input asked again after a pause,
	// and errAtOnce to have that done without.
	refused(ctx context.Context, reasons []types.CancellationReason) error
}

// errAgain and errAtOnce ask for another try.
var (
	errAgain  = errors.New("try again")
	errAtOnce = errors.New("try again at once")
)

// unknownTries bounds the tries whose outcome nobody told; the SDK has then
// tried each of them three times by itself.
const unknownTries = 4

// run sends a transaction until it is decided. An error that is no
// *fault.Error leaves open whether it happened.
func (c *Catalog) run(ctx context.Context, doing string, w write) error {
	var last error
	unknown, atOnce, actions := 0, true, 0
	for try := 0; try < c.tries && unknown < unknownTries; try++ {
		if !atOnce && c.pause(ctx, try, actions) != nil {
			break
		}
		atOnce = false
		in, err := w.input(ctx)
		if errors.Is(err, errAgain) {
			last = err
			continue
		}
		if err != nil || in == nil {
			return err
		}
		actions = len(in.TransactItems)
		_, err = c.client.TransactWriteItems(ctx, in)
		if err == nil {
			return nil
		}
		var canceled *types.TransactionCanceledException
		switch {
		case errors.As(err, &canceled):
			refusal := w.refused(ctx, canceled.CancellationReasons)
			atOnce = errors.Is(refusal, errAtOnce)
			if !atOnce && !errors.Is(refusal, errAgain) {
				return refusal
			}
		case throttled(err):
		case rejected(err):
			return fmt.Errorf("%s: %w", doing, err)
		default:
			unknown++
		}
		last = err
	}
	if unknown > 0 {
		return fmt.Errorf("%s: its outcome is not known: %w", doing, last)
	}
	return dataset.ErrTooManyWriters().Because(errors.Join(last, ctx.Err()))
}

// firstPause is about the time that a transaction of firstActions takes, such as an
// append of one file. One with more of them takes longer, and so do others of its kind
// that are in its way.
const (
	firstPause   = 10 * time.Millisecond
	firstActions = 4
)

// patience is the number of tries after which a writer presses harder.
const patience = 8

// pause waits before a try, from 1, of a request with so many actions, for a random
// part of a time, so that writers that collided do not meet again. The time doubles with each try, up to the
// longest. After patience tries it becomes shorter again, down to a quarter of
// that: otherwise whoever comes anew, and pauses little, is always before those
// that have waited for long. See docs/benchmarks.md.
func (c *Catalog) pause(ctx context.Context, try, actions int) error {
	most := max(c.longest*patience/time.Duration(max(try, patience)), c.longest/4)
	if try < patience {
		most = min(most, firstPause*time.Duration(max(actions/firstActions, 1))<<try)
	}
	timer := time.NewTimer(rand.N(most + 1)) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transaction makes a request with a new token.
func transaction(actions []types.TransactWriteItem) *dynamodb.TransactWriteItemsInput {
	return &dynamodb.TransactWriteItemsInput{TransactItems: actions, ClientRequestToken: aws.String(uuid.NewString())}
}

// put writes an item that must not be there yet, and asks for the one that is.
func (c *Catalog) put(i item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &c.table, Item: i,
		ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}}
}

// The reasons that DynamoDB gives for each action of a refused transaction.
const (
	reasonCondition  = "ConditionalCheckFailed"
	reasonConflict   = "TransactionConflict"
	reasonThrottled  = "ThrottlingError"
	reasonThroughput = "ProvisionedThroughputExceeded"
)

// failed returns the item that an action's condition met. ok is false when the
// condition held or was not looked at.
func failed(reasons []types.CancellationReason, action int) (met item, ok bool) {
	if action < 0 || action >= len(reasons) || aws.ToString(reasons[action].Code) != reasonCondition {
		return nil, false
	}
	return reasons[action].Item, true
}

// inTheWay reports whether other requests were the reason.
func inTheWay(reasons []types.CancellationReason) bool {
	for _, r := range reasons {
		switch aws.ToString(r.Code) {
		case reasonConflict, reasonThrottled, reasonThroughput:
			return true
		}
	}
	return false
}

// unexpected is the error for reasons that the layout of the table rules out.
func unexpected(doing string, reasons []types.CancellationReason) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = aws.ToString(r.Code)
	}
	return fmt.Errorf("%s: DynamoDB refused the transaction for %q", doing, codes)
}

// throttled reports an answer that says: too many requests, this one was not
// looked at.
func throttled(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "LimitExceededException":
		return true
	}
	return false
}

// rejected reports an answer that a repetition would get again: the request is
// wrong, or not allowed. A transaction in progress is not among them: it is the
// same one, sent before.
func rejected(err error) bool {
	var running *types.TransactionInProgressException
	if errors.As(err, &running) {
		return false
	}
	var api smithy.APIError
	var answer *http.ResponseError
	return errors.As(err, &api) && errors.As(err, &answer) && answer.HTTPStatusCode() >= 400 && answer.HTTPStatusCode() < 500
}
