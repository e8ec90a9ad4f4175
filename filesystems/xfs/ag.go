package xfs

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// isDamage says whether an error is about what is on the disk.
func isDamage(err error) bool {
	var c *ondisk.CorruptError
	return errors.As(err, &c)
}

// agHeader reads the AGF or AGI of a group.
func (fs *FileSystem) agHeader(ctx context.Context, ag uint32, sector int, kind *txn.Kind) ([]byte, error) {
	at := txn.Addr{Off: fs.geo.HeaderOffset(ag, sector), Len: 1 << fs.geo.SectorLog}
	if !ondisk.Fits(at.Off, int64(at.Len), fs.dev.Size()) {
		return nil, fs.beyond(kind.Name, at.Off)
	}
	return fs.store.Read(ctx, at, kind)
}

func (fs *FileSystem) agf(ctx context.Context, ag uint32) (layout.AGF, error) {
	b, err := fs.agHeader(ctx, ag, layout.AGFSector, fs.kinds.agf)
	return layout.AGF(b), err
}

func (fs *FileSystem) agi(ctx context.Context, ag uint32) (layout.AGI, error) {
	b, err := fs.agHeader(ctx, ag, layout.AGISector, fs.kinds.agi)
	return layout.AGI(b), err
}

// groupAt is the group whose headers are at an offset.
func (fs *FileSystem) groupAt(off int64) uint32 {
	return uint32((uint64(off) >> fs.geo.BlockLog) / uint64(fs.geo.AGBlocks))
}

// verifyAGF is the Verify of a group's free space header.
func (fs *FileSystem) verifyAGF(b []byte, at txn.Addr) error {
	a, ag := layout.AGF(b), fs.groupAt(at.Off)
	if a.Magic() != layout.AGFMagic || a.Version() != layout.AGVersion || a.Seqno() != ag {
		return ondisk.Corrupt("xfs AGF", at.Off, "magic %#x, version %d of group %d, expected that of group %d", a.Magic(), a.Version(), a.Seqno(), ag)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	if a.Length() != fs.geo.AGLength(ag) || a.FreeBlocks() > a.Length() || a.FLCount() > a.Length() || a.BtreeBlocks() > a.Length() {
		return ondisk.Corrupt("xfs AGF", at.Off, "%d blocks, %d of them free, expected %d", a.Length(), a.FreeBlocks(), fs.geo.AGLength(ag))
	}
	return nil
}

// verifyAGI is the Verify of a group's inode header.
func (fs *FileSystem) verifyAGI(b []byte, at txn.Addr) error {
	a, ag := layout.AGI(b), fs.groupAt(at.Off)
	if a.Magic() != layout.AGIMagic || a.Version() != layout.AGVersion || a.Seqno() != ag {
		return ondisk.Corrupt("xfs AGI", at.Off, "magic %#x, version %d of group %d, expected that of group %d", a.Magic(), a.Version(), a.Seqno(), ag)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	if a.Level() == 0 || a.Level() > layout.InobtMaxLevels || a.FreeCount() > a.Count() {
		return ondisk.Corrupt("xfs AGI", at.Off, "an inode B+tree of %d levels, %d of %d inodes free", a.Level(), a.FreeCount(), a.Count())
	}
	return nil
}

// allocated says whether the inode B+tree has a valid inode number, in use.
func (fs *FileSystem) allocated(ctx context.Context, num uint64) (bool, error) {
	ag, agino, _, _ := fs.geo.SplitIno(num)
	agi, err := fs.agi(ctx, uint32(ag))
	if err != nil {
		return false, err
	}
	r, ok, err := fs.chunk(ctx, uint32(ag), agi, agino)
	if err != nil || !ok {
		return false, err
	}
	in := agino - r.StartIno()
	if in >= layout.InodesPerChunk || r.Free()>>in&1 != 0 {
		return false, nil
	}
	return !fs.geo.Spinodes || r.HoleMask()>>(in/layout.InodesPerHoleBit)&1 == 0, nil
}

// chunk finds the record of the last chunk that begins at or before an inode.
// Each level is one less than the one above, so the walk ends.
func (fs *FileSystem) chunk(ctx context.Context, ag uint32, agi layout.AGI, agino uint32) (layout.InobtRecord, bool, error) {
	hdr, bno := fs.geo.ShortHeader(), agi.Root()
	max := (fs.geo.BlockSize - hdr) / (layout.InobtKeySize + layout.InobtPtrSize)
	for level := int(agi.Level()) - 1; ; level-- {
		if bno >= fs.geo.AGLength(ag) {
			return nil, false, ondisk.Corrupt(fs.kinds.inobt.Name, fs.geo.AGOffset(ag, 0), "it refers to block %d of group %d", bno, ag)
		}
		at := txn.Addr{Off: fs.geo.AGOffset(ag, bno), Len: fs.geo.BlockSize, Owner: uint64(ag)}
		b, err := fs.store.Read(ctx, at, fs.kinds.inobt)
		if err != nil {
			return nil, false, err
		}
		t := layout.Btree(b)
		if t.Level() != level {
			return nil, false, ondisk.Corrupt(fs.kinds.inobt.Name, at.Off, "level %d, expected %d", t.Level(), level)
		}
		size := pick(level == 0, layout.InobtRecordSize, layout.InobtKeySize)
		i := searchKeys(t.NumRecs(), func(i int) uint64 { return uint64(layout.InobtRecord(b[hdr+i*size:]).StartIno()) }, uint64(agino))
		if i < 0 {
			return nil, false, nil
		}
		if level == 0 {
			return layout.InobtRecord(b[hdr+i*size : hdr+(i+1)*size]), true, nil
		}
		bno = t.InobtPtr(hdr, max, i)
	}
}

// verifyInobt is the Verify of a block of the inode B+tree.
func (fs *FileSystem) verifyInobt(b []byte, at txn.Addr) error {
	t := layout.Btree(b)
	if want := pick[uint32](fs.geo.CRC, layout.InobtMagicCRC, layout.InobtMagic); t.Magic() != want {
		return ondisk.Corrupt(fs.kinds.inobt.Name, at.Off, "magic %#x, expected %#x", t.Magic(), want)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	hdr := fs.geo.ShortHeader()
	size := pick(t.Level() == 0, layout.InobtRecordSize, layout.InobtKeySize+layout.InobtPtrSize)
	if t.Level() >= layout.InobtMaxLevels || t.NumRecs() > (len(b)-hdr)/size {
		return ondisk.Corrupt(fs.kinds.inobt.Name, at.Off, "level %d with %d entries", t.Level(), t.NumRecs())
	}
	return nil
}
