package daemon

import (
	"cmp"
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/parqueue/parqueue/internal/client"
	"github.com/parqueue/parqueue/internal/fault"
)

// Bounds of a request.
const (
	mostPaths = 100_000
	mostFiles = 1_000_000
)

// check refuses what is no transfer.
// Errors: CodeInvalidRequest.
func (r *NewTransfer) check() error {
	switch r.Kind {
	case KindUploadDataset:
		if len(r.Paths) == 0 || len(r.Paths) > mostPaths {
			return errField("paths", "a list of 1 to 100,000 absolute paths")
		}
		for _, path := range r.Paths {
			if !filepath.IsAbs(path) {
				return errField("paths", "absolute paths: the daemon is in another folder than its clients")
			}
		}
		if !slices.Contains([]string{"", "name", "mtime", "given"}, r.Order) && !filepath.IsAbs(r.Order) {
			return errField("order", "name, mtime, given, or the absolute path of a list of names")
		}
	case KindDownloadDataset:
		if !filepath.IsAbs(r.To) {
			return errField("to", "the absolute path of a folder")
		}
		if len(r.Files) > mostFiles {
			return errField("files", "a million names at most")
		}
	case KindUploadAsset:
		if !filepath.IsAbs(r.Path) {
			return errField("path", "the absolute path of a file")
		}
		if r.AssetID == "" && (r.OwnerType == "" || r.OwnerID == "") {
			return errField("owner_id", "a name, and owner_type project or collection; or there is an asset_id, which gets new content")
		}
		if r.PartSize < 0 {
			return errField("part_size", "a number of bytes")
		}
	case KindDownloadAsset:
		if !filepath.IsAbs(r.To) {
			return errField("to", "the absolute path of a folder")
		}
		if r.AssetID == "" || r.Version < 0 {
			return errField("asset_id", "the id of an asset, with or without a version from 1")
		}
	default:
		return errField("kind", "a kind of transfer: upload_dataset, download_dataset, upload_asset or download_asset")
	}
	if r.DatasetID == "" && (r.Kind == KindUploadDataset || r.Kind == KindDownloadDataset) {
		return errField("dataset_id", "the id of a dataset")
	}
	return checkLimits(r.Limits)
}

func errField(name, want string) error {
	return fault.Newf(fault.CodeInvalidRequest, "docs/daemon.md shows what each kind of transfer takes.", "The field %q has to be %s.", name, want).With("field", name)
}

// identify finds the server and the key that a request means.
// Errors: CodeUnauthorized when nobody is signed in; CodeInvalidRequest.
func (d *Daemon) identify(s *Server) (client.Config, error) {
	var c client.Config
	switch {
	case s == nil || *s == Server{}:
		found, err := d.config.Identify("")
		if err != nil {
			return c, err
		}
		c = found
	case s.Profile != "" && s.URL == "" && s.APIKey == "":
		found, err := d.config.Identify(s.Profile)
		if err != nil {
			return c, err
		}
		c = found
	case s.Profile == "" && s.URL != "" && s.APIKey != "":
		c = client.Config{URL: s.URL, Key: s.APIKey, AllowHTTP: s.AllowHTTP}
	default:
		return c, errField("server", "a profile, or a url and an api_key")
	}
	base, err := client.CheckURL(c.URL, c.AllowHTTP)
	if err != nil {
		return c, err
	}
	c.URL, c.Transport = base, d.calls
	_, err = client.New(c) // checks the key
	return c, err
}

// profileOf is the profile that will have the key again after a restart, or "".
func profileOf(s *Server) string {
	switch {
	case s == nil || *s == Server{}:
		return defaultProfile
	default:
		return s.Profile
	}
}

// defaultProfile is who is meant when nobody is named.
const defaultProfile = "default"

// ask starts a transfer, or joins the one that is the same and has not ended. A
// paused, waiting or failed one goes on. made is true for a new one.
// Errors: CodeInvalidRequest, CodeUnauthorized; CodeConflict for too many;
// CodeStorageFull and CodeInvalidRequest when it can't be remembered.
func (d *Daemon) ask(r NewTransfer) (j *job, made bool, err error) {
	if err := r.check(); err != nil {
		return nil, false, err
	}
	server, err := d.identify(r.Server)
	if err != nil {
		return nil, false, err
	}
	profile := profileOf(r.Server)
	r.Server = nil // the key is kept nowhere
	j, made, err = d.find(r, server, profile)
	if err != nil {
		return nil, false, err
	}
	if made {
		j.op.Lock()
		defer j.op.Unlock()
		if err := j.start(); err != nil {
			d.mu.Lock()
			delete(d.jobs, j.record.ID)
			d.mu.Unlock()
			return nil, false, err
		}
		return j, true, nil
	}
	j.mu.Lock()
	if !j.runningLocked() {
		j.record.Profile, j.record.AllowHTTP, j.record.Request.Limits = profile, server.AllowHTTP, r.Limits
	}
	j.mu.Unlock()
	return j, false, j.resume(&server)
}

// find returns the transfer that is asked for, or makes it.
func (d *Daemon) find(r NewTransfer, server client.Config, profile string) (*job, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	alive := 0
	for _, j := range d.sortedLocked() {
		if j.same(r, server.URL) {
			return j, false, nil
		}
		if !Ended(j.view().State) {
			alive++
		}
	}
	if alive >= mostAlive {
		return nil, false, fault.Newf(fault.CodeConflict, "Wait until some are done, or cancel some: `parqueue transfers list` shows them.", "The daemon has %d transfers already.", alive)
	}
	j := &job{d: d, key: server.Key, record: record{
		Version: recordVersion, ID: newID(), State: StateRunning, Request: r, Server: server.URL, Profile: profile, AllowHTTP: server.AllowHTTP, CreatedAt: time.Now().UTC(),
	}}
	j.now.SecondsLeft = -1
	d.jobs[j.record.ID] = j
	return j, true, nil
}

// job finds a transfer.
// Errors: CodeTransferNotFound.
func (d *Daemon) job(id string) (*job, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if j, ok := d.jobs[id]; ok {
		return j, nil
	}
	return nil, errNoTransfer(id)
}

// list is all transfers, the oldest first.
func (d *Daemon) list() []Transfer {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []Transfer{}
	for _, j := range d.sortedLocked() {
		all = append(all, j.view())
	}
	return all
}

// busy counts the transfers that run.
func (d *Daemon) busy() (count int) {
	for _, t := range d.list() {
		if t.State == StateRunning {
			count++
		}
	}
	return count
}

func (d *Daemon) sortedLocked() []*job {
	all := make([]*job, 0, len(d.jobs))
	for _, j := range d.jobs {
		all = append(all, j)
	}
	// What it is sorted by never changes.
	slices.SortFunc(all, func(a, b *job) int {
		return cmp.Or(a.record.CreatedAt.Compare(b.record.CreatedAt), cmp.Compare(a.record.ID, b.record.ID))
	})
	return all
}

// relay passes a request on to the API.
func (d *Daemon) relay(ctx context.Context, endpoint string, s *Server, body []byte, header http.Header) (*client.Answer, error) {
	c, err := d.identify(s)
	if err != nil {
		return nil, err
	}
	c.Retry = briefly()
	server, err := client.New(c)
	if err != nil {
		return nil, err
	}
	return server.Relay(ctx, endpoint, body, header)
}
