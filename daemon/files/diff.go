package files

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// diffAhead bounds the pairs of files that are compared and wait to be told.
const diffAhead = 256

// DiffOptions are the choices of Diff.
type DiffOptions struct {
	NoTimes  bool // times do not count
	DirTimes bool // those of directories do, which change with what is in them
	Workers  int  // 0: twice GOMAXPROCS
	// Problem gets what could not be read on a side: 0 is the first, 1 the second.
	Problem  func(side int, err error)
	Progress func(files int64) // called with the files compared since; may be nil
	Stats    *DiffStats        // nil: nothing is counted
}

// A Difference is a path at which two trees differ.
type Difference struct {
	Path string // below the two places: "/passwd"; "/" is the places themselves
	From *Entry // nil: it was added
	To   *Entry // nil: it was removed
	// What changed, of what is on both sides: type content size mode owner
	// links mtime target device xattrs flags.
	What   []string
	Xattrs []string // names of the extended attributes that differ
}

// Diff compares what is at and below two places, in one guest or in two, and
// gives what differs, a directory before what is in it and sorted by name.
//
// File contents are compared by where they lie first: bytes of two clones of
// one image, or of two snapshots, that are the same bytes of the same host file
// are equal and never read (contents.go). Link counts of directories and the
// times of access and of change do not count.
//
// One directory of each side, with those above it, is held in memory. each runs
// on the caller's goroutine.
func Diff(ctx context.Context, nsA *vfs.Namespace, pathA string, nsB *vfs.Namespace, pathB string, opt DiffOptions, each func(*Difference) error) error {
	a, err := Resolve(ctx, nsA, pathA, true)
	if err != nil {
		return err
	}
	b, err := Resolve(ctx, nsB, pathB, true)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &differ{ctx: ctx, sides: [2]diffSide{newDiffSide(nsA), newDiffSide(nsB)}, opt: opt, pairs: make(chan *pair, diffAhead), tasks: make(chan *pair, diffAhead)}
	if d.opt.Stats == nil {
		d.opt.Stats = &DiffStats{}
	}
	if d.opt.Workers <= 0 {
		d.opt.Workers = 2 * runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var walkErr error
	wg.Go(func() {
		defer close(d.pairs)
		defer close(d.tasks)
		defer guard(&walkErr)
		walkErr = d.visit("/", a, b)
	})
	for range d.opt.Workers {
		wg.Go(func() {
			for p := range d.tasks {
				p.compare(ctx, d)
				close(p.done)
			}
		})
	}
	for p := range d.pairs {
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for side, errs := range p.problems {
			for _, err := range errs {
				opt.Problem(side, err)
			}
		}
		if opt.Progress != nil {
			opt.Progress(1)
		}
		if p.diff.From == nil || p.diff.To == nil || len(p.diff.What) > 0 {
			if err := each(&p.diff); err != nil {
				return err
			}
		}
	}
	return walkErr
}

type differ struct {
	ctx   context.Context
	sides [2]diffSide
	opt   DiffOptions
	pairs chan *pair // in the order in which they are told
	tasks chan *pair // the same, for the workers
	files hostFiles
}

// A diffSide is one of the two trees.
type diffSide struct {
	ns      *vfs.Namespace
	entered map[dirKey]struct{}
}

func newDiffSide(ns *vfs.Namespace) diffSide { return diffSide{ns, map[dirKey]struct{}{}} }

// A pair is a path on both sides, or on one.
type pair struct {
	diff     Difference
	problems [2][]error
	done     chan struct{} // closed once it is compared
}

// send puts a pair on its way.
func (d *differ) send(p *pair) error {
	p.done = make(chan struct{})
	for _, ch := range []chan *pair{d.tasks, d.pairs} {
		select {
		case ch <- p:
		case <-d.ctx.Done():
			return d.ctx.Err()
		}
	}
	return nil
}

// visit sends the pair of two entries, of which one may be nil, and those below.
func (d *differ) visit(path string, a, b *Entry) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	p := &pair{diff: Difference{Path: path, From: a, To: b}}
	if err := d.send(p); err != nil {
		return err
	}
	listA, err := d.list(0, a)
	if err != nil {
		return err
	}
	listB, err := d.list(1, b)
	if err != nil {
		return err
	}
	prefix := strings.TrimSuffix(path, "/") + "/"
	for len(listA) > 0 || len(listB) > 0 {
		var a, b *Entry
		var order int
		switch {
		case len(listA) == 0:
			order = 1
		case len(listB) == 0:
			order = -1
		default:
			order = strings.Compare(listA[0].Name, listB[0].Name)
		}
		if order <= 0 {
			a, listA = listA[0], listA[1:]
		}
		if order >= 0 {
			b, listB = listB[0], listB[1:]
		}
		named := a
		if a == nil {
			named = b
		}
		if err := d.visit(prefix+named.Name, a, b); err != nil {
			return err
		}
	}
	return nil
}

