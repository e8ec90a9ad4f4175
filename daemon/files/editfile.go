package files

import (
	"errors"
	"io"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Chmod changes a mode to what change makes of the old one, type bits
// included; with recursive of all below too. Symlinks have none: at the path
// itself they are followed, and below it passed over.
func (e *Editor) Chmod(p string, change func(mode uint32) uint32, recursive bool) error {
	top, err := Resolve(e.ctx, e.ns, p, true)
	if err != nil {
		return err
	}
	set := func(f *Entry) error {
		if f.Type() == syscall.S_IFLNK {
			return nil
		}
		mode := change(f.Attr.Mode) & 0o7777
		return fail("change the mode of", f.Path, e.client(f.Node.Tree).Setattr(e.ctx, f.Node.Ino, vfs.Change{Mode: &mode}))
	}
	if !recursive {
		return set(top)
	}
	return Walk(e.ctx, e.ns, top, WalkOptions{MaxDepth: -1}, func(f *Entry) error {
		if f.Err != nil {
			return f.Err
		}
		return set(f)
	})
}

// open finds the regular file at a path, and makes it where create is set and
// it is not there.
func (e *Editor) open(p string, create bool) (vfs.Node, error) {
	n, err := e.ns.Walk(e.ctx, p, true)
	if err == nil || !create || !errors.Is(err, syscall.ENOENT) {
		return n, err
	}
	s, err := e.spot(p)
	if err != nil {
		return n, err
	}
	ino, err := e.client(s.dir.Tree).Create(e.ctx, s.dir.Ino, s.name, vfs.New{Mode: syscall.S_IFREG | 0o644}, false)
	return vfs.Node{Tree: s.dir.Tree, Ino: ino}, err
}

// Touch sets the times of access and change; a file that is not there is made
// where create is set, and else left alone.
func (e *Editor) Touch(p string, at vfs.Time, create bool) error {
	n, err := e.open(p, create)
	if err != nil {
		if !create && errors.Is(err, syscall.ENOENT) {
			return nil
		}
		return fail("touch", p, err)
	}
	return fail("touch", p, e.client(n.Tree).Setattr(e.ctx, n.Ino, vfs.Change{Atime: &at, Mtime: &at}))
}

// Truncate sets a file's size, and makes the file where create is set.
func (e *Editor) Truncate(p string, size int64, create bool) error {
	n, err := e.open(p, create)
	if err == nil {
		err = e.client(n.Tree).Truncate(e.ctx, n.Ino, size)
	}
	return fail("truncate", p, err)
}

// writePiece is how much is read before it is written, in bytes.
const writePiece = 1 << 20

// Write makes a file's bytes those of r: all of them, or, with toEnd, those
// behind its present end. The file is made where it is not there.
func (e *Editor) Write(p string, r io.Reader, toEnd bool) error {
	n, err := e.open(p, true)
	if err != nil {
		return fail("write", p, err)
	}
	f, err := e.ns.Inode(e.ctx, n)
	if err != nil {
		return fail("write", p, err)
	}
	switch f.Attr().Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
	case syscall.S_IFDIR:
		return fail("write", p, syscall.EISDIR)
	default:
		return fail("write", p, &notRegularError{typeName(f.Attr().Mode & syscall.S_IFMT)})
	}
	c, off := e.client(n.Tree), f.Attr().Size
	if !toEnd {
		off = 0
		if err := c.Truncate(e.ctx, n.Ino, 0); err != nil {
			return fail("write", p, err)
		}
	}
	buf := make([]byte, writePiece)
	for {
		k, rerr := io.ReadFull(r, buf)
		if k > 0 {
			if _, err := c.WriteAt(e.ctx, n.Ino, buf[:k], off); err != nil {
				return fail("write", p, err)
			}
			off += int64(k)
		}
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}
