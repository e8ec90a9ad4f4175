package vfs

import (
	"context"
	"io"
	"syscall"
)

// data does something with a file's bytes, with its lock held.
func (c *Client) data(ctx context.Context, op string, ino Ino, do func(fs Changer) error) error {
	w := c.t.w
	if w == nil {
		return syscall.EROFS
	}
	err := func() error {
		defer w.locks.lock(ino)()
		return w.roomy(ctx, func() error { return do(w.fs) })
	}()
	c.tell(Event{Ino: ino, Contents: true})
	if err != nil {
		return c.t.failed(op, ino, err)
	}
	return nil
}

// WriteAt writes p to a file at off, which may be behind its end, by
// io.WriterAt's rules. It is durable after Sync.
func (c *Client) WriteAt(ctx context.Context, ino Ino, p []byte, off int64) (n int, err error) {
	err = c.data(ctx, "write inode", ino, func(fs Changer) error {
		k, err := WriteAt(ctx, fs, ino, p[n:], off+int64(n), now())
		n += k
		return err
	})
	return n, err
}

// Truncate sets a file's size. What comes behind the old one reads as zeros.
func (c *Client) Truncate(ctx context.Context, ino Ino, size int64) error {
	return c.data(ctx, "truncate inode", ino, func(fs Changer) error {
		f, err := fs.Inode(ctx, ino)
		if err != nil {
			return err
		}
		if f.Attr().Flags&FlagAppend != 0 {
			return syscall.EPERM
		}
		return fs.Truncate(ctx, ino, size, now())
	})
}

// Fallocate gives a range of a file blocks, holes or zeros.
func (c *Client) Fallocate(ctx context.Context, ino Ino, off, n int64, mode Fallocation) error {
	return c.data(ctx, "fallocate inode", ino, func(fs Changer) error { return fs.Fallocate(ctx, ino, off, n, mode, now()) })
}

// copyPiece is how much is copied at once, in bytes.
const copyPiece = 1 << 20

// CopyRange copies n bytes of from at off to a file at its own offset, as
// copy_file_range(2) does, and answers how many: fewer where from ends.
func (c *Client) CopyRange(ctx context.Context, from Inode, off int64, ino Ino, at, n int64) (done int64, err error) {
	buf := make([]byte, min(n, copyPiece))
	for done < n {
		k, err := ReadAt(ctx, from, buf[:min(n-done, copyPiece)], off+done)
		if err == io.EOF && k == 0 {
			return done, nil
		}
		if err != nil && err != io.EOF {
			return done, err
		}
		w, err := c.WriteAt(ctx, ino, buf[:k], at+done)
		done += int64(w)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
