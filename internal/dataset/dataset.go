// Package dataset is the domain: ordered sequences of Parquet files that share
// one schema, what may enter them, and in which order it comes out. It knows no
// HTTP and no AWS; the catalog (where the order lives) and the object store
// (where the bytes live) are interfaces that other packages implement.
//
// The package needs no IAM actions of its own; see the packages that implement
// Catalog and Objects.
package dataset

import (
	"encoding/json"
	"math"
	"time"

	"github.com/parqueue/parqueue/internal/fault"
	"github.com/parqueue/parqueue/internal/schema"
)

// Dataset is an ordered sequence of files with one schema. Its first file sets
// the schema.
type Dataset struct {
	ID             string          // "dataset-" and a UUIDv7; opaque to callers
	Name           string          // for people; not unique, may be empty
	Metadata       json.RawMessage // a JSON object given by the caller, or nil
	CreatedAt      time.Time       // UTC
	UpdatedAt      time.Time       // UTC; the last change, or CreatedAt
	Version        int64           // 1 when it is new, and one more after every change
	FileCount      int64           // files listed now
	TotalSizeBytes int64           // their bytes
	TotalRows      int64           // their rows
	NextPosition   int64           // the position that the next append takes
	Schema         *schema.Schema  // nil until the first file
	SchemaFile     string          // the name of the file that set it, or ""
	IngestOrder    IngestOrder     // of files that come by the inbox
}

// IngestOrder says when a dataset takes the files that are in the inbox for it.
type IngestOrder string

// The ingest orders.
const (
	IngestArrival IngestOrder = ""     // each as soon as it has arrived; callers write "arrival"
	IngestName    IngestOrder = "name" // as lists of names in the inbox say, and not before
)

// arrival is IngestArrival as callers write it, who can't leave a value empty
// to change it.
const arrival = "arrival"

// String is the order as callers write it.
func (o IngestOrder) String() string {
	if o == IngestArrival {
		return arrival
	}
	return string(o)
}

// ParseIngestOrder reads an order as callers write it; "" is the usual one.
// Errors: CodeInvalidRequest.
func ParseIngestOrder(text string) (IngestOrder, error) {
	switch text {
	case "", arrival:
		return IngestArrival, nil
	case string(IngestName):
		return IngestName, nil
	}
	return "", fault.New(fault.CodeInvalidRequest, `The field "ingest_order" is neither "arrival" nor "name".`,
		`Send "name" to have the files of the inbox wait for a list of their names, or leave it out.`)
}

// File is one file of a dataset. Everything but the catalog's answer to an
// append sets Position.
type File struct {
	ID         string    // "file-" and a UUIDv7
	Name       string    // unique in the dataset
	Position   int64     // from 0, never reused, never changed
	SizeBytes  int64     // of the file as it was given and is handed out
	RowCount   int64     // as the footer claims
	CRC64NVME  string    // base64 of the 8 bytes, as S3 writes it
	ObjectKey  string    // where the bytes are; never shown to a caller
	UploadedAt time.Time // UTC
}

// Sums adds up the bytes and rows of files. A footer may claim any number of
// rows, so a sum stops at the largest number there is.
func Sums(files []File) (bytes, rows int64) {
	for _, f := range files {
		bytes = AddUp(bytes, f.SizeBytes)
		rows = AddUp(rows, f.RowCount)
	}
	return bytes, rows
}

// AddUp adds two numbers that are not negative and stops at the largest one
// there is, where + would wrap around.
func AddUp(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
