package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/vfs"
)

// An operation is something done with a guest's files. Query makes the struct
// that its parameters are read into; records says that it gives records, one a
// line, and can be a job.
type operation struct {
	query   func() any
	records bool
	job     bool
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
	ns       *vfs.Namespace
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
	lease, err := w.engine.Use(r.Header.Get(guestHeader))
	if err != nil {
		writeProblem(rw, problemOf(err))
		return
	}
	defer lease.Done()
	run := &run{ctx: r.Context(), w: rw, r: r, ns: lease.Namespace(), query: query}
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

// read gives a file's bytes, all or the ranges that are asked for.
func (o *run) read() error {
	q := o.query.(*api.Place)
	e, err := files.Resolve(o.ctx, o.ns, q.Path, true)
	if err != nil {
		return err
	}
	if err := files.Regular(e); err != nil {
		return err
	}
	o.w.Header().Set("Content-Type", "application/octet-stream")
	if o.r.Header.Get("Range") != "" || o.r.Method == http.MethodHead {
		reader := &failing{ReadSeeker: vfs.NewReader(o.ctx, e.Inode)}
		// The first byte decides whether there is anything to give.
		if off, ok := rangeStart(o.r.Header.Get("Range")); ok && off < e.Attr.Size {
			if _, err := vfs.ReadAt(o.ctx, e.Inode, make([]byte, 1), off); err != nil && !errors.Is(err, io.EOF) {
				o.w.Header().Del("Content-Type")
				return &files.Error{Op: "read", Path: e.Path, Err: fmt.Errorf("at byte %d: %w", off, err)}
			}
		}
		http.ServeContent(o.w, o.r, "", e.Attr.Mtime.Go(), reader)
		if reader.err != nil {
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	o.w.Header().Set("Accept-Ranges", "bytes")
	o.w.Header().Set("Last-Modified", e.Attr.Mtime.Go().UTC().Format(http.TimeFormat))
	body := &lateBody{run: o, size: e.Attr.Size}
	if err := files.Cat(o.ctx, o.ns, e.Path, body); err != nil {
		return err
	}
	return body.begin()
}

// rangeStart is where the first range of a Range header begins.
func rangeStart(h string) (int64, bool) {
	spec, ok := strings.CutPrefix(h, "bytes=")
	first, _, _ := strings.Cut(spec, "-")
	n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	return n, ok && err == nil && n >= 0
}

// lateBody announces the length with the first bytes, so that what fails
// before them is still a problem with a text.
type lateBody struct {
	run  *run
	size int64
	told bool
}

func (b *lateBody) begin() error {
	if !b.told {
		b.told = true
		b.run.out.started = true
		b.run.w.Header().Set("Content-Length", strconv.FormatInt(b.size, 10))
	}
	return nil
}

func (b *lateBody) Write(p []byte) (int, error) {
	_ = b.begin()
	return b.run.w.Write(p)
}

// failing remembers that reading failed.
type failing struct {
	io.ReadSeeker
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// archive gives a tree as tar. What of it could not be read stands in trailers.
func (o *run) archive() error {
	q := o.query.(*api.ArchiveQuery)
	notices := &trailer{}
	opt := files.TarOptions{NoXattrs: q.NoXattrs, NoSparse: q.NoSparse,
		Problem:  func(err error) { notices.add(api.KindProblem, err) },
		Warn:     func(err error) { notices.add(api.KindWarning, err) },
		Progress: func(int64) {}}
	body := &archiveBody{run: o}
	if err := files.Tar(o.ctx, o.ns, q.Path, body, opt); err != nil {
		return err
	}
	o.w.Header().Set(api.ProblemsTrailer, strconv.FormatInt(notices.problems, 10))
	for _, line := range notices.lines {
		o.w.Header().Add(api.NoticesTrailer, line)
	}
	return nil
}

type archiveBody struct {
	run  *run
	told bool
}

func (b *archiveBody) Write(p []byte) (int, error) {
	if !b.told {
		b.told = true
		b.run.out.started = true
		h := b.run.w.Header()
		h.Set("Content-Type", "application/x-tar")
		h.Add("Trailer", api.ProblemsTrailer)
		h.Add("Trailer", api.NoticesTrailer)
	}
	return b.run.w.Write(p)
}

// trailerBytes bounds what the trailers hold.
const trailerBytes = 32 << 10

type trailer struct {
	problems int64
	size     int
	lines    []string
}

func (t *trailer) add(kind string, err error) {
	if kind == api.KindProblem {
		t.problems++
	}
	line, _ := json.Marshal(noticeOf(kind, err)) // a struct of strings
	if t.size += len(line); t.size <= trailerBytes {
		t.lines = append(t.lines, string(line))
	}
}
