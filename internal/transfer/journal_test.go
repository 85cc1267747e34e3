package transfer

import (
	"bytes"
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parqueue/parqueue/internal/fault"
)

// begunUpload is a journal of two files, of which one was begun twice.
const begunUpload = `{"version":1,"transfer_id":"0b5e7c1c-6f6b-4f5e-9d39-2f6a3a6f9a10","kind":"upload","server":"http://x","dataset_id":"d","nonce":"n"}
{"file":{"path":"/a","size":1,"mtime":2,"inode":3}}
{"file":{"path":"/b","size":4,"mtime":5,"inode":6}}
{"upload":"upload-a"}
{"i":1,"upload":"upload-b"}
{"i":1,"upload":"upload-b2","try":1}
{"spare":"upload-c"}
`

const begunID = "0b5e7c1c-6f6b-4f5e-9d39-2f6a3a6f9a10"

// A journal says the same wherever a crash cut its last line off.
func TestJournalThatWasCutOff(t *testing.T) {
	lines := strings.SplitAfter(begunUpload, "\n")
	for end := len(lines[0]); end <= len(begunUpload); end++ {
		m, err := parseJournal(strings.NewReader(begunUpload[:end]), begunID)
		if err != nil {
			t.Fatalf("cut at %d: %v", end, err)
		}
		whole := strings.Count(begunUpload[:end], "\n")
		want := []int{0, 0, 0, 0, 1, 2, 2, 2}[whole]
		if len(m.uploads) != want || whole == 7 && (m.uploads[identity{"/b", 4, 5, 6}] != begun{"upload-b2", 1} || len(m.spare) != 1) {
			t.Fatalf("cut at %d, after %d lines: %+v", end, whole, m)
		}
	}
}

func TestJournalThatIsDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"empty":           "",
		"no header":       "{}\n",
		"another version": strings.Replace(begunUpload, `"version":1`, `"version":2`, 1),
		"another's":       strings.Replace(begunUpload, "0b5e", "0b5f", 1),
		"a broken line":   strings.Replace(begunUpload, `{"i":1,"upload":"upload-b"}`, `{"i":1,"upl`, 1),
		"too many files":  begunUpload + `{"done":3}` + "\n",
		"less than none":  begunUpload + `{"done":-1}` + "\n",
		"no such file":    begunUpload + `{"i":2,"upload":"u"}` + "\n",
		"a long line":     begunUpload + `{"spare":"` + strings.Repeat("x", lineLimit) + "\"}\n",
	} {
		if _, err := parseJournal(strings.NewReader(text), begunID); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	store := &journals{t.TempDir()}
	if err := errors.Join(os.MkdirAll(store.folder(), 0o700), os.WriteFile(store.file(begunID), []byte("damaged"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.read(begunID); !fault.Is(err, fault.CodeInvalidRequest) {
		t.Error(err)
	}
}

// The uploads of files that are in the dataset are nobody's to give up.
func TestJournalForgetsWhatIsDone(t *testing.T) {
	for text, want := range map[string]int{`{"done":1}`: 1, `{"done":1}` + "\n" + `{"done":2}`: 0, `{"done":2}` + "\n" + `{"done":1}`: 0} {
		m, err := parseJournal(strings.NewReader(begunUpload+text+"\n"), begunID)
		if err != nil || len(m.uploads) != want || len(m.known) != 2 {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(begunUpload))
	f.Add([]byte(begunUpload + `{"done":1}` + "\n"))
	f.Add([]byte(`{"version":1,"transfer_id":"` + begunID + `","kind":"download"}` + "\n" + `{"file_id":"file-a"}` + "\n" + `{"chunk":3}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseJournal(bytes.NewReader(text), begunID)
		if err == nil && (m.ID != begunID || m.Version != journalVersion) {
			t.Errorf("%q is taken for %+v", text, m.header)
		}
	})
}

// Lines of many goroutines are all there, whole, and what is to last was synced.
func TestJournalTakesLinesAtOnce(t *testing.T) {
	store := &journals{t.TempDir()}
	var lines []entry
	for range 100 {
		lines = append(lines, entry{FileID: "file-x"})
	}
	none := func(memory) bool { return true }
	j, _, err := store.begin(Transfer{Kind: KindDownload, Server: "s"}, none, func(memory) iter.Seq[entry] { return slices.Values(lines) })
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := j.note(entry{Index: i, Chunk: &i}, i%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if j.synced < 50 {
		t.Errorf("%d of %d lines are on the disk", j.synced, j.written)
	}
	if _, _, err := store.begin(Transfer{Kind: KindDownload, Server: "s"}, none, func(memory) iter.Seq[entry] { return slices.Values(lines) }); !fault.Is(err, fault.CodeConflict) {
		t.Errorf("begun twice: %v", err)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	again, old, err := store.begin(Transfer{Kind: KindDownload, Server: "s"}, none, func(memory) iter.Seq[entry] { return slices.Values(lines) })
	if err != nil || len(old.chunks["file-x"]) != 100 || again.ID != j.ID || again.Nonce != j.Nonce {
		t.Fatalf("%+v, %v", old, err)
	}
	if err := again.remove(); err != nil {
		t.Fatal(err)
	}
	if all, err := store.list(); err != nil || len(all) != 0 {
		t.Errorf("left %+v, %v", all, err)
	}
}
