package dynamo_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// A head from before versions were counted is of the first version.
func TestHeadWithoutAVersion(t *testing.T) {
	for name, change := range map[string]func(*bench) error{
		"update": func(b *bench) error {
			_, err := b.UpdateDataset(t.Context(), dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n"), IfVersion: 1})
			return err
		},
		"append": func(b *bench) error {
			_, err := b.Append(t.Context(), b.request("a"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, err := b.spy.API.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: &b.table,
				Key: map[string]types.AttributeValue{
					"pk": &types.AttributeValueMemberS{Value: "D#" + tenant + "#" + b.dataset.ID},
					"sk": &types.AttributeValueMemberS{Value: "#head"},
				},
				UpdateExpression: aws.String("REMOVE dataset_version"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if d, err := b.Dataset(t.Context(), tenant, b.dataset.ID); err != nil || d.Version != 1 {
				t.Fatalf("got %+v, %v", d, err)
			}
			if err := change(b); err != nil {
				t.Fatal(err)
			}
			if d, err := b.Dataset(t.Context(), tenant, b.dataset.ID); err != nil || d.Version != 2 {
				t.Fatalf("after a change: %+v, %v", d, err)
			}
		})
	}
}

// An update of a version whose answer is lost does not take the version that it
// made itself for another writer's.
func TestUpdateWhoseAnswerIsLost(t *testing.T) {
	for name, cause := range lost {
		for _, idempotencyKey := range []string{"", "k"} {
			t.Run(fmt.Sprintf("%s, key %q", name, idempotencyKey), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.spy.transact = func(n int, send func() error) error {
					if err := send(); n > 0 {
						return err
					}
					return cause
				}
				u := dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n"), IfVersion: 1}
				if idempotencyKey != "" {
					u.Idempotency = dataset.Idempotency{Key: idempotencyKey, Fingerprint: "f"}
				}
				d, err := b.UpdateDataset(t.Context(), u)
				if err != nil || d.Version != 2 || d.Name != "n" {
					t.Fatalf("got %+v, %v", d, err)
				}
			})
		}
	}
}

// DynamoDB may name one failed condition and not the other. The transaction
// holds the head and the request.
func TestUpdateIsRecognisedByEitherCondition(t *testing.T) {
	for _, told := range [][]int{{0}, {1}, {0, 1}} {
		b := newBench(t)
		u := dataset.Update{
			Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n"), IfVersion: 1,
			Idempotency: dataset.Idempotency{Key: "k", Fingerprint: "f"},
		}
		if _, err := b.UpdateDataset(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		b.spy.transact = func(_ int, send func() error) error { return keepReasons(send(), told) }
		if d, err := b.UpdateDataset(t.Context(), u); err != nil || d.Version != 2 {
			t.Errorf("told %v: %+v, %v", told, d, err)
		}
		u.DatasetID = "dataset-none"
		if _, err := b.UpdateDataset(t.Context(), u); !fault.Is(err, fault.CodeDatasetNotFound) {
			t.Errorf("told %v, no dataset: %v", told, err)
		}
	}
}

func TestUpdateRetriesWhatPassesAndGivesUp(t *testing.T) {
	for name, cause := range throttling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			passing := 3
			b.spy.transact = func(n int, send func() error) error {
				if n < passing {
					return cause
				}
				return send()
			}
			u := dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n")}
			if d, err := b.UpdateDataset(t.Context(), u); err != nil || d.Name != "n" {
				t.Fatalf("got %+v, %v", d, err)
			}
			passing = 1000
			_, err := b.UpdateDataset(t.Context(), u)
			want := fault.CodeConflict
			if name == "transaction in process" { // it may still succeed
				want = fault.CodeInternal
			}
			if !fault.Is(err, want) || !errors.Is(err, cause) {
				t.Fatalf("got %v, want %s because of %v", err, want, cause)
			}
		})
	}
}
