// Package asset has the rules of assets: files of any format that a project or a
// collection owns, with what people say of them and the versions of their content.
// It knows no catalog and no object store; package dataset puts assets to work, with
// the uploads that files of datasets come by.
//
// An asset's id is the id of the first file that was its content. A dataset is a
// collection, and a file in it is an asset with that file's id.
//
// The package needs no IAM actions.
package asset

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OwnerType is what kind of owner an asset has.
type OwnerType string

// The types of owners.
const (
	Project    OwnerType = "project"
	Collection OwnerType = "collection"
)

// Owner is what an asset belongs to. It exists as long as it has an asset, but for
// datasets, which are collections of their own.
type Owner struct {
	Type OwnerType `json:"owner_type"`
	ID   string    `json:"owner_id"`
}

// datasetPrefix begins the ids of datasets.
const datasetPrefix = "dataset-"

// DatasetID is the id of the dataset that the owner is, or "". Every collection
// whose id looks like a dataset's is one.
func (o Owner) DatasetID() string {
	if o.Type == Collection && strings.HasPrefix(o.ID, datasetPrefix) {
		return o.ID
	}
	return ""
}

// OfDataset is the owner that a dataset is.
func OfDataset(datasetID string) Owner { return Owner{Collection, datasetID} }

// Info is what people say of an asset. All of it may be empty.
type Info struct {
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Alias       string          `json:"alias,omitempty"` // unique in its owner
	Tags        []string        `json:"tags,omitempty"`  // each once
	Metadata    json.RawMessage `json:"metadata,omitempty"`
}

// Empty reports that nothing is said.
func (i Info) Empty() bool {
	return i.Title == "" && i.Description == "" && i.Alias == "" && len(i.Tags) == 0 && i.Metadata == nil
}

// HasTag reports whether a tag is among the tags.
func (i Info) HasTag(tag string) bool { return slices.Contains(i.Tags, tag) }

// Draft is what an upload is to become: a new asset, or the next content of one.
type Draft struct {
	AssetID string `json:"asset_id"`
	Owner   Owner  `json:"owner"`
	Info    Info   `json:"info"` // of a new asset
}

// Place is the draft without what is said: what is left of it once the asset has that.
func (d Draft) Place() *Draft { return &Draft{AssetID: d.AssetID, Owner: d.Owner} }

// Content is one version of an asset's bytes.
type Content struct {
	Version   int64     `json:"version"` // from 1, without gaps
	FileID    string    `json:"file_id"`
	FileName  string    `json:"file_name"`
	SizeBytes int64     `json:"size_bytes"`
	CRC64NVME string    `json:"crc64nvme"` // base64 of the 8 bytes, as S3 writes it
	ObjectKey string    `json:"object_key"`
	CreatedAt time.Time `json:"created_at"` // UTC; when it became visible
}

// Asset is an asset as a catalog has it.
type Asset struct {
	ID        string    `json:"asset_id"` // of the first file that was its content
	Owner     Owner     `json:"owner"`
	Info      Info      `json:"info"`
	Content   Content   `json:"content"`    // the latest version
	CreatedAt time.Time `json:"created_at"` // UTC
	UpdatedAt time.Time `json:"updated_at"` // UTC; the last change of the asset or its content
	Revision  int64     `json:"revision"`   // one more after every change
	Position  int64     `json:"position"`   // in the dataset, of an asset in one
}

// InDataset reports whether the asset is a file of a dataset, of which there is one
// version.
func (a Asset) InDataset() bool { return a.Owner.DatasetID() != "" }

// Changes are what is changed of an Info. What is nil stays as it is; a pointer to
// nothing clears.
type Changes struct {
	Title       *string
	Description *string
	Alias       *string
	Tags        *[]string
	Metadata    *json.RawMessage
}

// Empty reports that nothing is to be changed.
func (c Changes) Empty() bool { return c == Changes{} }

// Apply returns an Info with the changes made.
func (c Changes) Apply(i Info) Info {
	if c.Title != nil {
		i.Title = *c.Title
	}
	if c.Description != nil {
		i.Description = *c.Description
	}
	if c.Alias != nil {
		i.Alias = *c.Alias
	}
	if c.Tags != nil {
		i.Tags = *c.Tags
	}
	if c.Metadata != nil {
		i.Metadata = *c.Metadata
	}
	return i
}

// Filter says which assets a listing has.
type Filter struct {
	Owner Owner  // the zero value for any
	Tag   string // "" for any
	Alias string // "" for any
}

// Matches reports whether a listing has an asset.
func (f Filter) Matches(a Asset) bool {
	return (f.Owner == Owner{} || f.Owner == a.Owner) && (f.Tag == "" || a.Info.HasTag(f.Tag)) && (f.Alias == "" || f.Alias == a.Info.Alias)
}

// Page is a part of a listing, newest first.
type Page struct {
	Assets []Asset
	Next   string // the id to continue after, or "" at the end
}

// EntityTag is the ETag of an asset: it changes with every change of it.
func EntityTag(a Asset) string { return `"r` + strconv.FormatInt(a.Revision, 10) + `"` }

// Precondition is which revisions of an asset an If-Match names. The zero value
// takes any.
type Precondition struct {
	given     bool
	revisions string // each with a space on both sides
}

// ParseIfMatch reads the header If-Match; "" and "*" take any revision. What can't be
// read, and what is marked as weak, matches nothing, as RFC 9110 has it.
func ParseIfMatch(header string) Precondition {
	if header == "" || strings.TrimSpace(header) == "*" {
		return Precondition{}
	}
	p := Precondition{given: true, revisions: " "}
	for tag := range strings.SplitSeq(header, ",") {
		digits, ok := strings.CutPrefix(strings.TrimSpace(tag), `"r`)
		digits, closed := strings.CutSuffix(digits, `"`)
		n, err := strconv.ParseInt(digits, 10, 64)
		if ok && closed && err == nil && n >= 0 && strconv.FormatInt(n, 10) == digits {
			p.revisions += digits + " "
		}
	}
	return p
}

// Holds reports whether an asset has a revision that was named.
func (p Precondition) Holds(a Asset) bool {
	return !p.given || strings.Contains(p.revisions, " "+strconv.FormatInt(a.Revision, 10)+" ")
}

// String is the precondition as part of a request's fingerprint.
func (p Precondition) String() string { return strconv.FormatBool(p.given) + p.revisions }
