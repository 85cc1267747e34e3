// Package record turns what a catalog keeps as one value into bytes and back:
// a dataset's schema, and the answers that repeated requests get again. Both
// catalogs store the same bytes: gzip over JSON.
//
// The package needs no IAM actions.
package record

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

// MaxSchemaBytes is the most that a schema takes when it is stored. A DynamoDB
// item holds 400 KB, of which this leaves some to the rest of the item.
const MaxSchemaBytes = 350_000

// maxDecoded bounds what stored bytes expand to. Nothing larger is ever
// written, so more than that is damage.
const maxDecoded = 64 << 20

// Schema is a dataset's schema and the name of the file that set it.
type Schema struct {
	Schema schema.Schema `json:"schema"`
	File   string        `json:"file"`
}

// Encode returns the bytes to store.
// Errors: CodeParquetLimit when they are more than MaxSchemaBytes.
func (s Schema) Encode() ([]byte, error) {
	b, err := encode(s)
	if errors.Is(err, errTooLarge) || len(b) > MaxSchemaBytes {
		return nil, dataset.ErrSchemaTooLarge()
	}
	return b, err
}

// DecodeSchema is the reverse of Schema.Encode.
func DecodeSchema(b []byte) (Schema, error) {
	var s Schema
	err := decode(b, &s)
	return s, err
}

// EncodeFiles returns the bytes to store of an append's answer.
func EncodeFiles(files []dataset.File) ([]byte, error) { return encode(files) }

// DecodeFiles is the reverse of EncodeFiles.
func DecodeFiles(b []byte) ([]dataset.File, error) {
	var files []dataset.File
	err := decode(b, &files)
	return files, err
}

// Deleted is a file that was deleted and the id of the deletion.
type Deleted struct {
	File dataset.File `json:"file"`
	By   string       `json:"by"`
}

// Encode returns the bytes to store.
func (d Deleted) Encode() ([]byte, error) { return encode(d) }

// DecodeDeleted is the reverse of Deleted.Encode.
func DecodeDeleted(b []byte) (Deleted, error) {
	var d Deleted
	err := decode(b, &d)
	return d, err
}

var errTooLarge = errors.New("the value is too large to store")

func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a catalog record: %w", err)
	}
	if len(text) > maxDecoded {
		return nil, errTooLarge
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("compressing a catalog record: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing a catalog record: %w", err)
	}
	return b.Bytes(), nil
}

func decode(b []byte, v any) error {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("reading a catalog record: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxDecoded+1))
	if err != nil {
		return fmt.Errorf("reading a catalog record: %w", err)
	}
	if len(text) > maxDecoded {
		return fmt.Errorf("reading a catalog record: %w", errTooLarge)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("reading a catalog record: %w", err)
	}
	return nil
}
