package client

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzFileList compares with encoding/json: what is read, and that nothing is read
// that encoding/json refuses.
func FuzzFileList(f *testing.F) {
	const row = `{"checksum_crc64nvme":"j/RAqWdEMg0=","file_id":"file-1","file_name":"a.parquet","position":0,"row_count":1000,"size_bytes":12,"uploaded_at":"2026-11-26T00:34:03.473701Z"}`
	for _, seed := range []string{
		`{"files":[` + row + `,` + row + `],"next_cursor":"p1.a"}` + "\n",
		`{"files":[` + row + `]}` + "\n",
		`{"files":[]}`,
		`{"files":[{}]}`,
		`{"files":[{"file_name":"größe","position":1}]}`,
		`{"files":[{"file_name":"a\"b\u0041"}]}`,
		`{"files":[{"position":01}]}`,
		`{"files":[{"position":-1}]}`,
		`{"files":[{"position":1.0}]}`,
		`{"files":[{"position":99999999999999999999}]}`,
		`{"files":[{"uploaded_at":"yesterday"}]}`,
		`{"files":[{"uploaded_at":"2026-11-26T00:34:03,4Z"}]}`,
		`{"files":[{"file_name":null,"schema":{"fields":[]}}]}`,
		`{"files":[{"position":1,"position":2}],"next_cursor":""}`,
		`{"files":[{"position":1},]}`,
		`{"files":[{"position":1}]}{}`,
		`{"files":[{"file_name":"],\"next_cursor\":\"a"}`,
		`{"files":[],"next_cursor":"\\u0041"}`,
		`{"files":[],"next_cursor":"a\"],\"next_cursor\":\"b"}`,
		`{"files":null}`,
		`{ "files" : [ ] }`,
		`{"next_cursor":"a","files":[]}`,
		``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, want fileList
		err, wantErr := got.decode([]byte(text)), json.Unmarshal([]byte(text), &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, encoding/json has %+v", text, got, want)
		}
		if next, nextErr := nextCursor([]byte(text)); err == nil && (nextErr != nil || next != want.Next) {
			t.Fatalf("%q goes on at %q, %v, and encoding/json has %q", text, next, nextErr, want.Next)
		}
	})
}

// TestFileListShortWay sees that what the server writes is read without
// encoding/json, which would hide a mistake in the scanner.
func TestFileListShortWay(t *testing.T) {
	t.Parallel()
	const row = `{"checksum_crc64nvme":"j/RAqWdEMg0=","file_id":"file-1","file_name":"a.parquet","position":0,"row_count":1000,"size_bytes":12,"uploaded_at":"2026-11-26T00:34:03.473701Z"}`
	for text, files := range map[string]int{`{"files":[]}`: 0, `{"files":[` + row + `,` + row + `],"next_cursor":"p1.a"}`: 2} {
		s := fileScanner{rest: []byte(text)}
		if list := s.list(); s.failed || len(list.Files) != files {
			t.Errorf("%s: %+v, failed %v", text, list, s.failed)
		}
	}
	s := fileScanner{rest: []byte(`{"files":[{"position":01}]}`)}
	if s.list(); !s.failed {
		t.Error("took 01 for a number")
	}
}
