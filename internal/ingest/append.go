package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/parqueue/parqueue/internal/dataset"
	"github.com/parqueue/parqueue/internal/fault"
)

// appendInOrder appends arrivals that are ready and have one schema, in the order
// given, and in one step unless something is in the way: each then is listed or
// has an error. One that was appended before, or whose name is taken, is settled
// by itself, between what comes before and after it. It reports whether all are
// listed; with stopAtFirst nothing that comes behind one that isn't is appended.
func (i *Ingester) appendInOrder(ctx context.Context, run []*arrival, stopAtFirst bool) bool {
	if len(run) == 0 {
		return true
	}
	files := make([]dataset.File, len(run))
	for n, a := range run {
		files[n] = a.file
	}
	done, err := i.catalog.Append(ctx, dataset.Append{Tenant: i.tenant, DatasetID: run[0].place.datasetID, Files: files, Schema: run[0].schema})
	if err == nil {
		for n, a := range run {
			a.file, a.listed = done.Files[n], true
		}
		return true
	}
	at := named(err, run)
	if at < 0 {
		for _, a := range run {
			a.err = fmt.Errorf("appending to %s: %w", a.place.datasetID, err)
		}
		return false
	}
	if len(run) == 1 {
		return i.settle(ctx, run[0], err)
	}
	all := true
	for _, piece := range [][]*arrival{run[:at], run[at : at+1], run[at+1:]} {
		if !i.appendInOrder(ctx, piece, stopAtFirst) {
			if stopAtFirst {
				return false
			}
			all = false
		}
	}
	return all
}

// named finds the arrival that a refusal is about, or -1 when it is about all of
// them or none.
func named(err error, run []*arrival) int {
	switch fault.CodeOf(err) {
	case fault.CodeFileExists, fault.CodeUploadClosed:
		name := faultOf(err).Details["file_name"]
		return slices.IndexFunc(run, func(a *arrival) bool { return a.file.Name == name })
	}
	return -1
}

// settle decides about an arrival that can't be appended although it is alone. It
// reports whether it is listed.
func (i *Ingester) settle(ctx context.Context, a *arrival, why error) bool {
	if fault.Is(why, fault.CodeUploadClosed) { // its copy was given up
		a.attempt.number++
		a.err = fmt.Errorf("%w: %w", errNextTry, why)
		return false
	}
	if a.err = i.nameFree(ctx, a); a.err == nil && !a.listed {
		a.err = fmt.Errorf("%w: the file in the way has gone", errNextTry)
	}
	return a.listed
}
