package layout

// Btree is a block of a B+tree (xfs_btree_block): the short form, whose
// pointers are block numbers within a group, or the long form.
type Btree []byte

func (b Btree) Magic() uint32 { return be32(b, 0) }
func (b Btree) Level() int    { return int(be16(b, 4)) }
func (b Btree) NumRecs() int  { return int(be16(b, 6)) }

// SetOwner changes the owner of a long-form block of version 5.
func (b Btree) SetOwner(ino uint64) { put64(b, 56, ino) }

// Key and pointer i of an inner block of the inode B+tree, whose entries begin
// at hdr and which has room for max of them.

func (b Btree) InobtKey(hdr, i int) uint32      { return be32(b, hdr+i*InobtKeySize) }
func (b Btree) InobtPtr(hdr, max, i int) uint32 { return be32(b, hdr+max*InobtKeySize+i*InobtPtrSize) }

// Key and pointer i of an inner block of the map of a file. The root in an
// inode has the same form, at the start of its fork.

func (b Btree) BmapKey(hdr, i int) uint64 { return be64(b, hdr+i*BmapKeySize) }
func (b Btree) BmapPtr(hdr, max, i int) uint64 {
	return be64(b, hdr+max*BmapKeySize+i*BmapPtrSize)
}

const (
	ShortHeader    = 16 // of version 4
	ShortHeaderCRC = 56 // of version 5
	LongHeader     = 24
	LongHeaderCRC  = 72

	InobtMagic    = 0x49414254 // IABT
	InobtMagicCRC = 0x49414233 // IAB3
	BmapMagic     = 0x424d4150 // BMAP
	BmapMagicCRC  = 0x424d4133 // BMA3

	BmapRecordSize = 16
	BmapKeySize    = 8
	BmapPtrSize    = 8
	// BmapMaxLevels bounds the depth of the map of a file. The largest fork
	// of 2^48 extents in blocks of 1 KiB has fewer.
	BmapMaxLevels = 14
)

// BmapRoot is the root of a file's map in its inode (xfs_bmdr_block).
type BmapRoot []byte

func (r BmapRoot) Level() int   { return int(be16(r, 0)) }
func (r BmapRoot) NumRecs() int { return int(be16(r, 2)) }

// MaxRecs is how many entries the fork has room for.
func (r BmapRoot) MaxRecs() int { return (len(r) - BmapRootHeader) / (BmapKeySize + BmapPtrSize) }

func (r BmapRoot) Key(i int) uint64 { return Btree(r).BmapKey(BmapRootHeader, i) }
func (r BmapRoot) Ptr(i int) uint64 { return Btree(r).BmapPtr(BmapRootHeader, r.MaxRecs(), i) }

// Set makes the root of a block of the long form whose entries begin at hdr:
// the form in which the log has it. It is false where they do not fit.
func (r BmapRoot) Set(block Btree, hdr int) bool {
	if len(r) < BmapRootHeader || len(block) < hdr {
		return false
	}
	n, max := block.NumRecs(), (len(block)-hdr)/(BmapKeySize+BmapPtrSize)
	if n > max || n > r.MaxRecs() {
		return false
	}
	copy(r[:BmapRootHeader], block[4:8])
	copy(r[BmapRootHeader:], block[hdr:hdr+n*BmapKeySize])
	ptrs := hdr + max*BmapKeySize
	copy(r[BmapRootHeader+r.MaxRecs()*BmapKeySize:], block[ptrs:ptrs+n*BmapPtrSize])
	return true
}

// BmapRootHeader is the length of what stands before the entries of a root.
const BmapRootHeader = 4

// BmapRecord is one extent of a file (xfs_bmbt_rec), four numbers in 128 bits.
type BmapRecord []byte

func (r BmapRecord) Unwritten() bool { return r[0]&0x80 != 0 }

// Offset is the first block in the file.
func (r BmapRecord) Offset() uint64 { return be64(r, 0) &^ (1 << 63) >> 9 }

// Start is the first block on the disk, with the number of the group above.
func (r BmapRecord) Start() uint64 { return be64(r, 0)&0x1ff<<43 | be64(r, 8)>>21 }

// Count is the number of blocks.
func (r BmapRecord) Count() uint64 { return be64(r, 8) & (1<<21 - 1) }

// MaxFileBlock is the first block number that no file has.
const MaxFileBlock = 1 << 54
