package proof

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// assetOperations are those of assets. Each has an owner of its own.
func assetOperations() []operation {
	return []operation{
		{"create-asset", createAsset},
		{"complete-upload of an asset", completeAsset},
		{"complete-upload of a version", completeVersion},
		{"set-asset-metadata", setAsset},
		{"delete-asset", deleteAsset},
		{"delete-asset of a file", deleteFileAsAsset},
	}
}

// said is what is said of an asset, and its latest version.
type said struct {
	ID      string   `json:"asset_id"`
	Title   string   `json:"title"`
	Alias   string   `json:"alias"`
	Tags    []string `json:"tags"`
	Version int64    `json:"version"`
	Sum     string   `json:"checksum_crc64nvme"`
}

// owner is a project that no other try has.
type owner struct{ id string }

func newOwner() owner { return owner{uuid.NewString()} }

func (o owner) fields(more object) object {
	fields := object{"owner_type": "project", "owner_id": o.id}
	for name, value := range more {
		fields[name] = value
	}
	return fields
}

// begin begins an asset with an alias and a tag.
func (o owner) begin(ctx context.Context, c client, f file, key string) (answer, error) {
	return c.json(ctx, "/create-asset", o.fields(object{
		"file_name": f.name, "size_bytes": len(f.bytes), "checksum": f.sum, "title": "before", "alias": "before", "tags": []string{"before"},
	}), key)
}

// filled is an upload with all parts sent.
func filled(ctx context.Context, c client, f file, a answer, err error) (begun, error) {
	b, err := must[begun](a, err)
	if err == nil {
		err = b.sendParts(ctx, c.http, f)
	}
	return b, err
}

// upload puts a new asset into the store.
func (o owner) upload(ctx context.Context, c client, f file) (said, error) {
	a, err := o.begin(ctx, c, f, "")
	b, err := filled(ctx, c, f, a, err)
	if err != nil {
		return said{}, err
	}
	return must[said](c.complete(ctx, b.ID, true, ""))
}

// listed are the ids of an owner's assets with a tag or an alias.
func (o owner) listed(ctx context.Context, c client, filter object) ([]string, error) {
	page, err := must[struct {
		Assets []said `json:"assets"`
	}](c.json(ctx, "/list-assets", o.fields(filter), ""))
	ids := []string{}
	for _, a := range page.Assets {
		ids = append(ids, a.ID)
	}
	return ids, err
}

// holds checks that an asset is as it is to be, wherever it shows, and that it has the
// contents, the first version first. None means that it is not there.
func (o owner) holds(ctx context.Context, c client, id, word string, contents ...file) error {
	a, err := c.json(ctx, "/get-asset-metadata", object{"asset_id": id}, "")
	if err != nil {
		return err
	}
	want := []string{}
	if len(contents) == 0 {
		if a.status != http.StatusNotFound || a.code() != "asset_not_found" {
			return fmt.Errorf("what is not there was answered %d %s", a.status, a.body)
		}
	} else {
		want = append(want, id)
		now, err := must[said](a, nil)
		latest := contents[len(contents)-1]
		if err != nil || now.Title != word || now.Alias != word || !slices.Equal(now.Tags, []string{word}) || now.Version != int64(len(contents)) || now.Sum != latest.sum {
			return errors.Join(err, fmt.Errorf("it is %+v, and is to be %q with version %d", now, word, len(contents)))
		}
	}
	other := map[string]string{"before": "after", "after": "before"}[word]
	for _, l := range []struct {
		filter object
		want   []string
	}{{object{}, want}, {object{"tag": word}, want}, {object{"alias": word}, want}, {object{"tag": other}, nil}, {object{"alias": other}, nil}} {
		if got, err := o.listed(ctx, c, l.filter); err != nil || len(got) != len(l.want) || len(got) > 0 && got[0] != l.want[0] {
			return errors.Join(err, fmt.Errorf("%v lists %v, want %v", l.filter, got, l.want))
		}
	}
	for n, f := range contents {
		a, err := c.json(ctx, "/download-asset", object{"asset_id": id, "version": n + 1}, "")
		if err == nil && a.status == http.StatusSeeOther {
			a, err = c.get(ctx, a.header.Get("Location"))
		}
		if err != nil || a.status != http.StatusOK || sumOf(a.body) != f.sum {
			return errors.Join(err, fmt.Errorf("version %d is answered %d with %d bytes that are not its own", n+1, a.status, len(a.body)))
		}
	}
	return nil
}

// eitherOr checks that an asset is as before or as after, and as after when that was
// acknowledged.
func eitherOr(acknowledged bool, before, after func() error) error {
	errAfter := after()
	if errAfter == nil || acknowledged {
		return errAfter
	}
	if errBefore := before(); errBefore != nil {
		return fmt.Errorf("it is neither as before (%w) nor as after (%w)", errBefore, errAfter)
	}
	return nil
}

// createAsset is done when what it made can be filled and completed.
func createAsset(context.Context, client, string) (scene, error) {
	o, f, key := newOwner(), newFile("uploaded.bin"), uuid.NewString()
	return scene{
		send: func(ctx context.Context, c client) (answer, error) { return o.begin(ctx, c, f, key) },
		after: func(ctx context.Context, c client, last answer) error {
			b, err := filled(ctx, c, f, last, nil)
			if err != nil {
				return err
			}
			a, err := must[said](c.complete(ctx, b.ID, true, ""))
			if err != nil {
				return err
			}
			return o.holds(ctx, c, a.ID, "before", f)
		},
	}, nil
}

