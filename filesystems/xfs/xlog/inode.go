package xlog

import (
	"context"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
)

// applyInode makes the change of an inode item.
func (r *recovery) applyInode(ctx context.Context, t *transaction, it *item) error {
	n := it.format(t.order)
	if len(n.b) != inodeFormatSize && len(n.b) != inodeFormatSize32 {
		return damaged(t, "an inode item of %d bytes", len(n.b))
	}
	f := inodeFormat{n}
	if r.isCancelled(place{f.blkno(), f.sectors()}) {
		return nil
	}
	size := r.j.geo.InodeSize
	if f.sectors() > maxBuffer || int64(f.offset())+int64(size) > int64(f.sectors())*sector || f.offset()%uint32(size) != 0 {
		return damaged(t, "inode %d at %d of a cluster of %d sectors", f.ino(), f.offset(), f.sectors())
	}
	cluster, off, err := r.bytesOf(ctx, t, f.blkno(), int64(f.sectors())*sector)
	if err != nil {
		return err
	}
	off += int64(f.offset())
	inode := layout.Inode(cluster[f.offset() : int(f.offset())+size])
	if inode.Magic() != layout.InodeMagic {
		return damaged(t, "inode %d: magic %#x on the disk", f.ino(), inode.Magic())
	}
	apply, err := r.inodeCore(t, it, inode, f)
	if err != nil {
		return err
	}
	if apply {
		if err := r.inodeForks(t, it, inode, f); err != nil {
			return err
		}
		if inode.Version() >= 3 {
			inode.Seal()
		}
		if err := r.write(ctx, inode, off); err != nil {
			return err
		}
	}
	if f.fields()&(fieldDataOwner|fieldAttrOwner) != 0 && inode.Version() >= 3 && inode.Mode() != 0 {
		return r.changeOwner(ctx, t, inode, f)
	}
	return nil
}

// inodeCore takes the logged fields, false where the disk has a newer inode.
func (r *recovery) inodeCore(t *transaction, it *item, inode layout.Inode, f inodeFormat) (bool, error) {
	if len(it.regions) < 2 || len(it.regions[1]) < layout.LoggedHeader2 {
		return false, damaged(t, "inode %d without its fields", f.ino())
	}
	logged := it.regions[1]
	version := layout.LoggedVersion(logged)
	want := layout.LoggedHeader2
	if version >= 3 {
		want = layout.InodeHeader3
	}
	if layout.LoggedMagic(logged, t.order) != layout.InodeMagic || len(logged) < want || len(logged) > layout.InodeHeader3 || (version >= 3) != r.j.geo.CRC {
		return false, damaged(t, "inode %d: magic %#x, version %d, %d bytes", f.ino(), layout.LoggedMagic(logged, t.order), version, len(logged))
	}
	if inode.Version() >= 3 {
		if lsn := inode.LSN(); lsn != 0 && lsn != 1<<64-1 && lsn > t.lsn {
			return false, nil
		}
	} else if home, log := inode.FlushIter(), layout.LoggedFlushIter(logged, t.order); log < home && (home != maxFlushIter || log >= maxFlushIter>>1) {
		// The count of flushes wraps; the disk is newer but for that.
		return false, nil
	}
	inode.SetLogged(logged, t.order, t.lsn)
	if !inode.ForkOffFits() {
		return false, damaged(t, "inode %d: di_forkoff %d", f.ino(), inode.ForkOff())
	}
	return true, nil
}

// inodeForks takes what was logged of the forks.
func (r *recovery) inodeForks(t *transaction, it *item, inode layout.Inode, f inodeFormat) error {
	if f.fields()&fieldDev != 0 {
		inode.SetRdev(f.rdev())
	}
	region := 2
	for _, part := range []struct {
		fork      []byte
		any, root uint32
	}{
		{inode.DataFork(), fieldsData, fieldDataRoot},
		{inode.AttrFork(), fieldsAttr, fieldAttrRoot},
	} {
		if f.fields()&part.any == 0 {
			continue
		}
		if region >= len(it.regions) {
			// A fork that was logged when it was empty has no region.
			return nil
		}
		data := it.regions[region]
		region++
		if f.fields()&part.root != 0 {
			if !layout.BmapRoot(part.fork).Set(layout.Btree(data), r.j.geo.LongHeader()) {
				return damaged(t, "inode %d: a root of %d bytes in a fork of %d", f.ino(), len(data), len(part.fork))
			}
			continue
		}
		// Regions are padded to four bytes.
		if len(data) > (len(part.fork)+3)&^3 {
			return damaged(t, "inode %d: %d bytes in a fork of %d", f.ino(), len(data), len(part.fork))
		}
		copy(part.fork, data)
	}
	return nil
}

