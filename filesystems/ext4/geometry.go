package ext4

import (
	"hash/crc32"
	"math/bits"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// geometry is what the superblock says about sizes, every number compared. All
// counts of blocks are in filesystem blocks.
type geometry struct {
	blockBits      uint   // log2 of the block size in bytes
	blockSize      int    // bytes
	clusterRatio   uint64 // blocks a cluster
	blocks         uint64 // blocks of the filesystem
	reserved       uint64 // blocks kept for the superuser
	firstBlock     uint64 // first block of group 0
	blocksPerGroup uint64
	groups         uint32
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int // bytes
	firstIno       uint32
	descSize       int    // bytes
	descPerBlock   uint32 // descriptors in a block
	tableBlocks    uint64 // blocks of a group's inode table
	firstMetaBg    uint32 // descriptor blocks from this one on lie as meta_bg has it
	seed           uint32 // of the metadata checksums
	metadataCsum   bool
	gdtCsum        bool
	hashUnsigned   bool
	noFiletype     bool // entries of directories have none
	crcTable       *crc32.Table
	writable       bool // the filesystem is open for writing
}

// newGeometry compares every number of the superblock that sizes or places
// something. off is where sb lies.
func newGeometry(sb superblock, off int64) (*geometry, error) {
	bad := func(format string, args ...any) (*geometry, error) {
		return nil, ondisk.Corrupt("ext4 superblock", off, format, args...)
	}
	g := &geometry{crcTable: crc32.MakeTable(crc32.Castagnoli)}
	if sb.logBlockSize() > maxBlockBits-minBlockBits {
		return bad("s_log_block_size %d, at most %d", sb.logBlockSize(), maxBlockBits-minBlockBits)
	}
	g.blockBits = uint(sb.logBlockSize()) + minBlockBits
	g.blockSize = 1 << g.blockBits
	bitmapBits := uint64(g.blockSize) * 8

	clustersPerGroup := uint64(sb.blocksPerGroup())
	g.clusterRatio = 1
	g.blocksPerGroup = uint64(sb.blocksPerGroup())
	if sb.hasRoCompat(roBigalloc) {
		if sb.logClusterSize() > maxClusterBits-minBlockBits || sb.logClusterSize() < sb.logBlockSize() {
			return bad("s_log_cluster_size %d with s_log_block_size %d", sb.logClusterSize(), sb.logBlockSize())
		}
		g.clusterRatio = 1 << (sb.logClusterSize() - sb.logBlockSize())
		clustersPerGroup = uint64(sb.clustersPerGroup())
		if g.blocksPerGroup != clustersPerGroup*g.clusterRatio {
			return bad("s_blocks_per_group %d is not s_clusters_per_group %d times %d", g.blocksPerGroup, clustersPerGroup, g.clusterRatio)
		}
	}
	if clustersPerGroup == 0 || clustersPerGroup > bitmapBits {
		return bad("%d clusters a group, expected 1 to %d", clustersPerGroup, bitmapBits)
	}

	g.inodeSize, g.firstIno = oldInodeSize, oldFirstIno
	if sb.revLevel() > 0 {
		g.inodeSize, g.firstIno = int(sb.inodeSize()), sb.firstIno()
		if g.inodeSize < oldInodeSize || g.inodeSize > g.blockSize || g.inodeSize&(g.inodeSize-1) != 0 {
			return bad("s_inode_size %d, expected a power of two of %d to %d", g.inodeSize, oldInodeSize, g.blockSize)
		}
		if g.firstIno < oldFirstIno {
			return bad("s_first_ino %d, expected at least %d", g.firstIno, oldFirstIno)
		}
	}
	g.descSize = minDescSize
	if sb.hasIncompat(incompat64bit) {
		g.descSize = int(sb.descSize())
		if g.descSize < minDescSize64 || g.descSize > maxDescSize || g.descSize&(g.descSize-1) != 0 {
			return bad("s_desc_size %d, expected a power of two of %d to %d", g.descSize, minDescSize64, maxDescSize)
		}
	}
	g.descPerBlock = uint32(g.blockSize / g.descSize)

	g.blocks = uint64(sb.blocksCountLo())
	g.reserved = uint64(sb.rBlocksCountLo())
	if sb.hasIncompat(incompat64bit) {
		g.blocks |= uint64(sb.blocksCountHi()) << 32
		g.reserved |= uint64(sb.rBlocksCountHi()) << 32
	}
	if g.blocks == 0 || g.blocks > 1<<(62-g.blockBits) {
		return bad("s_blocks_count %d", g.blocks)
	}
	g.firstBlock = uint64(sb.firstDataBlock())
	if g.firstBlock >= g.blocks {
		return bad("s_first_data_block %d, but s_blocks_count %d", g.firstBlock, g.blocks)
	}
	if g.firstBlock == 0 && g.blockBits == minBlockBits && g.clusterRatio == 1 {
		return bad("s_first_data_block 0 with blocks of 1024 bytes")
	}

	g.inodes, g.inodesPerGroup = sb.inodesCount(), sb.inodesPerGroup()
	perBlock := uint32(g.blockSize / g.inodeSize)
	if g.inodesPerGroup < perBlock || uint64(g.inodesPerGroup) > bitmapBits {
		return bad("s_inodes_per_group %d, expected %d to %d", g.inodesPerGroup, perBlock, bitmapBits)
	}
	g.tableBlocks = uint64((g.inodesPerGroup + perBlock - 1) / perBlock)
	groups := (g.blocks - g.firstBlock + g.blocksPerGroup - 1) / g.blocksPerGroup
	if groups > 1<<32-1-uint64(g.descPerBlock) {
		return bad("%d groups", groups)
	}
	g.groups = uint32(groups)
	if hi, product := bits.Mul64(groups, uint64(g.inodesPerGroup)); hi != 0 || product != uint64(g.inodes) {
		return bad("s_inodes_count %d is not %d groups of s_inodes_per_group %d", g.inodes, groups, g.inodesPerGroup)
	}
	if int(sb.reservedGDTBlocks()) > g.blockSize/4 {
		return bad("s_reserved_gdt_blocks %d, at most %d", sb.reservedGDTBlocks(), g.blockSize/4)
	}
	g.firstMetaBg = 1<<32 - 1
	if sb.hasIncompat(incompatMetaBg) {
		if g.firstMetaBg = sb.firstMetaBg(); g.firstMetaBg > g.descBlocks() {
			return bad("s_first_meta_bg %d of %d descriptor blocks", g.firstMetaBg, g.descBlocks())
		}
	}

	g.metadataCsum = sb.hasRoCompat(roMetadataCsum)
	g.gdtCsum = sb.hasRoCompat(roGdtCsum) && !g.metadataCsum
	if sb.hasIncompat(incompatCsumSeed) {
		g.seed = sb.checksumSeed()
	} else {
		g.seed = ondisk.CRC32C(^uint32(0), sb.uuid())
	}
	g.noFiletype = !sb.hasIncompat(incompatFiletype)
	g.hashUnsigned = sb.flags()&flagUnsignedHash != 0
	return g, nil
}

// descBlocks is the number of blocks of group descriptors.
func (g *geometry) descBlocks() uint32 {
	return uint32((uint64(g.groups) + uint64(g.descPerBlock) - 1) / uint64(g.descPerBlock))
}

// bytes is the size of the filesystem by its own account.
func (g *geometry) bytes() int64 { return int64(g.blocks << g.blockBits) }

// groupStart is the first block of a group.
func (g *geometry) groupStart(group uint32) uint64 {
	return g.firstBlock + uint64(group)*g.blocksPerGroup
}

// inodeSeed is the checksum seed of all that belongs to one inode.
func (g *geometry) inodeSeed(num, gen uint32) uint32 {
	return g.crcWord(g.crcWord(g.seed, num), gen)
}

// crcWord continues a CRC-32C with a little-endian word, without the memory
// that a slice of it would take.
func (g *geometry) crcWord(crc, word uint32) uint32 {
	for range 4 {
		crc = g.crcTable[byte(crc^word)] ^ crc>>8
		word >>= 8
	}
	return crc
}

// crcZeros continues a CRC-32C with the two zeros in place of half a checksum.
func (g *geometry) crcZeros(crc uint32) uint32 {
	crc = g.crcTable[byte(crc)] ^ crc>>8
	return g.crcTable[byte(crc)] ^ crc>>8
}
