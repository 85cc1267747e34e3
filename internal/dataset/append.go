package dataset

import (
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/parqueue/parqueue/internal/asset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Check finds what is wrong with an Append before any catalog is asked: no
// files or too many, a name that no catalog can keep, a name given twice.
// Every Catalog calls it first.
func (a Append) Check() error {
	if len(a.Files) == 0 || len(a.Files) > MaxAppend {
		return fault.Newf(fault.CodeInvalidRequest, "Append the files in several requests, in order.",
			"One append takes 1 to %d files, not %d.", MaxAppend, len(a.Files))
	}
	if err := a.checkUploads(); err != nil {
		return err
	}
	if err := a.checkInfos(); err != nil {
		return err
	}
	names := make(map[string]bool, len(a.Files))
	for _, f := range a.Files {
		if !NameCanExist(f.Name) {
			return fault.New(fault.CodeInvalidFileName, "A file name has 1 to 255 bytes of UTF-8.", fileNameHint)
		}
		if names[f.Name] {
			return ErrFileExists(f.Name)
		}
		names[f.Name] = true
	}
	return nil
}

// checkUploads sees that there is the upload of each file, or none at all.
// Errors: CodeUploadNotFound for one that is another file's.
func (a Append) checkUploads() error {
	if len(a.Uploads) == 0 {
		return nil
	}
	if len(a.Uploads) != len(a.Files) || slices.Contains(a.Uploads, "") {
		return fault.Internal("appending uploads", errors.New("not every file has its upload"))
	}
	for i, id := range a.Uploads {
		if FileIDOf(id) != a.Files[i].ID {
			return ErrUploadNotFound(id)
		}
	}
	return nil
}

// checkInfos sees that what is said of the files fits into one append, and that no
// two of them are to have the same alias.
// Errors: CodeAliasTaken, with the id of the other file.
func (a Append) checkInfos() error {
	if len(a.Infos) == 0 {
		return nil
	}
	weight, aliases := 0, map[string]string{}
	if len(a.Infos) != len(a.Files) {
		return fault.Internal("appending files", errors.New("there is not an info for each file"))
	}
	for n, i := range a.Infos {
		weight += AppendWeight(i)
		if other, ok := aliases[i.Alias]; ok && i.Alias != "" {
			return asset.ErrAliasTaken(i.Alias, other)
		}
		aliases[i.Alias] = a.Files[n].ID
	}
	if weight > MaxAppendWeight {
		return fault.Internal("appending files", errors.New("more is said of the files than one append takes"))
	}
	return nil
}

// CheckUpload sees that an upload can be appended at a time to the dataset with
// an id. Both catalogs decide by it.
// Errors: CodeUploadNotFound, CodeUploadClosed, CodeUploadIncomplete.
func CheckUpload(u Upload, datasetID string, now time.Time) error {
	switch {
	case u.DatasetID != datasetID || u.OutsideDatasets():
		return ErrUploadNotFound(u.ID)
	case u.State == UploadAppended || u.State == UploadAborted || u.Expired(now):
		return ErrUploadClosed(u, now)
	case u.State != UploadComplete:
		return errNotComplete(u)
	}
	return nil
}

// CheckContent sees that an upload can become the content of its asset at a time.
// Both catalogs decide by it.
// Errors: CodeUploadNotFound, CodeUploadClosed, CodeUploadIncomplete.
func CheckContent(u Upload, now time.Time) error {
	switch {
	case !u.OutsideDatasets() || u.Asset == nil:
		return ErrUploadNotFound(u.ID)
	case u.State == UploadAppended || u.State == UploadAborted || u.Expired(now):
		return ErrUploadClosed(u, now)
	case u.State != UploadComplete:
		return errNotComplete(u)
	}
	return nil
}

// SameFiles reports whether an answer lists exactly the files of this append:
// then it was this very append that was done, perhaps in an earlier try.
func (a Append) SameFiles(answer []File) bool {
	return slices.EqualFunc(a.Files, answer, func(x, y File) bool { return x.ID == y.ID })
}

// NameCanExist reports whether any catalog could hold a file with a name. It
// is the outer bound that protects the catalogs; CheckFileName is the rule.
func NameCanExist(name string) bool {
	return name != "" && len(name) <= MaxNameBytes && utf8.ValidString(name)
}

// maxIDBytes bounds the ids that reach a catalog.
const maxIDBytes = 64

// IDCanExist reports whether any catalog could hold a dataset or a tenant
// with an id: 1 to 64 of a-z, 0-9 and "-".
func IDCanExist(id string) bool {
	if id == "" || len(id) > maxIDBytes {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
