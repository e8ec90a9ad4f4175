package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// The operations of package daemon/files, on a guest that is open here or at a
// daemon, which is asked in the words of the command line.

func (o *opened) cat(ctx context.Context, path string, w io.Writer) error {
	if o.remote == nil {
		return files.Cat(ctx, o.Namespace(), path, w)
	}
	return local(o.remote.Read(ctx, o.remote.id, path, w))
}

func (o *opened) tar(ctx context.Context, path string, w io.Writer, opt files.TarOptions) error {
	if o.remote == nil {
		return files.Tar(ctx, o.Namespace(), path, w, opt)
	}
	q := api.ArchiveQuery{Place: api.Place{Path: path}, NoXattrs: opt.NoXattrs, NoSparse: opt.NoSparse}
	return local(o.remote.Archive(ctx, o.remote.id, q, notices(opt.Problem, opt.Warn), &telling{w, opt.Progress}))
}

// copy copies to this host, through a daemon by way of an archive.
func (o *opened) copy(ctx context.Context, from, to string, opt files.CopyOptions) error {
	if o.remote == nil {
		return files.Copy(ctx, o.Namespace(), from, to, opt)
	}
	top, err := o.resolve(ctx, from, strings.HasSuffix(from, "/"))
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	sent := make(chan error, 1)
	var problems, warned []error // told when those of this host are
	go func() {
		q := api.ArchiveQuery{Place: api.Place{Path: from}, Copy: true, NoXattrs: opt.Plain}
		err := local(o.remote.Archive(ctx, o.remote.id, q, notices(func(err error) { problems = append(problems, err) },
			func(err error) { warned = append(warned, err) }), w))
		w.CloseWithError(err)
		sent <- err
	}()
	err = files.Extract(ctx, r, top, to, opt)
	r.CloseWithError(err)
	if serr := <-sent; err == nil {
		err = serr
	}
	for _, e := range warned {
		opt.Warn(e)
	}
	for _, e := range problems {
		opt.Problem(e)
	}
	return err
}

// telling tells how much is written.
type telling struct {
	w    io.Writer
	tell func(int64)
}

func (t *telling) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	if t.tell != nil {
		t.tell(int64(n))
	}
	return n, err
}

func (o *opened) checksum(ctx context.Context, path string, opt files.ChecksumOptions, each func(files.Sum) error) error {
	if o.remote == nil {
		return files.Checksum(ctx, o.Namespace(), path, opt, each)
	}
	q := api.ChecksumQuery{Place: api.Place{Path: path}, Algorithm: o.remote.cli.String("algorithm"), Recursive: opt.Recursive}
	return local(o.remote.Checksum(ctx, o.remote.id, q, notices(opt.Problem, nil), func(r api.Checksum) error {
		if opt.Progress != nil {
			opt.Progress(r.Size)
		}
		return each(files.Sum{Path: bytesOf(r.Path, r.PathRaw), Size: r.Size, Hex: r.Hex})
	}))
}

func (o *opened) find(ctx context.Context, path string, opt files.FindOptions, each func(*files.Entry) error) error {
	if o.remote == nil {
		return files.Find(ctx, o.Namespace(), path, opt, each)
	}
	c := o.remote.cli
	q := api.FindQuery{Place: api.Place{Path: path}, Name: c.StringSlice("name"), IName: c.StringSlice("iname"), PathIs: c.StringSlice("path"),
		Type: c.String("type"), Size: c.StringSlice("size"), Mtime: c.StringSlice("mtime"), MinDepth: opt.MinDepth, MaxDepth: opt.MaxDepth}
	return local(o.remote.Find(ctx, o.remote.id, q, notices(opt.Problem, nil), func(f api.File) error { return each(o.remote.entry(f)) }))
}

func (o *opened) resolve(ctx context.Context, path string, follow bool) (*files.Entry, error) {
	if o.remote == nil {
		return files.Resolve(ctx, o.Namespace(), path, follow)
	}
	f, err := o.remote.Stat(ctx, o.remote.id, api.StatQuery{Place: api.Place{Path: path}, Follow: follow})
	if err != nil {
		return nil, local(err)
	}
	return o.remote.entry(f), nil
}