func completeAsset(ctx context.Context, c client, _ string) (scene, error) {
	o, f := newOwner(), newFile("uploaded.bin")
	a, err := o.begin(ctx, c, f, "")
	b, err := filled(ctx, c, f, a, err)
	if err != nil {
		return scene{}, err
	}
	made, err := must[said](a, nil)
	there := func(ctx context.Context, c client) func() error {
		return func() error { return o.holds(ctx, c, made.ID, "before", f) }
	}
	return scene{
		send: func(ctx context.Context, c client) (answer, error) { return c.complete(ctx, b.ID, true, "") },
		looks: func(ctx context.Context, c client, acknowledged bool) error {
			return eitherOr(acknowledged, func() error { return o.holds(ctx, c, made.ID, "before") }, there(ctx, c))
		},
		after: func(ctx context.Context, c client, _ answer) error { return there(ctx, c)() },
	}, err
}

func completeVersion(ctx context.Context, c client, _ string) (scene, error) {
	o, first, second := newOwner(), newFile("first.bin"), newFile("second.bin")
	made, err := o.upload(ctx, c, first)
	if err != nil {
		return scene{}, err
	}
	a, err := c.json(ctx, "/create-asset-version", object{"asset_id": made.ID, "size_bytes": len(second.bytes)}, "")
	b, err := filled(ctx, c, second, a, err)
	if err != nil {
		return scene{}, err
	}
	after := func(ctx context.Context, c client) error { return o.holds(ctx, c, made.ID, "before", first, second) }
	return scene{
		send: func(ctx context.Context, c client) (answer, error) { return c.complete(ctx, b.ID, true, "") },
		looks: func(ctx context.Context, c client, acknowledged bool) error {
			return eitherOr(acknowledged, func() error { return o.holds(ctx, c, made.ID, "before", first) }, func() error { return after(ctx, c) })
		},
		after: func(ctx context.Context, c client, _ answer) error { return after(ctx, c) },
	}, nil
}

func setAsset(ctx context.Context, c client, _ string) (scene, error) {
	o, f, key := newOwner(), newFile("uploaded.bin"), uuid.NewString()
	made, err := o.upload(ctx, c, f)
	after := func(ctx context.Context, c client) error { return o.holds(ctx, c, made.ID, "after", f) }
	return scene{
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/set-asset-metadata", object{"asset_id": made.ID, "title": "after", "alias": "after", "tags": []string{"after"}}, key)
		},
		looks: func(ctx context.Context, c client, acknowledged bool) error {
			return eitherOr(acknowledged, func() error { return o.holds(ctx, c, made.ID, "before", f) }, func() error { return after(ctx, c) })
		},
		after: func(ctx context.Context, c client, _ answer) error { return after(ctx, c) },
	}, err
}

// deleteAsset is done when nothing is left of the asset, nor of the bytes of its two
// versions, and another one can have its alias.
func deleteAsset(ctx context.Context, c client, _ string) (scene, error) {
	o, first, second, key := newOwner(), newFile("first.bin"), newFile("second.bin"), uuid.NewString()
	clean, err := c.backstage(ctx, "stored", dropped{})
	if err != nil {
		return scene{}, err
	}
	made, err := o.upload(ctx, c, first)
	if err != nil {
		return scene{}, err
	}
	a, err := c.json(ctx, "/create-asset-version", object{"asset_id": made.ID, "size_bytes": len(second.bytes)}, "")
	b, err := filled(ctx, c, second, a, err)
	if err == nil {
		_, err = must[said](c.complete(ctx, b.ID, true, ""))
	}
	if err != nil {
		return scene{}, err
	}
	full, err := c.backstage(ctx, "stored", dropped{})
	bytes := beyond(full.Objects, clean.Objects)
	if err == nil && len(bytes) != 2 {
		err = fmt.Errorf("the two versions are the objects %v", bytes)
	}
	gone := func(ctx context.Context, c client) error { return o.holds(ctx, c, made.ID, "before") }
	return scene{
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/delete-asset", object{"asset_id": made.ID}, key)
		},
		looks: func(ctx context.Context, c client, acknowledged bool) error {
			return eitherOr(acknowledged, func() error { return o.holds(ctx, c, made.ID, "before", first, second) }, func() error { return gone(ctx, c) })
		},
		after: func(ctx context.Context, c client, _ answer) error {
			if err := gone(ctx, c); err != nil {
				return err
			}
			now, err := c.backstage(ctx, "stored", dropped{})
			if kept := beyond(bytes, beyond(bytes, now.Objects)); err == nil && len(kept) > 0 {
				err = fmt.Errorf("there still is %v", kept)
			}
			if err != nil {
				return err
			}
			next, err := o.upload(ctx, c, first)
			if err != nil {
				return err
			}
			return o.holds(ctx, c, next.ID, "before", first)
		},
	}, err
}

// deleteFileAsAsset takes a file out of a dataset by its id.
func deleteFileAsAsset(ctx context.Context, c client, dataset string) (scene, error) {
	key := uuid.NewString()
	all, err := must[struct {
		Files []struct {
			ID string `json:"file_id"`
		} `json:"files"`
	}](c.list(ctx, dataset, "", 0))
	if err != nil || len(all.Files) != 1 {
		return scene{}, errors.Join(err, fmt.Errorf("the files are %v", all.Files))
	}
	id := all.Files[0].ID
	_, err = must[said](c.json(ctx, "/set-asset-metadata", object{"asset_id": id, "alias": "there", "tags": []string{"there"}}, ""))
	return scene{
		removes: []string{"there.parquet"},
		send: func(ctx context.Context, c client) (answer, error) {
			return c.json(ctx, "/delete-asset", object{"asset_id": id}, key)
		},
	}, err
}
