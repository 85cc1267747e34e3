package embeddeds3

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
)

// partListAttribute is where the gateway notes of which upload an object was made,
// and the end of every part. With some thousand parts the note outgrows what ext4
// holds in extended attributes (4 KiB in all), and completing the upload fails. The
// ends serve reads by part number only, which nobody here makes.
const partListAttribute = "mp-metadata"

// joinedAttribute is what is kept of it: the id of the upload, a space, and the
// object's size in bytes.
const joinedAttribute = "parqueue-joined"

// withoutPartList keeps the gateway's metadata, and joinedAttribute in the place of
// partListAttribute.
type withoutPartList struct{ meta.MetadataStorer }

func (m withoutPartList) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if attribute != partListAttribute {
		return m.MetadataStorer.StoreAttribute(f, bucket, object, attribute, value)
	}
	made, err := backend.UnmarshalMpUploadMetadata(value, false)
	if err != nil {
		return fmt.Errorf("reading what the gateway notes of an upload: %w", err)
	}
	var size int64
	if n := len(made.Parts); n > 0 {
		size = made.Parts[n-1]
	}
	return m.MetadataStorer.StoreAttribute(f, bucket, object, joinedAttribute, fmt.Appendf(nil, "%s %d", made.UploadID, size))
}

// sidecar keeps metadata in files of their own, under the bucket's name where
// the backend says its absolute path: the data folder can be moved.
type sidecar struct{ meta.SideCar }

func (m sidecar) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	return m.SideCar.RetrieveAttribute(f, filepath.Base(bucket), object, attribute)
}

func (m sidecar) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	return m.SideCar.StoreAttribute(f, filepath.Base(bucket), object, attribute, value)
}

func (m sidecar) DeleteAttribute(bucket, object, attribute string) error {
	return m.SideCar.DeleteAttribute(filepath.Base(bucket), object, attribute)
}

func (m sidecar) ListAttributes(bucket, object string) ([]string, error) {
	return m.SideCar.ListAttributes(filepath.Base(bucket), object)
}

func (m sidecar) DeleteAttributes(bucket, object string) error {
	return m.SideCar.DeleteAttributes(filepath.Base(bucket), object)
}

func (m sidecar) RenameObject(bucket, oldObject, newObject string) error {
	return m.SideCar.RenameObject(filepath.Base(bucket), oldObject, newObject)
}

// chooseMetadata prefers extended attributes, which live and die with the
// file. Where the file system has none, metadata goes to files under sidecarDir:
// the gateway can then show a torn object while one is overwritten, which
// doesn't happen to objects that are written once. A folder that has used
// sidecar files goes on using them. sidecarDir comes back as "" when unused.
func chooseMetadata(root, sidecarDir string, log *slog.Logger) (storer meta.MetadataStorer, dir string, err error) {
	if _, statErr := os.Stat(sidecarDir); os.IsNotExist(statErr) {
		xattrErr := tryAttributes(root)
		if xattrErr == nil {
			return withoutPartList{meta.XattrMeta{}}, "", nil
		}
		log.Info("the file system has no extended attributes; metadata of objects goes to files of its own",
			"dir", sidecarDir, "reason", xattrErr)
	}
	if err := os.MkdirAll(sidecarDir, 0o700); err != nil {
		return nil, "", fmt.Errorf("embedded S3: making the metadata folder: %w", err)
	}
	return metadataThere(sidecarDir)
}

// metadataThere is the storer that a folder is used with, whose sidecar files are
// in sidecarDir if it has any.
func metadataThere(sidecarDir string) (storer meta.MetadataStorer, dir string, err error) {
	if _, statErr := os.Stat(sidecarDir); os.IsNotExist(statErr) {
		return withoutPartList{meta.XattrMeta{}}, "", nil
	}
	side, err := meta.NewSideCar(sidecarDir)
	if err != nil {
		return nil, "", fmt.Errorf("embedded S3: opening the metadata folder: %w", err)
	}
	return withoutPartList{sidecar{side}}, sidecarDir, nil
}

// tryAttributes writes and removes an attribute, because reading one tells
// less: some file systems read none and refuse to write any.
func tryAttributes(root string) error {
	const probe = "parqueue-probe"
	var x meta.XattrMeta
	if err := x.StoreAttribute(nil, root, "", probe, []byte("1")); err != nil {
		return err
	}
	return x.DeleteAttribute(root, "", probe)
}
