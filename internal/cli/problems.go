package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"text/tabwriter"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
	"github.com/parqueue/parqueue/internal/transfer"
)

// printErrorJSON shows an error as the API does: one JSON object, on one line.
func printErrorJSON(w io.Writer, err error) {
	body := map[string]any{"error": err.Error(), "code": fault.CodeOf(err)}
	var f *fault.Error
	if errors.As(err, &f) {
		maps.Copy(body, f.Details)
		body["error"], body["hint"] = f.Message, f.Hint
		if cause := f.Unwrap(); cause != nil {
			body["cause"] = cause.Error()
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(body) != nil {
		printError(w, err)
	}
}

// printProblems shows what is wrong with files: schemas column by column, then
// everything else.
func printProblems(w io.Writer, f *fault.Error) {
	problems, ok := f.Details["problems"].([]transfer.Problem)
	if !ok {
		return
	}
	fmt.Fprintln(w)
	columns, others := 0, 0
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range problems {
		if p.Diff == nil {
			others++
			continue
		}
		if columns++; columns == 1 {
			fmt.Fprintln(table, "FILE\tCOLUMN\tEXPECTED\tFOUND")
		}
		printDiff(table, p.Path, *p.Diff)
	}
	if columns > 0 && others > 0 {
		fmt.Fprintln(table)
	}
	for _, p := range problems {
		if p.Diff != nil {
			continue
		}
		if others > 0 {
			fmt.Fprintln(table, "FILE\tPROBLEM")
			others = 0
		}
		fmt.Fprintf(table, "%s\t%s\n", p.Path, p.Message)
	}
	_ = table.Flush() // to standard error
	if count, _ := f.Details["problem_count"].(int); count > len(problems) {
		fmt.Fprintf(w, "… and %d more\n", count-len(problems))
	}
	fmt.Fprintln(w)
}

func printDiff(w io.Writer, path string, d schema.Difference) {
	for _, c := range d.Changed {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, c.Column, c.Expected, c.Found)
	}
	for _, c := range d.Missing {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, c.Column, c.Type, "-")
	}
	for _, c := range d.Extra {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", path, c.Column, "-", c.Type)
	}
	if more := d.ChangedCount + d.MissingCount + d.ExtraCount - len(d.Changed) - len(d.Missing) - len(d.Extra); more > 0 {
		fmt.Fprintf(w, "%s\t… and %d more\t\t\n", path, more)
	}
}
