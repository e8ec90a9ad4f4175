package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/vfs"
)

const (
	// copyHole is the smallest hole that is kept.
	copyHole = 4096
	// openDirs bounds the directories of a deep tree that are kept open.
	openDirs = 64
)

// CopyOptions are the choices of Copy.
type CopyOptions struct {
	Plain    bool // bytes, directories and symlinks alone: no owners, modes, times, attributes
	Workers  int  // 0: GOMAXPROCS
	Problem  func(error)
	Warn     func(error)       // what could not be kept, where this user may not
	Progress func(bytes int64) // called with the bytes copied since; may be nil
}

// Copy copies the file or tree at the guest's path to the host, as `cp -a`
// does: modes, times to the nanosecond, symlinks, hard links, holes, and, where
// this user may, owners, extended attributes and devices. Where target is a
// folder the copy is put into it, under the name that it has in the guest; the
// guest's root is copied into the folder itself. Else target is the copy's name.
// Files that are there are replaced, folders are joined.
//
// Bytes that cannot be read are zeros in the copy and handed to Problem, once
// for each file.
func Copy(ctx context.Context, ns *vfs.Namespace, from, target string, opt CopyOptions) error {
	top, err := Resolve(ctx, ns, from, false)
	if err != nil {
		return err
	}
	if strings.HasSuffix(from, "/") {
		if top, err = Resolve(ctx, ns, from, true); err != nil {
			return err
		}
	}
	c, err := newCopier(ctx, top, target, opt)
	if err != nil {
		return err
	}
	c.ns = ns
	defer c.close()
	seen := map[uint64]bool{} // of the walk's goroutine
	p := plan{workers: opt.Workers, keep: true, wants: func(e *Entry) bool {
		n := ns.Number(e.Node)
		if sparse(e) || e.Attr.Nlink > 1 && seen[n] {
			return false
		}
		seen[n] = seen[n] || e.Attr.Nlink > 1
		return true
	}}
	return bulk(ctx, p, func(ctx context.Context, visit func(*Entry) error) error {
		return Walk(ctx, ns, top, WalkOptions{MaxDepth: -1}, visit)
	}, c.add)
}

// newCopier opens the folder of the host that the copy of top goes into.
func newCopier(ctx context.Context, top *Entry, target string, opt CopyOptions) (*copier, error) {
	parent, name := filepath.Dir(filepath.Clean(target)), filepath.Base(target)
	st, err := os.Stat(target)
	switch isDir := err == nil && st.IsDir(); {
	case isDir:
		parent, name = target, top.Name
	case top.isDir() && err == nil, !top.isDir() && strings.HasSuffix(target, "/"):
		return nil, &fs.PathError{Op: "copy to", Path: target, Err: syscall.ENOTDIR}
	}
	root, err := openHostDir(parent)
	if err != nil {
		return nil, err
	}
	c := &copier{ctx: ctx, opt: opt, top: top, name: name, root: root, uid: os.Geteuid(), names: map[uint64]string{}}
	c.stack = []*copyDir{{dir: root}}
	return c, nil
}

// close finishes the directories that are open.
func (c *copier) close() {
	c.leave("")
	c.root.close()
}

// sparse says whether a file has holes worth keeping, by its size and blocks.
func sparse(e *Entry) bool { return e.Attr.Size-e.Attr.Blocks*512 >= copyHole }

type copier struct {
	ctx   context.Context
	ns    *vfs.Namespace
	opt   CopyOptions
	top   *Entry
	name  string // of the copy in root; "" copies the guest's root into root
	root  hostDir
	uid   int
	names map[uint64]string // where the first name of files with several was copied
	stack []*copyDir        // the open directories above what is copied, outermost first

	// contents writes what a file holds, in place of reading its inode.
	contents func(*os.File) error
}

// A copyDir is a directory that is being copied.
type copyDir struct {
	rel   string  // below root; "" is root
	entry *Entry  // nil: a folder of the user, left as it is
	dir   hostDir // fd -1 where too many are open
}

// rel is where an entry is copied to, below root.
func (c *copier) rel(e *Entry) string {
	below := strings.TrimPrefix(strings.TrimPrefix(e.Path, strings.TrimSuffix(c.top.Path, "/")), "/")
	return strings.Trim(c.name+"/"+below, "/")
}

// add copies one file.
func (c *copier) add(it *item) error {
	if it.Err != nil {
		c.opt.Problem(it.Err)
		return nil
	}
	rel := c.rel(it.Entry)
	if rel == "" {
		return nil // the guest's root, onto a folder of the user
	}
	if single(path.Base(rel)) != nil {
		c.opt.Problem(&Error{Op: "copy", Path: it.Path, Err: errName})
		return nil
	}
	parent := strings.TrimSuffix(rel[:len(rel)-len(path.Base(rel))], "/")
	c.leave(parent)
	dir, err := c.dir(parent)
	if err == nil {
		err = c.copy(it, dir, path.Base(rel), rel)
	}
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) {
		return &Error{Op: "copy", Path: it.Path, Err: err} // the rest would fail, too
	}
	if err != nil {
		c.opt.Problem(&Error{Op: "copy", Path: it.Path, Err: err})
	}
	return nil
}

