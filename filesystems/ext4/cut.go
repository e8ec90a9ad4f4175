package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// endOfFile is behind the last logical block that an extent can map.
const endOfFile = maxLogical - 1

// cut frees the blocks of an inode from a logical block on. done is false
// where that takes another change.
func (x *tx) cut(ctx context.Context, n *inode, from uint64) (done bool, err error) {
	if t := n.fileType(); t != syscall.S_IFREG && t != syscall.S_IFDIR && t != syscall.S_IFLNK || n.fastSymlink() && t == syscall.S_IFLNK {
		return true, nil
	}
	if err := n.mayFree(); err != nil {
		return false, err
	}
	return x.removeExtents(ctx, n, from, endOfFile, true)
}

// Truncate sets a file's size. Shortened, it keeps the blocks behind its end
// until TruncateChain has freed them, and is on the orphan list meanwhile; more
// says whether there are any. What is behind the end of a block is zeros by
// then: the caller saw to it.
func (x *tx) truncate(ctx context.Context, n *inode, size int64) (more bool, err error) {
	if n.fileType() == syscall.S_IFDIR {
		return false, syscall.EISDIR
	}
	if n.fileType() != syscall.S_IFREG || size < 0 {
		return false, syscall.EINVAL
	}
	if err := x.writable(n, size); err != nil {
		return false, err
	}
	shorter := size < n.size()
	n.raw.setSize64(size)
	x.touch(n)
	if !shorter {
		return false, nil
	}
	done, err := x.cut(ctx, n, x.fs.blocksOf(size))
	if err != nil || done {
		return false, err
	}
	if _, on := x.fs.orphanAt(n.num); !on {
		return true, x.addOrphan(ctx, n)
	}
	return true, nil
}

// blocksOf is how many blocks so many bytes take.
func (fs *FileSystem) blocksOf(size int64) uint64 {
	return (uint64(size) + uint64(fs.geo.blockSize) - 1) >> fs.geo.blockBits
}

// maxFile bounds a file's size: its logical blocks have 32 bits.
func (fs *FileSystem) maxFile() int64 { return int64(endOfFile) << fs.geo.blockBits }

// writable says why the contents of an inode cannot be changed, up to a size.
func (x *tx) writable(n *inode, size int64) error {
	if n.fileType() != syscall.S_IFREG {
		return syscall.EINVAL
	}
	return n.mayWrite(size)
}

func (n *inode) mayWrite(size int64) error {
	switch {
	case n.flag(flagImmutable):
		return syscall.EPERM
	case n.flag(flagEncrypt | flagVerity | flagInlineData | flagCompressed | flagEAInode):
		return ondisk.Unsupported("ext4 filesystem", "writing inode %d, with flags %#x,", n.num, n.raw.flags())
	case !n.flag(flagExtents):
		return ondisk.Unsupported("ext4 filesystem", "writing inode %d, which has a block map", n.num)
	case size > n.fs.maxFile(), size > 1<<31-1 && !n.fs.sb.hasRoCompat(roLargeFile):
		return syscall.EFBIG
	}
	return nil
}

// truncateChain frees the blocks behind a file's end, in several changes, and
// takes it off the orphan list.
func (fs *FileSystem) truncateChain(ctx context.Context, ino vfs.Ino, now vfs.Time) error {
	for {
		x, err := fs.begin(ctx, now)
		if err != nil {
			return err
		}
		n, err := x.named(ctx, ino)
		if err != nil {
			x.Abort()
			return err
		}
		done, err := x.cut(ctx, n, fs.blocksOf(n.size()))
		if err == nil && done {
			if err = x.dropOrphan(ctx, n); err == syscall.ENOENT {
				err = nil
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

var _ vfs.Changer = (*FileSystem)(nil)

// Truncate sets a file's size: at once where it is small, and in a chain of
// changes where many blocks are to be freed.
func (fs *FileSystem) Truncate(ctx context.Context, ino vfs.Ino, size int64, now vfs.Time) error {
	num, err := fs.number(ino)
	if err != nil {
		return err
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return err
	}
	if fs.w == nil {
		return syscall.EROFS
	}
	if err := n.mayWrite(size); err != nil {
		return err
	}
	// As in the kernel, the bytes behind the new end may be zeros on the disk before the end is there.
	if err := fs.zeroTail(ctx, n, min(size, n.size())); err != nil {
		return err
	}
	x, err := fs.begin(ctx, now)
	if err != nil {
		return err
	}
	e, err := x.named(ctx, ino)
	more := false
	if err == nil {
		more, err = x.truncate(ctx, e, size)
	}
	if err != nil {
		x.Abort()
		return err
	}
	if err := x.Commit(false); err != nil || !more {
		return err
	}
	return fs.truncateChain(ctx, ino, now)
}

// zeroTail makes what is behind byte size in its block zeros on the device.
func (fs *FileSystem) zeroTail(ctx context.Context, n *inode, size int64) error {
	in := size & int64(fs.geo.blockSize-1)
	if in == 0 {
		return nil
	}
	r, err := n.runAt(ctx, uint64(size)>>fs.geo.blockBits)
	if err != nil || r.hole() || r.unwritten {
		return err
	}
	_, err = fs.w.dev.WriteAt(ctx, make([]byte, int64(fs.geo.blockSize)-in), fs.at(r.start).Off+in)
	return err
}
