package files

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// An Editor changes a guest's files without a mount. It acts as the guest's
// root: nothing is checked but what the filesystem itself forbids, and what it
// makes is root's. Its errors are *Error. Close it; the changes are durable when
// the guest is closed, or after Sync.
type Editor struct {
	ctx     context.Context
	ns      *vfs.Namespace
	clients map[*vfs.Tree]*vfs.Client
}

// Edit begins to change the files of a Namespace, from one goroutine.
func Edit(ctx context.Context, ns *vfs.Namespace) *Editor {
	return &Editor{ctx: ctx, ns: ns, clients: make(map[*vfs.Tree]*vfs.Client)}
}

// Close ends the Editor.
func (e *Editor) Close() {
	for _, c := range e.clients {
		c.Close(context.WithoutCancel(e.ctx))
	}
}

func (e *Editor) client(t *vfs.Tree) *vfs.Client {
	c := e.clients[t]
	if c == nil {
		c = t.Client(nil)
		e.clients[t] = c
	}
	return c
}

// fail is the error of an operation on a path.
func fail(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	return &Error{Op: op, Path: path, Err: err}
}

// A spot is a name in a directory, whether it is there or not.
type spot struct {
	dir  vfs.Node
	name string
}

// spot finds the directory of a path's last name; symlinks on the way are
// followed inside the guest.
func (e *Editor) spot(p string) (spot, error) {
	p = strings.TrimRight(p, "/")
	above, name := path.Split(p)
	switch name {
	case "":
		return spot{}, syscall.EBUSY // the root
	case ".", "..":
		return spot{}, syscall.EINVAL
	}
	dir, err := e.ns.Walk(e.ctx, above+".", true)
	return spot{dir, name}, err
}

// own is EBUSY where the name is not the guest filesystem's to give away.
func (e *Editor) own(s spot) error {
	fixed, err := e.ns.Fixed(e.ctx, s.dir, s.name)
	if err == nil && fixed {
		err = fmt.Errorf("another filesystem is shown there: %w", syscall.EBUSY)
	}
	return err
}

// Mkdir makes a directory; with parents also those above it, and it may be
// there already.
func (e *Editor) Mkdir(p string, mode uint32, parents bool) error {
	if !parents {
		return fail("make directory", p, e.mkdir(p, mode))
	}
	done := ""
	for part := range strings.SplitSeq(p, "/") {
		if part == "" {
			continue
		}
		done += "/" + part
		err := e.mkdir(done, mode)
		if err == nil {
			continue
		}
		if _, werr := e.ns.Walk(e.ctx, done+"/.", true); werr != nil {
			if !errors.Is(werr, syscall.ENOENT) {
				err = werr
			}
			return fail("make directory", done, err)
		}
	}
	return nil
}

func (e *Editor) mkdir(p string, mode uint32) error {
	s, err := e.spot(p)
	if err != nil {
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EINVAL) {
			err = syscall.EEXIST
		}
		return err
	}
	_, err = e.client(s.dir.Tree).Create(e.ctx, s.dir.Ino, s.name, vfs.New{Mode: syscall.S_IFDIR | mode&0o7777}, false)
	return err
}

// Remove removes a file, or with recursive a directory and all in it. What
// another filesystem is shown on is not removed, nor what is in it.
func (e *Editor) Remove(p string, recursive bool) error {
	s, err := e.spot(p)
	if err == nil {
		err = e.remove(p, s, recursive)
	}
	return fail("remove", p, err)
}

func (e *Editor) remove(p string, s spot, recursive bool) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if err := e.own(s); err != nil {
		return fail("remove", p, err)
	}
	n, err := e.ns.Lookup(e.ctx, s.dir, s.name)
	if err != nil {
		return fail("remove", p, err)
	}
	f, err := e.ns.Inode(e.ctx, n)
	if err != nil {
		return fail("remove", p, err)
	}
	c := e.client(s.dir.Tree)
	if f.Attr().Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return fail("remove", p, c.Unlink(e.ctx, s.dir.Ino, s.name, false))
	}
	if !recursive {
		return fail("remove", p, syscall.EISDIR)
	}
	var names []string
	for entry, err := range e.ns.Entries(e.ctx, n, vfs.Cursor{}) {
		if err != nil {
			return fail("remove", p, err)
		}
		names = append(names, entry.Name)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, e.remove(p+"/"+name, spot{n, name}, true))
	}
	if err := errors.Join(errs...); err != nil {
		return slices.DeleteFunc(errs, func(err error) bool { return err == nil })[0]
	}
	return fail("remove", p, c.Unlink(e.ctx, s.dir.Ino, s.name, true))
}

// target is the spot that a copy, move or link to p has: in p, where that is a
// directory, under the name of what comes there.
func (e *Editor) target(p, name string) (spot, error) {
	n, err := e.ns.Walk(e.ctx, p, true)
	if err == nil {
		var f vfs.Inode
		if f, err = e.ns.Inode(e.ctx, n); err == nil && f.Attr().Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return spot{n, name}, nil
		}
	}
	if strings.HasSuffix(p, "/") {
		if err == nil {
			err = syscall.ENOTDIR
		}
		return spot{}, err
	}
	return e.spot(p)
}

// Move renames a file or directory, into to where that is a directory. It
// cannot leave its filesystem.
func (e *Editor) Move(from, to string) error {
	src, err := e.spot(from)
	if err == nil {
		err = e.own(src)
	}
	if err != nil {
		return fail("move", from, err)
	}
	dst, err := e.target(to, src.name)
	if err == nil {
		err = e.own(dst)
	}
	if err != nil {
		return fail("move to", to, err)
	}
	if src.dir.Tree != dst.dir.Tree {
		return fail("move", from, fmt.Errorf("%s is in another filesystem: copy it and remove it here: %w", to, syscall.EXDEV))
	}
	return fail("move", from, e.client(src.dir.Tree).Rename(e.ctx, src.dir.Ino, src.name, dst.dir.Ino, dst.name, 0))
}

// Link gives the file at target another name.
func (e *Editor) Link(target, name string) error {
	n, err := e.ns.Walk(e.ctx, target, false)
	if err != nil {
		return fail("find", target, err)
	}
	at, err := e.target(name, path.Base(target))
	if err == nil && at.dir.Tree != n.Tree {
		err = fmt.Errorf("%s is in another filesystem: %w", target, syscall.EXDEV)
	}
	if err == nil {
		err = e.client(n.Tree).Link(e.ctx, n.Ino, at.dir.Ino, at.name)
	}
	return fail("link", name, err)
}

// Symlink makes a symlink to target, which need not be there.
func (e *Editor) Symlink(target, name string) error {
	at, err := e.target(name, path.Base(target))
	if err == nil {
		_, err = e.client(at.dir.Tree).Create(e.ctx, at.dir.Ino, at.name, vfs.New{Mode: syscall.S_IFLNK | 0o777, Target: target}, false)
	}
	return fail("link", name, err)
}
