package ext4

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// descBulk bounds the descriptors that are read at once when a
	// filesystem is opened, in bytes. 1 MiB describes 2 TiB.
	descBulk = 1 << 20
	// descCacheBytes bounds the memory of those that are read later.
	descCacheBytes = 4 << 20
)

// descTable is the group descriptors. The first blocks are read at once, the
// others block by block where they are needed.
type descTable struct {
	bulk *descRun
	more *block.Cache[uint32, *descRun] // by the number of the descriptor block
}

// descRun is the descriptors of consecutive groups.
type descRun struct {
	first uint32
	raw   []byte
	table []int64 // byte offset of each group's inode table; 0 where the descriptor is damaged
}

// descBlock is where descriptor block i lies. With meta_bg the later ones lie
// in the first group that they describe, behind its superblock if it has one.
func (fs *FileSystem) descBlock(i uint32) uint64 {
	if i < fs.geo.firstMetaBg {
		return fs.geo.firstBlock + 1 + uint64(i) + fs.geo.smallCluster()
	}
	group := i * fs.geo.descPerBlock
	blk := fs.geo.groupStart(group)
	if hasSuper(fs.sb, group) {
		blk++
	}
	if group == 0 {
		blk += fs.geo.smallCluster()
	}
	return blk
}

// smallCluster is 1 where blocks have 1,024 bytes and yet s_first_data_block
// is 0, as with bigalloc: the superblock is then in block 1.
func (g *geometry) smallCluster() uint64 {
	if g.blockBits == minBlockBits && g.firstBlock == 0 {
		return 1
	}
	return 0
}

// loadDescs reads the first descriptors.
func (fs *FileSystem) loadDescs(ctx context.Context) error {
	fs.descs = descTable{more: block.NewCache[uint32, *descRun](descCacheBytes)}
	n := min(fs.geo.descBlocks(), max(fs.geo.firstMetaBg, 1), uint32(max(1, descBulk>>fs.geo.blockBits)))
	run, err := fs.readDescs(ctx, 0, n)
	if err != nil {
		return err
	}
	fs.descs.bulk = run
	return nil
}

// readDescs reads n descriptor blocks that lie in a row.
func (fs *FileSystem) readDescs(ctx context.Context, i, n uint32) (*descRun, error) {
	off := int64(fs.descBlock(i) << fs.geo.blockBits)
	size := int64(n) << fs.geo.blockBits
	if !ondisk.Fits(off, size, fs.dev.Size()) {
		return nil, fs.beyond("ext4 group descriptors", off)
	}
	run := &descRun{first: i * fs.geo.descPerBlock, raw: make([]byte, size)}
	if err := block.ReadFull(ctx, fs.dev, run.raw, off); err != nil {
		return nil, fmt.Errorf("reading the ext4 group descriptors at byte %d: %w", off, err)
	}
	run.table = make([]int64, min(uint64(n)*uint64(fs.geo.descPerBlock), uint64(fs.geo.groups-run.first)))
	for k := range run.table {
		if group := run.first + uint32(k); fs.verifyDesc(run.desc(fs.geo, group), group) == nil {
			run.table[k] = int64(run.desc(fs.geo, group).inodeTable() << fs.geo.blockBits)
		}
	}
	return run, nil
}

// desc is the descriptor of a group of the run.
func (r *descRun) desc(g *geometry, group uint32) groupDesc {
	at := int(group-r.first) * g.descSize
	return groupDesc(r.raw[at : at+g.descSize : at+g.descSize])
}

// descRun finds the run that has a group, which is less than geo.groups.
func (fs *FileSystem) descRun(ctx context.Context, group uint32) (*descRun, error) {
	if int(group) < len(fs.descs.bulk.table) {
		return fs.descs.bulk, nil
	}
	i := group / fs.geo.descPerBlock
	if r, ok := fs.descs.more.Peek(i); ok {
		return r, nil
	}
	return fs.descs.more.Get(ctx, i, func(ctx context.Context) (*descRun, int64, error) {
		r, err := fs.readDescs(ctx, i, 1)
		if err != nil {
			return nil, 0, err
		}
		return r, int64(len(r.raw) + 8*len(r.table)), nil
	})
}

// group is the verified descriptor of a group.
func (fs *FileSystem) group(ctx context.Context, group uint32) (groupDesc, error) {
	if fs.w != nil {
		return fs.readDesc(ctx, group)
	}
	r, err := fs.descRun(ctx, group)
	if err != nil {
		return nil, err
	}
	d := r.desc(fs.geo, group)
	if r.table[group-r.first] == 0 {
		return nil, fs.verifyDesc(d, group)
	}
	return d, nil
}

// verifyDesc checks a descriptor's checksum and where its structures lie.
func (fs *FileSystem) verifyDesc(d groupDesc, group uint32) error {
	i := group / fs.geo.descPerBlock
	off := int64(fs.descBlock(i)<<fs.geo.blockBits) + int64(group%fs.geo.descPerBlock)*int64(fs.geo.descSize)
	if sum, has := fs.geo.descChecksum(fs.sb, d, group); has && sum != d.checksum() {
		return ondisk.BadChecksum(fmt.Sprintf("ext4 descriptor of group %d", group), off, uint32(d.checksum()), uint32(sum))
	}
	first, last := fs.geo.firstBlock, fs.geo.blocks-1
	if !fs.sb.hasIncompat(incompatFlexBg) {
		first = fs.geo.groupStart(group)
		last = min(last, first+fs.geo.blocksPerGroup-1)
	}
	for _, s := range [...]struct {
		name   string
		blk, n uint64
	}{
		{"block bitmap", d.blockBitmap(), 1},
		{"inode bitmap", d.inodeBitmap(), 1},
		{"inode table", d.inodeTable(), fs.geo.tableBlocks},
	} {
		if s.blk == 0 || s.blk < first || s.blk > last || s.n-1 > last-s.blk {
			return ondisk.Corrupt(fmt.Sprintf("ext4 descriptor of group %d", group), off,
				"%s at block %d, %d long, expected within blocks %d to %d", s.name, s.blk, s.n, first, last)
		}
	}
	return nil
}

// descChecksum computes a descriptor's checksum: metadata_csum's, or that of
// gdt_csum. has is false where the filesystem has none.
func (g *geometry) descChecksum(sb superblock, d groupDesc, group uint32) (sum uint16, has bool) {
	var num [4]byte
	binary.LittleEndian.PutUint32(num[:], group)
	if g.metadataCsum {
		crc := ondisk.CRC32C(g.seed, num[:])
		crc = ondisk.CRC32C(crc, d[:descChecksum])
		crc = ondisk.CRC32C(crc, make([]byte, 2))
		return uint16(ondisk.CRC32C(crc, d[descChecksum+2:])), true
	}
	if g.gdtCsum {
		crc := ondisk.CRC16(^uint16(0), sb.uuid())
		crc = ondisk.CRC16(crc, num[:])
		crc = ondisk.CRC16(crc, d[:descChecksum])
		return ondisk.CRC16(crc, d[descChecksum+2:]), true
	}
	return 0, false
}
