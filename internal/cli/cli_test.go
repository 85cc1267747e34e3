package cli_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/parqueue/parqueue/internal/cli"
	"github.com/parqueue/parqueue/internal/embeddeds3/embeddeds3test"
	"github.com/parqueue/parqueue/internal/freeport"
	"github.com/parqueue/parqueue/internal/testtool"
)

func TestMain(m *testing.M) {
	embeddeds3test.RunChild()
	testscript.Main(m, map[string]func(){
		"parqueue": func() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func TestScripts(t *testing.T) {
	plain := strings.Join(testtool.NoOverride(t), " ")
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"serve":   serve,
			"parquet": parquet,
			"keep":    keep,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Defer(func() { stopDaemon(env) })
			env.Setenv("PARQUEUE_KEY_STORE", "file") // nobody's own keychain
			env.Setenv("PLAIN", plain)               // begins a command that modes of files hold for
			env.Setenv("FIXTURES", filepath.Join(testtool.Root(), "internal", "footer", "testdata"))
			return nil
		},
		RequireExplicitExec: true,
	})
}

// stopDaemon stops the daemon that a script's commands have started.
func stopDaemon(env *testscript.Env) {
	stop := exec.Command("parqueue", "daemon", "stop")
	stop.Env = env.Vars
	if out, err := stop.CombinedOutput(); err != nil {
		env.T().Log(err, string(out))
	}
}

// await waits until a file is there: `await FILE`.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not come within 30 s", args[0])
}

// serve starts a server in a folder, and sets URL to where it answers: `serve
// DIR`. Its first key is in DIR/admin.key.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	address, err := freeport.Address()
	ts.Check(err)
	url, stop, err := startServer(ts.MkAbs(args[0]), address)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("URL", url)
}

// startServer runs `parqueue serve` until stop is called.
func startServer(dir, listen string) (url string, stop func(), err error) {
	server := exec.Command("parqueue", "serve", "--quiet", "--listen", listen, "--data", dir)
	stdout, err := server.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready:" {
		stop()
		return "", nil, fmt.Errorf("the server printed %q, %v", line, err)
	}
	return words[1], stop, nil
}

// parquet writes valid files that all differ and have one schema: `parquet FILE
// NUMBER...`. With %d in FILE there is one for each number.
func parquet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: parquet FILE NUMBER...")
	}
	for _, arg := range args[1:] {
		number, err := strconv.Atoi(arg)
		ts.Check(err)
		path := ts.MkAbs(strings.ReplaceAll(args[0], "%d", arg))
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
		ts.Check(writeParquet(path, number, 0))
	}
}

// writeParquet writes a valid file with so many bytes more than it needs. Bytes
// before the footer belong to no column.
func writeParquet(path string, number int, more int64) error {
	whole, err := os.ReadFile(filepath.Join(testtool.Root(), "internal", "footer", "testdata", "same", "pyarrow_none.parquet"))
	if err != nil {
		return err
	}
	at := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	w.Write(whole[:at])
	fmt.Fprintf(w, "%016d", number)
	block := bytes.Repeat([]byte(strconv.Itoa(number)+" Parquet, in order. "), 1000)
	for ; more > 0; more -= int64(len(block)) {
		w.Write(block[:min(more, int64(len(block)))])
	}
	w.Write(whole[at:])
	return w.Flush()
}

// keep sets a variable to the last command's standard output: `keep NAME`.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
