package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// inboxOf is the inbox of a store and the store itself.
func inboxOf(s *embeddeds3test.Store) (*objectstore.Inbox, *objectstore.Store) {
	store := objectstore.New(s.Client, s.Bucket)
	return objectstore.NewInbox(embeddeds3test.Inbox, store), store
}

// drop puts an object into the inbox as some client does.
func drop(t *testing.T, s *embeddeds3test.Store, key string, body []byte, change ...func(*s3.PutObjectInput)) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String(embeddeds3test.Inbox), Key: &key, Body: bytes.NewReader(body)}
	for _, c := range change {
		c(in)
	}
	if _, err := s.Client.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func stat(t *testing.T, in *objectstore.Inbox, key string) dataset.InboxObject {
	t.Helper()
	o, err := in.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInboxStat(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, _ := inboxOf(s3store)
	body := random(1000)
	before := time.Now().Add(-2 * time.Second)
	drop(t, s3store, "incoming/d/a.parquet", body)
	o := stat(t, in, "incoming/d/a.parquet")
	if o.Key != "incoming/d/a.parquet" || o.SizeBytes != 1000 || o.ETag == "" || o.CRC64NVME != sum(body) ||
		o.ModifiedAt.Before(before) || o.ModifiedAt.After(time.Now().Add(2*time.Second)) {
		t.Errorf("Stat = %+v", o)
	}
	drop(t, s3store, "incoming/d/b.parquet", body, func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
	if o := stat(t, in, "incoming/d/b.parquet"); o.CRC64NVME != "" {
		t.Errorf("with another checksum Stat = %+v", o)
	}
	if _, err := in.Stat(t.Context(), "incoming/d/none"); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("Stat of nothing: %v", err)
	}
}

func TestCopyIn(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, store := inboxOf(s3store)
	sha256 := func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 }
	for name, tc := range map[string]struct {
		size   int
		inbox  *objectstore.Inbox
		change func(*s3.PutObjectInput)
	}{
		"empty":                        {0, in, func(*s3.PutObjectInput) {}},
		"whole":                        {1000, in, func(*s3.PutObjectInput) {}},
		"whole, another checksum":      {1000, in, sha256},
		"in parts":                     {13 * mib, objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib), func(*s3.PutObjectInput) {}},
		"in parts, another checksum":   {13 * mib, objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib), sha256},
		"in parts, to a part's border": {10 * mib, objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib), sha256},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, to := "incoming/d/ä +%2F&?"+name, "files/t/00/"+name
			body := random(tc.size)
			drop(t, s3store, key, body, tc.change)
			o := stat(t, in, key)
			for range 2 { // the second finds the copy of the first
				got, err := tc.inbox.CopyIn(t.Context(), o, to)
				if want := (dataset.Stored{SizeBytes: int64(tc.size), CRC64NVME: sum(body)}); err != nil || got != want {
					t.Fatalf("CopyIn = %+v, %v, want %+v", got, err, want)
				}
			}
			if got := get(t, store, to, dataset.Range{}); !bytes.Equal(got, body) {
				t.Error("the bytes differ")
			}
			if err := in.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if got, err := tc.inbox.CopyIn(t.Context(), o, to); err != nil || got.SizeBytes != int64(tc.size) {
				t.Errorf("CopyIn after the object has gone = %+v, %v", got, err)
			}
			if _, err := tc.inbox.CopyIn(t.Context(), o, to+"-again"); !fault.Is(err, fault.CodeFileNotFound) {
				t.Errorf("CopyIn of what has gone: %v", err)
			}
			requireNoParts(t, store, to)
		})
	}
}

// requireNoParts fails if a key is open in parts.
func requireNoParts(t *testing.T, store *objectstore.Store, key string) {
	t.Helper()
	open, _, err := store.ListOpenParts(t.Context(), key, "", "", 10)
	if err != nil || len(open) > 0 && open[0].Key == key { // others only begin like it
		t.Errorf("open under %s: %+v, %v", key, open, err)
	}
}

