package embeddeds3

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
)

// uploadLifetime is how long an upload that nobody adds to is kept. It is what
// a lifecycle rule does in a bucket on S3: a day more than a large upload has.
const uploadLifetime = 8 * 24 * time.Hour

// The gateway's names for what an upload goes by while it is being completed, and
// for the key of an upload.
const (
	inProgressSuffix = ".inprogress"
	keyAttribute     = "objname"
)

// tidy makes good what a crash left in the staging folder of a bucket, which is an
// absolute path, before anything uses it. Writes of single objects that were under
// way are gone for good; uploads in parts go on.
func tidy(bucket string, attributes meta.MetadataStorer, now time.Time) error {
	staging := filepath.Join(bucket, posix.MetaTmpDir)
	files, err := os.ReadDir(staging)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Type().IsRegular() {
			if err := os.Remove(filepath.Join(staging, f.Name())); err != nil {
				return err
			}
		}
	}
	// One folder per key, in it one per upload.
	uploads, err := filepath.Glob(filepath.Join(bucket, posix.MetaTmpMultipartDir, "*", "*"))
	if err != nil {
		return err
	}
	for _, upload := range uploads {
		if err := (stagedUpload{bucket, upload, attributes}).tidy(now); err != nil {
			return err
		}
	}
	return nil
}

// stagedUpload is the folder of an upload's parts.
type stagedUpload struct {
	bucket, dir string
	attributes  meta.MetadataStorer
}

func (u stagedUpload) tidy(now time.Time) error {
	info, err := os.Stat(u.dir) // its time is that of the last part
	if err != nil {
		return err
	}
	if now.Sub(info.ModTime()) > uploadLifetime {
		return u.remove()
	}
	// The gateway hides an upload under another name while it completes it, so
	// that after a crash nobody could complete or abort it.
	id, isHidden := strings.CutSuffix(filepath.Base(u.dir), inProgressSuffix)
	if !isHidden {
		return nil
	}
	id, _, _ = strings.Cut(id, ".")
	joined, err := u.isJoined(id)
	if err != nil {
		return err
	}
	if joined {
		return u.remove()
	}
	return u.unhide(id)
}

// isJoined reports whether an upload's parts were being removed, which the gateway
// begins when the object that it made of them has its key. Who
// completes the upload again is then to find the object, and not that parts are
// missing.
func (u stagedUpload) isJoined(id string) (bool, error) {
	parts, err := os.ReadDir(u.dir)
	if err != nil {
		return false, err
	}
	var left int64
	for _, p := range parts {
		info, err := p.Info()
		if err != nil {
			return false, err
		}
		left += info.Size()
	}
	key, err := u.attributes.RetrieveAttribute(nil, u.bucket, u.relative(filepath.Dir(u.dir)), keyAttribute)
	if errors.Is(err, meta.ErrNoSuchKey) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the key of an upload: %w", err)
	}
	note, err := u.attributes.RetrieveAttribute(nil, u.bucket, string(key), joinedAttribute)
	if err != nil {
		return false, nil //nolint:nilerr // there is no object, or it was not made of parts
	}
	var from string
	var size int64
	if _, err := fmt.Sscan(string(note), &from, &size); err != nil || from != id {
		return false, nil //nolint:nilerr // of another upload
	}
	// While all parts are there the object may also be an older one: metadata in
	// files of its own is written first.
	return left < size, nil
}

// unhide gives an upload its name back.
func (u stagedUpload) unhide(id string) error {
	shown := filepath.Join(filepath.Dir(u.dir), id)
	if err := u.attributes.RenameObject(u.bucket, u.relative(u.dir), u.relative(shown)); err != nil {
		return err
	}
	return os.Rename(u.dir, shown)
}

func (u stagedUpload) remove() error {
	err := os.RemoveAll(u.dir)
	_ = os.Remove(filepath.Dir(u.dir)) // fails while the key has other uploads
	return err
}

// relative is a path within the bucket, as the gateway names it.
func (u stagedUpload) relative(path string) string {
	return strings.TrimPrefix(path, u.bucket+string(filepath.Separator))
}
