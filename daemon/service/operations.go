package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/vfs"
)

// An operation is something done with a guest's files. Query makes the struct
// that its parameters are read into; records says that it gives records, one a
// line, and job that it can be one; apart that it opens images itself (apart.go).
type operation struct {
	query   func() any
	records bool
	job     bool
	apart   bool
	do      func(*run) error
}

// operations are all operations by name.
func operations() map[string]operation {
	return map[string]operation{
		"stat":     {query: func() any { return &api.StatQuery{} }, records: true, do: (*run).stat},
		"list":     {query: func() any { return &api.ListQuery{} }, records: true, job: true, do: (*run).list},
		"find":     {query: func() any { return &api.FindQuery{} }, records: true, job: true, do: (*run).find},
		"grep":     {query: func() any { return &api.GrepQuery{} }, records: true, job: true, do: (*run).grep},
		"checksum": {query: func() any { return &api.ChecksumQuery{} }, records: true, job: true, do: (*run).checksum},
		"archive":  {query: func() any { return &api.ArchiveQuery{} }, job: true, do: (*run).archive},
		"read":     {query: func() any { return &api.Place{} }, do: (*run).read},
		"inspect":  {query: func() any { return &struct{}{} }, records: true, do: (*run).inspect},
		"packages": {query: func() any { return &api.PackageQuery{} }, records: true, do: (*run).packages},
		"usage":    {query: func() any { return &struct{}{} }, records: true, apart: true, do: (*run).usage},
		"check":    {query: func() any { return &api.CheckQuery{} }, records: true, job: true, apart: true, do: (*run).check},
		"diff":     {query: func() any { return &api.DiffQuery{} }, records: true, job: true, apart: true, do: (*run).diff},
	}
}