func TestCopyInOfAReplacedObject(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	whole, store := inboxOf(s3store)
	parts := objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib)
	for name, in := range map[string]*objectstore.Inbox{"whole": whole, "parts": parts} {
		drop(t, s3store, "incoming/d/"+name, random(11*mib))
		o := stat(t, in, "incoming/d/"+name)
		drop(t, s3store, "incoming/d/"+name, bytes.ToUpper(random(11*mib)))
		_, err := in.CopyIn(t.Context(), o, "files/"+name)
		if !fault.Is(err, fault.CodeConflict) || !errors.Is(err, dataset.ErrObjectReplaced) {
			t.Errorf("%s: CopyIn = %v", name, err)
		}
		requireEmpty(t, s3store, "files/"+name)
		requireNoParts(t, store, "files/"+name)
	}
}

func TestCopyInToATakenKey(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, store := inboxOf(s3store)
	if _, err := store.Put(t.Context(), "files/x", bytes.NewReader([]byte("first")), -1); err != nil {
		t.Fatal(err)
	}
	drop(t, s3store, "incoming/d/a", []byte("other"))
	_, err := in.CopyIn(t.Context(), stat(t, in, "incoming/d/a"), "files/x")
	if !fault.Is(err, fault.CodeConflict) || errors.Is(err, dataset.ErrObjectReplaced) {
		t.Errorf("CopyIn = %v", err)
	}
	if got := get(t, store, "files/x", dataset.Range{}); string(got) != "first" {
		t.Errorf("the object is now %q", got)
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, store := inboxOf(s3store)
	parts := objectstore.NewInbox(embeddeds3test.Inbox, store).CopyInParts(5*mib, 5*mib)
	for name, in := range map[string]*objectstore.Inbox{"whole": in, "parts": parts} {
		body := random(11 * mib)
		drop(t, s3store, "incoming/d/"+name, body, func(in *s3.PutObjectInput) {
			in.ContentType, in.Metadata = aws.String("a/b"), map[string]string{"who": "me"}
		})
		drop(t, s3store, "rejected/d/"+name+" taken", []byte("earlier"))
		o := stat(t, in, "incoming/d/"+name)
		if err := in.Move(t.Context(), o, "rejected/d/"+name+" taken"); !fault.Is(err, fault.CodeConflict) || errors.Is(err, dataset.ErrObjectReplaced) {
			t.Errorf("%s: Move to where another object is: %v", name, err)
		}
		if other := stat(t, in, "rejected/d/"+name+" taken"); other.SizeBytes != int64(len("earlier")) {
			t.Errorf("%s: Move has replaced another object by %+v", name, other)
		}
		if err := in.Move(t.Context(), stat(t, in, o.Key), "rejected/d/"+name); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Stat(t.Context(), o.Key); !fault.Is(err, fault.CodeFileNotFound) {
			t.Errorf("%s: after Move, Stat of the old key: %v", name, err)
		}
		out, err := s3store.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(embeddeds3test.Inbox), Key: aws.String("rejected/d/" + name)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(out.Body)
		_ = out.Body.Close()
		if err != nil || !bytes.Equal(got, body) || aws.ToString(out.ContentType) != "a/b" || out.Metadata["who"] != "me" {
			t.Errorf("%s: after Move: %d bytes, %q, %v, %v", name, len(got), aws.ToString(out.ContentType), out.Metadata, err)
		}
		if err := in.Move(t.Context(), o, "rejected/d/"+name); !fault.Is(err, fault.CodeFileNotFound) {
			t.Errorf("%s: a second Move: %v", name, err)
		}
		drop(t, s3store, o.Key, []byte("new"))
		if err := in.Move(t.Context(), o, "rejected/d/"+name); !errors.Is(err, dataset.ErrObjectReplaced) {
			t.Errorf("%s: Move of a replaced object: %v", name, err)
		}
		drop(t, s3store, o.Key, body) // as an earlier Move leaves it that was cut off behind the copy
		if err := in.Move(t.Context(), stat(t, in, o.Key), "rejected/d/"+name); err != nil {
			t.Errorf("%s: Move to where the same bytes are: %v", name, err)
		}
		if _, err := in.Stat(t.Context(), o.Key); !fault.Is(err, fault.CodeFileNotFound) {
			t.Errorf("%s: after that, Stat of the old key: %v", name, err)
		}
	}
}

func TestInboxDelete(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, _ := inboxOf(s3store)
	drop(t, s3store, "incoming/d/a", []byte("one"))
	one := stat(t, in, "incoming/d/a")
	drop(t, s3store, "incoming/d/a", []byte("two"))
	if err := in.Delete(t.Context(), one); !fault.Is(err, fault.CodeConflict) || !errors.Is(err, dataset.ErrObjectReplaced) {
		t.Errorf("Delete of a replaced object: %v", err)
	}
	two := stat(t, in, "incoming/d/a")
	for range 2 {
		if err := in.Delete(t.Context(), two); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := in.Stat(t.Context(), "incoming/d/a"); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("Stat: %v", err)
	}
}

// The same bytes that are put again are another put.
func TestInboxDeleteOfWhatWasPutAgain(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, _ := inboxOf(s3store)
	drop(t, s3store, "incoming/d/a", []byte("one"))
	first := stat(t, in, "incoming/d/a")
	time.Sleep(1100 * time.Millisecond) // times are to the second
	drop(t, s3store, "incoming/d/a", []byte("one"))
	if err := in.Delete(t.Context(), first); !errors.Is(err, dataset.ErrObjectReplaced) {
		t.Errorf("Delete of what was put again: %v", err)
	}
	if err := in.Delete(t.Context(), stat(t, in, "incoming/d/a")); err != nil {
		t.Error(err)
	}
}

func TestInboxDocuments(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, _ := inboxOf(s3store)
	const key = "incoming/d/_order.json"
	for _, text := range []string{`["a"]`, `["a","b"]`} {
		if err := in.PutSmall(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		o := stat(t, in, key)
		if got, err := in.ReadSmall(t.Context(), o, 100); err != nil || string(got) != text {
			t.Errorf("ReadSmall = %q, %v", got, err)
		}
		if _, err := in.ReadSmall(t.Context(), o, o.SizeBytes-1); !fault.Is(err, fault.CodeRequestTooLarge) {
			t.Errorf("ReadSmall of too much: %v", err)
		}
	}
	o := stat(t, in, key)
	if err := in.PutSmall(t.Context(), key, []byte(`[]`)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadSmall(t.Context(), o, 100); !errors.Is(err, dataset.ErrObjectReplaced) {
		t.Errorf("ReadSmall of a replaced document: %v", err)
	}
	if _, err := in.Open(context.WithoutCancel(t.Context()), dataset.InboxObject{Key: "none", ETag: o.ETag}, dataset.Range{}); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("Open of nothing: %v", err)
	}
}

func TestInboxDocumentsUnderACondition(t *testing.T) {
	t.Parallel()
	s3store := embeddeds3test.Start(t)
	in, _ := inboxOf(s3store)
	const key = "rejected/d/a.error.json"
	if err := in.PutNew(t.Context(), key, []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := in.PutNew(t.Context(), key, []byte(`{"n":2}`)); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("PutNew where something is: %v", err)
	}
	first := stat(t, in, key)
	if err := in.Replace(t.Context(), first, []byte(`{"n":3}`)); err != nil {
		t.Fatal(err)
	}
	if err := in.Replace(t.Context(), first, []byte(`{"n":4}`)); !errors.Is(err, dataset.ErrObjectReplaced) {
		t.Errorf("Replace of what was replaced: %v", err)
	}
	now := stat(t, in, key)
	if got, err := in.ReadSmall(t.Context(), now, 100); err != nil || string(got) != `{"n":3}` {
		t.Errorf("the document is %q, %v", got, err)
	}
	if err := in.Delete(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := in.Replace(t.Context(), now, []byte(`{"n":5}`)); !fault.Is(err, fault.CodeFileNotFound) {
		t.Errorf("Replace of what has gone: %v", err)
	}
}
