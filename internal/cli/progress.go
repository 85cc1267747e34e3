package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/transfer"
)

// asFault finds the fault in an error.
func asFault(err error, f **fault.Error) bool { return errors.As(err, f) }

func terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// printer chooses how progress is shown, on standard error. In a pipe it is not,
// unless it is asked for.
func (m *moving) printer(c *cobra.Command, done string) (transfer.Observer, error) {
	out := c.ErrOrStderr()
	file, _ := out.(*os.File)
	onTerminal := file != nil && terminal(file)
	switch {
	case m.progress == "json":
		return (&jsonPrinter{out: out}).print, nil
	case m.progress == "text" && !onTerminal:
		return (&linePrinter{out: out, done: done}).print, nil
	case m.progress == "text", m.progress == "auto" && onTerminal:
		width := func() int {
			columns, _, err := term.GetSize(int(file.Fd()))
			if err != nil || columns < 20 {
				return 80
			}
			return columns
		}
		return (&screenPrinter{out: out, width: width}).print, nil
	case m.progress == "auto", m.progress == "none":
		return nil, nil
	}
	return nil, usageError{fmt.Errorf("--progress %q is none of auto, text, json and none", m.progress), c.CommandPath()}
}

// jsonPrinter writes events as JSON lines, progress once a second.
type jsonPrinter struct {
	out  io.Writer
	last time.Time
}

func (p *jsonPrinter) print(e transfer.Event) {
	if e.Type == transfer.EventProgress {
		if time.Since(p.last) < time.Second {
			return
		}
		p.last = time.Now()
	}
	if e.Type != transfer.EventProgress {
		e.Active = nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return // numbers and names always encode
	}
	_, _ = p.out.Write(append(line, '\n')) // progress that nobody reads stops nothing
}

// linePrinter writes a line now and then, for logs.
type linePrinter struct {
	out  io.Writer
	done string
	last time.Time
}

const lineEvery = 10 * time.Second

func (p *linePrinter) print(e transfer.Event) {
	if e.Type != transfer.EventEnd && time.Since(p.last) < lineEvery {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.out, "%s: %s\n", p.done, total(e.Progress))
}

// screenPrinter keeps some lines of a terminal up to date: those of the first
// files under way, and one of the whole.
type screenPrinter struct {
	out   io.Writer
	width func() int
	drawn int // lines
}

// shownFiles is how many files have a line of their own.
const shownFiles = 5

func (p *screenPrinter) print(e transfer.Event) {
	var b bytes.Buffer
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	fmt.Fprint(&b, "\r\x1b[J") // to the end of the screen
	p.drawn = 0
	if e.Type == transfer.EventEnd {
		_, _ = p.out.Write(b.Bytes()) // the command says what was done
		return
	}
	width := p.width()
	line := func(text string) {
		fmt.Fprintln(&b, cut(text, width-1))
		p.drawn++
	}
	for i, f := range e.Active {
		if i == shownFiles {
			line(fmt.Sprintf("  … and %d more under way", len(e.Active)-shownFiles))
			break
		}
		line(fmt.Sprintf("  %3d%%  %s of %s  %s  %s  %s", percent(f.BytesDone, f.Bytes), size(f.BytesDone), size(f.Bytes), rate(f.BytesPerSecond), left(f.SecondsLeft), f.Name))
	}
	line(total(e.Progress))
	_, _ = p.out.Write(b.Bytes())
}

// total is how far a transfer has come, on one line.
func total(p transfer.Progress) string {
	return fmt.Sprintf("%3d%%  %s of %s  %d of %s  %s  %s", percent(p.BytesDone, p.Bytes), size(p.BytesDone), size(p.Bytes),
		p.FilesDone, files(p.Files), rate(p.BytesPerSecond), left(p.SecondsLeft))
}

// percent says 100 only when all is done.
func percent(done, of int64) int {
	if of == 0 {
		return 100
	}
	return int(float64(done) / float64(of) * 100)
}

func rate(bytesPerSecond int64) string {
	if bytesPerSecond == 0 {
		return "-"
	}
	return size(bytesPerSecond) + "/s"
}

// left writes a time for people: no more exact than it is known.
func left(seconds float64) string {
	if seconds < 0 {
		return "time left unknown"
	}
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s left", int(d.Seconds())+1)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s left", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min left", int(d.Hours()), int(d.Minutes())%60)
}

// cut shortens a line to a terminal's width.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
