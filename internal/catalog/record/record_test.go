package record_test

import (
	"bytes"
	"compress/gzip"
	"reflect"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/catalog/record"
	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/schema"
)

func TestRoundTrip(t *testing.T) {
	s := record.Schema{File: "é <&>\u2028.parquet", Schema: schema.Schema{Fields: []schema.Field{
		{Name: "l", Type: schema.List, Element: &schema.Field{Type: "string"}},
	}}}
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := record.DecodeSchema(b); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v", got, err)
	}
	files := []dataset.File{{ID: "file-1", Name: s.File, Position: 1 << 62, SizeBytes: 1<<63 - 1, UploadedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}}
	if b, err = record.EncodeFiles(files); err != nil {
		t.Fatal(err)
	}
	if got, err := record.DecodeFiles(b); err != nil || !reflect.DeepEqual(got, files) {
		t.Errorf("got %+v, %v", got, err)
	}
	deleted := record.Deleted{File: files[0], By: "delete-1"}
	if b, err = deleted.Encode(); err != nil {
		t.Fatal(err)
	}
	if got, err := record.DecodeDeleted(b); err != nil || got != deleted {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeDamage(t *testing.T) {
	whole, err := record.EncodeFiles([]dataset.File{{ID: "file-1"}})
	if err != nil {
		t.Fatal(err)
	}
	var zeros bytes.Buffer
	w := gzip.NewWriter(&zeros)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	bomb := bytes.Repeat(zeros.Bytes(), 65) // gzip streams may follow one another: 65 MB
	for name, b := range map[string][]byte{"nothing": nil, "no gzip": []byte("x"), "half": whole[:len(whole)/2], "bomb": bomb} {
		if got, err := record.DecodeFiles(b); err == nil {
			t.Errorf("%s decodes to %+v", name, got)
		}
	}
}
