package xfs

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Lookup finds a name by its hash.
func (n *inode) Lookup(ctx context.Context, name string) (vfs.Ino, error) {
	if n.fileType() != syscall.S_IFDIR {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	if name == "" || len(name) > nameMax {
		return vfs.Ino{}, syscall.ENOENT
	}
	var num uint64
	var err error
	if n.fork(dataFork).format == layout.FormatLocal {
		num, err = n.findShort(name)
	} else {
		num, err = n.findHashed(ctx, name)
	}
	if err != nil {
		return vfs.Ino{}, err
	}
	if num == 0 {
		return vfs.Ino{}, syscall.ENOENT
	}
	return vfs.Ino{Num: num}, nil
}

// A nameMatch is a name that is looked for.
type nameMatch struct {
	name    string
	asciiCI bool
	num     uint64 // the inode of a name that is the same but for its case
}

// try compares an entry with the name. It is true where nothing better can
// come.
func (m *nameMatch) try(name []byte, num uint64) bool {
	if string(name) == m.name {
		m.num = num
		return true
	}
	if m.asciiCI && m.num == 0 && sameFolded(name, m.name) {
		m.num = num
	}
	return false
}

// findShort looks through a directory in its inode; 0 where the name is not
// there.
func (n *inode) findShort(name string) (uint64, error) {
	switch name {
	case ".":
		return n.num, nil
	case "..":
		return n.shortParent()
	}
	m := nameMatch{name: name, asciiCI: n.fs.geo.ASCIICI}
	for e, err := range n.shortDir() {
		if err != nil {
			return 0, err
		}
		if m.try(e.entry.Name(), e.ino) {
			break
		}
	}
	return m.num, nil
}

// findHashed looks in the index; 0 where the name is not there.
func (n *inode) findHashed(ctx context.Context, name string) (uint64, error) {
	geo := n.fs.geo
	m := nameMatch{name: name, asciiCI: geo.ASCIICI}
	hash := nameHash(name)
	if m.asciiCI {
		hash = foldedHash(name)
	}
	f, size := n.fork(dataFork), uint64(1)<<(geo.DirBlockLog-geo.BlockLog)
	if n.size() <= int64(geo.DirSize) {
		// One block: the index is in it, unless a leaf was left behind.
		b, off, ok, err := f.read(ctx, 0, size, n.fs.kinds.dirData)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, f.corrupt("a directory without its first block")
		}
		if d := layout.DirBlock(b); n.isOnlyBlock(d) {
			_, err := n.findInLeaf(ctx, d.Index(), hash, &m, off)
			return m.num, err
		}
	}
	leaf := uint64(layout.DirLeafOffset) >> geo.BlockLog
	b, off, err := n.indexBlock(ctx, leaf)
	if err != nil {
		return 0, err
	}
	d := layout.DABlock{B: b, CRC: geo.CRC}
	for level := 0; isNode(d); {
		if level != 0 && d.Level() != level-1 {
			return 0, ondisk.Corrupt(n.fs.kinds.dirIndex.Name, off, "inode %d: level %d, expected %d", n.num, d.Level(), level-1)
		}
		level = d.Level()
		i := searchHash(d.Count(), d.Hash, hash)
		if i == d.Count() {
			return 0, nil // above the highest hash
		}
		if b, off, err = n.indexBlock(ctx, uint64(d.Before(i))); err != nil {
			return 0, err
		}
		if d.B = b; isNode(d) == (level == 1) {
			return 0, ondisk.Corrupt(n.fs.kinds.dirIndex.Name, off, "inode %d: magic %#x below level %d", n.num, d.Magic(), level)
		}
	}
	// Equal hashes may go on in the leaves behind, of which a directory has no
	// more than blocks.
	for left := n.blocks() + 1; left > 0; left-- {
		more, err := n.findInLeaf(ctx, d.Leaf(), hash, &m, off)
		if err != nil || !more || d.Forward() == 0 {
			return m.num, err
		}
		if b, off, err = n.indexBlock(ctx, uint64(d.Forward())); err != nil {
			return 0, err
		}
		if d.B = b; isNode(d) || d.Count() > 0 && d.Leaf().Hash(0) < hash {
			return 0, ondisk.Corrupt(n.fs.kinds.dirIndex.Name, off, "inode %d: the leaf behind the hash %#x does not continue it", n.num, hash)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return 0, f.corrupt("the leaves of the hash %#x come back to one of them", hash)
}

// indexBlock reads the verified index block at a block number of the
// directory.
func (n *inode) indexBlock(ctx context.Context, blk uint64) (b []byte, off int64, err error) {
	f, geo := n.fork(dataFork), n.fs.geo
	if blk < layout.DirLeafOffset>>geo.BlockLog {
		return nil, 0, f.corrupt("the index refers to block %d, which is before it", blk)
	}
	b, off, ok, err := f.read(ctx, blk, 1<<(geo.DirBlockLog-geo.BlockLog), n.fs.kinds.dirIndex)
	if err == nil && !ok {
		err = f.corrupt("no index at block %d", blk)
	}
	return b, off, err
}

// isNode says whether a verified index block is above others.
func isNode(d layout.DABlock) bool {
	return d.Magic() == layout.DANodeMagic || d.Magic() == layout.DANodeMagicCRC
}

// searchHash finds the first of count sorted hashes that is not below hash;
// count where all are.
func searchHash(count int, at func(int) uint32, hash uint32) int {
	lo, hi := 0, count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if at(mid) < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// findInLeaf tries the entries of one hash. more says that the leaf ends with
// that hash or below it, so that the next may have it too.
func (n *inode) findInLeaf(ctx context.Context, l layout.LeafEntries, hash uint32, m *nameMatch, off int64) (more bool, err error) {
	i := searchHash(l.Len(), l.Hash, hash)
	for ; i < l.Len() && l.Hash(i) == hash; i++ {
		address := l.Address(i)
		if address == 0 {
			continue // stale
		}
		d, err := n.direntAt(ctx, address, off)
		if err != nil {
			return false, err
		}
		if m.try(d.Name(), d.Ino()) {
			return false, nil
		}
	}
	return i == l.Len(), nil
}

// direntAt gives the entry that the index at off has the address of. The
// address may be anything.
func (n *inode) direntAt(ctx context.Context, address uint32, off int64) (layout.Dirent, error) {
	geo := n.fs.geo
	at := uint64(address) << layout.DirAlignLog
	db, in := at>>geo.DirBlockLog, int(at&uint64(geo.DirSize-1))
	b, data, ok, err := n.fork(dataFork).read(ctx, db<<(geo.DirBlockLog-geo.BlockLog), uint64(geo.DirSize>>geo.BlockLog), n.fs.kinds.dirData)
	if err != nil {
		return nil, err
	}
	end := len(b)
	if ok {
		if d := layout.DirBlock(b); n.isOnlyBlock(d) {
			end -= layout.DirTail + int(d.Count())*layout.LeafEntrySize
		}
	}
	if !ok || in < geo.DirHeader() || in > end-layout.DirentMinSize {
		return nil, ondisk.Corrupt(n.fs.kinds.dirIndex.Name, off, "inode %d: it refers to byte %d of the directory, where no entry is", n.num, at)
	}
	d := layout.Dirent(b[in:end])
	if d.IsFree() {
		return nil, ondisk.Corrupt(n.fs.kinds.dirIndex.Name, off, "inode %d: it refers to byte %d of the directory, which is free", n.num, at)
	}
	size, err := n.fs.checkDirent(b[:end], in, txn.Addr{Off: data, Owner: n.num})
	if err != nil {
		return nil, err
	}
	return d[:size], nil
}
