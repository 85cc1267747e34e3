package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// visitor is one client of a dataset, who notes what it does and is told.
type visitor struct {
	client
	dataset string
	number  int
	history *history
	dice    *dice
	names   int           // that all visitors choose from, so that they meet
	wait    time.Duration // the longest pause before a request is repeated
	end     time.Time     // after which none is

	own    string // the name of the last file that it appended
	cursor string // where the last page ended
	from   int64  // the position of the cursor
}

// tries bounds how often a request is repeated. What is still not known then
// stays open in the history.
const tries = 12

// work does one thing of those that there are.
func (v *visitor) work(ctx context.Context) error {
	switch n := v.dice.below(100); {
	case n < 40:
		return v.uploads(ctx)
	case n < 46:
		return v.appendsRun(ctx)
	case n < 50:
		return v.completes(ctx)
	case n < 65:
		return v.removes(ctx)
	case n < 80:
		return v.reads(ctx, "", 0, 0)
	case n < 90:
		return v.reads(ctx, v.cursor, v.from, 1+v.dice.below(8))
	default:
		return v.fetches(ctx)
	}
}

func (v *visitor) name() string { return fmt.Sprintf("%d.parquet", v.dice.below(v.names)) }

// key is an Idempotency-Key, or none for one request in three.
func (v *visitor) key() string {
	if v.dice.below(3) == 0 {
		return ""
	}
	return uuid.NewString()
}

func (v *visitor) uploads(ctx context.Context) error {
	f, key := newFile(v.name()), v.key()
	return v.write(ctx, call{kind: appends, files: []file{f}}, key != "", func() (answer, error) {
		return v.upload(ctx, v.dataset, f, key)
	})
}

// appendsRun appends some files in one step. An upload is appended once, however
// often it is asked for, so no key is needed.
func (v *visitor) appendsRun(ctx context.Context) error {
	var files []file
	var uploads []string
	first := v.dice.below(v.names)
	for n := range 2 + v.dice.below(2) {
		f := newFile(fmt.Sprintf("%d.parquet", (first+n)%v.names))
		id, err := v.prepared(ctx, f)
		if id == "" || err != nil {
			return err
		}
		files, uploads = append(files, f), append(uploads, id)
	}
	key := v.key()
	return v.write(ctx, call{kind: appends, files: files}, true, func() (answer, error) {
		return v.appendUploads(ctx, v.dataset, uploads, key)
	})
}

// completes appends an upload in parts by itself.
func (v *visitor) completes(ctx context.Context) error {
	f := newFile(v.name())
	id, err := v.prepared(ctx, f)
	if id == "" || err != nil {
		return err
	}
	key := v.key()
	return v.write(ctx, call{kind: appends, files: []file{f}}, true, func() (answer, error) {
		return v.complete(ctx, id, true, key)
	})
}

