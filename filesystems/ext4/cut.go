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
	if n.flag(flagInlineData) {
		return true, nil
	}
	return x.unmapBlocks(ctx, n, from, endOfFile)
}

// Truncate sets a file's size. Shortened, it keeps the blocks behind its end
// until TruncateChain has freed them, and is on the orphan list meanwhile; more
// says whether there are any. What is behind the end of a block is zeros by
// then: the caller saw to it.
func (x *tx) truncate(ctx context.Context, n *inode, size int64) (more bool, err error) {
	if err := n.mayWrite(size); err != nil {
		return false, err
	}
	if n.flag(flagAppend) {
		return false, syscall.EPERM
	}
	shorter := size < n.size()
	if err := x.setSize(ctx, n, size); err != nil {
		return false, err
	}
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

// maxFile bounds a file's size: the logical blocks of extents have 32 bits,
// those of a block map a number; without huge_file i_blocks has 32 bits too.
func (n *inode) maxFile() int64 {
	g := n.fs.geo
	blocks := uint64(endOfFile)
	if !n.flag(flagExtents) {
		blocks = min(blocks, g.mapped())
	}
	if !n.fs.sb.hasRoCompat(roHugeFile) {
		// As in the kernel: all blocks of the map itself count too.
		p := uint64(g.blockSize / blockNumber)
		sectors := uint64(1<<32-1) >> (g.blockBits - 9)
		blocks = min(blocks, sectors-min(sectors, 1+1+p+1+p+p*p))
	}
	return int64(blocks) << g.blockBits
}

// maxSmall is the largest size of a file without the feature large_file.
const maxSmall = 1<<31 - 1

// setSize sets a regular file's size. The first large one is a feature.
func (x *tx) setSize(ctx context.Context, n *inode, size int64) error {
	if size > maxSmall && !x.fs.sb.hasRoCompat(roLargeFile) {
		sb, err := x.fs.editSuper(ctx, x.t)
		if err != nil {
			return err
		}
		sb.setFeatureRoCompat(sb.featureRoCompat() | roLargeFile)
	}
	n.raw.setSize64(size)
	return nil
}

// mayWrite says why the contents of an inode cannot be changed, up to a size.
func (n *inode) mayWrite(size int64) error {
	switch {
	case n.fileType() == syscall.S_IFDIR:
		return syscall.EISDIR
	case n.fileType() != syscall.S_IFREG, size < 0:
		return syscall.EINVAL
	case n.flag(flagImmutable):
		return syscall.EPERM
	case n.flag(flagEncrypt | flagVerity | flagCompressed | flagEAInode):
		return ondisk.Unsupported("ext4 filesystem", "writing inode %d, with flags %#x,", n.num, n.raw.flags())
	case size > n.maxFile(), size > maxSmall && n.fs.sb.revLevel() == 0:
		return syscall.EFBIG
	}
	return nil
}

// truncateChain frees the blocks behind a file's end, in several changes, and
// takes it off the orphan list.
func (fs *FileSystem) truncateChain(ctx context.Context, ino vfs.Ino, now vfs.Time) error {
	for {
		x, err := fs.beginFree(ctx, now)
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
	if n, err = fs.outline(ctx, ino, n); err != nil {
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
