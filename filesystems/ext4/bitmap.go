package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// freshBlockBitmap is the bitmap of a group that was never used: its copies of
// the superblock and the descriptors, its own bitmaps and table where they lie
// in it, and what is behind its end.
func (fs *FileSystem) freshBlockBitmap(d groupDesc, group uint32) []byte {
	b := make([]byte, fs.geo.blockSize)
	super, descs := fs.copies(group)
	for i := range min(super*(1+uint64(fs.sb.reservedGDTBlocks()))+descs, fs.geo.groupBlocks(group)) {
		setBit(b, i)
	}
	mark := func(blk, n uint64) {
		for ; n > 0; n-- {
			if in, bit := fs.geo.groupOf(blk); in == group {
				setBit(b, bit)
			}
			blk++
		}
	}
	mark(d.blockBitmap(), 1)
	mark(d.inodeBitmap(), 1)
	mark(d.inodeTable(), fs.geo.tableBlocks)
	for bit := fs.geo.groupBlocks(group); bit < uint64(len(b))*8; bit++ {
		setBit(b, bit)
	}
	return b
}

// uninit says whether a group's bitmap was never written. The flags count only
// where the descriptors have checksums.
func (g *geometry) uninit(d groupDesc, flag uint16) bool {
	return d.flags()&flag != 0 && (g.metadataCsum || g.gdtCsum)
}

func setBit(b []byte, i uint64)      { b[i/8] |= 1 << (i % 8) }
func clearBit(b []byte, i uint64)    { b[i/8] &^= 1 << (i % 8) }
func hasBit(b []byte, i uint64) bool { return b[i/8]&(1<<(i%8)) != 0 }

// freeBits counts the clear bits among the first n.
func freeBits(b []byte, n uint64) (free uint64) {
	for i := uint64(0); i < n; i += 64 {
		w := binary.LittleEndian.Uint64(b[i/8:])
		if n-i < 64 {
			w |= ^uint64(0) << (n - i)
		}
		free += uint64(64 - bits.OnesCount64(w))
	}
	return free
}

// blockBitmap is the bitmap of a group outside of any change. w.mu is held.
func (fs *FileSystem) blockBitmap(ctx context.Context, group uint32) ([]byte, error) {
	d, err := fs.readDesc(ctx, group)
	if err != nil {
		return nil, err
	}
	if err := fs.verifyBitmaps(ctx, d, group); err != nil {
		return nil, err
	}
	if fs.geo.uninit(d, groupBlockUninit) {
		return fs.freshBlockBitmap(d, group), nil
	}
	return fs.store.Read(ctx, fs.at(d.blockBitmap()), fs.kinds.blockBitmap)
}

// verifyBitmaps compares the bitmaps of a group with its descriptor, before
// the first change of either. w.mu is held.
func (fs *FileSystem) verifyBitmaps(ctx context.Context, d groupDesc, group uint32) error {
	g := &fs.w.groups[group]
	if g.verified {
		return nil
	}
	blocks := fs.freshBlockBitmap(d, group)
	if !fs.geo.uninit(d, groupBlockUninit) {
		b, err := fs.store.Read(ctx, fs.at(d.blockBitmap()), fs.kinds.blockBitmap)
		if err != nil {
			return err
		}
		if sum := fs.geo.bitmapChecksum(d, b, fs.geo.blocksPerGroup); fs.geo.metadataCsum && sum != d.blockBitmapChecksum() {
			return ondisk.BadChecksum(fmt.Sprintf("ext4 block bitmap of group %d", group), fs.at(d.blockBitmap()).Off, d.blockBitmapChecksum(), sum)
		}
		blocks = b
	}
	if free := freeBits(blocks, fs.geo.groupBlocks(group)); free != uint64(d.freeBlocks()) {
		return ondisk.Corrupt(fmt.Sprintf("ext4 block bitmap of group %d", group), fs.at(d.blockBitmap()).Off, "%d blocks are free, the descriptor says %d", free, d.freeBlocks())
	}
	if !fs.geo.uninit(d, groupInodeUninit) {
		b, err := fs.store.Read(ctx, fs.at(d.inodeBitmap()), fs.kinds.inodeBitmap)
		if err != nil {
			return err
		}
		if sum := fs.geo.bitmapChecksum(d, b, uint64(fs.geo.inodesPerGroup)); fs.geo.metadataCsum && sum != d.inodeBitmapChecksum() {
			return ondisk.BadChecksum(fmt.Sprintf("ext4 inode bitmap of group %d", group), fs.at(d.inodeBitmap()).Off, d.inodeBitmapChecksum(), sum)
		}
		if free := freeBits(b, uint64(fs.geo.inodesPerGroup)); free != uint64(d.freeInodes()) {
			return ondisk.Corrupt(fmt.Sprintf("ext4 inode bitmap of group %d", group), fs.at(d.inodeBitmap()).Off, "%d inodes are free, the descriptor says %d", free, d.freeInodes())
		}
	}
	g.verified = true
	return nil
}

// editBlockBitmap gives a group's bitmap and descriptor to be changed.
func (x *tx) editBlockBitmap(ctx context.Context, group uint32) (groupDesc, []byte, error) {
	d, err := x.desc(ctx, group)
	if err != nil {
		return nil, nil, err
	}
	x.groups[group].blockMap = true
	at := x.fs.at(d.blockBitmap())
	if !x.fs.geo.uninit(d, groupBlockUninit) {
		b, err := x.t.Edit(ctx, at, x.fs.kinds.blockBitmap)
		return d, b, err
	}
	b, err := x.t.Fresh(at, x.fs.kinds.blockBitmap)
	if err != nil {
		return nil, nil, err
	}
	copy(b, x.fs.freshBlockBitmap(d, group))
	d.setFlags(d.flags() &^ groupBlockUninit)
	return d, b, nil
}
