package client

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// fileList is an answer of list-dataset-files.
type fileList struct {
	Files []File `json:"files"`
	Next  string `json:"next_cursor"`
}

// decode reads an answer as the server writes it, which takes a small part of the
// time of encoding/json, and any other answer with encoding/json.
func (l *fileList) decode(text []byte) error {
	s := fileScanner{rest: bytes.TrimSuffix(text, []byte{'\n'})}
	if list := s.list(); !s.failed {
		*l = list
		return nil
	}
	return json.Unmarshal(text, l)
}

// nextCursor is where the list goes on behind an answer, or "". The server writes it
// last, where no other string than the outermost object's last one can end.
func nextCursor(text []byte) (string, error) {
	const member = `],"next_cursor":"`
	if head, ok := bytes.CutSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte(`"}`)); ok {
		start := bytes.LastIndexByte(head, '"') + 1
		if cursor := head[start:]; bytes.HasSuffix(head[:start], []byte(member)) && plain(cursor) {
			return string(cursor), nil
		}
	}
	var l struct {
		Next string `json:"next_cursor"`
	}
	err := json.Unmarshal(text, &l)
	return l.Next, err
}

// plain reports that a string has printable ASCII in it and no escapes.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// fileScanner reads what the server writes for a list of files: no white space, no
// members but those of File, no null, and strings of printable ASCII without
// escapes. Whatever else it meets fails it, and is encoding/json's to judge.
type fileScanner struct {
	rest   []byte
	failed bool
}

func (s *fileScanner) list() fileList {
	list := fileList{Files: []File{}}
	s.expect(`{"files":[`)
	if !s.take(']') {
		list.Files = make([]File, 0, bytes.Count(s.rest, []byte{'{'}))
		for {
			list.Files = append(list.Files, s.file())
			if s.failed || s.take(']') {
				break
			}
			s.expect(",")
		}
	}
	if s.take(',') {
		s.expect(`"next_cursor":`)
		list.Next = string(s.text())
	}
	s.expect("}")
	s.failed = s.failed || len(s.rest) > 0
	return list
}

func (s *fileScanner) file() (f File) {
	s.expect("{")
	for !s.failed {
		member := s.text()
		s.expect(":")
		switch string(member) {
		case "file_name":
			f.Name = string(s.text())
		case "file_id":
			f.ID = string(s.text())
		case "position":
			f.Position = s.number()
		case "size_bytes":
			f.SizeBytes = s.number()
		case "row_count":
			f.RowCount = s.number()
		case "checksum_crc64nvme":
			f.Checksum = string(s.text())
		case "uploaded_at":
			s.failed = f.UploadedAt.UnmarshalText(s.text()) != nil || s.failed
		default:
			s.failed = true
		}
		if s.take('}') {
			return f
		}
		s.expect(",")
	}
	return f
}

func (s *fileScanner) expect(text string) {
	if len(s.rest) < len(text) || string(s.rest[:len(text)]) != text {
		s.failed = true
		return
	}
	s.rest = s.rest[len(text):]
}

func (s *fileScanner) take(c byte) bool {
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text reads a string. The bytes are the answer's own.
func (s *fileScanner) text() []byte {
	s.expect(`"`)
	end := bytes.IndexByte(s.rest, '"')
	if s.failed || end < 0 {
		s.failed = true
		return nil
	}
	text := s.rest[:end]
	if !plain(text) {
		s.failed = true
		return nil
	}
	s.rest = s.rest[end+1:]
	return text
}

// number reads an integer that is not negative.
func (s *fileScanner) number() int64 {
	end := 0
	for end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(s.rest[:end]), 10, 64)
	if err != nil || end > 1 && s.rest[0] == '0' {
		s.failed = true
		return 0
	}
	s.rest = s.rest[end:]
	return n
}
