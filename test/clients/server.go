package clients

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
)

// Server is `parqueue serve`, which can be killed and started again over what it
// left behind.
type Server struct {
	URL, Key string

	t       testing.TB
	address string
	data    string
	process *exec.Cmd
	log     bytes.Buffer
}

// Serve starts a server, which ends with the test.
func Serve(t testing.TB) *Server {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, address: address, data: filepath.Join(t.TempDir(), "data")}
	s.Start()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("the server wrote:\n%s", s.log.String())
		}
	})
	key, err := os.ReadFile(filepath.Join(s.data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.Key = strings.TrimSpace(string(key))
	return s
}

// Start starts the server, at the address that it had before.
func (s *Server) Start() {
	s.t.Helper()
	s.process = exec.Command(Program(s.t), "serve", "--quiet", "--listen", s.address, "--data", s.data)
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.process.Stderr = &s.log
	stdout, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready:" {
		s.Kill()
		s.t.Fatalf("the server printed %q, %v", line, err)
	}
	s.URL = words[1]
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// WriteParquet writes a valid file of about a size, with bytes of its own: those
// before the footer belong to no column. All such files have one schema.
func WriteParquet(t testing.TB, path string, number uint64, size int) []byte {
	t.Helper()
	whole, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", "same", "pyarrow_none.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	at := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	own := make([]byte, max(size-len(whole), 16))
	random := rand.NewChaCha8([32]byte{})
	random.Seed([32]byte(fmt.Appendf(make([]byte, 0, 32), "%032d", number)))
	_, _ = random.Read(own)
	content := bytes.Join([][]byte{whole[:at], own, whole[at:]}, nil)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return content
}

// Folder is files to upload: their names in the order that they are to have.
type Folder struct {
	Dir   string
	Names []string
	Bytes int64
	bytes map[string][]byte
}

// WriteFolder writes Parquet files of some sizes, called part-0.parquet and so on,
// so that their natural order is not that of their letters.
func WriteFolder(t testing.TB, seed uint64, sizes ...int) *Folder {
	t.Helper()
	f := &Folder{Dir: filepath.Join(t.TempDir(), "days"), bytes: map[string][]byte{}}
	for i, size := range sizes {
		name := fmt.Sprintf("part-%d.parquet", i)
		f.bytes[name] = WriteParquet(t, filepath.Join(f.Dir, name), seed+uint64(i), size)
		f.Names, f.Bytes = append(f.Names, name), f.Bytes+int64(len(f.bytes[name]))
	}
	return f
}

// WantSame compares what was downloaded to a folder: every file byte by byte, the
// order, and that there is nothing else.
func (f *Folder) WantSame(t testing.TB, dir string) {
	t.Helper()
	for name, want := range f.bytes {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s came back with %d bytes, of %d, or others: %v", name, len(got), len(want), err)
		}
	}
	order, err := os.ReadFile(filepath.Join(dir, "_order.json"))
	if quoted := `"` + strings.Join(f.Names, `","`) + `"`; err != nil || strings.Join(strings.Fields(string(order)), "") != "["+quoted+"]" {
		t.Errorf("the order is %s, %v", order, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(f.Names)+1 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}
