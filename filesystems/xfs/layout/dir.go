package layout

// The spaces of a directory's file: entries, index, free space. Bytes.
const (
	DirLeafOffset = 1 << 35
	DirFreeOffset = 2 << 35
	// DirAlign is the unit of the address of an entry, in bytes.
	DirAlign    = 8
	DirAlignLog = 3
)

// DirBlock is a directory block that holds entries: the only one, which has
// its index in it, or one of many.
type DirBlock []byte

func (d DirBlock) Magic() uint32 { return be32(d, 0) }

// Count and Stale are in the tail of the only block; Index is its index.

func (d DirBlock) Count() uint32 { return be32(d, len(d)-8) }
func (d DirBlock) Stale() uint32 { return be32(d, len(d)-4) }
func (d DirBlock) Index() LeafEntries {
	end := len(d) - DirTail
	return LeafEntries(d[end-int(d.Count())*LeafEntrySize : end])
}

const (
	DirBlockMagic    = 0x58443242 // XD2B
	DirBlockMagicCRC = 0x58444233 // XDB3
	DirDataMagic     = 0x58443244 // XD2D
	DirDataMagicCRC  = 0x58444433 // XDD3

	DirHeader    = 16
	DirHeaderCRC = 64
	DirTail      = 8

	// FreeTag begins what is no entry.
	FreeTag = 0xffff
)

// Dirent is an entry and what follows it (xfs_dir2_data_entry).
type Dirent []byte

func (d Dirent) IsFree() bool    { return be16(d, 0) == FreeTag }
func (d Dirent) FreeLength() int { return int(be16(d, 2)) }
func (d Dirent) Ino() uint64     { return be64(d, 0) }
func (d Dirent) NameLen() int    { return int(d[8]) }
func (d Dirent) Name() []byte    { return d[DirentName : DirentName+d.NameLen()] }

// FType stands behind the name where the filesystem has it.
func (d Dirent) FType() uint8 { return d[DirentName+d.NameLen()] }

// Size is the length of the entry; ftype is 1 where the filesystem has types.
func (d Dirent) Size(ftype int) int {
	return (DirentName + d.NameLen() + ftype + 2 + DirAlign - 1) &^ (DirAlign - 1)
}

// Tag is the last two bytes of an entry or free space of the given length: its
// own offset in the block.
func (d Dirent) Tag(size int) int { return int(be16(d, size-2)) }

const (
	DirentName    = 9
	DirentMinSize = 16
)

// ShortDir is a directory in its inode (xfs_dir2_sf).
type ShortDir []byte

func (s ShortDir) Count() int     { return int(s[0]) }
func (s ShortDir) WideCount() int { return int(s[1]) } // inode numbers of 8 bytes
func (s ShortDir) InoSize() int {
	if s.WideCount() > 0 {
		return 8
	}
	return 4
}

// Ino is the inode number at a place.
func (s ShortDir) Ino(at int) uint64 {
	if s.InoSize() == 8 {
		return be64(s, at) & (1<<56 - 1)
	}
	return uint64(be32(s, at))
}

const (
	ShortDirParent    = 2 // of the parent's number
	ShortDirentName   = 3
	ShortDirentOffset = 1
)

// ShortDirent is an entry of a directory in its inode.
type ShortDirent []byte

func (s ShortDirent) NameLen() int { return int(s[0]) }

// Offset is where the entry would be in a block, in bytes.
func (s ShortDirent) Offset() int  { return int(be16(s, ShortDirentOffset)) }
func (s ShortDirent) Name() []byte { return s[ShortDirentName : ShortDirentName+s.NameLen()] }

// The types of entries (XFS_DIR3_FT).
const (
	FTUnknown = iota
	FTReg
	FTDir
	FTChr
	FTBlk
	FTFifo
	FTSock
	FTSymlink
	FTWhiteout
)

// LeafEntries are the index entries of a directory: hash and address.
type LeafEntries []byte

func (l LeafEntries) Len() int             { return len(l) / LeafEntrySize }
func (l LeafEntries) Hash(i int) uint32    { return be32(l, i*LeafEntrySize) }
func (l LeafEntries) Address(i int) uint32 { return be32(l, i*LeafEntrySize+4) } // units of 8 bytes; 0 is stale

const LeafEntrySize = 8