// record describes an entry as --json shows it.
func (o *opened) record(ctx context.Context, e *files.Entry, xattrs bool) files.Record {
	if o.remote == nil {
		return files.NewRecord(ctx, o.Namespace(), e, xattrs)
	}
	if f, ok := e.Inode.(*remoteInode); ok {
		return f.record
	}
	return o.remote.unread[e]
}

func (o *opened) grep(ctx context.Context, path string, opt files.GrepOptions, each func(*files.Hit) error) error {
	if o.remote == nil {
		return files.Grep(ctx, o.Namespace(), path, opt, each)
	}
	c := o.remote.cli
	patterns := c.StringSlice("regexp")
	if len(patterns) == 0 {
		patterns = []string{c.Args().First()}
	}
	// The files without a match matter too, where lines are not wanted.
	q := api.GrepQuery{Place: api.Place{Path: path}, Pattern: patterns, Recursive: opt.Recursive, Include: c.StringSlice("include"), Fixed: c.Bool("fixed-strings"),
		IgnoreCase: c.Bool("ignore-case"), Invert: opt.Invert, Word: c.Bool("word-regexp"), Line: c.Bool("line-regexp"), Text: opt.Text,
		SkipBinary: opt.NoBinary, Count: opt.Count || opt.First, Max: opt.Max}
	return local(o.remote.Grep(ctx, o.remote.id, q, notices(opt.Problem, nil), func(m api.Match) error {
		h := &files.Hit{Path: bytesOf(m.Path, m.PathRaw), Binary: m.Binary, Count: 1}
		switch {
		case m.Count != nil:
			h.Count = *m.Count
		case !m.Binary:
			h.Lines = []files.Line{{Number: m.Line, Off: *m.Offset, Text: []byte(bytesOf(m.Text, m.TextRaw))}}
		}
		return each(h)
	}))
}

// list gives listings as files.List does. A daemon gives the files one after
// the other, so the directories without any are put back in here, in the order
// in which a tree is walked.
func (o *opened) list(ctx context.Context, path string, opt files.ListOptions, each func(*files.Listing) error) error {
	if o.remote == nil {
		return files.List(ctx, o.Namespace(), path, opt, each)
	}
	q := api.ListQuery{Place: api.Place{Path: path}, All: opt.All, Recursive: opt.Recursive, Itself: opt.Itself, Sorted: true}
	top, err := o.resolve(ctx, path, true)
	if err != nil || opt.Itself || top.Type() != syscall.S_IFDIR {
		// One file; a symlink to nothing is listed itself.
		return local(o.remote.List(ctx, o.remote.id, q, notices(opt.Problem, nil), func(f api.File) error {
			return each(&files.Listing{Entries: []*files.Entry{o.remote.entry(f)}})
		}))
	}
	l := &listings{each: each, todo: []*files.Entry{top}}
	err = o.remote.List(ctx, o.remote.id, q, notices(opt.Problem, nil), func(f api.File) error { return l.add(o.remote.entry(f), opt.Recursive) })
	if err != nil {
		return local(err)
	}
	return l.end(opt.Recursive)
}

