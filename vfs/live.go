package vfs

import (
	"context"
	"iter"
)

// A liveInode is an inode of a writable Tree. Its attributes are those of when
// it was made; for everything else the inode is read anew, under its lock, so
// that nobody sees half of a change.
type liveInode struct {
	Inode
	t *Tree
}

// now is the inode as it is, with its lock held for reading until unlock is
// called, or an error.
func (f *liveInode) now(ctx context.Context) (now Inode, unlock func(), err error) {
	ino := f.Inode.Ino()
	unlock = f.t.w.locks.share(ino)
	if now, err = f.t.fs.Inode(ctx, ino); err != nil {
		unlock()
		return nil, nil, err
	}
	return now, unlock, nil
}

func (f *liveInode) Lookup(ctx context.Context, name string) (Ino, error) {
	now, unlock, err := f.now(ctx)
	if err != nil {
		return Ino{}, err
	}
	defer unlock()
	return now.Lookup(ctx, name)
}

// liveEntries is how many entries are taken under one lock.
const liveEntries = 128<<10 + 1

// Entries takes many entries under the lock and yields them without it: who
// gets them may ask for anything.
func (f *liveInode) Entries(ctx context.Context, after Cursor) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			list, more, err := f.entries(ctx, after)
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
				after = e.Next
			}
			if err != nil {
				yield(Entry{}, err)
			}
			if err != nil || !more {
				return
			}
		}
	}
}

func (f *liveInode) entries(ctx context.Context, after Cursor) (list []Entry, more bool, err error) {
	now, unlock, err := f.now(ctx)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	for e, err := range now.Entries(ctx, after) {
		if err != nil {
			return list, false, err
		}
		if list = append(list, e); len(list) == liveEntries {
			return list, true, nil
		}
	}
	return list, false, nil
}

// Map says where bytes lay; ReadAt holds the lock until they are read.
func (f *liveInode) Map(ctx context.Context, off, n int64) (Extent, error) {
	now, unlock, err := f.now(ctx)
	if err != nil {
		return Extent{}, err
	}
	defer unlock()
	if size := now.Attr().Size; off >= size {
		return Extent{Kind: Hole, Len: n}, nil // cut off since its size was asked
	}
	return now.Map(ctx, off, min(n, now.Attr().Size-off))
}

func (f *liveInode) Readlink(ctx context.Context) (string, error) {
	now, unlock, err := f.now(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	return now.Readlink(ctx)
}

// Xattrs reads the values under the lock.
func (f *liveInode) Xattrs(ctx context.Context) iter.Seq2[Xattr, error] {
	return func(yield func(Xattr, error) bool) {
		list, err := f.xattrs(ctx)
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
		if err != nil {
			yield(Xattr{}, err)
		}
	}
}

func (f *liveInode) xattrs(ctx context.Context) (list []Xattr, err error) {
	now, unlock, err := f.now(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for x, err := range now.Xattrs(ctx) {
		if err != nil {
			return list, err
		}
		value, err := x.Read(ctx)
		x.Read = func(context.Context) ([]byte, error) { return value, err }
		list = append(list, x)
	}
	return list, nil
}
