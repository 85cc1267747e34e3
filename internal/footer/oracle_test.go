package footer_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// openOracle opens a file with parquet-go, which may panic on what it does not
// foresee.
func openOracle(content []byte) (f *parquet.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return parquet.OpenFile(bytes.NewReader(content), int64(len(content)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

// TestOracle compares what is accepted here with what parquet-go makes of it.
func TestOracle(t *testing.T) {
	refusedByOracle := map[string]string{
		"f37_sorting_idx_oob.parquet":        "index out of range", // a defect there
		"f39_ordinal_oob.parquet":            "ordinal",            // which no reader of the data needs
		"f41_ordinal_oob_with_index.parquet": "ordinal",
	}
	for _, folder := range []string{"same", "different", "hostile"} {
		for name, content := range corpus(t, folder) {
			info, err := read(content)
			if err != nil {
				continue
			}
			f, err := openOracle(content)
			if why, ok := refusedByOracle[name]; ok && err != nil && strings.Contains(err.Error(), why) {
				continue
			}
			if err != nil {
				t.Errorf("%s: parquet-go says %v", name, err)
				continue
			}
			if f.NumRows() != info.NumRows || len(f.RowGroups()) != info.RowGroups || len(f.Root().Columns()) != len(info.Schema.Fields) {
				t.Errorf("%s: %d rows, %d row groups and %d columns, parquet-go says %d, %d and %d", name,
					info.NumRows, info.RowGroups, len(info.Schema.Fields), f.NumRows(), len(f.RowGroups()), len(f.Root().Columns()))
			}
			for _, field := range info.Schema.Fields {
				if column := f.Root().Column(field.Name); column == nil || column.Optional() != field.Nullable {
					t.Errorf("%s: parquet-go has another column %q", name, field.Name)
				}
			}
		}
	}
}