// listings puts entries into the listings of their directories.
type listings struct {
	each func(*files.Listing) error
	todo []*files.Entry // directories whose listings come, the next one last
	dir  *files.Entry   // whose entries are held
	held []*files.Entry
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func (l *listings) add(e *files.Entry, recursive bool) error {
	parent := parentOf(e.Path)
	for l.dir == nil || l.dir.Path != parent {
		if l.dir == nil && len(l.todo) == 0 {
			return fmt.Errorf("the daemon lists %q, which is in no directory that it listed", e.Path)
		}
		if err := l.next(recursive); err != nil {
			return err
		}
	}
	l.held = append(l.held, e)
	return nil
}

// next gives what is held and goes on to the next directory.
func (l *listings) next(recursive bool) error {
	if l.dir != nil {
		if err := l.each(&files.Listing{Dir: l.dir, Entries: l.held}); err != nil {
			return err
		}
	}
	if recursive {
		for i := len(l.held) - 1; i >= 0; i-- {
			if e := l.held[i]; e.Inode != nil && e.Type() == syscall.S_IFDIR {
				l.todo = append(l.todo, e)
			}
		}
	}
	l.held, l.dir = nil, nil
	if n := len(l.todo); n > 0 {
		l.dir, l.todo = l.todo[n-1], l.todo[:n-1]
	}
	return nil
}

func (l *listings) end(recursive bool) error {
	for l.dir != nil || len(l.todo) > 0 {
		if err := l.next(recursive); err != nil {
			return err
		}
	}
	return nil
}

// entry is a record as an Entry.
func (r *remote) entry(f api.File) *files.Entry {
	e := &files.Entry{Path: bytesOf(f.Path, f.PathRaw), Node: r.ns.Root()}
	e.Name = e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	e.Node.Ino.Num = f.Inode
	if f.Type == "unknown" {
		r.unread[e] = f
		return e
	}
	mode, _ := strconv.ParseUint(f.Mode, 8, 32) // the daemon wrote it
	e.Attr = vfs.Attr{Mode: uint32(mode) | typeBits(f.Type), Nlink: f.Nlink, UID: f.UID, GID: f.GID, Size: f.Size, Blocks: f.Blocks, Project: f.Project,
		Mtime: timeOf(f.Mtime), Ctime: timeOf(f.Ctime), Atime: timeOf(f.Atime), Btime: timeOf(f.Btime), Rdev: rdevOf(f.Device)}
	e.Inode = &remoteInode{e.Attr, f}
	return e
}

func typeBits(name string) uint32 {
	return map[string]uint32{"file": syscall.S_IFREG, "directory": syscall.S_IFDIR, "symlink": syscall.S_IFLNK, "chardev": syscall.S_IFCHR,
		"blockdev": syscall.S_IFBLK, "fifo": syscall.S_IFIFO, "socket": syscall.S_IFSOCK}[name]
}

func timeOf(s string) vfs.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return vfs.Time{} // not recorded
	}
	return vfs.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// rdevOf is a device's number as vfs.Attr has it.
func rdevOf(s string) uint32 {
	first, second, _ := strings.Cut(s, ":")
	major, _ := strconv.ParseUint(first, 10, 32) // the daemon wrote it
	minor, _ := strconv.ParseUint(second, 10, 32)
	return uint32(minor&0xff | major<<8 | (minor&^0xff)<<12)
}

// A remoteInode has what a record says, and no contents.
type remoteInode struct {
	attr   vfs.Attr
	record files.Record
}

func (i *remoteInode) Ino() vfs.Ino   { return vfs.Ino{Num: i.record.Inode} }
func (i *remoteInode) Attr() vfs.Attr { return i.attr }
func (i *remoteInode) Lookup(context.Context, string) (vfs.Ino, error) {
	return vfs.Ino{}, syscall.EOPNOTSUPP
}
func (i *remoteInode) Map(context.Context, int64, int64) (vfs.Extent, error) {
	return vfs.Extent{}, syscall.EOPNOTSUPP
}
func (i *remoteInode) Entries(context.Context, vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) { yield(vfs.Entry{}, syscall.EOPNOTSUPP) }
}
func (i *remoteInode) Readlink(context.Context) (string, error) {
	return bytesOf(i.record.Target, i.record.TargetRaw), nil
}
func (i *remoteInode) Xattrs(context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(func(vfs.Xattr, error) bool) {}
}

// sizeOnly is a device of which the size is known alone.
type sizeOnly int64

func (s sizeOnly) Size() int64 { return int64(s) }
func (s sizeOnly) ReadAt(context.Context, []byte, int64) (int, error) {
	return 0, syscall.EOPNOTSUPP
}
func (s sizeOnly) Locate(context.Context, int64, int64) (block.Run, error) {
	return block.Run{}, syscall.EOPNOTSUPP
}