// dir is the open directory rel, which is on top of the stack unless making it
// failed.
func (c *copier) dir(rel string) (hostDir, error) {
	top := c.stack[len(c.stack)-1]
	if top.rel != rel {
		return hostDir{-1}, fmt.Errorf("its folder was not copied: %w", syscall.ENOENT)
	}
	if top.dir.fd < 0 {
		dir, err := c.root.walk(rel)
		if err != nil {
			return hostDir{-1}, err
		}
		top.dir = dir
	}
	return top.dir, nil
}

// leave finishes the directories that rel is not in or below.
func (c *copier) leave(rel string) {
	for len(c.stack) > 1 {
		top := c.stack[len(c.stack)-1]
		if top.rel == rel || strings.HasPrefix(rel, top.rel+"/") {
			return
		}
		dir, err := c.dir(top.rel)
		if err == nil && top.entry != nil {
			err = c.attributes(top.entry, dir.fd)
		}
		if err != nil {
			c.opt.Problem(&Error{Op: "finish the copy of", Path: top.entry.Path, Err: err})
		}
		if dir.fd >= 0 {
			dir.close()
		}
		c.stack = c.stack[:len(c.stack)-1]
	}
}

// A hardLink is an item's result where it is another name of what was copied
// there, below root.
type hardLink string

func (c *copier) copy(it *item, dir hostDir, name, rel string) error {
	e := it.Entry
	if first, ok := it.result.(hardLink); ok {
		return c.link(string(first), dir, name)
	}
	if e.Type() == syscall.S_IFDIR {
		return c.enter(e, dir, name, rel)
	}
	several := e.Attr.Nlink > 1 // an archive says it otherwise
	var number uint64
	if several {
		number = c.ns.Number(e.Node)
		if first, ok := c.names[number]; ok {
			return c.link(first, dir, name)
		}
	}
	var err error
	switch e.Type() {
	case syscall.S_IFREG:
		err = c.file(it, dir, name)
	case syscall.S_IFLNK:
		err = c.symlink(e, dir, name)
	default:
		var made bool
		if made, err = c.special(e, dir, name); err == nil && !made {
			return nil
		}
	}
	if err == nil && several {
		c.names[number] = rel
	}
	return err
}

func (c *copier) enter(e *Entry, dir hostDir, name, rel string) error {
	sub, _, err := dir.mkdir(name)
	if err != nil {
		return err
	}
	if n := len(c.stack) - openDirs; n > 0 {
		c.stack[n].dir.close()
		c.stack[n].dir.fd = -1
	}
	c.stack = append(c.stack, &copyDir{rel, e, sub})
	return nil
}

func (c *copier) link(first string, dir hostDir, name string) error {
	from, err := c.root.walk(strings.TrimSuffix(first, path.Base(first)))
	if err != nil {
		return err
	}
	defer from.close()
	return dir.link(from, path.Base(first), name)
}

func (c *copier) file(it *item, dir hostDir, name string) error {
	f, err := dir.create(name)
	if err != nil {
		return err
	}
	switch {
	case c.contents != nil:
		err = c.contents(f)
	case it.task != nil && it.small:
		if it.err != nil {
			c.opt.Problem(it.err)
		}
		if len(it.data) > 0 {
			_, err = f.Write(it.data)
		}
		c.progress(int64(len(it.data)))
	default:
		err = c.large(it.Entry, f)
	}
	if err == nil {
		err = c.attributes(it.Entry, int(f.Fd()))
	}
	return errors.Join(err, f.Close())
}

func (c *copier) large(e *Entry, f *os.File) error {
	told := false
	err := stream(c.ctx, e.Inode, 0, e.Attr.Size, copyHole, func(s *segment) error {
		if s.err != nil && !told {
			told = true
			c.opt.Problem(&Error{Op: "read", Path: e.Path,
				Err: fmt.Errorf("in the %d bytes at %d, and perhaps behind: %w; they are zeros in the copy", s.n, s.off, s.err)})
		}
		c.progress(s.n)
		if s.hole {
			return nil
		}
		_, err := f.WriteAt(s.p, s.off)
		return err
	})
	if err != nil {
		return err
	}
	return f.Truncate(e.Attr.Size)
}

func (c *copier) progress(n int64) {
	if c.opt.Progress != nil {
		c.opt.Progress(n)
	}
}

func (c *copier) symlink(e *Entry, dir hostDir, name string) error {
	target, err := e.Inode.Readlink(c.ctx)
	if err != nil {
		return err
	}
	if err := dir.symlink(target, name); err != nil {
		return err
	}
	return c.attributesAt(e, dir, name)
}

// special makes what is no file, directory or symlink, where this user may.
func (c *copier) special(e *Entry, dir hostDir, name string) (made bool, err error) {
	kind := e.Type()
	if c.uid != 0 && (kind == syscall.S_IFCHR || kind == syscall.S_IFBLK) {
		c.warn(e, fmt.Errorf("a %s, which only root may make: left out", typeName(kind)))
		return false, nil
	}
	if typeName(kind) == "unknown" {
		return false, fmt.Errorf("of the unknown type %#o", kind)
	}
	major, minor := decodeDev(e.Attr.Rdev)
	if err := dir.mknod(name, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
		return false, err
	}
	return true, c.attributesAt(e, dir, name)
}

func (c *copier) warn(e *Entry, err error) {
	c.opt.Warn(&Error{Op: "copy", Path: e.Path, Err: err})
}
