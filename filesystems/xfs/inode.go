package xfs

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// clusterPiece is the unit in which inodes are cached, in bytes, where
	// blocks are larger. An inode that is in use keeps its piece.
	clusterPiece = 4096
	// clusterAhead is how much is read around a missing piece, at least: a
	// chunk of 64 inodes of the usual size.
	clusterAhead = 32 << 10
)

// inode is a vfs.Inode: a view of the verified bytes in its cluster.
type inode struct {
	fs   *FileSystem
	raw  layout.Inode
	num  uint64
	edit *inodeEdit // what the log intended; nil for most
}

// Inode reads one inode that has a name.
func (fs *FileSystem) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	if ino.Tree != 0 || !fs.geo.ValidIno(ino.Num) || fs.internal(ino.Num) {
		return nil, syscall.ENOENT
	}
	if !fs.geo.CRC {
		// Nothing in the inode says that it is one: the B+tree does.
		if used, err := fs.allocated(ctx, ino.Num); err != nil {
			return nil, err
		} else if !used {
			return nil, syscall.ENOENT
		}
	}
	n, err := fs.iget(ctx, ino.Num)
	if err != nil {
		if fs.geo.CRC && isDamage(err) {
			if used, e := fs.allocated(ctx, ino.Num); e == nil && !used {
				return nil, syscall.ENOENT
			}
		}
		return nil, err
	}
	if n.links() == 0 || n.raw.Mode() == 0 || n.raw.Version() >= 3 && n.raw.Flags2()&layout.Flag2Metadata != 0 {
		return nil, syscall.ENOENT
	}
	if ino.Gen != 0 && ino.Gen != uint64(n.raw.Generation()) {
		return nil, syscall.ESTALE
	}
	return n, nil
}

// internal says whether an inode is the filesystem's own.
func (fs *FileSystem) internal(num uint64) bool {
	sb := fs.sb
	if num == sb.RTBitmapIno() || num == sb.RTSummaryIno() {
		return true
	}
	if sb.VersionNum()&layout.VersionQuota == 0 {
		return false
	}
	return num == sb.UserQuotaIno() || num == sb.GroupQuotaIno() || fs.geo.CRC && num == sb.ProjectQuotaIno()
}

// iget reads any inode, and checks what all uses of it rely on. An inode that
// is not in use has the mode 0 and is not checked further.
func (fs *FileSystem) iget(ctx context.Context, num uint64) (*inode, error) {
	raw, err := fs.rawInode(ctx, num)
	if err != nil {
		return nil, err
	}
	n := &inode{fs: fs, raw: raw, num: num, edit: fs.edits.inode(num)}
	if err := n.check(); err != nil {
		return nil, err
	}
	return n, nil
}

// rawInode gives the bytes of an inode, read with the chunk around it.
func (fs *FileSystem) rawInode(ctx context.Context, num uint64) (layout.Inode, error) {
	if !fs.geo.ValidIno(num) {
		return nil, fmt.Errorf("xfs inode %d: %w", num, syscall.ENOENT)
	}
	off := fs.geo.InoOffset(num)
	piece := fs.piece()
	at := txn.Addr{Off: off &^ (piece - 1), Len: int(piece)}
	b, ok := fs.store.Peek(at.Off, fs.kinds.inodes)
	if !ok {
		if !ondisk.Fits(at.Off, piece, fs.dev.Size()) {
			return nil, fs.beyond(fs.kinds.inodes.Name, at.Off)
		}
		fs.store.Prefetch(ctx, fs.clusterWindow(nil, num), fs.kinds.inodes)
		var err error
		if b, err = fs.store.Read(ctx, at, fs.kinds.inodes); err != nil {
			return nil, fmt.Errorf("reading xfs inode %d at byte %d: %w", num, off, err)
		}
	}
	from := int(off & (piece - 1))
	return layout.Inode(b[from : from+fs.geo.InodeSize : from+fs.geo.InodeSize]), nil
}

// piece is the unit of the cached clusters in bytes, a power of two. Groups
// begin at a multiple of it.
func (fs *FileSystem) piece() int64 {
	return int64(min(fs.geo.BlockSize, max(clusterPiece, fs.geo.InodeSize)))
}

