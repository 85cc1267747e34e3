package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/parqueue/parqueue/internal/client"
)

// someFiles is a list of so many files, and then an error if it is not nil.
func someFiles(n int, then error) iter.Seq2[client.File, error] {
	return func(yield func(client.File, error) bool) {
		names := []string{"day-%d.parquet", "größe-%d.parquet", "a<b-%d", "a>b-%d", "a&b-%d", `a"b-%d`, `back\slash-%d`, "\u2028-%d"}
		for i := range n {
			f := client.File{
				Name: fmt.Sprintf(names[i%len(names)], i), ID: fmt.Sprintf("file-%d", i), Position: int64(i), SizeBytes: int64(i*i + i%7*1e6), RowCount: int64(i * 3),
				Checksum: "j/RAqWdEMg0=", UploadedAt: time.Date(2026, 11, 26, 0, 34, i%60, i%3*1000, time.UTC),
			}
			if !yield(f, nil) {
				return
			}
		}
		if then != nil {
			yield(client.File{}, then)
		}
	}
}

// TestFilesAsJSON compares with encoding/json.
func TestFilesAsJSON(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7, 2500} {
		all := []client.File{}
		for f := range someFiles(n, nil) {
			all = append(all, f)
		}
		var want, got bytes.Buffer
		if err := printJSON(&want, map[string]any{"files": all}); err != nil {
			t.Fatal(err)
		}
		if err := printFilesJSON(&got, someFiles(n, nil)); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d files: %v, %.600s, want %.600s", n, err, got.Bytes(), want.Bytes())
		}
	}
}

// TestFilesAsTable compares with a table that knows all its rows, up to as many as
// are looked at, and sees that the columns of longer ones stay.
func TestFilesAsTable(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 7, alignedFiles} {
		var want, got bytes.Buffer
		table := tabwriter.NewWriter(&want, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "POSITION\tROWS\tSIZE\tUPLOADED\tNAME")
		for f := range someFiles(n, nil) {
			fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%s\n", f.Position, f.RowCount, size(f.SizeBytes), day(f.UploadedAt), f.Name)
		}
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := printFiles(&got, someFiles(n, nil)); err != nil || got.String() != want.String() {
			t.Errorf("%d files: %v\n%.600s\nwant\n%.600s", n, err, got.String(), want.String())
		}
	}
	var got bytes.Buffer
	if err := printFiles(&got, someFiles(5*alignedFiles, nil)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(got.String(), "\n"), "\n")
	if len(lines) != 5*alignedFiles+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for n, line := range lines[1:] {
		var position, rows int
		if _, err := fmt.Sscan(line, &position, &rows); err != nil || position != n || rows != 3*n {
			t.Fatalf("line %d is %q, %v", n, line, err)
		}
	}
}

// TestFilesThatBreakOff prints what there is, and fails.
func TestFilesThatBreakOff(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for name, print := range map[string]func(io.Writer, iter.Seq2[client.File, error]) error{"table": printFiles, "json": printFilesJSON} {
		var got bytes.Buffer
		if err := print(&got, someFiles(2, gone)); !errors.Is(err, gone) || !strings.Contains(got.String(), "größe-1.parquet") {
			t.Errorf("%s: %v, %q", name, err, got.String())
		}
		if err := print(brokenPipe{}, someFiles(10_000, nil)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s into a closed pipe: %v", name, err)
		}
	}
}

// TestFilesAsksForWhatItPrints sees that a table doesn't have ids and checksums sent,
// which are most of a listing's bytes.
func TestFilesAsksForWhatItPrints(t *testing.T) {
	var asked struct{ Fields []string }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Fields = nil
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"files":[]}`)
	}))
	defer server.Close()
	t.Setenv(envURL, server.URL)
	t.Setenv(envKey, "pq_live_x")
	for _, way := range []struct {
		flags []string
		want  int
	}{{nil, 5}, {[]string{"--json"}, 7}} {
		var out, problems bytes.Buffer
		code := Main(append([]string{"datasets", "files", "dataset-1"}, way.flags...), &out, &problems)
		if sums := slices.Contains(asked.Fields, "checksum_crc64nvme"); code != 0 || len(asked.Fields) != way.want || sums != (way.flags != nil) {
			t.Errorf("%v: %d, %v, %s", way.flags, code, asked.Fields, problems.Bytes())
		}
	}
}

type brokenPipe struct{}

// Write implements io.Writer.
func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
