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
	"strings"

	"github.com/parqueue/parqueue/internal/asset"
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

// AssetDeleted is whose an asset was that was deleted and the id of the deletion.
type AssetDeleted struct {
	Owner asset.Owner `json:"owner"`
	By    string      `json:"by"`
}

// Encode returns the bytes to store.
func (d AssetDeleted) Encode() ([]byte, error) { return encode(d) }

// DecodeAssetDeleted is the reverse of AssetDeleted.Encode.
func DecodeAssetDeleted(b []byte) (AssetDeleted, error) {
	var d AssetDeleted
	err := decode(b, &d)
	return d, err
}

// EncodeAsset returns the text to store of an asset.
func EncodeAsset(a asset.Asset) (string, error) {
	return plain(a)
}

// plain is JSON as json.Marshal makes it without the escapes for HTML, of which text has
// six times as many bytes.
func plain(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encoding a catalog record: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// DecodeAsset is the reverse of EncodeAsset.
func DecodeAsset(text string) (asset.Asset, error) {
	var a asset.Asset
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return asset.Asset{}, fmt.Errorf("reading a catalog record: %w", err)
	}
	return a, nil
}

// EncodeDraft returns the text to store of what an upload is to become; nil is "".
func EncodeDraft(d *asset.Draft) (string, error) {
	if d == nil {
		return "", nil
	}
	return plain(d)
}

// DecodeDraft is the reverse of EncodeDraft.
func DecodeDraft(text string) (*asset.Draft, error) {
	if text == "" {
		return nil, nil
	}
	var d asset.Draft
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("reading a catalog record: %w", err)
	}
	return &d, nil
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