// clusterWindow appends the addresses of the pieces around a valid inode, as
// far as the group goes. What is no inode there is read in vain.
func (fs *FileSystem) clusterWindow(to []txn.Addr, num uint64) []txn.Addr {
	ag, _, _, _ := fs.geo.SplitIno(num)
	start := fs.geo.AGOffset(uint32(ag), 0)
	end := min(start+int64(fs.geo.AGLength(uint32(ag)))<<fs.geo.BlockLog, fs.dev.Size())
	piece := fs.piece()
	ahead := max(clusterAhead, int64(layout.InodesPerChunk)<<fs.geo.InodeLog, piece)
	from := start + (fs.geo.InoOffset(num)-start)&^(ahead-1)
	for at := from; at < from+ahead && at+piece <= end; at += piece {
		to = append(to, txn.Addr{Off: at, Len: int(piece)})
	}
	return to
}

// check compares what all uses of an inode rely on: its magic, its own number
// and checksum, the place of its forks, its size.
func (n *inode) check() error {
	r, geo := n.raw, n.fs.geo
	if r.Magic() != layout.InodeMagic {
		return n.corrupt("di_magic %#x", r.Magic())
	}
	if geo.CRC {
		if r.Version() != 3 {
			return n.corrupt("di_version %d", r.Version())
		}
		if sum := r.Sum(); sum != r.Checksum() {
			return ondisk.BadChecksum(n.name(), geo.InoOffset(n.num), r.Checksum(), sum)
		}
		if r.Ino() != n.num {
			return n.corrupt("it says that it is inode %d", r.Ino())
		}
		if !bytes.Equal(r.UUID(), geo.MetaUUID[:]) {
			return n.corrupt("it belongs to the filesystem %x, this is %x", r.UUID(), geo.MetaUUID)
		}
	} else if v := r.Version(); v < 1 || v > 2 {
		return n.corrupt("di_version %d", v)
	}
	if r.Mode() == 0 {
		return nil
	}
	if !r.ForkOffFits() {
		return n.corrupt("di_forkoff %d in %d bytes", r.ForkOff(), len(r))
	}
	if n.size() < 0 {
		return n.corrupt("di_size %#x", r.Size())
	}
	return n.checkForks()
}

// checkForks compares the formats of the forks with what the inode is.
func (n *inode) checkForks() error {
	data := n.fork(dataFork)
	switch n.fileType() {
	case syscall.S_IFREG:
		if data.format != layout.FormatExtents && data.format != layout.FormatBtree {
			return n.corrupt("a regular file of the format %d", data.format)
		}
	case syscall.S_IFDIR, syscall.S_IFLNK:
		switch data.format {
		case layout.FormatLocal:
			if n.size() > int64(len(data.bytes)) {
				return n.corrupt("%d bytes in a fork of %d", n.size(), len(data.bytes))
			}
		case layout.FormatExtents, layout.FormatBtree:
		default:
			return n.corrupt("a directory or symlink of the format %d", data.format)
		}
	case syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
		if data.format != layout.FormatDev {
			return n.corrupt("a device or socket of the format %d", data.format)
		}
	default:
		return n.corrupt("di_mode %#o", n.raw.Mode())
	}
	if err := data.check(); err != nil {
		return err
	}
	attr := n.fork(attrFork)
	if len(attr.bytes) == 0 {
		return nil
	}
	switch attr.format {
	case layout.FormatLocal, layout.FormatExtents, layout.FormatBtree:
		return attr.check()
	}
	return n.corrupt("di_aformat %d", attr.format)
}

func (n *inode) name() string { return fmt.Sprintf("xfs inode %d", n.num) }

// corrupt is the error for damage in the inode itself.
func (n *inode) corrupt(format string, args ...any) error {
	return ondisk.Corrupt(n.name(), n.fs.geo.InoOffset(n.num), format, args...)
}

func (n *inode) fileType() uint32 { return uint32(n.raw.Mode()) & syscall.S_IFMT }

// links is the number of names. Inodes of version 1 have it at another place.
func (n *inode) links() uint32 {
	if n.raw.Version() == 1 {
		return uint32(n.raw.OldLinks())
	}
	return n.raw.Links()
}

// size is di_size, which may be negative on a damaged disk.
func (n *inode) size() int64 {
	if n.edit != nil && n.edit.resized {
		return n.edit.size
	}
	if s := n.raw.Size(); s <= math.MaxInt64 {
		return int64(s)
	}
	return -1
}

// Ino names the inode with its generation.
func (n *inode) Ino() vfs.Ino {
	return vfs.Ino{Num: n.num, Gen: uint64(n.raw.Generation())}
}
