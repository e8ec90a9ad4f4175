package ext4

import (
	"fmt"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// recLen decodes rec_len: with blocks of 64 KiB its two low bits are the high
// ones of the length.
func recLen(raw, blockSize int) int {
	if blockSize < 1<<16 {
		return raw
	}
	if raw == 0 || raw == 1<<16-1 {
		return blockSize
	}
	return raw&^3 | raw&3<<16
}

// verifyDirBlock is the Verify of directory blocks. The checksum is in the
// tail entry of a leaf and behind the last possible entry of an index node.
func (fs *FileSystem) verifyDirBlock(b []byte, at txn.Addr) error {
	if fs.geo.metadataCsum {
		if err := fs.verifyDirChecksum(b, at); err != nil {
			return err
		}
	}
	return fs.checkDirents(b, at.Off, uint32(at.Owner))
}

func (fs *FileSystem) verifyDirChecksum(b []byte, at txn.Addr) error {
	name := fmt.Sprintf("%s of inode %d", fs.kinds.dir.Name, at.Owner)
	seed := fs.geo.inodeSeed(uint32(at.Owner), at.Gen)
	// The index first: an entry that an old leaf left behind may stand where its checksum's reserved word is.
	from, ok := dxPlace(b)
	if !ok {
		tail := dirent(b[len(b)-direntTail:])
		if !tail.isTail() {
			return ondisk.Corrupt(name, at.Off, "neither a leaf with a checksum nor an index node")
		}
		if sum := ondisk.CRC32C(seed, b[:len(b)-direntTail]); sum != u32(tail, direntTailSum) {
			return ondisk.BadChecksum(name, at.Off, u32(tail, direntTailSum), sum)
		}
		return nil
	}
	d := dxEntries(b[from:])
	end := from + d.limit()*dxEntry
	if d.count() > d.limit() || end > len(b)-dxTail {
		return ondisk.Corrupt(name, at.Off, "index of %d entries, limit %d, in a block of %d bytes", d.count(), d.limit(), len(b))
	}
	sum := ondisk.CRC32C(seed, b[:from+d.count()*dxEntry])
	sum = ondisk.CRC32C(sum, b[end:end+dxTailChecksum])
	sum = ondisk.CRC32C(sum, make([]byte, 4))
	if stored := u32(b, end+dxTailChecksum); sum != stored {
		return ondisk.BadChecksum(name, at.Off, stored, sum)
	}
	return nil
}

// isTail says whether an entry is the one that holds a leaf's checksum.
func (d dirent) isTail() bool {
	return d.inode() == 0 && d.rawRecLen() == direntTail && d.nameLen() == 0 && d.fileType() == direntTailType
}

// checkDirents compares every entry of a block, so that a walk by rec_len stays
// inside it. Index nodes pass too: to a walk they are unused entries.
func (fs *FileSystem) checkDirents(b []byte, off int64, dir uint32) error {
	for at := 0; at < len(b); {
		if len(b)-at < direntMin {
			return fs.badDirent(off+int64(at), dir, "%d bytes left in the block", len(b)-at)
		}
		d := dirent(b[at:])
		length := recLen(d.rawRecLen(), fs.geo.blockSize)
		switch {
		case length < direntMin || length&3 != 0 || length > len(b)-at:
			return fs.badDirent(off+int64(at), dir, "rec_len %d, with %d bytes left in the block", length, len(b)-at)
		case direntHeader+d.nameLen() > length:
			return fs.badDirent(off+int64(at), dir, "rec_len %d is too small for a name of %d bytes", length, d.nameLen())
		case d.inode() > fs.geo.inodes:
			return fs.badDirent(off+int64(at), dir, "inode %d, expected at most %d", d.inode(), fs.geo.inodes)
		case d.inode() != 0 && d.nameLen() == 0:
			return fs.badDirent(off+int64(at), dir, "inode %d without a name", d.inode())
		}
		at += length
	}
	return nil
}

func (fs *FileSystem) badDirent(off int64, dir uint32, format string, args ...any) error {
	return ondisk.Corrupt(fmt.Sprintf("ext4 directory entry in inode %d", dir), off, format, args...)
}
