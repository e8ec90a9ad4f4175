package xfs

import (
	"bytes"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const whatDir = "xfs directory block"

// verifyDirData is the Verify of a directory block with entries: every entry
// and every free space, and the index where the block has one.
func (fs *FileSystem) verifyDirData(b []byte, at txn.Addr) error {
	d := layout.DirBlock(b)
	block, data := uint32(layout.DirBlockMagic), uint32(layout.DirDataMagic)
	if fs.geo.CRC {
		block, data = layout.DirBlockMagicCRC, layout.DirDataMagicCRC
	}
	if m := d.Magic(); m != block && m != data {
		return ondisk.Corrupt(whatDir, at.Off, "inode %d: magic %#x, expected %#x or %#x", at.Owner, m, block, data)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	end := len(b)
	if d.Magic() == block {
		room := (len(b) - fs.geo.DirHeader() - layout.DirTail) / layout.LeafEntrySize
		if uint64(d.Count()) > uint64(room) || d.Stale() > d.Count() {
			return ondisk.Corrupt(whatDir, at.Off, "inode %d: %d index entries, %d of them stale, expected at most %d", at.Owner, d.Count(), d.Stale(), room)
		}
		if err := checkHashes(d.Index(), at); err != nil {
			return err
		}
		end -= layout.DirTail + int(d.Count())*layout.LeafEntrySize
	}
	for in := fs.geo.DirHeader(); in < end; {
		size, err := fs.checkDirent(b[:end], in, at)
		if err != nil {
			return err
		}
		in += size
	}
	return nil
}

// checkDirent compares the entry or free space at a place, and gives its
// length, which is at least layout.DirAlign.
func (fs *FileSystem) checkDirent(b []byte, in int, at txn.Addr) (size int, err error) {
	bad := func(format string, args ...any) (int, error) {
		return 0, ondisk.Corrupt(whatDir, at.Off+int64(in), "inode %d: "+format, append([]any{at.Owner}, args...)...)
	}
	if in+layout.DirAlign > len(b) {
		return bad("%d bytes are left", len(b)-in)
	}
	d := layout.Dirent(b[in:])
	if d.IsFree() {
		size = d.FreeLength()
		if size < layout.DirAlign || size%layout.DirAlign != 0 || size > len(b)-in {
			return bad("free space of %d bytes, %d are left", size, len(b)-in)
		}
	} else {
		if in+layout.DirentMinSize > len(b) {
			return bad("an entry in the last %d bytes", len(b)-in)
		}
		size = d.Size(fs.geo.FTypeSize())
		if d.NameLen() == 0 || size > len(b)-in {
			return bad("a name of %d bytes, %d are left", d.NameLen(), len(b)-in)
		}
		if !fs.geo.ValidIno(d.Ino()) {
			return bad("inode number %d", d.Ino())
		}
	}
	if tag := d.Tag(size); tag != in {
		return bad("it says that it is at %d, not %d", tag, in)
	}
	return size, nil
}

// checkHashes compares the order of index entries.
func checkHashes(l layout.LeafEntries, at txn.Addr) error {
	for i := 1; i < l.Len(); i++ {
		if l.Hash(i) < l.Hash(i-1) {
			return ondisk.Corrupt("xfs directory index", at.Off, "inode %d: hash %d is below the one before it", at.Owner, i)
		}
	}
	return nil
}

// verifyDirIndex is the Verify of a directory block with hashes: a leaf or a
// node above.
func (fs *FileSystem) verifyDirIndex(b []byte, at txn.Addr) error {
	const what = "xfs directory index"
	d := layout.DABlock{B: b, CRC: fs.geo.CRC}
	entries, tail := layout.LeafEntrySize, 0
	switch m := d.Magic(); {
	case m == pick[uint16](fs.geo.CRC, layout.DirLeaf1MagicCRC, layout.DirLeaf1Magic):
		tail = 4
	case m == pick[uint16](fs.geo.CRC, layout.DirLeafNMagicCRC, layout.DirLeafNMagic):
	case m == pick[uint16](fs.geo.CRC, layout.DANodeMagicCRC, layout.DANodeMagic):
		return fs.verifyNode(d, at, what)
	default:
		return ondisk.Corrupt(what, at.Off, "inode %d: magic %#x", at.Owner, m)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	if room := (len(b) - d.NodeHeader() - tail) / entries; d.Count() > room {
		return ondisk.Corrupt(what, at.Off, "inode %d: %d entries, at most %d", at.Owner, d.Count(), room)
	}
	return checkHashes(d.Leaf(), at)
}

// verifyNode compares an inner node of the B+tree of hashes.
func (fs *FileSystem) verifyNode(d layout.DABlock, at txn.Addr, what string) error {
	if err := fs.verifyHeader(d.B, at); err != nil {
		return err
	}
	room := (len(d.B) - d.NodeHeader()) / layout.DAEntrySize
	if d.Count() == 0 || d.Count() > room || d.Level() == 0 || d.Level() > layout.DAMaxDepth {
		return ondisk.Corrupt(what, at.Off, "inode %d: a node of level %d with %d entries, at most %d", at.Owner, d.Level(), d.Count(), room)
	}
	for i := 1; i < d.Count(); i++ {
		if d.Hash(i) < d.Hash(i-1) {
			return ondisk.Corrupt(what, at.Off, "inode %d: hash %d is below the one before it", at.Owner, i)
		}
	}
	return nil
}

// badName says whether a name is none to anybody.
func badName(name []byte) bool {
	return bytes.IndexByte(name, '/') >= 0 || bytes.IndexByte(name, 0) >= 0
}

// isDots says whether a name is . or .., which are not listed.
func isDots(name []byte) bool {
	return len(name) > 0 && name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.')
}