// changeOwner gives the blocks of a fork's map to the inode: the extents of two
// files were swapped whole.
func (r *recovery) changeOwner(ctx context.Context, t *transaction, inode layout.Inode, f inodeFormat) error {
	if f.fields()&fieldDataOwner != 0 && inode.Format() == layout.FormatBtree {
		if err := r.changeForkOwner(ctx, t, inode.DataFork(), f.ino()); err != nil {
			return err
		}
	}
	if f.fields()&fieldAttrOwner != 0 && inode.AttrFormat() == layout.FormatBtree {
		return r.changeForkOwner(ctx, t, inode.AttrFork(), f.ino())
	}
	return nil
}

func (r *recovery) changeForkOwner(ctx context.Context, t *transaction, fork []byte, ino uint64) error {
	geo := r.j.geo
	root := layout.BmapRoot(fork)
	if len(root) < layout.BmapRootHeader || root.NumRecs() > root.MaxRecs() || root.Level() > layout.BmapMaxLevels {
		return damaged(t, "inode %d: the root of its map", ino)
	}
	var level []uint64 // blocks of a level
	for i := range root.NumRecs() {
		level = append(level, root.Ptr(i))
	}
	seen := make(map[uint64]bool)
	for depth := root.Level() - 1; depth >= 0; depth-- {
		var below []uint64
		for _, fsb := range level {
			off, ok := geo.Offset(fsb, 1)
			if !ok || seen[fsb] {
				return damaged(t, "inode %d: its map refers to block %d", ino, fsb)
			}
			seen[fsb] = true
			b := make([]byte, geo.BlockSize)
			if err := block.ReadFull(ctx, r.home, b, off); err != nil {
				return err
			}
			node := layout.Btree(b)
			if node.Magic() != layout.BmapMagicCRC || node.Level() != depth || node.NumRecs() > geo.BmapMax() {
				return damaged(t, "inode %d: block %d is no part of its map", ino, fsb)
			}
			if depth > 0 {
				for i := range node.NumRecs() {
					below = append(below, node.BmapPtr(geo.LongHeader(), geo.BmapMax(), i))
				}
			}
			node.SetOwner(ino)
			r.pending[off] = len(b)
			if err := r.write(ctx, b, off); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		level = below
	}
	return nil
}

// applyIcreate makes new inodes.
func (r *recovery) applyIcreate(ctx context.Context, t *transaction, it *item) error {
	f, geo := icreateFormat(it.regions[0]), r.j.geo
	if len(f) < icreateFormatSize {
		return damaged(t, "new inodes in %d bytes", len(f))
	}
	fsb := uint64(f.ag())<<geo.AGBlockLog | uint64(f.bno())
	off, ok := geo.Offset(fsb, uint64(f.length()))
	if !ok || f.bno() >= geo.AGBlocks || int64(f.inodeSize()) != int64(geo.InodeSize) || f.count() == 0 || f.count() > layout.InodesPerChunk*uint32(max(1, geo.BlockSize/geo.InodeSize)) ||
		uint64(f.length()) != uint64(f.count())>>geo.InopbLog || f.length() == 0 {
		return damaged(t, "%d new inodes of %d bytes in %d blocks at block %d of group %d", f.count(), f.inodeSize(), f.length(), f.bno(), f.ag())
	}
	// The clusters may have been freed and used again since.
	cluster := min(geo.ClusterBlocks, f.length())
	for at := uint32(0); at < f.length(); at += cluster {
		blkno := uint64(off)>>layout.SectorLog + uint64(at)<<(geo.BlockLog-layout.SectorLog)
		if r.isCancelled(place{blkno, cluster << (geo.BlockLog - layout.SectorLog)}) {
			return nil
		}
	}
	b := make([]byte, int64(f.length())<<geo.BlockLog)
	if off+int64(len(b)) > r.home.Size() {
		return damaged(t, "new inodes at byte %d, beyond the end of the device", off)
	}
	version := uint8(2)
	if geo.CRC {
		version = 3
	}
	ino := (uint64(f.ag())<<geo.AGBlockLog | uint64(f.bno())) << geo.InopbLog
	for i := range int(f.count()) {
		layout.Inode(b[i*geo.InodeSize:(i+1)*geo.InodeSize]).SetNew(version, f.generation(), ino+uint64(i), geo.MetaUUID[:])
	}
	return r.write(ctx, b, off)
}
