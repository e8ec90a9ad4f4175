package layout

// The second, third and fourth sector of an allocation group.
const (
	AGFSector  = 1
	AGISector  = 2
	AGFLSector = 3

	AGFMagic  = 0x58414746 // XAGF
	AGIMagic  = 0x58414749 // XAGI
	AGFLMagic = 0x5841464c // XAFL

	AGVersion = 1

	// UnlinkedBuckets is the number of lists of unlinked inodes of a group.
	UnlinkedBuckets = 64
	// NullAGIno ends a list of unlinked inodes.
	NullAGIno = 1<<32 - 1
)

// AGF is the free space header of a group, of one sector.
type AGF []byte

func (a AGF) Magic() uint32       { return be32(a, 0) }
func (a AGF) Version() uint32     { return be32(a, 4) }
func (a AGF) Seqno() uint32       { return be32(a, 8) }
func (a AGF) Length() uint32      { return be32(a, 12) }
func (a AGF) FLCount() uint32     { return be32(a, 48) }
func (a AGF) FreeBlocks() uint32  { return be32(a, 52) }
func (a AGF) BtreeBlocks() uint32 { return be32(a, 60) }
func (a AGF) RmapBlocks() uint32  { return be32(a, 80) }

// AGI is the inode header of a group, of one sector.
type AGI []byte

func (a AGI) Magic() uint32         { return be32(a, 0) }
func (a AGI) Version() uint32       { return be32(a, 4) }
func (a AGI) Seqno() uint32         { return be32(a, 8) }
func (a AGI) Length() uint32        { return be32(a, 12) }
func (a AGI) Count() uint32         { return be32(a, 16) }
func (a AGI) Root() uint32          { return be32(a, 20) }
func (a AGI) Level() uint32         { return be32(a, 24) }
func (a AGI) FreeCount() uint32     { return be32(a, 28) }
func (a AGI) Unlinked(i int) uint32 { return be32(a, 40+4*i) }

// InobtRecord says which inodes of a chunk of 64 are in use (xfs_inobt_rec).
type InobtRecord []byte

func (r InobtRecord) StartIno() uint32 { return be32(r, 0) }

// HoleMask has a bit for each four inodes that do not exist. It is part of the
// free count where the filesystem has no sparse inodes.
func (r InobtRecord) HoleMask() uint16 { return be16(r, 4) }

// Free has a bit for each inode that is free.
func (r InobtRecord) Free() uint64 { return be64(r, 8) }

const (
	InobtRecordSize  = 16
	InobtKeySize     = 4
	InobtPtrSize     = 4
	InodesPerChunk   = 64
	InodesPerHoleBit = 4
	InobtMaxLevels   = 16 // no tree of 32-bit keys is higher
)
