package ext4

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/guestctl/guestctl/vfs"
)

// The kernel keeps a fiftieth of the clusters, at most reservedClusters, from
// everybody, where extents may need blocks to be changed.
const (
	reservedShare    = 50
	reservedClusters = 4096
)

// Usage is what the kernel's statfs says: the filesystem's own structures are
// no part of it. It reads all group descriptors.
func (fs *FileSystem) Usage(ctx context.Context) (vfs.Usage, error) {
	u := vfs.Usage{BlockSize: fs.geo.blockSize, Files: uint64(fs.geo.inodes)}
	for group := range fs.geo.groups {
		d, err := fs.group(ctx, group)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return vfs.Usage{}, err
		}
		u.Free += uint64(d.freeBlocks()) * fs.geo.clusterRatio
		u.FilesFree += uint64(d.freeInodes())
	}
	if fs.edits != nil {
		u.Free = less(u.Free, fs.edits.usedBlocks)
		u.FilesFree = less(u.FilesFree, fs.edits.usedInodes)
	}
	u.Free += uint64(fs.orphans.blocks) >> (fs.geo.blockBits - 9)
	u.FilesFree += uint64(fs.orphans.deleted)
	u.Free = min(u.Free, fs.geo.blocks)
	overhead, err := fs.overhead(ctx)
	if err != nil {
		return vfs.Usage{}, err
	}
	u.Blocks = fs.geo.blocks - min(fs.geo.blocks, overhead)
	kept := fs.geo.reserved
	if fs.sb.hasIncompat(incompatExtents) {
		kept += min(fs.geo.blocks/fs.geo.clusterRatio/reservedShare, reservedClusters) * fs.geo.clusterRatio
	}
	u.Available = u.Free - min(u.Free, kept)
	return u, nil
}

// less takes a signed number from an unsigned one, not below 0.
func less(n uint64, by int64) uint64 {
	if by < 0 {
		return n + uint64(-by)
	}
	return n - min(n, uint64(by))
}

// overhead is the number of blocks of the filesystem's own structures. With
// bigalloc, as in the kernel, the superblock's count is used where it is there.
func (fs *FileSystem) overhead(ctx context.Context) (uint64, error) {
	ratio := fs.geo.clusterRatio
	if ratio > 1 {
		if n := uint64(fs.sb.overheadClusters()); n != 0 && n <= fs.geo.blocks {
			return n * ratio, nil
		}
		return fs.clusterOverhead(ctx)
	}
	n := fs.geo.firstBlock
	for group := range fs.geo.groups {
		super, descs := fs.copies(group)
		n += super*(1+uint64(fs.sb.reservedGDTBlocks())) + descs + fs.geo.tableBlocks + 2
	}
	return n + fs.journalBlocks(ctx), nil
}

// copies is how many blocks of a group are a superblock and descriptors.
func (fs *FileSystem) copies(group uint32) (super, descs uint64) {
	if hasSuper(fs.sb, group) {
		super = 1
	}
	if i := group / fs.geo.descPerBlock; i >= fs.geo.firstMetaBg {
		if in := group % fs.geo.descPerBlock; in == 0 || in == 1 || in == fs.geo.descPerBlock-1 {
			descs = 1
		}
		return super, descs
	}
	if super == 1 {
		descs = uint64(min(fs.geo.descBlocks(), fs.geo.firstMetaBg))
	}
	return super, descs
}

// journalBlocks is the size of an internal journal in blocks.
func (fs *FileSystem) journalBlocks(ctx context.Context) uint64 {
	if !fs.sb.hasCompat(compatHasJournal) || fs.sb.journalInum() == 0 {
		return 0
	}
	n, err := fs.iget(ctx, fs.sb.journalInum())
	if err != nil {
		return 0
	}
	return uint64(n.size()) >> fs.geo.blockBits
}

// clusterOverhead counts the clusters that hold structures, each once.
func (fs *FileSystem) clusterOverhead(ctx context.Context) (uint64, error) {
	if fs.geo.groups > math.MaxInt32/4 {
		return 0, fmt.Errorf("ext4: %d groups are too many to count their structures", fs.geo.groups)
	}
	type span struct{ first, last uint64 } // clusters
	var spans []span
	add := func(blk, n uint64) {
		if n > 0 {
			spans = append(spans, span{blk / fs.geo.clusterRatio, (blk + n - 1) / fs.geo.clusterRatio})
		}
	}
	for group := range fs.geo.groups {
		d, err := fs.group(ctx, group)
		if err != nil {
			return 0, err
		}
		super, descs := fs.copies(group)
		add(fs.geo.groupStart(group), super+descs)
		add(d.blockBitmap(), 1)
		add(d.inodeBitmap(), 1)
		add(d.inodeTable(), fs.geo.tableBlocks)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	clusters, next := uint64(0), uint64(0)
	for _, s := range spans {
		if s.last >= next {
			clusters += s.last + 1 - max(s.first, next)
			next = s.last + 1
		}
	}
	return clusters*fs.geo.clusterRatio + fs.journalBlocks(ctx), nil
}
