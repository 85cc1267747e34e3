package footer

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/fault"
)

// invalid says how a footer contradicts itself, the file or the format.
func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.CodeInvalidParquet,
		"The file is not valid Parquet: "+fmt.Sprintf(format, args...)+".",
		"The file was damaged, or its writer is faulty. Write it again, and check that it opens where it was made.")
}

// beyond says which documented limit a sound footer exceeds.
func beyond(format string, args ...any) *fault.Error {
	return fault.Newf(fault.CodeParquetLimit,
		"docs/schema.md lists the limits. Write fewer columns, shorter names or larger row groups.", format, args...)
}

func unsupported(hint, format string, args ...any) *fault.Error {
	return fault.Newf(fault.CodeUnsupportedParquet, hint, format, args...)
}

// shown quotes a name from the file so that it is fit for a message, whatever
// it holds.
func shown(name []byte) string {
	const limit = 64
	if len(name) <= limit {
		return strconv.Quote(string(name))
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(name[end]) {
		end--
	}
	return strconv.Quote(string(name[:end]) + "…")
}
