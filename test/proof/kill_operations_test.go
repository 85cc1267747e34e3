package proof

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/parqueue/parqueue/internal/ingest"
)

// operation is what a victim is killed in the middle of.
type operation struct {
	name string

	// prepare brings a dataset with the file "there.parquet" as far as the
	// operation needs it.
	prepare func(ctx context.Context, c client, dataset string) (scene, error)
}

// scene is an operation that is ready to be sent.
type scene struct {
	send func(ctx context.Context, c client) (answer, error) // may be repeated

	// What it has done when it is done: files that it appends, in order and all at
	// once, and the names that it takes out.
	adds    []file
	removes []string
	ends    bool // the dataset is gone

	// looks checks, after a kill and before a retry, what no listing of the dataset
	// shows: all of the operation or nothing of it, and all if it was acknowledged; or nil.
	looks func(ctx context.Context, c client, acknowledged bool) error

	// after checks what no listing shows, once a retry has succeeded; or nil.
	after func(ctx context.Context, c client, last answer) error

	// refusedTwice is the code that a retry is answered when the first try was done
	// and has no Idempotency-Key; or "".
	refusedTwice string
}

// operations are those that are tried. To try another one, add a row.
func operations() []operation {
	return []operation{
		{"upload", upload(0, true)},
		{"upload without a key", upload(0, false)},
		{"upload of 9 MiB", upload(9<<20, true)},
		{"create-upload", createUpload(client.begin)},
		{"create-upload, single PUT", createUpload(client.beginWhole)},
		{"complete-upload", completeUpload(client.begin, true)},
		{"complete-upload without append", completeUpload(client.begin, false)},
		{"complete-upload, single PUT", completeUpload(client.beginWhole, true)},
		{"append-files of 3", appendFiles},
		{"abort-upload", abortUpload},
		{"delete-file", deleteFile},
		{"delete-dataset", deleteDataset},
		{"sweep", sweepAll},
		{"ingest", ingestOne},
	}
}

type preparation = func(context.Context, client, string) (scene, error)

func upload(size int, withKey bool) preparation {
	return func(_ context.Context, _ client, dataset string) (scene, error) {
		f, key := largeFile("uploaded.parquet", size), ""
		s := scene{adds: []file{f}}
		if withKey {
			key = uuid.NewString()
		} else {
			s.refusedTwice = "file_exists"
		}
		s.send = func(ctx context.Context, c client) (answer, error) { return c.upload(ctx, dataset, f, key) }
		return s, nil
	}
}

// createUpload is done when what it made can be filled, completed and appended.
func createUpload(begin beginning) preparation {
	return func(_ context.Context, _ client, dataset string) (scene, error) {
		f, key := newFile("uploaded.parquet"), uuid.NewString()
		return scene{
			send: func(ctx context.Context, c client) (answer, error) { return begin(c, ctx, dataset, f, key) },
			after: func(ctx context.Context, c client, last answer) error {
				var b begun
				if err := last.decode(&b); err != nil {
					return err
				}
				if err := b.sendParts(ctx, c.http, f); err != nil {
					return err
				}
				_, err := must[row](c.complete(ctx, b.ID, true, ""))
				return err
			},
		}, nil
	}
}

// beginning is a way to create an upload.
type beginning = func(c client, ctx context.Context, dataset string, f file, key string) (answer, error)

func completeUpload(begin beginning, andAppend bool) preparation {
	return func(ctx context.Context, c client, dataset string) (scene, error) {
		f, key := newFile("uploaded.parquet"), uuid.NewString()
		b, err := must[begun](begin(c, ctx, dataset, f, ""))
		if err != nil {
			return scene{}, err
		}
		s := scene{
			send: func(ctx context.Context, c client) (answer, error) { return c.complete(ctx, b.ID, andAppend, key) },
		}
		if andAppend {
			s.adds = []file{f}
		} else {
			s.after = func(ctx context.Context, c client, _ answer) error {
				_, err := must[page](c.appendUploads(ctx, dataset, []string{b.ID}, ""))
				return err
			}
		}
		return s, b.sendParts(ctx, c.http, f)
	}
}

func appendFiles(ctx context.Context, c client, dataset string) (scene, error) {
	key := uuid.NewString()
	var s scene
	var uploads []string
	for n := range 3 {
		f := newFile(fmt.Sprintf("uploaded-%d.parquet", n))
		id, err := c.ready(ctx, dataset, f)
		if err != nil {
			return scene{}, err
		}
		s.adds, uploads = append(s.adds, f), append(uploads, id)
	}
	s.send = func(ctx context.Context, c client) (answer, error) {
		return c.appendUploads(ctx, dataset, uploads, key)
	}
	return s, nil
}

