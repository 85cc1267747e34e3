package transfer

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/natural"
)

// Orders of an upload. Any other text is the path of a file that lists the names.
const (
	OrderName  = "name"  // natural: part-2 before part-10
	OrderMTime = "mtime" // the oldest first, and by name where times are equal
	OrderGiven = "given" // as the paths were given, and by name within a folder
)

// OrderFile is what a download leaves beside its files, and --order takes.
const OrderFile = "_order.json"

// IsOrder reports an order that needs no list.
func IsOrder(text string) bool {
	return text == "" || text == OrderName || text == OrderMTime || text == OrderGiven
}

// order is one that was asked for.
type order struct {
	kind  string   // one of the constants, or the path of a list
	names []string // of the list
}

// parseOrder reads the list of an order that has one.
// Errors: CodeInvalidRequest.
func parseOrder(text string) (order, error) {
	switch {
	case text == "":
		return order{kind: OrderName}, nil
	case IsOrder(text):
		return order{kind: text}, nil
	}
	names, err := readOrder(text)
	return order{text, names}, err
}

// sort puts files in order.
// Errors: CodeInvalidRequest for a list that doesn't name exactly the files that
// there are.
func (s *sources) sort(by order) error {
	byName := func(a, b source) int {
		return cmp.Or(natural.ComparePaths(a.relative, b.relative), cmp.Compare(a.given, b.given), strings.Compare(a.Path, b.Path))
	}
	switch by.kind {
	case OrderName:
		slices.SortFunc(s.files, byName)
	case OrderMTime:
		slices.SortFunc(s.files, func(a, b source) int { return cmp.Or(a.modified().Compare(b.modified()), byName(a, b)) })
	case OrderGiven:
		slices.SortFunc(s.files, func(a, b source) int { return cmp.Or(cmp.Compare(a.given, b.given), byName(a, b)) })
	default:
		return s.sortBy(by.kind, by.names)
	}
	return nil
}

// sortBy puts files in the order of a list that names each of them once.
func (s *sources) sortBy(list string, names []string) error {
	place := make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := place[name]; twice {
			return fault.Newf(fault.CodeInvalidRequest, "Name every file once.", "%s names %q twice.", list, name)
		}
		place[name] = i
	}
	for _, f := range s.files {
		if _, ok := place[f.name]; !ok {
			return fault.Newf(fault.CodeInvalidRequest, "Add it to the list, or leave the file out.", "%s doesn't name %q.", list, f.name)
		}
		delete(place, f.name)
	}
	for _, name := range names {
		if _, left := place[name]; left {
			return fault.Newf(fault.CodeInvalidRequest, "Take it off the list, or give the file as well.", "%s names %q, and no such file is given.", list, name)
		}
	}
	for i, name := range names {
		place[name] = i
	}
	slices.SortFunc(s.files, func(a, b source) int { return cmp.Compare(place[a.name], place[b.name]) })
	return nil
}

// orderLimit bounds a list of names: a million of some length.
const orderLimit = 256 << 20

// readOrder reads a list of names: JSON, or one name on each line.
func readOrder(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.CodeInvalidRequest, "Use name, mtime, given, or the path of a file that lists the names.", "The order %q is none, and no such file can be read.", path).Because(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, orderLimit+1))
	if err != nil || len(text) > orderLimit {
		return nil, fault.Newf(fault.CodeInvalidRequest, "List the names of the files, one on each line.", "The order in %s can't be read.", path).Because(err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		var names []string
		if err := json.Unmarshal(text, &names); err != nil {
			return nil, fault.Newf(fault.CodeInvalidRequest, `Write it as ["a.parquet", "b.parquet"], or one name on each line.`, "The order in %s is no list of names.", path).Because(err)
		}
		return names, nil
	}
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if line := strings.TrimSuffix(lines.Text(), "\r"); line != "" {
			names = append(names, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return names, nil
}
