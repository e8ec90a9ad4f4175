package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// maxClaims bounds the extents that are kept to find blocks of two files.
	maxClaims = 4 << 20
	// maxLinked bounds the files with several names that are counted.
	maxLinked = 4 << 20
	// dataPiece is the size of one read of contents.
	dataPiece = 1 << 20
)

// A walk goes through one filesystem. Its fields are of the caller's goroutine;
// what workers find is in results.
type walk struct {
	*checker
	at     place
	ns     *vfs.Namespace
	info   vfs.Info
	claims []claim
	// The names found of each file with several, or with a count that is
	// wrong, and the files with one name and one link.
	links   map[uint64]linked
	singles map[uint64]struct{}
	failed  bool // something was not reachable: counts say nothing
	many    bool // too many to keep
}

// A claim is a stretch of the volume that a file has.
type claim struct {
	off, n int64
	inode  uint64
}

type linked struct {
	want, have uint32
	path       string
}

// A result is what a worker found at one file.
type result struct {
	errs   []error
	claims []claim
	counts [3]int64 // extents, attributes, bytes
}

// filesystem checks all that is reachable from the root.
func (c *checker) filesystem(at place, tree *vfs.Tree) error {
	w := &walk{checker: c, at: at, ns: vfs.NewNamespace(tree), info: tree.FileSystem().Info(), links: map[uint64]linked{}, singles: map[uint64]struct{}{}}
	u, err := tree.FileSystem().Usage(c.ctx)
	if err != nil {
		if err := c.found(at, err); err != nil {
			return err
		}
	} else if c.opt.Expect != nil && u.FilesFree < u.Files {
		c.opt.Expect(int64(u.Files - u.FilesFree))
	}
	root, err := files.Resolve(c.ctx, w.ns, "/", false)
	if err != nil {
		return c.found(at, err)
	}
	if err := w.entries(nil, []*files.Entry{root}); err != nil {
		return err
	}
	opt := files.WalkOptions{MaxDepth: -1, Sorted: true, Chunk: func(dir *files.Entry, list []*files.Entry, _ bool) error { return w.entries(dir, list) }}
	err = files.Walk(c.ctx, w.ns, root, opt, func(e *files.Entry) error {
		if e.Err != nil && e.Inode != nil { // a listing that failed; inodes that did are in the chunk
			w.failed = true
			return w.report(e, e.Err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.counts()
}

// report gives what was found at a file.
func (w *walk) report(e *files.Entry, err error) error {
	at := w.at
	at.path, at.inode = e.Path, e.Node.Ino.Num
	return w.found(at, err)
}

// entries checks files of one directory, several at a time.
func (w *walk) entries(dir *files.Entry, list []*files.Entry) error {
	results := make([]result, len(list))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(list), runtime.GOMAXPROCS(0)*2) {
		wg.Go(func() {
			var buf []byte
			for i := int(next.Add(1)) - 1; i < len(list) && w.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				w.entry(&results[i], dir, list[i], &buf)
			}
		})
	}
	wg.Wait()
	for i, e := range list {
		r := &results[i]
		for _, err := range r.errs {
			w.failed = w.failed || e.Inode == nil
			if err := w.report(e, err); err != nil {
				return err
			}
		}
		w.count(e, r)
	}
	if w.opt.Progress != nil {
		w.opt.Progress(int64(len(list)))
	}
	return w.ctx.Err()
}

func (w *walk) count(e *files.Entry, r *result) {
	v := w.at.volume
	v.Extents, v.Xattrs, v.Bytes = v.Extents+r.counts[0], v.Xattrs+r.counts[1], v.Bytes+r.counts[2]
	if e.Type() == syscall.S_IFDIR && e.Inode != nil {
		v.Directories++
		return
	}
	v.Files++
	first := true
	if e.Inode != nil && countsLinks(w.info.Type) {
		first = w.countLink(e)
	}
	if first {
		if len(w.claims)+len(r.claims) > maxClaims {
			w.many = true
			return
		}
		w.claims = append(w.claims, r.claims...)
	}
}

// countLink counts a name of a file, and says whether it is the first.
func (w *walk) countLink(e *files.Entry) bool {
	num := e.Node.Ino.Num
	l, known := w.links[num]
	switch _, single := w.singles[num]; {
	case known:
		l.have++
	case single: // another name for what has one link
		l = linked{want: 1, have: 2, path: e.Path}
	case len(w.links)+len(w.singles) >= maxLinked:
		w.many = true
		return true
	case e.Attr.Nlink == 1:
		w.singles[num] = struct{}{}
		return true
	default:
		w.links[num] = linked{want: e.Attr.Nlink, have: 1, path: e.Path}
		return true
	}
	w.links[num] = l
	return false
}

// entry checks one file. A panic is a finding.
func (w *walk) entry(r *result, dir, e *files.Entry, buf *[]byte) {
	ctx := w.ctx
	fail := func(err error) {
		if err != nil {
			r.errs = append(r.errs, err)
		}
	}
	defer func() {
		if v := recover(); v != nil {
			fail(fmt.Errorf("panic while reading: %v", v))
		}
	}()
	if e.Err != nil {
		fail(e.Err)
	}
	if dir != nil {
		fail(lookup(ctx, dir, e))
	}
	if e.Inode == nil {
		return
	}
	switch e.Type() {
	case syscall.S_IFLNK:
		_, err := e.Inode.Readlink(ctx)
		fail(err)
	case syscall.S_IFREG:
		w.extents(r, e, fail)
		if w.opt.Data {
			w.contents(r, e, buf, fail)
		}
	}
	if e.Attr.NoXattr {
		return
	}
	for x, err := range e.Inode.Xattrs(ctx) {
		if err == nil {
			r.counts[1]++
			if x.Size <= dataPiece { // a stream of NTFS may have any size
				_, err = x.Read(ctx)
			}
		}
		fail(err)
	}
}

// lookup finds a name that was listed once more, by the directory's index.
func lookup(ctx context.Context, dir, e *files.Entry) error {
	ino, err := dir.Inode.Lookup(ctx, e.Name)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("the directory lists the name and does not find it: its index is damaged")
	case err == nil && (ino.Num != e.Node.Ino.Num || ino.Tree != e.Node.Ino.Tree):
		return fmt.Errorf("the directory lists the name for inode %d and finds inode %d by it", e.Node.Ino.Num, ino.Num)
	}
	return err
}

// extents maps a file from its start to its end.
func (w *walk) extents(r *result, e *files.Entry, fail func(error)) {
	for off := int64(0); off < e.Attr.Size && w.ctx.Err() == nil; {
		ext, err := e.Inode.Map(w.ctx, off, e.Attr.Size-off)
		if err == nil && ext.Len <= 0 {
			err = errors.New("the driver mapped nothing")
		}
		if err != nil {
			fail(fmt.Errorf("at byte %d of the file: %w", off, err))
			return // where it goes on is not known
		}
		if ext.Kind != vfs.Hole {
			r.counts[0]++
		}
		if ext.Kind == vfs.Mapped {
			if !ondisk.Fits(ext.Off, ext.Len, ext.Dev.Size()) {
				fail(ondisk.Corrupt(w.info.Type+" extent", ext.Off, "%d bytes at byte %d of the file lie beyond the end of the volume of %d bytes", ext.Len, off, ext.Dev.Size()))
			} else if ownsBlocks(w.info.Type, w.info.Features) {
				r.claims = append(r.claims, claim{ext.Off, ext.Len, e.Node.Ino.Num})
			}
		}
		off += ext.Len
	}
}

// contents reads a file, but for its holes.
func (w *walk) contents(r *result, e *files.Entry, buf *[]byte, fail func(error)) {
	if *buf == nil {
		*buf = make([]byte, dataPiece)
	}
	told := false
	for off := int64(0); off < e.Attr.Size && w.ctx.Err() == nil; {
		data, err := vfs.SeekData(w.ctx, e.Inode, off)
		if err != nil {
			return // ENXIO, or what extents has told
		}
		n := min(dataPiece, e.Attr.Size-data)
		got, err := vfs.ReadAt(w.ctx, e.Inode, (*buf)[:n], data)
		r.counts[2] += int64(got)
		if err != nil && err != io.EOF && !told {
			told = true
			fail(fmt.Errorf("reading at byte %d of the file: %w", data+int64(got), err))
		}
		off = data + n
	}
}

// counts compares what only the whole walk knows.
func (w *walk) counts() error {
	if w.many {
		w.note(w.at.volume.Volume + ": too many files to count their links and to compare their blocks")
		return nil
	}
	slices.SortFunc(w.claims, func(a, b claim) int { return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.inode, b.inode)) })
	for i := 1; i < len(w.claims); i++ {
		a, b := w.claims[i-1], w.claims[i]
		if a.inode != b.inode && a.off+a.n > b.off {
			at := w.at
			at.inode = b.inode
			err := ondisk.Corrupt(w.info.Type+" extent", b.off, "inodes %d and %d both have the block", a.inode, b.inode)
			if err := w.found(at, err); err != nil {
				return err
			}
		}
		if a.off+a.n > b.off+b.n {
			w.claims[i] = a // it may reach over the next one, too
		}
	}
	if w.failed {
		return nil
	}
	nums := make([]uint64, 0, len(w.links))
	for num := range w.links {
		nums = append(nums, num)
	}
	slices.Sort(nums)
	for _, num := range nums {
		l := w.links[num]
		if l.want == l.have {
			continue
		}
		at := w.at
		at.path, at.inode = l.path, num
		if err := w.found(at, fmt.Errorf("inode %d counts %d links and has %d names", num, l.want, l.have)); err != nil {
			return err
		}
	}
	return nil
}
