package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReady starts on an empty folder and again on a used one.
func TestReady(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	srv.stop(t)
	again := serve(t, setup{data: srv.data})
	for _, took := range []time.Duration{srv.readyAfter, again.readyAfter} {
		t.Logf("ready after %v", took.Round(time.Millisecond))
		if took > time.Second { // it takes some hundredths of that
			t.Errorf("ready after %v", took)
		}
	}
	if again.key != srv.key {
		t.Error("the second start made another admin key")
	}
	info, err := os.Stat(filepath.Join(srv.data, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("admin.key has mode %o, want 600", mode)
	}
	if strings.Contains(srv.output.String(), srv.key) {
		t.Error("the output shows the admin key")
	}
}

// TestRestart stops a server and starts another over its folder.
func TestRestart(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	id, content, names := srv.admin().create(t), map[string][]byte{}, []string{"b.parquet", "a.parquet"}
	for i, name := range names {
		content[name] = parquet(t, i)
		srv.admin().mustUpload(t, id, name, content[name])
	}
	before := srv.admin().files(t, id)
	srv.stop(t)

	again := serve(t, setup{data: srv.data})
	again.admin().wantFiles(t, id, names, content)
	after, _ := json.Marshal(again.admin().files(t, id))
	if want, _ := json.Marshal(before); !bytes.Equal(after, want) {
		t.Errorf("after the restart the files are\n%s, were\n%s", after, want)
	}
	names, content["c.parquet"] = append(names, "c.parquet"), parquet(t, 9)
	if f := again.admin().mustUpload(t, id, "c.parquet", content["c.parquet"]); f.Position != 2 {
		t.Errorf("the next file is at position %d, want 2", f.Position)
	}
	again.admin().wantFiles(t, id, names, content)
}

// TestTerminate sends SIGTERM in the middle of a slow upload, which is finished.
func TestTerminate(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	id, content := srv.admin().create(t), parquet(t, 1)
	kind, body := form(text("dataset_id", id), file("slow.parquet", content))
	reader, writer := io.Pipe()
	answered := make(chan answer, 1)
	failed := make(chan error, 1)
	go func() {
		a, err := srv.admin().do(request{path: "/upload-to-dataset", contentType: kind, body: reader})
		if err != nil {
			failed <- err
			return
		}
		answered <- a
	}()
	if _, err := writer.Write(body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the server has begun to read it
	srv.terminate(t)
	time.Sleep(500 * time.Millisecond)
	select {
	case <-srv.exited:
		t.Fatal("the server ended in the middle of an upload")
	default:
	}
	if _, err := writer.Write(body[len(body)/2:]); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	select {
	case a := <-answered:
		if a.status != http.StatusOK {
			t.Errorf("the upload was answered %d %s", a.status, a.body)
		}
	case err := <-failed:
		t.Errorf("the upload failed: %v", err)
	}
	srv.wait(t)
	serve(t, setup{data: srv.data}).admin().wantFiles(t, id, []string{"slow.parquet"}, map[string][]byte{"slow.parquet": content})
}

// TestRefusedStarts starts servers that must not run. Each says why and what to
// do, and leaves a running one alone.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{})
	port := srv.url[strings.LastIndex(srv.url, ":"):]
	occupied := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(occupied), map[string][]byte{"file": []byte("not a folder")})
	fresh := func() string { return filepath.Join(t.TempDir(), "data") }
	for _, test := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"all addresses", []string{"--listen", "0.0.0.0:0", "--data", fresh()}, []string{"--allow-remote"}},
		{"all addresses, IPv6", []string{"--listen", "[::]:0", "--data", fresh()}, []string{"--allow-remote"}},
		{"no address", []string{"--listen", ":0", "--data", fresh()}, []string{"--allow-remote"}},
		{"not an address", []string{"--listen", "nowhere", "--data", fresh()}, []string{"host:port"}},
		{"a port that is taken", []string{"--listen", "127.0.0.1" + port, "--data", fresh()}, []string{"--listen"}},
		{"a data folder in use", []string{"--listen", "127.0.0.1:0", "--data", srv.data}, []string{"use", srv.data}},
		{"a data folder that is a file", []string{"--listen", "127.0.0.1:0", "--data", occupied}, []string{occupied}},
		{"an unknown flag", []string{"--colour", "red"}, []string{"--colour"}},
		{"an argument", []string{"now", "--data", fresh()}, []string{"no arguments"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, err := parqueue(t, append([]string{"serve"}, test.args...)...)
			if code := exitCode(err); code <= 0 {
				t.Fatalf("ended with %v\n%s%s", err, stdout, stderr)
			}
			for _, word := range test.words {
				if !strings.Contains(stdout+stderr, word) {
					t.Errorf("does not say %q:\n%s%s", word, stdout, stderr)
				}
			}
			if strings.Contains(stderr, "goroutine ") {
				t.Errorf("printed a stack:\n%s", tail(stderr, 2000))
			}
		})
	}
	srv.admin().create(t) // it is still there
}

// TestAllowRemote listens on all addresses when that is wanted.
func TestAllowRemote(t *testing.T) {
	t.Parallel()
	srv := serve(t, setup{args: []string{"--listen", "0.0.0.0:0", "--allow-remote"}})
	if !strings.Contains(srv.url, "127.0.0.1") && !strings.Contains(srv.url, "0.0.0.0") && !strings.Contains(srv.url, "[::]") {
		t.Errorf("the ready line has the address %s", srv.url)
	}
	port := srv.url[strings.LastIndex(srv.url, ":"):]
	client{"http://127.0.0.1" + port, srv.key}.create(t)
}

// TestPrintedCommand pastes the curl line that a start prints into a shell, from
// a folder whose name needs quotes.
func TestPrintedCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's a $HOME")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{filepath.Join(dir, "data"), "relative"} {
		srv := launchReady(t, dir, data)
		line := curlLine(srv.output.String())
		if line == "" {
			t.Fatalf("no curl line in:\n%s", srv.output)
		}
		stdout, stderr, err := command(t, dir, nil, "sh", "-c", line)
		var made map[string]any
		if err != nil || json.Unmarshal([]byte(stdout), &made) != nil || made["error"] != nil {
			t.Errorf("%s\nprinted %s%s (%v)", line, stdout, stderr, err)
		}
		t.Log(line)
	}
}

// launchReady starts a server whose data folder may be relative to dir.
func launchReady(t *testing.T, dir, data string) *server {
	t.Helper()
	srv := launch(t, setup{dir: dir, data: data})
	for deadline := time.Now().Add(readyTimeout); !readyLine.MatchString(srv.output.String()) || curlLine(srv.output.String()) == ""; {
		if time.Now().After(deadline) {
			t.Fatalf("no ready line and curl line in:\n%s", srv.output)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return srv
}

// curlLine is the first command of an output that begins with curl, with the
// lines that a backslash joins to it.
func curlLine(output string) string {
	lines := strings.Split(output, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(strings.TrimSpace(line), "curl ") {
			continue
		}
		for strings.HasSuffix(lines[i], `\`) && i+1 < len(lines) {
			i++
			line += "\n" + lines[i]
		}
		return strings.TrimSpace(line)
	}
	return ""
}