// list is what is in a directory of a side, sorted by name; nothing where e is
// none. What of it cannot be listed is told as a problem of a pair of its own.
func (d *differ) list(side int, e *Entry) ([]*Entry, error) {
	if e == nil || !e.isDir() {
		return nil, nil
	}
	s := &d.sides[side]
	fail := func(err error) error {
		p := &pair{diff: Difference{Path: e.Path, From: e, To: e}}
		p.problems[side] = []error{&Error{Op: "list", Path: e.Path, Err: err}}
		return d.send(p)
	}
	key := dirKey{e.Node.Tree, e.Node.Ino.Tree, e.Node.Ino.Num}
	if _, again := s.entered[key]; again {
		return nil, fail(ondisk.Corrupt("directory tree", 0, "inode %d is a directory with two names, or inside itself: not entered again", key.num))
	}
	s.entered[key] = struct{}{}
	if len(e.Path) > maxPath {
		return nil, fail(syscall.ENAMETOOLONG)
	}
	// A walk's own reading of one directory.
	w := &walker{ctx: d.ctx, ns: s.ns}
	of := &dir{entry: e, more: true}
	var list []*Entry
	for of.more {
		of.files = nil
		w.list(of)
		byTree := map[*vfs.Tree][]vfs.Ino{}
		for _, f := range of.files {
			byTree[f.Node.Tree] = append(byTree[f.Node.Tree], f.Node.Ino)
		}
		for tree, inos := range byTree {
			slices.SortFunc(inos, func(a, b vfs.Ino) int { return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Num, b.Num)) })
			tree.Prefetch(d.ctx, inos)
		}
		files := of.files
		const step = 256
		w.parallel((len(files)+step-1)/step, func(i int) {
			for _, f := range files[i*step : min((i+1)*step, len(files))] {
				w.read(f)
			}
		})
		list = append(list, files...)
	}
	slices.SortFunc(list, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
	// A damaged directory may have a name twice: the second is a file of its own.
	if of.err != nil {
		if err := d.ctx.Err(); err != nil {
			return nil, err
		}
		return list, fail(of.err)
	}
	return list, nil
}

// compare fills What of a pair that is on both sides. A panic is a problem.
func (p *pair) compare(ctx context.Context, d *differ) {
	a, b := p.diff.From, p.diff.To
	for side, e := range []*Entry{a, b} {
		if e != nil && e.Err != nil && a != b {
			p.problems[side] = append(p.problems[side], e.Err)
		}
	}
	if a == nil || b == nil || a == b || a.Inode == nil || b.Inode == nil {
		return
	}
	var failed error
	defer func() {
		if failed != nil {
			p.problems[0] = append(p.problems[0], &Error{Op: "compare", Path: a.Path, Err: failed})
		}
	}()
	defer guard(&failed)
	what := func(differs bool, name string) {
		if differs {
			p.diff.What = append(p.diff.What, name)
		}
	}
	what(a.Type() != b.Type(), "type")
	same := a.Type() == b.Type()
	if same {
		switch a.Type() {
		case syscall.S_IFREG:
			what(a.Attr.Size != b.Attr.Size, "size")
			equal := a.Attr.Size == b.Attr.Size
			if equal {
				equal = p.contents(ctx, d)
			}
			what(!equal, "content")
		case syscall.S_IFLNK:
			what(p.target(ctx, 0, a) != p.target(ctx, 1, b), "target")
		case syscall.S_IFCHR, syscall.S_IFBLK:
			what(a.Attr.Rdev != b.Attr.Rdev, "device")
		}
	}
	what(a.Attr.Mode&0o7777 != b.Attr.Mode&0o7777, "mode")
	what(a.Attr.UID != b.Attr.UID || a.Attr.GID != b.Attr.GID, "owner")
	isDir := a.isDir() && b.isDir()
	what(same && !isDir && a.Attr.Nlink != b.Attr.Nlink, "links")
	what(a.Attr.Flags != b.Attr.Flags, "flags")
	what(!d.opt.NoTimes && (d.opt.DirTimes || !isDir) && a.Attr.Mtime != b.Attr.Mtime, "mtime")
	if !a.Attr.NoXattr || !b.Attr.NoXattr {
		p.diff.Xattrs = p.xattrs(ctx, a, b)
		what(len(p.diff.Xattrs) > 0, "xattrs")
	}
}

func (p *pair) target(ctx context.Context, side int, e *Entry) string {
	target, err := e.Inode.Readlink(ctx)
	if err != nil {
		p.problems[side] = append(p.problems[side], &Error{Op: "read the target of", Path: e.Path, Err: err})
	}
	return target
}

// xattrs names the extended attributes that differ, sorted.
func (p *pair) xattrs(ctx context.Context, a, b *Entry) []string {
	of := func(side int, e *Entry) map[string]string {
		if e.Attr.NoXattr {
			return nil
		}
		m, errs := xattrs(ctx, e)
		p.problems[side] = append(p.problems[side], errs...)
		return m
	}
	ma, mb := of(0, a), of(1, b)
	names := map[string]struct{}{}
	for name, value := range ma {
		if other, ok := mb[name]; !ok || other != value {
			names[name] = struct{}{}
		}
	}
	for name := range mb {
		if _, ok := ma[name]; !ok {
			names[name] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Record is the difference as --json shows it.
func (d *Difference) Record() api.Difference {
	r := api.Difference{Schema: api.DiffSchema, Change: "changed", What: d.What, From: sideOf(d.From), To: sideOf(d.To)}
	r.Path, r.PathRaw = text(d.Path)
	switch {
	case d.From == nil:
		r.Change = "added"
	case d.To == nil:
		r.Change = "removed"
	}
	for _, name := range d.Xattrs {
		name, _ = text(name)
		r.Xattrs = append(r.Xattrs, name)
	}
	return r
}

func sideOf(e *Entry) *api.Side {
	if e == nil {
		return nil
	}
	s := &api.Side{Type: typeName(e.Type()), Mode: fmt.Sprintf("%04o", e.Attr.Mode&0o7777), UID: e.Attr.UID, GID: e.Attr.GID, Size: e.Attr.Size, Mtime: formatTime(e.Attr.Mtime)}
	if e.Inode == nil {
		s.Type = "unknown"
	}
	return s
}
