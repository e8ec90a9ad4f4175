package ext4

import (
	"context"
	"fmt"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// tablePiece is the unit in which inode tables are cached, in bytes,
	// where blocks are larger. An inode that is in use keeps its piece.
	tablePiece = 4096
	// tableAhead is how much of an inode table is read around a missing piece.
	tableAhead = 128 << 10
)

// inode is a vfs.Inode: a view of the verified bytes in the inode table.
type inode struct {
	fs  *FileSystem
	raw rawInode
	num uint32
	tx  *txn.Tx // of the change that sees the inode so; nil outside of one
}

// Inode reads one inode: the root, or one that is not reserved.
func (fs *FileSystem) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	num, err := fs.number(ino)
	if err != nil {
		return nil, err
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return nil, err
	}
	if n.raw.links() == 0 && (fs.w == nil || n.raw.mode() == 0) { // a writer has inodes that are in use and have no name
		return nil, syscall.ENOENT
	}
	if ino.Gen != 0 && ino.Gen != uint64(n.raw.generation()) {
		return nil, syscall.ESTALE
	}
	return n, nil
}

// number is the number of an inode that a caller may name.
func (fs *FileSystem) number(ino vfs.Ino) (uint32, error) {
	if ino.Tree != 0 || ino.Num > math.MaxUint32 {
		return 0, syscall.ENOENT
	}
	if num := uint32(ino.Num); num == 0 || num > fs.geo.inodes || num < fs.geo.firstIno && num != rootIno {
		return 0, syscall.ENOENT
	}
	return uint32(ino.Num), nil
}

