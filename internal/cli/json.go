package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printList prints an object with a list that may be very long, row by row: the text
// of all would be larger than the rows are. rest is what else is in the object.
func printList[T any](w io.Writer, name string, rows []T, rest map[string]any) error {
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "{\n  %q: [", name)
	for i, row := range rows {
		text, err := json.MarshalIndent(row, "    ", "  ")
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprint(out, ",")
		}
		fmt.Fprintf(out, "\n    %s", text)
	}
	if len(rows) > 0 {
		fmt.Fprint(out, "\n  ")
	}
	fmt.Fprint(out, "]")
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		text, err := json.Marshal(rest[key])
		if err != nil {
			return err
		}
		fmt.Fprintf(out, ",\n  %q: %s", key, text)
	}
	fmt.Fprint(out, "\n}\n")
	return out.Flush()
}
