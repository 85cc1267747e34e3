// Package testtool finds the programs of others that the tests run: Parquet
// writers, clients, emulators. `make test-tools` installs them all under
// .cache; a test whose tool is missing fails and says so, it is never skipped.
// What no package brings, such as the right to mount a disk, is found here as well,
// and what the environment says of how much to try.
package testtool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// Root is the absolute path of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Python is the interpreter of one of the virtual environments named by the
// files in test/requirements, for example "writers" or "sutro".
func Python(t testing.TB, env string) string {
	t.Helper()
	return installed(t, "venv", env, "bin", "python")
}

// Command is a program that a virtual environment brings, such as "sutro" or
// "sam".
func Command(t testing.TB, env, name string) string {
	t.Helper()
	return installed(t, "venv", env, "bin", name)
}

// Dynoxide is the DynamoDB emulator.
func Dynoxide(t testing.TB) string {
	t.Helper()
	return installed(t, "npm", "node_modules", "@dynoxide", "linux-x64", "dynoxide")
}

// NodeModules is the folder that a Node script finds the packages of
// test/package.json in.
func NodeModules(t testing.TB) string {
	t.Helper()
	return installed(t, "npm", "node_modules")
}

// LambdaEmulator is the Lambda runtime interface emulator, which the SAM CLI's
// package carries.
func LambdaEmulator(t testing.TB) string {
	t.Helper()
	return found(t, filepath.Join(Root(), ".cache", "venv", "sam", "lib", "python3*", "site-packages",
		"samcli", "local", "rapid", "aws-lambda-rie-x86_64"))
}

// SmallDisk is a command that runs its further arguments with a disk of their
// own, in memory, of a size, mounted on dir: nobody else sees it. It needs the
// right to mount, root's or a user namespace's. Where a machine gives neither,
// the test says so and is skipped; in CI it fails.
func SmallDisk(t testing.TB, dir string, bytes int64) []string {
	t.Helper()
	command := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		command = append(command, "--user", "--map-root-user")
	}
	mount := fmt.Sprintf(`mount -t tmpfs -o size=%d tmpfs "$0" && exec "$@"`, bytes)
	command = append(command, "sh", "-c", mount, dir)
	if out, err := exec.Command(command[0], append(command[1:], "true")...).CombinedOutput(); err != nil {
		missing(t, "a small disk cannot be mounted here, so a full one is not tried: %v: %s", err, out)
	}
	return command
}

// NoOverride is a command that runs its further arguments without the right to
// read and write what a file's mode forbids, which root has: a test of files that
// can't be read is one for root as well. Where that right can't be given up, the
// test says so and is skipped; in CI it fails.
func NoOverride(t testing.TB) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return []string{"env"}
	}
	command := []string{"setpriv", "--bounding-set=-dac_override,-dac_read_search"}
	if out, err := exec.Command(command[0], append(command[1:], "true")...).CombinedOutput(); err != nil {
		missing(t, "root's right to read every file can't be given up here: %v: %s", err, out)
	}
	return command
}

// Program is one of the system's own that a test needs, such as tmux. Where it is
// not there the test says so and is skipped; in CI it fails.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%v: .ci/run installs it", err)
	}
	return path
}

// missing ends a test for which a machine lacks something.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func installed(t testing.TB, path ...string) string {
	t.Helper()
	return found(t, filepath.Join(append([]string{Root(), ".cache"}, path...)...))
}

// found expands a pattern that must match one file.
func found(t testing.TB, pattern string) string {
	t.Helper()
	matches, err := filepath.Glob(pattern)
	if err == nil && len(matches) > 0 {
		if _, err := os.Stat(matches[0]); err == nil {
			return matches[0]
		}
	}
	t.Fatalf("%s is not there: run `make test-tools`", pattern)
	return ""
}
