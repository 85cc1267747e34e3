package embeddeds3

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// uploadLifetime is how long an upload that nobody adds to is kept. It is what
// a lifecycle rule does in a bucket on S3: a day more than a large upload has.
const uploadLifetime = 8 * 24 * time.Hour

// tidy makes good what a crash left in a bucket's staging folder, before
// anything uses it. Writes of single objects that were under way are gone for
// good; uploads in parts go on.
func tidy(staging string, now time.Time) error {
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
	uploads, err := filepath.Glob(filepath.Join(staging, "multipart", "*", "*"))
	if err != nil {
		return err
	}
	for _, upload := range uploads {
		if err := tidyUpload(upload, now); err != nil {
			return err
		}
	}
	return nil
}

func tidyUpload(dir string, now time.Time) error {
	info, err := os.Stat(dir) // its time is that of the last part
	if err != nil {
		return err
	}
	if now.Sub(info.ModTime()) > uploadLifetime {
		err := os.RemoveAll(dir)
		_ = os.Remove(filepath.Dir(dir)) // fails while the key has other uploads
		return err
	}
	// The gateway hides an upload under another name while it completes it, so
	// that after a crash nobody could complete or abort it.
	id, isHidden := strings.CutSuffix(filepath.Base(dir), ".inprogress")
	if !isHidden {
		return nil
	}
	id, _, _ = strings.Cut(id, ".")
	return os.Rename(dir, filepath.Join(filepath.Dir(dir), id))
}
