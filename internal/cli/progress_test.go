package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/parqueue/parqueue/internal/transfer"
)

// A terminal shows the first files and the whole, redraws what it drew, and is
// clean in the end.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	columns, rows := 60, 24
	p := &screenPrinter{out: &out, size: func() (int, int) { return columns, rows }}
	e := transfer.Event{Type: transfer.EventProgress, Progress: transfer.Progress{
		Files: 9, FilesDone: 2, Bytes: 1_000_000_000, BytesDone: 999_999_999, BytesPerSecond: 1_500_000, SecondsLeft: 3725,
	}}
	for range 7 {
		e.Active = append(e.Active, transfer.FileProgress{Name: strings.Repeat("long name ", 9), Bytes: 100, BytesDone: 50, SecondsLeft: -1})
	}
	p.print(e)
	text := out.String()
	lines := strings.Split(strings.TrimPrefix(text, "\r\x1b[J"), "\n")
	if len(lines) != 5+1+1+1 || !strings.Contains(lines[5], "and 2 more") || !strings.Contains(lines[0], "time left unknown") {
		t.Errorf("drew %q", text)
	}
	for _, line := range lines {
		if n := len([]rune(line)); n >= 60 {
			t.Errorf("a line has %d characters: %q", n, line)
		}
	}
	const whole = " 99%  2 of 9 files  1.5 MB/s  1 h 2 min left"
	if lines[6] != whole {
		t.Errorf("the whole is %q, want %q", lines[6], whole)
	}
	out.Reset()
	columns, rows = 30, 4 // the lines of files are wrapped now, and have two rows
	p.print(e)
	if want := "\x1b[13A\r\x1b[J   50%  -  time left unknown…\n  … and 6 more under way\n 99%  2/9  1.5 MB/s  1 h 2 m…\n"; out.String() != want {
		t.Errorf("drew %q, not %q", out.String(), want)
	}
	out.Reset()
	p.print(transfer.Event{Type: transfer.EventEnd})
	if out.String() != "\x1b[3A\r\x1b[J" {
		t.Errorf("in the end it wrote %q", out.String())
	}
}

// A line is cut where a terminal has no more columns, which are not characters.
func TestCut(t *testing.T) {
	for text, want := range map[string]string{
		"part-1.parquet": "part-1…", "part-10": "part-10", "日本語.pq": "日本語…", "日本": "日本", "e\u0301te\u0301.pq": "e\u0301te\u0301.pq", "日a本語": "日a本語",
	} {
		if got := cut(text, 7); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9951: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		1 << 40: "1.1 TB", 1<<63 - 1: "9.2 EB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d is %q, want %q", bytes, got, want)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "100": 100, "500k": 500_000, "10M": 10_000_000, "1GB": 1_000_000_000, "10MB": 10_000_000, "5B": 5} {
		if got, err := parseRate(text); got != want || err != nil {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "fast", "1.5M", "10MM", "M", "99999999999999999999", "9999999999G", "1b0"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
