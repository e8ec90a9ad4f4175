package service

import (
	"context"
	"errors"
	"net/http"
	"syscall"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/check"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/daemon/usage"
)

// The operations that open image sets themselves, in a worker of their own.

// prepare makes an image set known.
func (w *worker) prepare(_ context.Context, q workerOpen) (struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prepared[q.ID] = q
	return struct{}{}, nil
}

// spec is how an image set is opened; call the function after that.
func (w *worker) spec(q workerOpen) (spec daemon.Spec, wipe func()) {
	spec = q.Spec
	spec.Files = guestFiles{w.asker, q.ID}
	spec.Log = w.log.With("image", q.ID)
	spec.Keys = unlocking(q.Keys)
	return spec, spec.Keys.Wipe
}

// specOf is the spec of one that was prepared.
func (o *run) specOf(id string) (daemon.Spec, func(), error) {
	o.worker.mu.Lock()
	q, ok := o.worker.prepared[id]
	o.worker.mu.Unlock()
	if !ok {
		return daemon.Spec{}, nil, noImage(id)
	}
	spec, wipe := o.worker.spec(q)
	return spec, wipe, nil
}

func (o *run) usage() error {
	spec, wipe, err := o.specOf(o.guest)
	if err != nil {
		return err
	}
	defer wipe()
	list, err := usage.One(o.ctx, spec)
	if err != nil {
		return err
	}
	for _, u := range list {
		if err := o.out.put(u); err != nil {
			return err
		}
	}
	return nil
}

func (o *run) check() error {
	q := o.query.(*api.CheckQuery)
	spec, wipe, err := o.specOf(o.guest)
	if err != nil {
		return err
	}
	defer wipe()
	out, err := check.Run(o.ctx, spec, check.Options{Volume: q.Volume, Data: q.Data}, func(f api.Finding) error { return o.out.put(f) })
	if q.Volume != "" && errors.Is(err, syscall.ENOENT) {
		err = api.NewProblem(http.StatusNotFound, api.CodeNoVolume, err.Error(), "")
	}
	if err != nil {
		return err
	}
	return o.out.put(out)
}

func (o *run) diff() error {
	q := o.query.(*api.DiffQuery)
	if q.NoTimes && q.DirTimes {
		return invalid("no_times and dir_times exclude each other")
	}
	var sides [2]*Lease
	for i, id := range []string{o.guest, q.With} {
		spec, wipe, err := o.specOf(id)
		if err != nil {
			return err
		}
		sides[i], err = o.worker.engine.Open(o.ctx, id, spec)
		wipe()
		if err != nil {
			return err
		}
		defer sides[i].Done()
	}
	opt := files.DiffOptions{NoTimes: q.NoTimes, DirTimes: q.DirTimes, Problem: func(side int, err error) {
		n := noticeOf(api.KindProblem, err)
		if side == 1 {
			n.Side = 2
		}
		_ = o.out.put(n) // the next record fails too
	}}
	return files.Diff(o.ctx, sides[0].Namespace(), q.Path, sides[1].Namespace(), q.WithPath, opt, func(d *files.Difference) error {
		return o.out.put(d.Record())
	})
}

// packages is of an image set that is open.
func (o *run) packages() error {
	r, err := o.lease.Packages(o.ctx, inspect.PackageOptions{Languages: o.query.(*api.PackageQuery).Languages})
	if err != nil {
		return err
	}
	o.out.media = "application/json"
	return o.out.put(r)
}

// inspect is of an image set that is open.
func (o *run) inspect() error {
	r, err := o.lease.Inspect(o.ctx)
	if err != nil {
		return err
	}
	o.out.media = "application/json"
	return o.out.put(r)
}
