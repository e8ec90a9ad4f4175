package files

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// chunkEntries bounds the entries of one directory that are held at once.
	chunkEntries = 4096
	// aheadEntries bounds the entries that were listed ahead of the walk.
	aheadEntries = 8192
	// aheadDirs bounds the directories that are listed at once.
	aheadDirs = 256
	// maxPath bounds a path, in bytes: the depth of a tree is the image's choice.
	maxPath = 64 << 10
	// walkWorkers list directories and read inodes at the same time. More
	// than there are processors, since they wait for the disk.
	walkWorkers = 4
)

// An Entry is one file that a walk came to.
type Entry struct {
	Path  string // in the guest: "/etc/passwd"
	Name  string // its last part
	Depth int    // 0 where the walk began
	Node  vfs.Node
	Inode vfs.Inode // nil where Err is set and it could not be read
	Attr  vfs.Attr

	// Err says that the inode could not be read, or, of a directory, that
	// not all of its entries could be. A directory whose listing fails
	// is visited a second time with Err set, after its entries.
	Err error
}

// Type is the type bits of the mode.
func (e *Entry) Type() uint32 { return e.Attr.Mode & syscall.S_IFMT }

func (e *Entry) isDir() bool { return e.Inode != nil && e.Type() == syscall.S_IFDIR }

// WalkOptions are the choices of Walk.
type WalkOptions struct {
	MaxDepth int // 0 visits only where the walk begins; negative: all
	// Skip says which directories are visited but not entered. nil: none.
	Skip func(*Entry) bool
	// Sorted visits the subdirectories of a directory by name.
	Sorted bool
	// Chunk is called before the entries of a directory are visited, with all
	// of them, or with the next of them where there are many; last is its
	// last call for that directory. nil: not called.
	Chunk func(dir *Entry, entries []*Entry, last bool) error
}

// Resolve finds the file at a guest's path; a symlink at its end is followed
// where follow is set.
func Resolve(ctx context.Context, ns *vfs.Namespace, path string, follow bool) (*Entry, error) {
	n, real, err := ns.Resolve(ctx, path, follow)
	if err != nil {
		return nil, &Error{Op: "find", Path: path, Err: err}
	}
	f, err := ns.Inode(ctx, n)
	if err != nil {
		return nil, &Error{Op: "read", Path: path, Err: err}
	}
	return &Entry{Path: real, Name: real[strings.LastIndexByte(real, '/')+1:], Node: n, Inode: f, Attr: f.Attr()}, nil
}

// Walk visits from and, where it is a directory, all below it, in the order
// that the package comment states. visit's error ends the walk and is returned;
// so is the context's. No directory is entered twice.
func Walk(ctx context.Context, ns *vfs.Namespace, from *Entry, opt WalkOptions, visit func(*Entry) error) error {
	w := &walker{ctx: ctx, ns: ns, opt: opt, visit: visit, entered: map[dirKey]struct{}{}}
	if err := visit(from); err != nil {
		return err
	}
	if !from.isDir() || !w.enters(from) {
		return nil
	}
	return w.walk(&dir{entry: from})
}

type walker struct {
	ctx     context.Context
	ns      *vfs.Namespace
	opt     WalkOptions
	visit   func(*Entry) error
	entered map[dirKey]struct{}
	stack   []*dir // being walked, outermost first
	held    int    // entries loaded and not yet visited
}

type dirKey struct {
	tree     *vfs.Tree
	sub, num uint64
}

// A dir is a directory that is or will be walked.
type dir struct {
	entry  *Entry
	loaded bool     // files, subs, next and err are of the first chunk
	chunk  []*Entry // of the chunk, for WalkOptions.Chunk
	files  []*Entry // of the chunk, what is no directory
	subs   []*dir
	at     int        // of subs: the next to walk
	next   vfs.Cursor // of the next chunk
	more   bool
	err    error // the listing ended with it
}

func (w *walker) enters(e *Entry) bool {
	return (w.opt.MaxDepth < 0 || e.Depth < w.opt.MaxDepth) && (w.opt.Skip == nil || !w.opt.Skip(e))
}

