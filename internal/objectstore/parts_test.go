package objectstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/objectstore"
)

// partsBench is a store and an object that comes in parts of 5 MiB, of which the
// last has 1,000 bytes.
type partsBench struct {
	*objectstore.Store
	key, id string
	content []byte
}

const partBytes = dataset.MinPartSize

func newPartsBench(t *testing.T, parts int) *partsBench {
	t.Helper()
	s := embeddeds3test.Start(t)
	b := &partsBench{Store: objectstore.New(s.Client, s.Bucket), key: "files/acme/00/file-00", content: random((parts-1)*partBytes + 1000)}
	var err error
	if b.id, err = b.CreateParts(t.Context(), b.key); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *partsBench) part(number int) []byte {
	from := (number - 1) * partBytes
	return b.content[from:min(from+partBytes, len(b.content))]
}

// send puts bytes to the presigned URL of a part and returns the status, or 0.
func (b *partsBench) send(t *testing.T, number int, size int64, body io.Reader) (int, string) {
	t.Helper()
	to, err := b.PresignPart(t.Context(), b.key, b.id, number, size, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, to, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil { // the store closed the connection without reading the body
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

func (b *partsBench) mustSend(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		if status, text := b.send(t, n, int64(len(b.part(n))), bytes.NewReader(b.part(n))); status != http.StatusOK {
			t.Fatalf("part %d: %d %s", n, status, text)
		}
	}
}

func (b *partsBench) want() dataset.Stored {
	return dataset.Stored{SizeBytes: int64(len(b.content)), CRC64NVME: sum(b.content)}
}

func (b *partsBench) list(t *testing.T, after, limit int) []dataset.Part {
	t.Helper()
	parts, err := b.ListParts(t.Context(), b.key, b.id, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func numbers(parts []dataset.Part) []int {
	var list []int
	for _, p := range parts {
		list = append(list, p.Number)
	}
	return list
}

func wantFault(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Fatalf("got %v, want %s", err, code)
	}
}

func TestPartsBecomeAnObject(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 3)
	b.mustSend(t, 3, 1)
	if got := numbers(b.list(t, 0, 100)); !slices.Equal(got, []int{1, 3}) {
		t.Fatalf("the parts %v arrived", got)
	}
	b.mustSend(t, 2, 1) // a part may be sent again
	if got := numbers(b.list(t, 1, 1)); !slices.Equal(got, []int{2}) {
		t.Fatalf("after part 1 there is %v", got)
	}
	_, err := b.Joined(t.Context(), b.key)
	wantFault(t, err, fault.CodeFileNotFound)
	parts := b.list(t, 0, 100)
	for range 2 { // the first answer is lost
		got, err := b.CompleteParts(t.Context(), b.key, b.id, parts, b.want())
		if err != nil || got != b.want() {
			t.Fatalf("completed %+v, %v, want %+v", got, err, b.want())
		}
	}
	if got, err := b.Joined(t.Context(), b.key); err != nil || got != b.want() {
		t.Fatalf("the object is %+v, %v", got, err)
	}
	body, err := b.Get(t.Context(), b.key, dataset.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, b.content) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
	_, err = b.ListParts(t.Context(), b.key, b.id, 0, 100)
	wantFault(t, err, fault.CodeUploadNotFound)
	if err := b.AbortParts(t.Context(), b.key, b.id); err != nil {
		t.Errorf("aborting what was completed: %v", err)
	}
	if _, err := b.Joined(t.Context(), b.key); err != nil {
		t.Errorf("after that the object is gone: %v", err)
	}
}

func TestPartsThatAreNotTheObject(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 2)
	b.mustSend(t, 1, 2)
	parts, want := b.list(t, 0, 10), b.want()
	want.CRC64NVME = "AAAAAAAAAAA="
	_, err := b.CompleteParts(t.Context(), b.key, b.id, parts, want)
	wantFault(t, err, fault.CodeChecksumMismatch)
	slices.Reverse(b.content)
	b.mustSend(t, 2)
	_, err = b.CompleteParts(t.Context(), b.key, b.id, parts, dataset.Stored{SizeBytes: want.SizeBytes})
	wantFault(t, err, fault.CodeUploadIncomplete)
	_, err = b.Joined(t.Context(), b.key)
	wantFault(t, err, fault.CodeFileNotFound)
	b.mustSend(t, 1)
	if got, err := b.CompleteParts(t.Context(), b.key, b.id, b.list(t, 0, 10), b.want()); err != nil || got != b.want() {
		t.Fatalf("completed %+v, %v", got, err)
	}
}

func TestPartsReplaceNothing(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 1)
	if _, err := b.Put(t.Context(), b.key, strings.NewReader("first"), 5); err != nil {
		t.Fatal(err)
	}
	b.mustSend(t, 1)
	_, err := b.CompleteParts(t.Context(), b.key, b.id, b.list(t, 0, 10), b.want())
	wantFault(t, err, fault.CodeConflict)
}

func TestAbortedPartsAreGone(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 1)
	b.mustSend(t, 1)
	for range 2 {
		if err := b.AbortParts(t.Context(), b.key, b.id); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.ListParts(t.Context(), b.key, b.id, 0, 10)
	wantFault(t, err, fault.CodeUploadNotFound)
	if status, _ := b.send(t, 1, 1000, bytes.NewReader(b.part(1))); status != http.StatusNotFound {
		t.Errorf("a part that comes later is answered %d", status)
	}
}

// A part whose connection breaks midway has not arrived: without a checksum of its
// own nothing else would tell.
func TestPartThatWasCutOffHasNotArrived(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 2)
	to, err := b.PresignPart(t.Context(), b.key, b.id, 1, partBytes, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", u.RequestURI(), u.Host, partBytes)
	if _, err := conn.Write(b.part(1)[:partBytes/2]); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn) // until the store is done with it
	if got := b.list(t, 0, 10); len(got) != 0 || bytes.Contains(answer, []byte("200 OK")) {
		t.Errorf("the parts %v arrived, answered %.60q", numbers(got), answer)
	}
	b.mustSend(t, 1, 2)
	if stored, err := b.CompleteParts(t.Context(), b.key, b.id, b.list(t, 0, 10), b.want()); err != nil || stored != b.want() {
		t.Errorf("completed %+v, %v", stored, err)
	}
}

// A part's URL takes as many bytes as it was made for, under its own number, and
// nothing else.
func TestPartURLIsNarrow(t *testing.T) {
	t.Parallel()
	b := newPartsBench(t, 2)
	for name, body := range map[string]io.Reader{
		"fewer bytes":     bytes.NewReader(b.part(1)[1:]),
		"more bytes":      bytes.NewReader(b.content),
		"no length given": io.MultiReader(bytes.NewReader(b.part(1))),
	} {
		if status, _ := b.send(t, 1, partBytes, body); status == http.StatusOK {
			t.Errorf("%s: the part was taken", name)
		}
	}
	to, err := b.PresignPart(t.Context(), b.key, b.id, 1, 1000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	if query.Get("X-Amz-Expires") != "900" || query.Get("X-Amz-SignedHeaders") != "content-length;host" {
		t.Errorf("the URL is %s", to)
	}
	query.Set("partNumber", "2")
	u.RawQuery = query.Encode()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, u.String(), bytes.NewReader(b.part(2)))
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("the URL of another part is answered %s", response.Status)
	}
	if got := b.list(t, 0, 10); len(got) != 0 {
		t.Errorf("the parts %v arrived", numbers(got))
	}
}
