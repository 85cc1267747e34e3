package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"

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
	redraws := onTerminal && os.Getenv("TERM") != "dumb"
	switch {
	case m.progress == "json":
		return (&jsonPrinter{out: out}).print, nil
	case (m.progress == "text" || m.progress == "auto") && redraws:
		return (&screenPrinter{out: out, size: func() (int, int) { return sizeOf(file) }}).print, nil
	case m.progress == "text", m.progress == "auto" && onTerminal:
		return (&linePrinter{out: out, done: done}).print, nil
	case m.progress == "auto", m.progress == "none":
		return nil, nil
	}
	return nil, usageError{fmt.Errorf("--progress %q is none of auto, text, json and none", m.progress), c.CommandPath()}
}

// sizeOf is how many columns and rows a terminal has, or the usual ones.
func sizeOf(file *os.File) (columns, rows int) {
	columns, rows, err := term.GetSize(int(file.Fd()))
	if err != nil || columns < 1 || rows < 1 {
		return 80, 24
	}
	return columns, rows
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
	size  func() (columns, rows int)
	drawn []int // the columns of the lines that were drawn
}

// shownFiles is how many files have a line of their own.
const shownFiles = 5

func (p *screenPrinter) print(e transfer.Event) {
	columns, rows := p.size()
	var b bytes.Buffer
	if up := p.rowsDrawn(columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	fmt.Fprint(&b, "\r\x1b[J") // to the end of the screen
	p.drawn = p.drawn[:0]
	if e.Type == transfer.EventEnd {
		_, _ = p.out.Write(b.Bytes()) // the command says what was done
		return
	}
	for _, text := range screen(e.Progress, columns-1, rows-1) { // the cursor is below
		fmt.Fprintln(&b, text)
		p.drawn = append(p.drawn, columnsOf(text))
	}
	_, _ = p.out.Write(b.Bytes())
}

// rowsDrawn is how many rows the lines have now: a terminal that became narrower has
// wrapped them.
func (p *screenPrinter) rowsDrawn(columns int) (rows int) {
	for _, drawn := range p.drawn {
		rows += max(1, (drawn+columns-1)/columns)
	}
	return rows
}

// screen is the lines that show how far a transfer has come, with room for so many of
// them: the whole is last, and what there is no room for is left out.
func screen(p transfer.Progress, columns, rows int) []string {
	var lines []string
	shown := min(len(p.Active), shownFiles, max(0, rows-2))
	for _, f := range p.Active[:shown] {
		done, moves := fmt.Sprintf("  %3d%%", percent(f.BytesDone, f.Bytes)), rate(f.BytesPerSecond)+"  "+left(f.SecondsLeft)
		text := fmt.Sprintf("%s  %s of %s  %s  %s", done, size(f.BytesDone), size(f.Bytes), moves, f.Name)
		if columns < narrow {
			text = fmt.Sprintf("%s  %s  %s", done, moves, f.Name)
		}
		lines = append(lines, cut(text, columns))
	}
	if more := len(p.Active) - shown; more > 0 && rows > 1 {
		lines = append(lines, cut(fmt.Sprintf("  … and %d more under way", more), columns))
	}
	whole := total(p)
	if columnsOf(whole) > columns {
		whole = fmt.Sprintf("%3d%%  %d of %s  %s  %s", percent(p.BytesDone, p.Bytes), p.FilesDone, files(p.Files), rate(p.BytesPerSecond), left(p.SecondsLeft))
	}
	if columnsOf(whole) > columns {
		whole = fmt.Sprintf("%3d%%  %d/%d  %s  %s", percent(p.BytesDone, p.Bytes), p.FilesDone, p.Files, rate(p.BytesPerSecond), left(p.SecondsLeft))
	}
	return append(lines, cut(whole, columns))
}

// narrow is how many columns a file's line needs for its name to be seen.
const narrow = 70

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

// cut shortens a line to so many columns of a terminal.
func cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	used := 1 // for the dots
	for at, r := range text {
		if used += columnsOf(string(r)); used > columns {
			return text[:at] + "…"
		}
	}
	return text
}

// columnsOf is how many columns a terminal takes for a text: two for each character
// of Chinese, Japanese and Korean, and none for what is put on top of another one.
func columnsOf(text string) (columns int) {
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			columns += 2
		default:
			columns++
		}
	}
	return columns
}