func (w *walker) walk(d *dir) error {
	key := dirKey{d.entry.Node.Tree, d.entry.Node.Ino.Tree, d.entry.Node.Ino.Num}
	if _, again := w.entered[key]; again {
		return w.fail(d, ondisk.Corrupt("directory tree", 0, "inode %d is a directory with two names, or inside itself: not entered again", key.num))
	}
	w.entered[key] = struct{}{}
	if len(d.entry.Path) > maxPath {
		return w.fail(d, syscall.ENAMETOOLONG)
	}
	w.stack = append(w.stack, d)
	defer func() { w.stack = w.stack[:len(w.stack)-1] }()
	for {
		if !d.loaded {
			w.load()
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if w.opt.Chunk != nil {
			if err := w.opt.Chunk(d.entry, d.chunk, !d.more); err != nil {
				return err
			}
			d.chunk = nil
		}
		w.held -= len(d.files)
		files := d.files
		d.files = nil
		for _, e := range files {
			if err := w.visit(e); err != nil {
				return err
			}
		}
		if !d.more {
			break
		}
		d.loaded = false
	}
	if d.err != nil {
		if err := w.fail(d, d.err); err != nil {
			return err
		}
	}
	if w.opt.Sorted {
		slices.SortFunc(d.subs, func(a, b *dir) int { return strings.Compare(a.entry.Name, b.entry.Name) })
	}
	for d.at < len(d.subs) {
		sub := d.subs[d.at]
		d.subs[d.at] = nil
		d.at++
		w.held--
		if err := w.visit(sub.entry); err != nil {
			return err
		}
		if !w.enters(sub.entry) {
			w.held -= len(sub.files) + len(sub.subs)
			continue
		}
		if err := w.walk(sub); err != nil {
			return err
		}
	}
	return nil
}

// fail visits the directory again, with err.
func (w *walker) fail(d *dir, err error) error {
	again := *d.entry
	again.Err = &Error{Op: "list", Path: again.Path, Err: err}
	return w.visit(&again)
}

// load lists the innermost directory of the stack, and those that the walk
// comes to next as long as there is room: their inodes are then read at once.
func (w *walker) load() {
	dirs := []*dir{w.stack[len(w.stack)-1]}
	for i := len(w.stack) - 1; i >= 0 && w.held < aheadEntries; i-- {
		for _, sub := range w.stack[i].subs[w.stack[i].at:] {
			dirs = w.ahead(dirs, sub)
		}
	}
	w.parallel(len(dirs), func(i int) { w.list(dirs[i]) })

	// One Prefetch for each tree, in the order of the inode table.
	var all []*Entry
	for _, d := range dirs {
		all = append(all, d.files...)
	}
	byTree := map[*vfs.Tree][]vfs.Ino{}
	for _, e := range all {
		byTree[e.Node.Tree] = append(byTree[e.Node.Tree], e.Node.Ino)
	}
	for tree, inos := range byTree {
		slices.SortFunc(inos, func(a, b vfs.Ino) int {
			return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Num, b.Num))
		})
		tree.Prefetch(w.ctx, inos)
	}
	const step = 256
	w.parallel((len(all)+step-1)/step, func(i int) {
		for _, e := range all[i*step : min((i+1)*step, len(all))] {
			w.read(e)
		}
	})
	for _, d := range dirs {
		w.held += len(d.files)
		files := d.files[:0]
		if w.opt.Chunk != nil {
			d.chunk = slices.Clone(d.files)
		}
		for _, e := range d.files {
			if e.isDir() {
				d.subs = append(d.subs, &dir{entry: e})
			} else {
				files = append(files, e)
			}
		}
		d.files = files
	}
}

// ahead adds d to dirs, or what is below it where it is loaded already.
func (w *walker) ahead(dirs []*dir, d *dir) []*dir {
	if len(dirs) >= aheadDirs || !w.enters(d.entry) {
		return dirs
	}
	if !d.loaded {
		return append(dirs, d)
	}
	for _, sub := range d.subs[d.at:] {
		dirs = w.ahead(dirs, sub)
	}
	return dirs
}

// list reads a chunk of d's names.
func (w *walker) list(d *dir) {
	d.loaded, d.more = true, false
	prefix := strings.TrimSuffix(d.entry.Path, "/") + "/"
	for e, err := range w.ns.Entries(w.ctx, d.entry.Node, d.next) {
		if err != nil {
			d.err = err
			return
		}
		n := w.ns.Cross(vfs.Node{Tree: d.entry.Node.Tree, Ino: e.Ino})
		d.files = append(d.files, &Entry{Path: prefix + e.Name, Name: e.Name, Depth: d.entry.Depth + 1, Node: n})
		if len(d.files) == chunkEntries {
			d.next, d.more = e.Next, true
			return
		}
	}
}

// read reads e's inode.
func (w *walker) read(e *Entry) {
	f, err := w.ns.Inode(w.ctx, e.Node)
	if err != nil {
		e.Err = &Error{Op: "read", Path: e.Path, Err: err}
		return
	}
	e.Inode, e.Attr = f, f.Attr()
}

// parallel runs f(0) to f(n-1) on several goroutines and waits for them. A
// panic is the walk's own.
func (w *walker) parallel(n int, f func(int)) {
	if n <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards next and panicked
	next, panicked := 0, error(nil)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && panicked == nil
	}
	for range min(walkWorkers, n) {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					mu.Lock()
					defer mu.Unlock()
					panicked = fmt.Errorf("panic in a walk: %v", r)
				}
			}()
			for i, ok := take(); ok; i, ok = take() {
				f(i)
			}
		})
	}
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}
