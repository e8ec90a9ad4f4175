package vfs

import (
	"context"
	"io"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A Changer is a FileSystem that can be changed. The caller holds the lock of
// every inode that a call names.
type Changer interface {
	FileSystem

	// Reserve chooses where the n bytes at off of a file are to be written, or
	// as many of them from off on as the places cover. ENOSPC, EFBIG. It is
	// ended by Tx.Extend or by Release, and the file does not change meanwhile.
	Reserve(ctx context.Context, ino Ino, off, n int64) (*Reservation, error)
	Release(r *Reservation)

	// Truncate sets a file's size. What comes behind the old one reads as zeros.
	Truncate(ctx context.Context, ino Ino, size int64, now Time) error

	// Fallocate gives a range of a file blocks, holes or zeros. EOPNOTSUPP for
	// modes that the filesystem does not have.
	Fallocate(ctx context.Context, ino Ino, off, n int64, mode Fallocation, now Time) error

	// Evict frees an inode that has no name and is in no use any more. It does
	// nothing to one that has a name.
	Evict(ctx context.Context, ino Ino, now Time) error
}

// WriteAt writes p to a file at off, which may be behind its end. It is the one
// path on which file data is written: home first, then mapped, so that a crash
// shows the bytes that were there, or p, or zeros, and never another file's.
// It answers how many bytes of p are in the file; they are durable after Sync.
func WriteAt(ctx context.Context, fs Changer, ino Ino, p []byte, off int64, now Time) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	done := 0
	for done < len(p) {
		n, err := writeSome(ctx, fs, ino, p[done:], off+int64(done), now)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// writeSome writes as much of p as one reservation covers.
func writeSome(ctx context.Context, fs Changer, ino Ino, p []byte, off int64, now Time) (int, error) {
	r, err := fs.Reserve(ctx, ino, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := writePlaces(ctx, r, p)
	if err == nil && n == 0 {
		err = io.ErrShortWrite
	}
	if err != nil {
		fs.Release(r)
		return 0, err
	}
	tx, err := fs.Begin(ctx, Op{Name: "write", Inos: []Ino{ino}, Bytes: int64(n), Time: now})
	if err != nil {
		fs.Release(r)
		return 0, err
	}
	if err := tx.Extend(ctx, r, off+int64(n)); err != nil {
		tx.Abort()
		fs.Release(r)
		return 0, err
	}
	if err := tx.Commit(false); err != nil {
		fs.Release(r)
		return 0, err
	}
	return n, nil
}

// writePlaces writes p, and zeros around it in blocks that are fresh. It
// answers how much of p the places cover.
func writePlaces(ctx context.Context, r *Reservation, p []byte) (int, error) {
	done := 0
	for _, place := range r.Places {
		from := max(0, r.Off-place.FileOff) // in the place
		part := p[done : done+int(block.Clamp(from, int64(len(p)-done), place.Len))]
		done += len(part)
		at := place.Off + from
		if place.Fresh && int64(len(part)) < place.Len {
			whole := make([]byte, place.Len)
			copy(whole[from:], part)
			part, at = whole, place.Off
		}
		if _, err := place.Dev.WriteAt(ctx, part, at); err != nil {
			return 0, err
		}
	}
	return done, nil
}
