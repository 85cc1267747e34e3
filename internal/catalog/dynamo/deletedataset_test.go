package dynamo_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

func (b *bench) dropping() dataset.DatasetDeletion {
	b.ids++
	return dataset.DatasetDeletion{ID: fmt.Sprint("drop-", b.ids), Tenant: tenant, DatasetID: b.dataset.ID}
}

// droppedByAnother has another writer delete the dataset, and purge it if it is to.
func (b *bench) droppedByAnother(t *testing.T, purge bool) {
	t.Helper()
	if _, err := b.other.DeleteDataset(t.Context(), b.dropping()); err != nil {
		t.Errorf("the other writer: %v", err)
	}
	if purge {
		if done, err := purger(b.other).Purge(t.Context()); err != nil || done.Datasets != 1 {
			t.Errorf("the other writer: %+v, %v", done, err)
		}
	}
}

func TestDropWhoseAnswerIsLost(t *testing.T) {
	for name, cause := range lost {
		for _, idempotencyKey := range []string{"", "k"} {
			for _, purge := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, key %q, purged %v", name, idempotencyKey, purge), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					b.byAnother(t, "a")
					b.spy.transact = func(n int, send func() error) error {
						if err := send(); n > 0 {
							return err
						}
						if purge {
							if _, err := purger(b.other).Purge(t.Context()); err != nil {
								t.Error(err)
							}
						}
						return cause
					}
					d := b.dropping()
					d.IfVersion = 2
					if idempotencyKey != "" {
						d.Idempotency = dataset.Idempotency{Key: idempotencyKey, Fingerprint: "f"}
					}
					done, err := b.DeleteDataset(t.Context(), d)
					if err != nil || done.Replayed || done.FileCount != 1 {
						t.Fatalf("got %+v, %v", done, err)
					}
				})
			}
		}
	}
}

// As after 10 minutes, DynamoDB has forgotten the token.
func TestDropWhoseAnswerAndTokenAreLost(t *testing.T) {
	b := newBench(t)
	d := b.dropping()
	b.spy.transact = func(_ int, send func() error) error { return errors.Join(send(), errTimeout) }
	_, err := b.DeleteDataset(t.Context(), d)
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		t.Fatalf("an unknown outcome became %v", err)
	}
	b.spy.transact = nil
	if done, err := b.DeleteDataset(t.Context(), d); err != nil || done.Replayed {
		t.Fatalf("repeated: %+v, %v", done, err)
	}
}

// DynamoDB may name one failed condition and not the other. The transaction holds
// the head, the place in two lists, and the request.
func TestDropIsRecognisedByEitherCondition(t *testing.T) {
	for _, told := range [][]int{{0}, {3}, {0, 3}} {
		b := newBench(t)
		d := b.dropping()
		d.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
		if _, err := b.DeleteDataset(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		b.spy.transact = func(_ int, send func() error) error { return keepReasons(send(), told) }
		again := d
		again.ID = "another"
		if done, err := b.DeleteDataset(t.Context(), again); err != nil || !done.Replayed {
			t.Errorf("told %v: %+v, %v", told, done, err)
		}
		again.DatasetID = "dataset-none"
		if _, err := b.DeleteDataset(t.Context(), again); !fault.Is(err, fault.CodeIdempotencyKeyReused) {
			t.Errorf("told %v, another dataset: %v", told, err)
		}
	}
}

func TestDropRetriesWhatPassesAndGivesUp(t *testing.T) {
	for name, cause := range throttling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.byAnother(t, "a")
			passing := 1000
			b.spy.transact = func(n int, send func() error) error {
				if n < passing {
					return cause
				}
				return send()
			}
			_, err := b.DeleteDataset(t.Context(), b.dropping())
			want := fault.CodeConflict
			if name == "transaction in process" { // it may still succeed
				want = fault.CodeInternal
			}
			if !fault.Is(err, want) || !errors.Is(err, cause) {
				t.Fatalf("got %v, want %s because of %v", err, want, cause)
			}
			b.wantNames(t, "a")
			b.spy.reset()
			passing = 3
			if done, err := b.DeleteDataset(t.Context(), b.dropping()); err != nil || done.FileCount != 1 {
				t.Fatalf("got %+v, %v", done, err)
			}
		})
	}
}