// abortUpload is done when the upload can't be appended any more.
func abortUpload(ctx context.Context, c client, dataset string) (scene, error) {
	id, err := c.ready(ctx, dataset, newFile("uploaded.parquet"))
	return scene{
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/abort-upload", object{"upload_id": id}, "")
		},
		after: func(ctx context.Context, c client, _ answer) error {
			a, err := c.appendUploads(ctx, dataset, []string{id}, "")
			if err == nil && (a.status != http.StatusConflict || a.code() != "upload_closed") {
				err = fmt.Errorf("an aborted upload was appended: %d %s", a.status, a.body)
			}
			return err
		},
	}, err
}

func deleteFile(_ context.Context, _ client, dataset string) (scene, error) {
	key := uuid.NewString()
	return scene{
		removes: []string{"there.parquet"},
		send: func(ctx context.Context, c client) (answer, error) {
			return c.delete(ctx, dataset, "there.parquet", key)
		},
	}, nil
}

func deleteDataset(_ context.Context, _ client, dataset string) (scene, error) {
	key := uuid.NewString()
	return scene{
		ends: true,
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/delete-dataset", object{"dataset_id": dataset}, key)
		},
	}, nil
}

// sweepAll is done when nothing is left of an orphan, of two uploads whose time is
// over, the one in parts and the other in an object, and of a deleted dataset with
// a file and the same two uploads. All else stays.
func sweepAll(ctx context.Context, c client, dataset string) (scene, error) {
	clean, err := c.backstage(ctx, "stored", dropped{})
	if err != nil {
		return scene{}, err
	}
	if _, err := c.backstage(ctx, "orphan", dropped{}); err != nil {
		return scene{}, err
	}
	doomed, err := c.create(ctx)
	if err != nil {
		return scene{}, err
	}
	if _, err := must[row](c.upload(ctx, doomed, newFile("there.parquet"), "")); err != nil {
		return scene{}, err
	}
	for _, id := range []string{dataset, doomed} {
		if _, err := c.ready(ctx, id, newFile("complete.parquet")); err != nil {
			return scene{}, err
		}
		f := newFile("open.parquet")
		b, err := must[begun](c.begin(ctx, id, f, ""))
		if err == nil {
			err = b.sendParts(ctx, c.http, f)
		}
		if err != nil {
			return scene{}, err
		}
	}
	if _, err := must[object](c.json(ctx, "/delete-dataset", object{"dataset_id": doomed}, "")); err != nil {
		return scene{}, err
	}
	full, err := c.backstage(ctx, "stored", dropped{})
	if err != nil {
		return scene{}, err
	}
	litter := slices.Concat(beyond(full.Objects, clean.Objects), beyond(full.Parts, clean.Parts))
	if len(litter) != sweepLitter {
		return scene{}, fmt.Errorf("there is this to sweep: %v", litter)
	}
	return scene{
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/backstage/sweep", object{}, "")
		},
		after: func(ctx context.Context, c client, _ answer) error {
			now, err := c.backstage(ctx, "stored", dropped{})
			if kept := beyond(litter, beyond(litter, slices.Concat(now.Objects, now.Parts))); err == nil && len(kept) > 0 {
				err = fmt.Errorf("there still is %v", kept)
			}
			return err
		},
	}, nil
}

// sweepLitter is how many objects, and objects in parts, sweepAll leaves.
const sweepLitter = 6

// beyond are those that others don't have.
func beyond(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

// ingestOne is done when a file that was put into the inbox is listed, and the
// inbox does not have it any more.
func ingestOne(ctx context.Context, c client, dataset string) (scene, error) {
	f := newFile("uploaded.parquet")
	key := ingest.IncomingPrefix + dataset + "/" + f.name
	if _, err := c.backstage(ctx, "drop", dropped{key, f.bytes}); err != nil {
		return scene{}, err
	}
	return scene{
		adds: []file{f},
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/backstage/ingest", object{}, "")
		},
		after: func(ctx context.Context, c client, _ answer) error {
			now, err := c.backstage(ctx, "stored", dropped{})
			if err == nil && len(now.Inbox) > 0 {
				err = fmt.Errorf("the inbox still has %v", now.Inbox)
			}
			return err
		},
	}, nil
}

// backstage has a victim do something at once, and says what there is then, if
// that is asked.
func (c client) backstage(ctx context.Context, what string, d dropped) (shelf, error) {
	return must[shelf](c.json(ctx, "/backstage/"+what, object{"key": d.Key, "bytes": d.Bytes}, ""))
}
