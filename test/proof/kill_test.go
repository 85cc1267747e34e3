package proof

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parqueue/parqueue/internal/testtool"
)

// TestKillPoints kills a server at every step of every operation, one after the
// other (in a plain run at every third one, beginning with one of the first three), starts it again over what is left, and looks: nothing that was
// acknowledged is lost or has moved, the operation shows as a whole or not at all, whatever is
// listed can be downloaded, the dataset takes a file at once, and a retry finishes
// what was begun.
func TestKillPoints(t *testing.T) {
	t.Parallel()
	for _, stores := range []struct {
		name string
		set  func(testing.TB) order
	}{
		{"DynamoDB and S3", func(t testing.TB) order { c := startCloud(t); return order{Cloud: &c} }},
		{"SQLite and embedded S3", func(t testing.TB) order { return order{Dir: t.TempDir()} }},
	} {
		t.Run(stores.name, func(t *testing.T) {
			t.Parallel()
			k := &killer{t: t, order: stores.set(t), stride: 1, dice: newDice(t)}
			if testtool.Scale(t) == 1 {
				k.stride = 3
			}
			k.victim = startVictim(t, k.order)
			t.Cleanup(func() { k.victim.stop() })
			for _, o := range slices.Concat(operations(), assetOperations()) {
				k.tryAll(o)
			}
			k.inTheEnd()
			t.Logf("killed %d times; the dataset took a file again after at most %v", k.kills, k.slowest.Round(time.Millisecond))
		})
	}
}

// killer kills victims, one after the other, over the same stores.
type killer struct {
	t      *testing.T
	order  order
	victim *victim
	stride int // from a step to the next one that is tried
	dice   *dice

	kills    int
	slowest  time.Duration // from the start of a server until a dataset took a file
	datasets []told
}

// told is what clients were told of a dataset.
type told struct {
	id    string
	files []row
}

// tryAll kills at one step of an operation after the other, until it comes to its
// end.
func (k *killer) tryAll(o operation) {
	k.t.Helper()
	var steps []string
	for at := 1 + k.dice.below(k.stride); ; at += k.stride {
		step, err := k.try(o, at)
		if err != nil {
			k.t.Errorf("%s, killed at step %d (%s): %v", o.name, at, step, err)
		}
		if step == "" {
			break
		}
		steps = append(steps, step)
	}
	if (len(steps)+1)*k.stride < fewestSteps {
		k.t.Errorf("%s has too few steps; something is not counted: %q", o.name, steps)
	}
	k.t.Logf("%s, killed at %d steps: %s", o.name, len(steps), strings.Join(counted(steps), "; "))
}

// fewestSteps is what a request, one transaction of SQLite with two rows, and an
// answer come to.
const fewestSteps = 7

// counted joins equal steps that follow one another.
func counted(steps []string) []string {
	var short []string
	for at := 0; at < len(steps); {
		n := 1
		for at+n < len(steps) && steps[at+n] == steps[at] {
			n++
		}
		text := steps[at]
		if n > 1 {
			text = fmt.Sprintf("%s (%d times)", text, n)
		}
		short, at = append(short, text), at+n
	}
	return short
}

// try kills at one step and looks. It returns the step, or "" when the operation
// has fewer.
func (k *killer) try(o operation, at int) (step string, err error) {
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Minute)
	defer cancel()
	c := k.victim.client
	id, err := c.create(ctx)
	if err != nil {
		return "", err
	}
	if _, err := must[row](c.upload(ctx, id, newFile("there.parquet"), "")); err != nil {
		return "", err
	}
	s, err := o.prepare(ctx, c, id)
	if err != nil {
		return "", err
	}
	before, err := c.files(ctx, id)
	if err != nil {
		return "", err
	}
	doomed := c
	doomed.die = at
	first, err := s.send(ctx, doomed)
	acknowledged := err == nil && first.status == http.StatusOK
	if step = k.victim.died(); step == "" {
		return "", errors.Join(err, first.decode(&object{}))
	}
	k.kills++
	began := time.Now()
	k.victim = startVictim(k.t, k.order)
	if s.ends {
		return step, k.lookForEnd(ctx, id, s, before, acknowledged)
	}
	return step, k.look(ctx, id, s, before, acknowledged, began)
}

// lookForEnd checks everything after a kill in the middle of the end of a dataset:
// all of it is there, or it is gone.
func (k *killer) lookForEnd(ctx context.Context, id string, s scene, before []row, acknowledged bool) error {
	c := k.victim.client
	gone, err := ended(ctx, c, id)
	if err != nil {
		return err
	}
	if !gone {
		if acknowledged {
			return errors.New("it was acknowledged and is not done")
		}
		files, err := c.files(ctx, id)
		if err != nil || !slices.Equal(files, before) {
			return errors.Join(err, fmt.Errorf("before there were %v, now there are %v", before, files))
		}
		if err := whole(ctx, c, id, files); err != nil {
			return err
		}
	}
	if _, err := must[object](s.send(ctx, c)); err != nil {
		return fmt.Errorf("the retry: %w", err)
	}
	if gone, err := ended(ctx, c, id); err != nil || !gone {
		return errors.Join(err, errors.New("after the retry the dataset is not gone"))
	}
	a, err := c.upload(ctx, id, newFile("late.parquet"), "")
	if err == nil && a.code() != "dataset_not_found" {
		err = fmt.Errorf("a file for a dataset that is gone was answered %d %s", a.status, a.body)
	}
	return err
}

