package ingest

import (
	"strings"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// Where things are in the inbox.
const (
	IncomingPrefix = "incoming/"
	RejectedPrefix = "rejected/"

	orderName   = "_order.json"
	errorSuffix = ".error.json"
	elsewhere   = "_" // the folder under rejected/ of what was for no dataset; no dataset is called that
)

// place is a key of the inbox, taken apart.
type place struct {
	key       string
	incoming  bool   // it is under incoming/
	datasetID string // "" when the key is not that of a file for a dataset
	name      string // of the file
	known     bool   // see Notice
}

// placeOf takes a key apart. A dataset's id is whatever could be one: whether
// there is such a dataset only the catalog knows.
func placeOf(key string) place {
	p := place{key: key}
	var rest string
	if rest, p.incoming = strings.CutPrefix(key, IncomingPrefix); !p.incoming {
		return p
	}
	id, name, ok := strings.Cut(rest, "/")
	if ok && dataset.IDCanExist(id) && name != "" && !strings.Contains(name, "/") {
		p.datasetID, p.name = id, name
	}
	return p
}

// fileAt is the place of a dataset's file.
func fileAt(datasetID, name string) place {
	return place{key: IncomingPrefix + datasetID + "/" + name, incoming: true, datasetID: datasetID, name: name}
}

// folder reports a key that ends as a folder's does.
func (p place) folder() bool { return strings.HasSuffix(p.key, "/") }

func errMisplaced() *fault.Error {
	return fault.New(fault.CodeMisplaced, "The object is not at incoming/<dataset_id>/<file_name>.",
		"Put it there again under such a key: list-datasets shows the ids, and a file's name has no slash.")
}

// longestKept is the longest name that a rejected object keeps. With what is
// added to it, it stays one that any file system takes.
const longestKept = 200

// rejectedAt lists the keys under which the put with an id may be rejected, the
// best first. The last one is of no other put.
func (p place) rejectedAt(put string) []string {
	folder := RejectedPrefix + elsewhere + "/"
	if p.datasetID != "" {
		folder = RejectedPrefix + p.datasetID + "/"
	}
	if p.datasetID == "" || len(p.name) > longestKept || dataset.CheckFileName(p.name) != nil {
		return []string{folder + put}
	}
	own := folder + p.name + "." + put
	if strings.HasSuffix(p.name, errorSuffix) { // which would look like a reason
		return []string{own}
	}
	return []string{folder + p.name, own}
}
