package objectstore_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// The mark is what was set last, and no object of a file.
func TestMarkOfABucket(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	store := objectstore.New(s.Client, s.Bucket)
	mark := objectstore.NewMark(store)
	for _, want := range []string{"", "ROW.1", "ROW.2", "another"} {
		if want != "" {
			if err := mark.SetMark(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := mark.Mark(t.Context()); err != nil || got != want {
			t.Errorf("the mark is %q, %v, want %q", got, err, want)
		}
	}
	if files, _, err := store.List(t.Context(), dataset.FilePrefix, "", 10); err != nil || len(files) > 0 {
		t.Errorf("under files/ there are %+v, %v", files, err)
	}
	_, err := s.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &s.Bucket, Key: aws.String("marks/sweep"), Body: strings.NewReader(strings.Repeat("x", 2000))})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := mark.Mark(t.Context()); !fault.Is(err, fault.CodeInternal) {
		t.Errorf("something else than a mark reads as %q, %v", got, err)
	}
}

// A mark that cannot be read is an error, and not no mark: all that is in the
// bucket would else be left alone for ever.
func TestMarkThroughABadNetwork(t *testing.T) {
	t.Parallel()
	s := embeddeds3test.Start(t)
	if err := objectstore.NewMark(objectstore.New(s.Client, s.Bucket)).SetMark(t.Context(), "ROW.1"); err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{403, 500, 503} {
		bad := objectstore.NewMark(through(s, &network{hits: func(*http.Request) bool { return true }, times: -1, do: answering(status, "AccessDenied")}))
		if got, err := bad.Mark(t.Context()); err == nil {
			t.Errorf("with %d the mark is %q", status, got)
		}
		if err := bad.SetMark(t.Context(), "ROW.2"); err == nil {
			t.Errorf("with %d the mark is set", status)
		}
	}
}
