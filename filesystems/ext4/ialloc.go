package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The inode allocator. A file goes into its directory's group, a directory of
// the root into the emptiest of some groups, so that trees spread.

// inodeGroup chooses a group that has a free inode. ENOSPC where none has.
func (fs *FileSystem) inodeGroup(parent uint32, dir bool) (uint32, error) {
	w := fs.w
	w.mu.Lock()
	defer w.mu.Unlock()
	home := (parent - 1) / fs.geo.inodesPerGroup
	if dir && parent == rootIno {
		average := uint32(w.inodes / uint64(fs.geo.groups))
		best, found := uint32(0), false
		for group := range fs.geo.groups {
			g := &w.groups[group]
			if g.inodes == 0 || g.inodes < average || g.free == 0 {
				continue
			}
			if !found || g.dirs < w.groups[best].dirs {
				best, found = group, true
			}
		}
		if found {
			return best, nil
		}
	}
	for pass := range 2 { // first those that have room for its blocks too
		for i := range fs.geo.groups {
			group := (home + i) % fs.geo.groups
			if g := &w.groups[group]; g.inodes > 0 && (pass == 1 || g.free > 0) {
				return group, nil
			}
		}
	}
	return 0, syscall.ENOSPC
}

// newInode takes an inode, all zeros but for its generation.
func (x *tx) newInode(ctx context.Context, parent uint32, dir bool) (*inode, error) {
	g := x.fs.geo
	group, err := x.fs.inodeGroup(parent, dir)
	if err != nil {
		return nil, err
	}
	d, b, err := x.editInodeBitmap(ctx, group)
	if err != nil {
		return nil, err
	}
	first := uint64(0)
	if group == 0 {
		first = uint64(g.firstIno - 1)
	}
	bit, n := findRun(b, nil, first, uint64(g.inodesPerGroup), 1)
	if n == 0 {
		return nil, ondisk.Corrupt("ext4 inode bitmap", x.fs.at(d.inodeBitmap()).Off, "no bit is clear, the descriptor says %d", d.freeInodes())
	}
	setBit(b, bit)
	delta := x.groups[group]
	delta.inodes--
	d.setFreeInodes(d.freeInodes() - 1)
	if dir {
		delta.dirs++
		d.setUsedDirs(d.usedDirs() + 1)
	}
	num := group*g.inodesPerGroup + uint32(bit) + 1
	if g.metadataCsum || g.gdtCsum {
		if unused := g.inodesPerGroup - uint32(bit) - 1; unused < d.itableUnused() {
			if err := x.freshTable(ctx, num, g.inodesPerGroup-d.itableUnused()); err != nil {
				return nil, err
			}
			d.setItableUnused(unused)
		}
	}
	raw, err := x.slot(ctx, num)
	if err != nil {
		return nil, err
	}
	clear(raw)
	raw.setGeneration(generation())
	n2 := &inode{fs: x.fs, raw: raw, num: num, tx: x.t}
	x.inodes[num] = n2
	return n2, nil
}

// freshTable makes the block of the table that holds an inode one of zeros,
// where none of its inodes was ever used, which are those of the group from
// index used on: what is on the disk there may be anything.
func (x *tx) freshTable(ctx context.Context, num, used uint32) error {
	g := x.fs.geo
	perBlock := uint32(g.blockSize / g.inodeSize)
	first := (num - 1) % g.inodesPerGroup / perBlock * perBlock
	if first < used {
		return nil
	}
	off := x.fs.inodeOffset(ctx, num)
	if off < 0 {
		return ondisk.Corrupt("ext4 inode table", off, "of inode %d: its group's descriptor is damaged", num)
	}
	_, err := x.t.Fresh(txn.Addr{Off: off &^ int64(g.blockSize-1), Len: g.blockSize}, x.fs.kinds.inodes)
	return err
}

// freeInode gives an inode back, which has no blocks and no names any more.
func (x *tx) freeInode(ctx context.Context, n *inode) error {
	g := x.fs.geo
	group, bit := (n.num-1)/g.inodesPerGroup, uint64((n.num-1)%g.inodesPerGroup)
	d, b, err := x.editInodeBitmap(ctx, group)
	if err != nil {
		return err
	}
	if !hasBit(b, bit) {
		return ondisk.Corrupt("ext4 inode bitmap", x.fs.at(d.inodeBitmap()).Off, "bit %d, of an inode in use, is clear", bit)
	}
	clearBit(b, bit)
	delta := x.groups[group]
	delta.inodes++
	d.setFreeInodes(d.freeInodes() + 1)
	if n.fileType() == syscall.S_IFDIR {
		delta.dirs--
		d.setUsedDirs(d.usedDirs() - 1)
	}
	n.raw.setLinks(0)
	n.raw.setMode(0)
	n.raw.setDtime(uint32(x.now.Sec))
	n.raw.setSize64(0)
	return nil
}

// editInodeBitmap gives a group's inode bitmap and descriptor to be changed.
func (x *tx) editInodeBitmap(ctx context.Context, group uint32) (groupDesc, []byte, error) {
	d, err := x.desc(ctx, group)
	if err != nil {
		return nil, nil, err
	}
	x.groups[group].inodeMap = true
	at := x.fs.at(d.inodeBitmap())
	if !x.fs.geo.uninit(d, groupInodeUninit) {
		b, err := x.t.Edit(ctx, at, x.fs.kinds.inodeBitmap)
		return d, b, err
	}
	b, err := x.t.Fresh(at, x.fs.kinds.inodeBitmap)
	if err != nil {
		return nil, nil, err
	}
	for bit := uint64(x.fs.geo.inodesPerGroup); bit < uint64(len(b))*8; bit++ {
		setBit(b, bit)
	}
	d.setFlags(d.flags() &^ groupInodeUninit)
	return d, b, nil
}