// A dataset is deleted, and perhaps purged, while a write to it is under way: the
// write is told that there is no such dataset, and leaves nothing. So does its
// first transaction, of which nothing was heard, when it arrives after all.
func TestWritesUnderWayWhenTheDatasetIsDeleted(t *testing.T) {
	for name, write := range map[string]func(*bench) error{
		"append": func(b *bench) error {
			_, err := b.Append(t.Context(), b.request("new"))
			return err
		},
		"append with a key": func(b *bench) error {
			a := b.request("new")
			a.Idempotency = dataset.Idempotency{Key: "k", Fingerprint: "f"}
			_, err := b.Append(t.Context(), a)
			return err
		},
		"append of a taken name": func(b *bench) error {
			_, err := b.Append(t.Context(), b.request("a"))
			return err
		},
		"delete": func(b *bench) error {
			_, err := b.DeleteFile(t.Context(), b.deletion("a"))
			return err
		},
		"update": func(b *bench) error {
			_, err := b.UpdateDataset(t.Context(), dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n")})
			return err
		},
		"update of a version": func(b *bench) error {
			_, err := b.UpdateDataset(t.Context(), dataset.Update{Tenant: tenant, DatasetID: b.dataset.ID, Name: new("n"), IfVersion: b.dataset.Version})
			return err
		},
	} {
		for _, purge := range []bool{false, true} {
			for _, empty := range []bool{false, true} {
				if empty && (name == "delete" || name == "append of a taken name") {
					continue
				}
				t.Run(fmt.Sprintf("%s, purged %v, empty %v", name, purge, empty), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					if !empty {
						b.byAnother(t, "a", "b")
					}
					var late func() error
					b.spy.transact = func(n int, send func() error) error {
						if n == 0 {
							late = send
							b.droppedByAnother(t, purge)
							return errTimeout
						}
						return send()
					}
					if err := write(b); !fault.Is(err, fault.CodeDatasetNotFound) {
						t.Errorf("got %v", err)
					}
					if err := late(); err == nil {
						t.Error("the late transaction was done")
					}
					if _, err := purger(b.other).Purge(t.Context()); err != nil {
						t.Fatal(err)
					}
					b.wantHeadAlone(t)
				})
			}
		}
	}
}

// A dataset is deleted, and perhaps purged, between two reads of one request.
func TestReadersOfADatasetThatIsBeingDeleted(t *testing.T) {
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprintf("another schema, purged %v", purge), func(t *testing.T) {
			b := newBench(t)
			b.byAnother(t, "a")
			other := b.request("b")
			other.Schema.Fields[0].Type = "text"
			b.spy.get = func(n int) {
				if n == 1 { // the head was read, the schema was not
					b.droppedByAnother(t, purge)
				}
			}
			want := fault.CodeSchemaMismatch
			if purge {
				want = fault.CodeDatasetNotFound
			}
			if _, err := b.Append(t.Context(), other); !fault.Is(err, want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
		t.Run(fmt.Sprintf("list of datasets, purged %v", purge), func(t *testing.T) {
			b := newBench(t)
			for _, id := range []string{"dataset-0", "dataset-2"} {
				if _, err := b.other.CreateDataset(t.Context(), tenant, dataset.Dataset{ID: id, CreatedAt: time.Now()}, dataset.Idempotency{}); err != nil {
					t.Fatal(err)
				}
			}
			b.spy.query = func(n int, _ *dynamodb.QueryOutput) {
				if n == 0 { // the list was read, the heads were not
					b.droppedByAnother(t, purge)
				}
			}
			page, err := b.Datasets(t.Context(), tenant, "", 2)
			if err != nil || len(page.Datasets) != 1 || page.Datasets[0].ID != "dataset-2" || page.Next != "dataset-1" {
				t.Fatalf("got %+v, %v", page, err)
			}
			page, err = b.Datasets(t.Context(), tenant, page.Next, 2)
			if err != nil || len(page.Datasets) != 1 || page.Datasets[0].ID != "dataset-0" || page.Next != "" {
				t.Fatalf("then %+v, %v", page, err)
			}
		})
		t.Run(fmt.Sprintf("page of files, purged %v", purge), func(t *testing.T) {
			b := newBench(t)
			b.byAnother(t, "a", "b", "c")
			b.spy.query = func(n int, _ *dynamodb.QueryOutput) {
				if n == 0 { // the head was read, the files were not
					b.droppedByAnother(t, purge)
				}
			}
			page, err := b.Files(t.Context(), tenant, b.dataset.ID, 1, 2)
			if purge && !fault.Is(err, fault.CodeDatasetNotFound) || !purge && (err != nil || len(page.Files) != 2) {
				t.Fatalf("got %+v, %v", page, err)
			}
		})
	}
}
