package xfs

import (
	"context"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// dirAhead is how much of a directory is read at once, in bytes.
const dirAhead = 256 << 10

// Entries lists a directory in the order of its entries' addresses, which they
// keep when the directory outgrows its inode. Cursor.Off is one more than the
// address of the entry.
func (n *inode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if n.fileType() != syscall.S_IFDIR {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		if n.fork(dataFork).format == layout.FormatLocal {
			n.shortEntries(after, yield)
			return
		}
		n.blockEntries(ctx, after, yield)
	}
}

// blockEntries lists a directory that has blocks.
func (n *inode) blockEntries(ctx context.Context, after vfs.Cursor, yield func(vfs.Entry, error) bool) {
	geo := n.fs.geo
	if after.Off >= layout.DirLeafOffset>>layout.DirAlignLog {
		return
	}
	for p, err := range n.dirBlocks(ctx, after.Off<<layout.DirAlignLog>>geo.DirBlockLog) {
		if err != nil {
			yield(vfs.Entry{}, err)
			return
		}
		end := len(p.b)
		if d := layout.DirBlock(p.b); n.isOnlyBlock(d) {
			end -= layout.DirTail + int(d.Count())*layout.LeafEntrySize
		}
		for in := geo.DirHeader(); in < end; {
			d := layout.Dirent(p.b[in:])
			if d.IsFree() {
				in += d.FreeLength()
				continue
			}
			address := (p.at + uint64(in)) >> layout.DirAlignLog
			here := in
			in += d.Size(geo.FTypeSize())
			if address < after.Off || isDots(d.Name()) {
				continue
			}
			if badName(d.Name()) {
				yield(vfs.Entry{}, ondisk.Corrupt(whatDir, p.off+int64(here), "inode %d: name %q", n.num, d.Name()))
				return
			}
			e := vfs.Entry{Name: string(d.Name()), Ino: vfs.Ino{Num: d.Ino()}, Next: vfs.Cursor{Off: address + 1}}
			if geo.FType {
				e.Type = entryType(d.FType())
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// isOnlyBlock says whether a verified block has its index in it.
func (n *inode) isOnlyBlock(d layout.DirBlock) bool {
	m := d.Magic()
	return m == layout.DirBlockMagic || m == layout.DirBlockMagicCRC
}

// dirPart is a verified directory block.
type dirPart struct {
	b   []byte
	at  uint64 // of b in the directory, in bytes
	off int64  // of b in the device, for errors
}

// dirBlocks goes through the blocks with entries from number db on. Holes are
// passed over.
func (n *inode) dirBlocks(ctx context.Context, db uint64) iter.Seq2[dirPart, error] {
	return func(yield func(dirPart, error) bool) {
		f, geo := n.fork(dataFork), n.fs.geo
		shift := geo.DirBlockLog - geo.BlockLog // log2 of the blocks in a directory block
		end := min(uint64(n.size()), layout.DirLeafOffset) >> geo.BlockLog
		ahead := uint64(0) // what was read ahead ends at this block
		for blk := db << shift; blk < end; {
			r, err := f.runAt(ctx, blk)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(dirPart{}, err)
				return
			}
			if !r.mapped {
				// The next directory block begins at or behind the end of the hole.
				blk = (blk + min(r.len, end) + 1<<shift - 1) >> shift << shift
				continue
			}
			if blk >= ahead {
				ahead = n.readAhead(ctx, blk, min(r.len, end-blk), r.start)
			}
			b, off, ok, err := f.read(ctx, blk, 1<<shift, n.fs.kinds.dirData)
			if err == nil && !ok {
				err = f.corrupt("the directory block %d has gone", blk)
			}
			if !yield(dirPart{b, blk << geo.BlockLog, off}, err) || err != nil {
				return
			}
			blk += 1 << shift
		}
	}
}

// readAhead reads directory blocks that lie in a row in one read, as far as
// dirAhead goes, and gives the block in the directory where that ended.
func (n *inode) readAhead(ctx context.Context, blk, count, start uint64) uint64 {
	geo := n.fs.geo
	size := uint64(1) << (geo.DirBlockLog - geo.BlockLog)
	count = min(count, max(size, dirAhead>>geo.BlockLog)) / size * size
	if count <= size {
		return blk + count
	}
	addrs := make([]txn.Addr, 0, count/size)
	for in := uint64(0); in < count; in += size {
		if at, err := n.blockAddr(start+in, size, n.fs.kinds.dirData.Name); err == nil {
			addrs = append(addrs, at)
		}
	}
	n.fs.store.Prefetch(ctx, addrs, n.fs.kinds.dirData)
	return blk + count
}

// entryType is the mode of an entry's type; 0 where it does not say.
func entryType(ftype uint8) uint32 {
	switch ftype {
	case layout.FTReg:
		return syscall.S_IFREG
	case layout.FTDir:
		return syscall.S_IFDIR
	case layout.FTChr, layout.FTWhiteout:
		return syscall.S_IFCHR
	case layout.FTBlk:
		return syscall.S_IFBLK
	case layout.FTFifo:
		return syscall.S_IFIFO
	case layout.FTSock:
		return syscall.S_IFSOCK
	case layout.FTSymlink:
		return syscall.S_IFLNK
	}
	return 0
}

// shortEntries lists a directory that is in its inode.
func (n *inode) shortEntries(after vfs.Cursor, yield func(vfs.Entry, error) bool) {
	for e, err := range n.shortDir() {
		if err != nil {
			yield(vfs.Entry{}, err)
			return
		}
		address := uint64(e.entry.Offset()) >> layout.DirAlignLog
		if address < after.Off {
			continue
		}
		out := vfs.Entry{Name: string(e.entry.Name()), Ino: vfs.Ino{Num: e.ino}, Type: entryType(e.ftype), Next: vfs.Cursor{Off: address + 1}}
		if !yield(out, nil) {
			return
		}
	}
}

// shortEntry is an entry of a directory in its inode.
type shortEntry struct {
	entry layout.ShortDirent
	ino   uint64
	ftype uint8
}

// shortParent is the parent of a directory that is in its inode.
func (n *inode) shortParent() (uint64, error) {
	s := layout.ShortDir(n.fork(dataFork).bytes[:n.size()])
	if len(s) < layout.ShortDirParent || len(s) < layout.ShortDirParent+s.InoSize() {
		return 0, n.corrupt("a directory of %d bytes", len(s))
	}
	return s.Ino(layout.ShortDirParent), nil
}

// shortDir goes through the entries of a directory in its inode and compares
// each.
func (n *inode) shortDir() iter.Seq2[shortEntry, error] {
	return func(yield func(shortEntry, error) bool) {
		if _, err := n.shortParent(); err != nil {
			yield(shortEntry{}, err)
			return
		}
		geo := n.fs.geo
		s := layout.ShortDir(n.fork(dataFork).bytes[:n.size()])
		at, offset := layout.ShortDirParent+s.InoSize(), geo.DirHeader()
		for i := range s.Count() {
			if at+layout.ShortDirentName > len(s) {
				yield(shortEntry{}, n.corrupt("%d entries in %d bytes", s.Count(), len(s)))
				return
			}
			e := layout.ShortDirent(s[at:])
			size := layout.ShortDirentName + e.NameLen() + geo.FTypeSize() + s.InoSize()
			switch {
			case e.NameLen() == 0 || at+size > len(s):
				yield(shortEntry{}, n.corrupt("entry %d: a name of %d bytes at %d of %d", i, e.NameLen(), at, len(s)))
				return
			case e.Offset() < offset:
				yield(shortEntry{}, n.corrupt("entry %d has the offset %d, expected at least %d", i, e.Offset(), offset))
				return
			case badName(e.Name()) || isDots(e.Name()):
				yield(shortEntry{}, n.corrupt("entry %d: name %q", i, e.Name()))
				return
			}
			out := shortEntry{entry: e, ino: s.Ino(at + size - s.InoSize())}
			if geo.FType {
				out.ftype = s[at+layout.ShortDirentName+e.NameLen()]
			}
			if !geo.ValidIno(out.ino) {
				yield(shortEntry{}, n.corrupt("entry %d: inode number %d", i, out.ino))
				return
			}
			if !yield(out, nil) {
				return
			}
			at += size
			offset = e.Offset() + layout.DirAlign
		}
	}
}
