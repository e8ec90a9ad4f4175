package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Fallocate is fallocate(2) without collapsing and inserting: blocks for a
// range, a hole, or zeros. It is a chain of changes, each whole.
func (fs *FileSystem) Fallocate(ctx context.Context, ino vfs.Ino, off, count int64, mode vfs.Fallocation, now vfs.Time) error {
	if fs.w == nil {
		return syscall.EROFS
	}
	if off < 0 || count <= 0 {
		return syscall.EINVAL
	}
	num, err := fs.number(ino)
	if err != nil {
		return err
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return err
	}
	if off > n.maxFile()-count {
		return syscall.EFBIG
	}
	if err := n.mayWrite(max(n.size(), off+count)); err != nil {
		return err
	}
	if n.flag(flagAppend) && mode&^vfs.FallocateKeepSize != 0 {
		return syscall.EPERM
	}
	if n, err = fs.outline(ctx, ino, n); err != nil {
		return err
	}
	if !n.flag(flagExtents) && mode&vfs.FallocatePunchHole == 0 {
		return syscall.EOPNOTSUPP // as in the kernel: a block map has no unwritten blocks
	}
	keep := mode&vfs.FallocateKeepSize != 0
	switch mode &^ vfs.FallocateKeepSize {
	case 0:
	case vfs.FallocatePunchHole:
		if !keep {
			return syscall.EOPNOTSUPP // as fallocate(2)
		}
		return fs.punch(ctx, ino, n, off, count, now)
	case vfs.FallocateZeroRange:
		if err := fs.punch(ctx, ino, n, off, min(count, max(n.size()-off, 0)), now); err != nil {
			return err
		}
	default:
		return syscall.EOPNOTSUPP
	}
	size := n.size()
	if !keep {
		size = max(size, off+count)
	}
	if size > n.size() {
		if err := fs.zeroTail(ctx, n, n.size()); err != nil {
			return err
		}
	}
	return fs.preallocate(ctx, ino, uint64(off)>>fs.geo.blockBits, fs.blocksOf(off+count), size, now)
}

// preallocate gives the holes among logical blocks unwritten blocks.
func (fs *FileSystem) preallocate(ctx context.Context, ino vfs.Ino, from, end uint64, size int64, now vfs.Time) error {
	for retried := false; ; {
		x, err := fs.begin(ctx, now)
		if err != nil {
			return err
		}
		next, err := x.preallocateSome(ctx, ino, from, end, size)
		if err != nil {
			x.Abort()
			if err == syscall.ENOSPC && !retried && fs.w.waiting.Load() > 0 {
				retried = true
				if err := fs.w.manager.Sync(); err != nil {
					return err
				}
				continue
			}
			return err
		}
		if err := x.Commit(false); err != nil || next >= end {
			return err
		}
		from = next
	}
}

// preallocateSome does what one change can, and says where it stopped. The size
// is set when all is done.
func (x *tx) preallocateSome(ctx context.Context, ino vfs.Ino, from, end uint64, size int64) (next uint64, err error) {
	n, err := x.named(ctx, ino)
	if err != nil {
		return 0, err
	}
	for from < end && x.t.Edits() < x.fs.w.manager.Credits()-spare {
		r, err := n.runAt(ctx, from)
		if err != nil {
			return 0, err
		}
		count := min(r.len, end-from)
		if r.hole() {
			s, err := x.allocate(ctx, x.fs.dataGoal(ctx, n, from), min(count, extentMaxLen-1))
			if err != nil {
				return 0, err
			}
			x.addBlocks(n, int64(s.len))
			if err := x.insertExtent(ctx, n, mapping{from, s.len, s.start, true}); err != nil {
				return 0, err
			}
			count = s.len
		}
		from += count
	}
	if from >= end {
		if size > n.size() {
			if err := x.setSize(ctx, n, size); err != nil {
				return 0, err
			}
		}
		x.touch(n)
	}
	return from, nil
}

// punch makes a range of a file zeros: whole blocks are freed, parts of blocks
// are written.
func (fs *FileSystem) punch(ctx context.Context, ino vfs.Ino, n *inode, off, count int64, now vfs.Time) error {
	if count = min(count, n.size()-off); count <= 0 {
		return nil
	}
	bs := int64(fs.geo.blockSize)
	end := off + count
	if end == n.size() {
		end = (end + bs - 1) &^ (bs - 1) // what is behind the end is zeros anyway
	}
	first, last := (off+bs-1)&^(bs-1), end&^(bs-1)
	for _, part := range [...][2]int64{{off, min(first, end)}, {max(last, min(first, end)), end}} {
		if err := fs.zeroPart(ctx, n, part[0], part[1]); err != nil {
			return err
		}
	}
	for from, to := uint64(first)>>fs.geo.blockBits, uint64(last)>>fs.geo.blockBits; ; {
		x, err := fs.begin(ctx, now)
		if err != nil {
			return err
		}
		e, err := x.named(ctx, ino)
		done := true
		if err == nil {
			x.touch(e)
			if from < to {
				done, err = x.unmapBlocks(ctx, e, from, to)
			}
		}
		if err != nil {
			x.Abort()
			return err
		}
		if err := x.Commit(false); err != nil || done {
			return err
		}
	}
}

// zeroPart writes zeros to a part of one block of a file.
func (fs *FileSystem) zeroPart(ctx context.Context, n *inode, from, to int64) error {
	if from >= to {
		return nil
	}
	r, err := n.runAt(ctx, uint64(from)>>fs.geo.blockBits)
	if err != nil || r.hole() || r.unwritten {
		return err
	}
	_, err = fs.w.dev.WriteAt(ctx, make([]byte, to-from), fs.at(r.start).Off+from&int64(fs.geo.blockSize-1))
	return err
}