// iget reads any inode, reserved ones included, and checks what all uses of it
// rely on.
func (fs *FileSystem) iget(ctx context.Context, num uint32) (*inode, error) {
	raw, err := fs.rawInode(ctx, num)
	if err != nil {
		return nil, err
	}
	n := &inode{fs: fs, raw: raw, num: num}
	if err := n.check(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// check compares what all uses of an inode rely on.
func (n *inode) check(ctx context.Context) error {
	if len(n.raw) > oldInodeSize {
		if extra := n.raw.extraSize(); extra > len(n.raw)-oldInodeSize || extra&3 != 0 {
			return n.corrupt(ctx, "i_extra_isize %d of an inode of %d bytes", extra, len(n.raw))
		}
	}
	if n.size() < 0 {
		return n.corrupt(ctx, "i_size %#x", uint64(n.size()))
	}
	return nil
}

// rawInode gives the verified bytes of an inode, with a fast commit's change.
func (fs *FileSystem) rawInode(ctx context.Context, num uint32) (rawInode, error) {
	if num == 0 || num > fs.geo.inodes {
		return nil, fmt.Errorf("ext4 inode %d of %d: %w", num, fs.geo.inodes, syscall.ENOENT)
	}
	if fs.edits != nil {
		if raw, ok := fs.edits.inode(num); ok {
			return raw, nil
		}
	}
	return fs.homeInode(ctx, num)
}

// homeInode gives the verified bytes of an inode as they are in its table.
func (fs *FileSystem) homeInode(ctx context.Context, num uint32) (rawInode, error) {
	group, index := (num-1)/fs.geo.inodesPerGroup, (num-1)%fs.geo.inodesPerGroup
	r, err := fs.descRun(ctx, group)
	if err != nil {
		return nil, err
	}
	table := r.table[group-r.first]
	if table == 0 {
		return nil, fs.verifyDesc(r.desc(fs.geo, group), group)
	}
	in := int64(index) * int64(fs.geo.inodeSize)
	piece := fs.geo.tablePiece()
	at := txn.Addr{Off: table + in&^(piece-1), Len: int(piece)}
	b, ok := fs.store.Peek(at.Off, fs.kinds.inodes)
	if !ok {
		if !ondisk.Fits(at.Off, piece, fs.dev.Size()) {
			return nil, fs.beyond(fs.kinds.inodes.Name, at.Off)
		}
		fs.store.Prefetch(ctx, fs.tableWindow(nil, r, group, at.Off), fs.kinds.inodes)
		if b, err = fs.store.Read(ctx, at, fs.kinds.inodes); err != nil {
			return nil, fmt.Errorf("reading ext4 inode %d at byte %d: %w", num, table+in, err)
		}
	}
	from := int(in & (piece - 1))
	raw := rawInode(b[from : from+fs.geo.inodeSize : from+fs.geo.inodeSize])
	if fs.geo.metadataCsum {
		if err := fs.geo.verifyInode(raw, num, table+in); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// tablePiece is the unit of the cached inode tables in bytes, a power of two.
// A writer changes whole blocks.
func (g *geometry) tablePiece() int64 {
	if g.writable {
		return int64(g.blockSize)
	}
	return int64(min(g.blockSize, max(tablePiece, g.inodeSize)))
}

// tableWindow appends the addresses of the pieces around off in a group's
// inode table, as far as the table is used.
func (fs *FileSystem) tableWindow(to []txn.Addr, r *descRun, group uint32, off int64) []txn.Addr {
	table, piece := r.table[group-r.first], fs.geo.tablePiece()
	used := int64(fs.geo.inodesPerGroup)
	if d := r.desc(fs.geo, group); fs.geo.metadataCsum || fs.geo.gdtCsum {
		used -= min(used, int64(d.itableUnused()))
	}
	end := min(table+(used*int64(fs.geo.inodeSize)+piece-1)&^(piece-1), fs.dev.Size())
	start := table + (off-table)&^(tableAhead-1)
	end = min(end, start+max(tableAhead, piece))
	for at := start; at+piece <= end; at += piece {
		to = append(to, txn.Addr{Off: at, Len: int(piece)})
	}
	return to
}

// inodeOffset is where an inode lies, for an error; -1 where that is unknown.
func (fs *FileSystem) inodeOffset(ctx context.Context, num uint32) int64 {
	group, index := (num-1)/fs.geo.inodesPerGroup, (num-1)%fs.geo.inodesPerGroup
	r, err := fs.descRun(ctx, group)
	if err != nil || r.table[group-r.first] == 0 {
		return -1
	}
	return r.table[group-r.first] + int64(index)*int64(fs.geo.inodeSize)
}

// corrupt is the error for damage in the inode itself.
func (n *inode) corrupt(ctx context.Context, format string, args ...any) error {
	return ondisk.Corrupt(fmt.Sprintf("ext4 inode %d", n.num), n.fs.inodeOffset(ctx, n.num), format, args...)
}

// verifyInode checks an inode's checksum, of which old inodes have half. It
// makes nothing in memory.
func (g *geometry) verifyInode(raw rawInode, num uint32, off int64) error {
	crc := g.crcWord(g.crcWord(g.seed, num), raw.generation())
	crc = ondisk.CRC32C(crc, raw[:inodeChecksumLo])
	crc = g.crcZeros(crc)
	stored := uint32(raw.checksumLo())
	if raw.has(inodeChecksumHi, 2) {
		crc = g.crcWord(crc, u32(raw, inodeChecksumLo+2)) // what is between the two halves
		crc = g.crcZeros(crc)
		crc = ondisk.CRC32C(crc, raw[inodeChecksumHi+2:])
		stored |= uint32(raw.checksumHi()) << 16
	} else {
		crc = ondisk.CRC32C(crc, raw[inodeChecksumLo+2:]) & 0xFFFF
	}
	if crc != stored {
		// A table that was never written is all zeros, and so is an inode in it: not in use, and not damaged.
		if raw.mode() == 0 && raw.links() == 0 {
			return nil
		}
		return ondisk.BadChecksum(fmt.Sprintf("ext4 inode %d", num), off, stored, crc)
	}
	return nil
}

// has says whether the n bytes at a place behind the first 128 are fields of
// this inode.
func (r rawInode) has(at, n int) bool {
	return len(r) > oldInodeSize && oldInodeSize+r.extraSize() >= at+n
}

func (n *inode) fileType() uint32 { return uint32(n.raw.mode()) & syscall.S_IFMT }

func (n *inode) flag(bit uint32) bool { return n.raw.flags()&bit != 0 }

// size is i_size. Only regular files have a high half, and directories where
// large_dir is set.
func (n *inode) size() int64 {
	if t := n.fileType(); t == syscall.S_IFREG || t == syscall.S_IFDIR && n.fs.sb.hasIncompat(incompatLargedir) {
		return int64(join(n.raw.sizeLo(), n.raw.sizeHigh()))
	}
	return int64(n.raw.sizeLo())
}

// fileACL is the block of extended attributes, 0 where there is none.
func (n *inode) fileACL() uint64 {
	if n.fs.sb.hasIncompat(incompat64bit) {
		return join(n.raw.fileACLLo(), uint32(n.raw.fileACLHigh()))
	}
	return uint64(n.raw.fileACLLo())
}

// Ino names the inode with its generation.
func (n *inode) Ino() vfs.Ino {
	return vfs.Ino{Num: uint64(n.num), Gen: uint64(n.raw.generation())}
}