// ended reports whether a dataset is gone.
func ended(ctx context.Context, c client, id string) (bool, error) {
	a, err := c.list(ctx, id, "", 0)
	if err == nil && a.status != http.StatusOK && a.code() != "dataset_not_found" {
		err = fmt.Errorf("listing was answered %d %s", a.status, a.body)
	}
	return a.code() == "dataset_not_found", err
}

// look checks everything after a kill.
func (k *killer) look(ctx context.Context, id string, s scene, before []row, acknowledged bool, began time.Time) error {
	c := k.victim.client
	probe := newFile("probe.parquet")
	if _, err := must[row](c.upload(ctx, id, probe, "")); err != nil {
		return fmt.Errorf("the dataset takes no file: %w", err)
	}
	k.slowest = max(k.slowest, time.Since(began))
	shown, err := c.files(ctx, id)
	if err != nil {
		return err
	}
	done, err := s.shows(before, shown, probe)
	if err != nil {
		return err
	}
	if acknowledged && !done {
		return fmt.Errorf("it was acknowledged and is not done: %v", shown)
	}
	if err := whole(ctx, c, id, shown); err != nil {
		return fmt.Errorf("before the retry: %w", err)
	}
	if s.looks != nil {
		if err := s.looks(ctx, c, acknowledged); err != nil {
			return fmt.Errorf("before the retry: %w", err)
		}
	}
	again, err := s.send(ctx, c)
	if err != nil {
		return fmt.Errorf("the retry: %w", err)
	}
	if refused := done && s.refusedTwice != "" && again.code() == s.refusedTwice; again.status != http.StatusOK && !refused {
		return fmt.Errorf("the retry was answered %d %s", again.status, again.body)
	}
	if s.after != nil {
		if err := s.after(ctx, c, again); err != nil {
			return fmt.Errorf("after the retry: %w", err)
		}
	}
	last, err := c.files(ctx, id)
	if err != nil {
		return err
	}
	if err := s.finished(before, shown, last); err != nil {
		return err
	}
	k.datasets = append(k.datasets, told{id, last})
	return whole(ctx, c, id, last)
}

// shows reports whether an operation shows in a listing, which has to be that
// from before it, the operation's effect as a whole or nothing of it, and a file that was
// appended since.
func (s scene) shows(before, now []row, probe file) (done bool, err error) {
	without := slices.Concat(before, []row{{probe.name, next(before), probe.sum}})
	with := slices.DeleteFunc(slices.Clone(before), func(r row) bool { return slices.Contains(s.removes, r.Name) })
	for n, f := range s.adds {
		with = append(with, row{f.name, next(before) + int64(n), f.sum})
	}
	with = append(with, row{probe.name, next(before) + int64(len(s.adds)), probe.sum})
	switch {
	case slices.Equal(now, without) && len(s.adds)+len(s.removes) > 0:
		return false, nil
	case slices.Equal(now, with):
		return true, nil
	}
	return false, fmt.Errorf("before there were %v, now there are %v: neither all of it nor nothing", before, now)
}

// finished checks that the operation was done once, and nothing else moved.
func (s scene) finished(before, shown, last []row) error {
	kept := slices.DeleteFunc(slices.Clone(shown), func(r row) bool { return slices.Contains(s.removes, r.Name) })
	if len(last) < len(kept) || !slices.Equal(last[:len(kept)], kept) {
		return fmt.Errorf("the retry turned %v into %v", shown, last)
	}
	sums := map[string]int{}
	for _, r := range last {
		sums[r.Sum]++
	}
	for _, f := range s.adds {
		if sums[f.sum] != 1 {
			return fmt.Errorf("after the retry %s is there %d times in %v", f.name, sums[f.sum], last)
		}
	}
	if s.after == nil && len(last) != len(before)+1+len(s.adds)-len(s.removes) {
		return fmt.Errorf("in the end there are %v", last)
	}
	return nil
}

// next is the position behind a listing of files of which none was deleted.
func next(files []row) int64 {
	if len(files) == 0 {
		return 0
	}
	return files[len(files)-1].Position + 1
}

// whole checks that every file can be downloaded as it was sent, and that the
// store has what the catalog says.
func whole(ctx context.Context, c client, id string, files []row) error {
	for _, r := range files {
		a, err := c.download(ctx, id, r.Name)
		if err == nil && a.status == http.StatusSeeOther {
			a, err = c.get(ctx, a.header.Get("Location"))
		}
		if err == nil && (a.status != http.StatusOK || sumOf(a.body) != r.Sum) {
			err = fmt.Errorf("answered %d with %d bytes that are not the file's", a.status, len(a.body))
		}
		if err != nil {
			return fmt.Errorf("downloading %s: %w", r.Name, err)
		}
	}
	checked, err := must[struct {
		Problems []any `json:"problems"`
	}](c.json(ctx, "/verify-dataset", object{"dataset_id": id}, ""))
	if err == nil && len(checked.Problems) > 0 {
		err = fmt.Errorf("verify-dataset found %v", checked.Problems)
	}
	return err
}

// inTheEnd looks at all datasets once more, after all the kills.
func (k *killer) inTheEnd() {
	k.t.Helper()
	for _, d := range k.datasets {
		files, err := k.victim.files(k.t.Context(), d.id)
		if err != nil || !slices.Equal(files, d.files) {
			k.t.Errorf("%s has changed from %v to %v: %v", d.id, d.files, files, err)
		}
	}
}