// prepared brings an upload as far as an append needs it, or returns "" when it
// came to nothing: what is not appended is in no history.
func (v *visitor) prepared(ctx context.Context, f file) (id string, err error) {
	key := uuid.NewString()
	for range tries {
		a, err := v.begin(ctx, v.dataset, f, key)
		if a.code() == "file_exists" {
			return "", nil
		}
		b, err := must[begun](a, err)
		if err == nil {
			err = b.sendParts(ctx, v.http, f)
		}
		if err == nil {
			_, err = must[object](v.complete(ctx, b.ID, false, ""))
		}
		if err == nil {
			return b.ID, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		pause(ctx, v.dice.upTo(v.wait))
	}
	return "", nil
}

// removes deletes a file, of its own if all have names of their own.
func (v *visitor) removes(ctx context.Context) error {
	name, key := v.name(), v.key()
	if v.names > meeting && v.own != "" {
		name, v.own = v.own, ""
	}
	return v.write(ctx, call{kind: deletes, name: name}, key != "", func() (answer, error) {
		return v.delete(ctx, v.dataset, name, key)
	})
}

// write sends a request until somebody says what became of it, and notes it: as
// one operation when the request is known again however often it arrives, and
// else each try as one of its own. A try without an answer, or one that was carried out twice,
// may have its effect long after another one was told something.
func (v *visitor) write(ctx context.Context, c call, once bool, send func() (answer, error)) error {
	began, doubtful := v.history.now(), false
	for range tries {
		tried := v.history.now()
		a, err := send()
		if err := ctx.Err(); err != nil {
			return err
		}
		said, err := v.told(a, err)
		if err != nil {
			return fmt.Errorf("%s: %w", describe(c, outcome{unknown: true}), err)
		}
		twice := a.header.Get(hurtHeader) != ""
		switch {
		case said == nil:
		case said.unknown && once:
			doubtful = true
		case said.unknown:
			v.history.add(v.number, tried, c, *said)
		case said.refused:
			v.history.add(v.number, tried, c, *said)
			if doubtful || twice {
				v.history.add(v.number, began, c, outcome{unknown: true})
			}
			return nil
		default:
			if once {
				tried = began
			} else if twice {
				v.history.add(v.number, tried, c, outcome{unknown: true})
			}
			v.history.add(v.number, tried, c, *said)
			if c.kind == appends {
				v.own = c.files[0].name
			}
			return nil
		}
		if time.Now().After(v.end) {
			break
		}
		pause(ctx, v.dice.upTo(v.wait))
	}
	if doubtful {
		v.history.add(v.number, began, c, outcome{unknown: true})
	}
	return nil
}

// told is what an answer to a write says, or nil when it says that nothing was
// done.
func (v *visitor) told(a answer, err error) (*outcome, error) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case err != nil:
		return &outcome{unknown: true}, nil
	case a.status == http.StatusOK:
		var done struct {
			row
			Files []row `json:"files"`
		}
		if err := json.Unmarshal(a.body, &done); err != nil {
			return nil, fmt.Errorf("%w: %s", err, a.body)
		}
		if done.Files == nil {
			done.Files = []row{done.row}
		}
		return &outcome{files: done.Files}, nil
	}
	switch a.code() {
	case "file_exists", "file_not_found":
		return &outcome{refused: true}, nil
	case "conflict":
		return nil, nil
	}
	if a.status >= 500 {
		return &outcome{unknown: true}, nil
	}
	return nil, fmt.Errorf("answered %d %s", a.status, a.body)
}

// reads lists files. A read without an answer says nothing, and is not noted.
func (v *visitor) reads(ctx context.Context, cursor string, from int64, limit int) error {
	began := v.history.now()
	a, err := v.list(ctx, v.dataset, cursor, limit)
	if err != nil || a.status >= 500 {
		return ctx.Err()
	}
	p, err := must[page](a, nil)
	if err != nil {
		return err
	}
	v.history.add(v.number, began, call{kind: lists, from: from}, outcome{files: p.Files, more: p.Next != ""})
	if v.cursor, v.from = "", 0; p.Next != "" && limit > 0 {
		if len(p.Files) == 0 {
			return fmt.Errorf("a page of up to %d files has none, and a next page", limit)
		}
		v.cursor, v.from = p.Next, p.Files[len(p.Files)-1].Position+1
	}
	return nil
}

func (v *visitor) fetches(ctx context.Context) error {
	c := call{kind: downloads, name: v.name()}
	began := v.history.now()
	a, err := v.download(ctx, v.dataset, c.name)
	switch {
	case err != nil || a.status >= 500:
		return ctx.Err()
	case a.code() == "file_not_found":
		v.history.add(v.number, began, c, outcome{refused: true})
	case a.status == http.StatusOK:
		v.history.add(v.number, began, c, outcome{sum: sumOf(a.body)})
	default:
		return fmt.Errorf("downloading %s: answered %d %s", c.name, a.status, a.body)
	}
	return nil
}
