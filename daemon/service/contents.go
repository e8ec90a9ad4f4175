package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/vfs"
)

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
	opt := files.TarOptions{NoXattrs: q.NoXattrs, NoSparse: q.NoSparse, Copy: q.Copy,
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
