package layout

import (
	"math/bits"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// Geometry is what the superblock says about sizes and places, every number
// compared. A block is a filesystem block; a block number has the number of
// its group above AGBlockLog bits, an inode number above AGInoLog bits.
type Geometry struct {
	CRC         bool // version 5
	BlockLog    uint // log2 of bytes
	SectorLog   uint
	InodeLog    uint
	InopbLog    uint // log2 of the inodes in a block
	AGBlockLog  uint
	DirBlockLog uint // log2 of bytes of a directory block

	BlockSize int
	InodeSize int
	DirSize   int // bytes of a directory block

	Blocks   uint64
	AGBlocks uint32
	AGCount  uint32

	RootIno   uint64
	LogStart  uint64 // block number; 0 where the log is on another device
	LogBlocks uint32
	UUID      [16]byte // of the log
	MetaUUID  [16]byte // of the metadata

	FType     bool // entries say what they name
	ASCIICI   bool
	ProjID32  bool
	LazyCount bool
	Spinodes  bool

	ClusterBlocks uint32 // blocks that are written together, of inodes
}

// NewGeometry compares the numbers of a superblock that lies at off.
func NewGeometry(sb Superblock, off int64) (*Geometry, error) {
	bad := func(format string, args ...any) (*Geometry, error) {
		return nil, ondisk.Corrupt("xfs superblock", off, format, args...)
	}
	g := &Geometry{
		CRC: sb.Version() == 5, BlockLog: uint(sb.BlockLog()), SectorLog: uint(sb.SectLog()), InodeLog: uint(sb.InodeLog()),
		InopbLog: uint(sb.InopbLog()), AGBlockLog: uint(sb.AGBlockLog()),
		Blocks: sb.Blocks(), AGBlocks: sb.AGBlocks(), AGCount: sb.AGCount(),
		RootIno: sb.RootIno(), LogStart: sb.LogStart(), LogBlocks: sb.LogBlocks(),
		ASCIICI: sb.VersionNum()&VersionASCIICI != 0,
	}
	switch {
	case g.BlockLog < MinBlockLog || g.BlockLog > MaxBlockLog || sb.BlockSize() != 1<<g.BlockLog:
		return bad("sb_blocksize %d with sb_blocklog %d", sb.BlockSize(), g.BlockLog)
	case g.SectorLog < MinSectorLog || g.SectorLog > MaxSectorLog || sb.SectSize() != 1<<g.SectorLog || g.SectorLog > g.BlockLog:
		return bad("sb_sectsize %d with sb_sectlog %d", sb.SectSize(), g.SectorLog)
	case g.InodeLog < MinInodeLog || g.InodeLog > MaxInodeLog || sb.InodeSize() != 1<<g.InodeLog || g.InodeLog > g.BlockLog:
		return bad("sb_inodesize %d with sb_inodelog %d", sb.InodeSize(), g.InodeLog)
	case g.InopbLog != g.BlockLog-g.InodeLog || sb.InodesPerBlock() != 1<<g.InopbLog:
		return bad("sb_inopblock %d with sb_inopblog %d, inodes of %d bytes", sb.InodesPerBlock(), g.InopbLog, sb.InodeSize())
	case uint(sb.DirBlockLog()) > MaxBlockLog-g.BlockLog:
		return bad("sb_dirblklog %d with blocks of %d bytes", sb.DirBlockLog(), sb.BlockSize())
	case g.AGBlocks < MinAGBlocks || g.AGBlockLog != uint(bits.Len32(g.AGBlocks-1)):
		return bad("sb_agblocks %d with sb_agblklog %d", g.AGBlocks, g.AGBlockLog)
	case g.AGBlockLog+g.InopbLog > 32:
		return bad("sb_agblklog %d and sb_inopblog %d", g.AGBlockLog, g.InopbLog)
	case g.AGCount == 0 || g.Blocks > uint64(g.AGCount)*uint64(g.AGBlocks) || g.Blocks <= uint64(g.AGCount-1)*uint64(g.AGBlocks):
		return bad("sb_dblocks %d in %d groups of %d blocks", g.Blocks, g.AGCount, g.AGBlocks)
	case g.CRC && g.InodeLog < MinInodeLog+1:
		return bad("sb_inodesize %d in version 5", sb.InodeSize())
	}
	if _, ok := ondisk.Mul(g.Blocks, uint64(sb.BlockSize())); !ok {
		return bad("sb_dblocks %d of %d bytes", g.Blocks, sb.BlockSize())
	}
	g.BlockSize, g.InodeSize = 1<<g.BlockLog, 1<<g.InodeLog
	g.DirBlockLog = g.BlockLog + uint(sb.DirBlockLog())
	g.DirSize = 1 << g.DirBlockLog
	copy(g.UUID[:], sb.UUID())
	g.MetaUUID = g.UUID
	features2 := uint32(0)
	if sb.VersionNum()&VersionMoreBits != 0 {
		// Old kernels of some machines wrote the word at the wrong place.
		features2 = sb.Features2() | sb.BadFeatures2()
	}
	if g.CRC {
		if sb.Incompat()&IncompatMetaUUID != 0 {
			copy(g.MetaUUID[:], sb.MetaUUID())
		}
		g.FType = sb.Incompat()&IncompatFType != 0
		g.Spinodes = sb.Incompat()&IncompatSpinodes != 0
		g.ProjID32, g.LazyCount = true, true
	} else {
		g.FType = features2&Features2FType != 0
		g.ProjID32 = features2&Features2ProjID32 != 0
		g.LazyCount = features2&Features2LazyCount != 0
	}
	if !g.ValidIno(g.RootIno) {
		return bad("sb_rootino %d", g.RootIno)
	}
	if g.LogStart != 0 {
		if _, ok := g.Offset(g.LogStart, uint64(g.LogBlocks)); !ok || g.LogBlocks == 0 {
			return bad("the log of %d blocks at %d", g.LogBlocks, g.LogStart)
		}
	}
	// A cluster is 8 KiB, and as many inodes where they are larger and aligned.
	cluster := uint32(8192)
	if g.CRC {
		if scaled := cluster * uint32(g.InodeSize/256); sb.InodeAlign() >= scaled>>g.BlockLog {
			cluster = scaled
		}
	}
	g.ClusterBlocks = max(1, cluster>>g.BlockLog)
	return g, nil
}

// Bytes is the size of the filesystem.
func (g *Geometry) Bytes() int64 { return int64(g.Blocks << g.BlockLog) }

// AGInoLog is the width of an inode's number in its group, in bits.
func (g *Geometry) AGInoLog() uint { return g.AGBlockLog + g.InopbLog }

// AGLength is the number of blocks of a group, of which the last may be short.
func (g *Geometry) AGLength(ag uint32) uint32 {
	if ag == g.AGCount-1 {
		return uint32(g.Blocks - uint64(ag)*uint64(g.AGBlocks))
	}
	return g.AGBlocks
}

// AGOffset is where block bno of a group lies, in bytes. Both must be valid.
func (g *Geometry) AGOffset(ag, bno uint32) int64 {
	return int64((uint64(ag)*uint64(g.AGBlocks) + uint64(bno)) << g.BlockLog)
}

// HeaderOffset is where a header of a group lies: sector 0 to 3 of it.
func (g *Geometry) HeaderOffset(ag uint32, sector int) int64 {
	return g.AGOffset(ag, 0) + int64(sector)<<g.SectorLog
}

// Split takes a block number apart.
func (g *Geometry) Split(fsb uint64) (ag uint64, bno uint32) {
	return fsb >> g.AGBlockLog, uint32(fsb & (1<<g.AGBlockLog - 1))
}

// Offset is where count blocks from fsb on lie, in bytes; false where they are
// not all in one group.
func (g *Geometry) Offset(fsb, count uint64) (int64, bool) {
	ag, bno := g.Split(fsb)
	if ag >= uint64(g.AGCount) {
		return 0, false
	}
	if n := uint64(g.AGLength(uint32(ag))); uint64(bno) >= n || count > n-uint64(bno) {
		return 0, false
	}
	return g.AGOffset(uint32(ag), bno), true
}

// SplitIno takes an inode number apart: its group, its number in it, and the
// block and the index in the block.
func (g *Geometry) SplitIno(ino uint64) (ag uint64, agino, bno uint32, index int) {
	agino = uint32(ino & (1<<g.AGInoLog() - 1))
	return ino >> g.AGInoLog(), agino, agino >> g.InopbLog, int(agino & (1<<g.InopbLog - 1))
}

// ValidIno says whether an inode could have this number.
func (g *Geometry) ValidIno(ino uint64) bool {
	ag, agino, bno, _ := g.SplitIno(ino)
	return ino != 0 && agino != 0 && ag < uint64(g.AGCount) && bno < g.AGLength(uint32(ag))
}

// InoOffset is where a valid inode number lies, in bytes.
func (g *Geometry) InoOffset(ino uint64) int64 {
	ag, _, bno, index := g.SplitIno(ino)
	return g.AGOffset(uint32(ag), bno) + int64(index)<<g.InodeLog
}

// ShortHeader, LongHeader and DirHeader are the lengths of what stands before
// the entries of blocks of those kinds.

func (g *Geometry) ShortHeader() int { return pick(g.CRC, ShortHeaderCRC, ShortHeader) }
func (g *Geometry) LongHeader() int  { return pick(g.CRC, LongHeaderCRC, LongHeader) }
func (g *Geometry) DirHeader() int   { return pick(g.CRC, DirHeaderCRC, DirHeader) }

// FTypeSize is the length of the type in a directory entry.
func (g *Geometry) FTypeSize() int { return pick(g.FType, 1, 0) }

// BmapMax is how many entries a block of a file's map has room for.
func (g *Geometry) BmapMax() int { return (g.BlockSize - g.LongHeader()) / BmapRecordSize }

func pick(crc bool, with, without int) int {
	if crc {
		return with
	}
	return without
}