// parseOperation reads the parameters of an operation.
func parseOperation(name string, q url.Values) (operation, any, error) {
	op, ok := operations()[name]
	if !ok {
		return op, nil, invalid("there is no operation %q", name)
	}
	query := op.query()
	known := api.Known(query)
	for given := range q {
		if !contains(known, given) {
			return op, nil, invalid("%s has no parameter %q: there are %s", name, given, strings.Join(known, ", "))
		}
	}
	if err := api.FromQuery(q, query); err != nil {
		return op, nil, invalid("%s", err)
	}
	return op, query, nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func invalid(format string, args ...any) *api.Problem {
	return api.NewProblem(http.StatusUnprocessableEntity, api.CodeInvalid, fmt.Sprintf(format, args...), "")
}

// A run is one run of an operation for one request.
type run struct {
	ctx      context.Context
	w        http.ResponseWriter
	r        *http.Request
	worker   *worker
	guest    string         // id of the image set
	lease    *Lease         // nil where the operation opens it itself
	ns       *vfs.Namespace // of the lease
	query    any
	out      *records
	problems atomic.Int64
	hashed   atomic.Int64 // bytes of the guest
}

// operation is the worker's handler of all of them. The guest and whether
// progress is told stand in headers, so that the query is the operation's own.
func (w *worker) operation(rw http.ResponseWriter, r *http.Request) {
	op, query, err := parseOperation(r.PathValue("op"), r.URL.Query())
	if err != nil {
		writeProblem(rw, problemOf(err))
		return
	}
	run := &run{ctx: r.Context(), w: rw, r: r, worker: w, guest: r.Header.Get(guestHeader), query: query}
	if !op.apart {
		lease, err := w.engine.Use(run.guest)
		if err != nil {
			writeProblem(rw, problemOf(err))
			return
		}
		defer lease.Done()
		run.lease, run.ns = lease, lease.Namespace()
	}
	run.out = newRecords(rw)
	stop := func() {}
	if r.Header.Get(progressHeader) != "" && op.records {
		stop = run.out.tellProgress(&run.hashed)
	}
	_, err = guarded(func() (struct{}, error) { return struct{}{}, op.do(run) })
	stop()
	run.finish(op, err)
}

// The headers between broker and worker.
const (
	guestHeader    = "Guestctl-Guest"
	progressHeader = "Guestctl-Progress"
)

// finish ends the reply.
func (o *run) finish(op operation, err error) {
	if err != nil && o.ctx.Err() != nil {
		panic(http.ErrAbortHandler) // nobody reads it
	}
	switch {
	case err != nil && !o.out.begun():
		writeProblem(o.w, problemOf(err))
	case err != nil && op.records:
		_ = o.out.put(noticeOf(api.KindFailure, err))
		_ = o.out.flush()
	case err != nil:
		// A body of bytes can say that it is short only by breaking off.
		panic(http.ErrAbortHandler)
	case op.records:
		if o.out.flush() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// problem and warn put what failed into the stream.
func (o *run) problem(err error) {
	o.problems.Add(1)
	_ = o.out.put(noticeOf(api.KindProblem, err)) // the next record fails too
}

func (o *run) stat() error {
	q := o.query.(*api.StatQuery)
	e, err := files.Resolve(o.ctx, o.ns, q.Path, q.Follow)
	if err != nil {
		return err
	}
	o.out.media = "application/json"
	return o.out.put(files.NewRecord(o.ctx, o.ns, e, true))
}

func (o *run) list() error {
	q := o.query.(*api.ListQuery)
	if !q.Sorted {
		return o.listUnsorted(q)
	}
	opt := files.ListOptions{All: q.All, Recursive: q.Recursive, Itself: q.Itself, Problem: o.problem}
	return files.List(o.ctx, o.ns, q.Path, opt, func(l *files.Listing) error {
		for _, e := range l.Entries {
			if err := o.out.put(files.NewRecord(o.ctx, o.ns, e, false)); err != nil {
				return err
			}
		}
		return nil
	})
}

// listUnsorted holds no directory in memory.
func (o *run) listUnsorted(q *api.ListQuery) error {
	from, err := files.Resolve(o.ctx, o.ns, q.Path, !q.Itself)
	if err != nil {
		return err
	}
	walk := files.WalkOptions{MaxDepth: 1}
	if q.Recursive {
		walk.MaxDepth = -1
	}
	directory := from.Inode != nil && from.Attr.FileMode().IsDir()
	if q.Itself || !directory {
		walk.MaxDepth = 0
	}
	hidden := func(e *files.Entry) bool { return !q.All && e.Depth > 0 && strings.HasPrefix(e.Name, ".") }
	walk.Skip = hidden
	return files.Walk(o.ctx, o.ns, from, walk, func(e *files.Entry) error {
		switch {
		case e.Err != nil:
			o.problem(e.Err)
			return nil
		case hidden(e), e.Depth == 0 && walk.MaxDepth != 0:
			return nil
		}
		return o.out.put(files.NewRecord(o.ctx, o.ns, e, false))
	})
}

func (o *run) find() error {
	opt, err := findOptions(o.query.(*api.FindQuery))
	if err != nil {
		return err
	}
	opt.Problem = o.problem
	return files.Find(o.ctx, o.ns, o.query.(*api.FindQuery).Path, opt, func(e *files.Entry) error {
		return o.out.put(files.NewRecord(o.ctx, o.ns, e, false))
	})
}

func findOptions(q *api.FindQuery) (files.FindOptions, error) {
	opt := files.FindOptions{MinDepth: q.MinDepth, MaxDepth: q.MaxDepth}
	for _, list := range []struct {
		patterns []string
		fold     bool
		to       *[]*files.Glob
	}{{q.Name, false, &opt.Names}, {q.IName, true, &opt.Names}, {q.PathIs, false, &opt.Paths}} {
		for _, p := range list.patterns {
			g, err := files.ParseGlob(p, list.fold)
			if err != nil {
				return opt, invalid("%s", err)
			}
			*list.to = append(*list.to, g)
		}
	}
	var err error
	if q.Type != "" {
		if opt.Types, err = files.ParseTypes(q.Type); err != nil {
			return opt, invalid("%s", err)
		}
	}
	for _, v := range q.Size {
		r, err := files.ParseSize(v)
		if err != nil {
			return opt, invalid("%s", err)
		}
		opt.Size = append(opt.Size, r)
	}
	for _, v := range q.Mtime {
		r, err := files.ParseAge(v, time.Now())
		if err != nil {
			return opt, invalid("%s", err)
		}
		opt.Mtime = append(opt.Mtime, r)
	}
	return opt, nil
}

func (o *run) checksum() error {
	q := o.query.(*api.ChecksumQuery)
	hash, err := files.NewHash(q.Algorithm)
	if err != nil {
		return invalid("%s", err)
	}
	opt := files.ChecksumOptions{Hash: hash, Recursive: q.Recursive, Problem: o.problem, Progress: func(n int64) { o.hashed.Add(n) }}
	return files.Checksum(o.ctx, o.ns, q.Path, opt, func(sum files.Sum) error {
		r := api.Checksum{Schema: api.ChecksumSchema, Algorithm: q.Algorithm, Hex: sum.Hex, Size: sum.Size}
		r.Path, r.PathRaw = text(sum.Path)
		return o.out.put(r)
	})
}
