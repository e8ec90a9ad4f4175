package btrfs

import "encoding/binary"

// All numbers are little-endian. The names are those of the on-disk format's
// documentation (btrfs.readthedocs.io, "On-disk Format") without their prefix.

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// The superblock is at these places of every device, as far as it reaches.
const (
	superSize   = 4096
	superFirst  = 64 << 10
	superSecond = 64 << 20
	superThird  = 256 << 30
	superMagic  = "_BHRfS_M"

	csumSize    = 32 // the field; a checksum takes its first bytes
	uuidSize    = 16
	labelSize   = 256
	sysMapSize  = 2048
	backupRoots = 4
	backupSize  = 168
)

// Checksums: csum_type.
const (
	sumCRC32C = iota
	sumXXHash
	sumSHA256
	sumBLAKE2
)

// superblock is struct btrfs_super_block.
type superblock []byte

func (s superblock) csum() []byte            { return s[0:csumSize] }
func (s superblock) covered() []byte         { return s[csumSize:superSize] }
func (s superblock) fsid() []byte            { return s[32:48] }
func (s superblock) bytenr() uint64          { return le64(s[48:]) }
func (s superblock) flags() uint64           { return le64(s[56:]) }
func (s superblock) magic() []byte           { return s[64:72] }
func (s superblock) generation() uint64      { return le64(s[72:]) }
func (s superblock) root() uint64            { return le64(s[80:]) }
func (s superblock) chunkRoot() uint64       { return le64(s[88:]) }
func (s superblock) logRoot() uint64         { return le64(s[96:]) }
func (s superblock) totalBytes() uint64      { return le64(s[112:]) }
func (s superblock) bytesUsed() uint64       { return le64(s[120:]) }
func (s superblock) rootDir() uint64         { return le64(s[128:]) }
func (s superblock) numDevices() uint64      { return le64(s[136:]) }
func (s superblock) sectorSize() uint32      { return le32(s[144:]) }
func (s superblock) nodeSize() uint32        { return le32(s[148:]) }
func (s superblock) sysArraySize() uint32    { return le32(s[160:]) }
func (s superblock) chunkGeneration() uint64 { return le64(s[164:]) }
func (s superblock) compatRO() uint64        { return le64(s[180:]) }
func (s superblock) incompat() uint64        { return le64(s[188:]) }
func (s superblock) csumType() uint16        { return le16(s[196:]) }
func (s superblock) rootLevel() uint8        { return s[198] }
func (s superblock) chunkLevel() uint8       { return s[199] }
func (s superblock) logLevel() uint8         { return s[200] }
func (s superblock) devItem() devItem        { return devItem(s[201:299]) }
func (s superblock) label() []byte           { return s[299 : 299+labelSize] }
func (s superblock) metadataUUID() []byte    { return s[571:587] }
func (s superblock) sysArray() []byte        { return s[811 : 811+sysMapSize] }

// backup is one of the copies of the roots of the last transactions.
func (s superblock) backup(i int) backupRoot {
	const first = 811 + sysMapSize
	return backupRoot(s[first+i*backupSize : first+(i+1)*backupSize])
}

// backupRoot is struct btrfs_root_backup.
type backupRoot []byte

func (b backupRoot) treeRoot() uint64      { return le64(b[0:]) }
func (b backupRoot) treeRootGen() uint64   { return le64(b[8:]) }
func (b backupRoot) chunkRoot() uint64     { return le64(b[16:]) }
func (b backupRoot) chunkRootGen() uint64  { return le64(b[24:]) }
func (b backupRoot) treeRootLevel() uint8  { return b[152] }
func (b backupRoot) chunkRootLevel() uint8 { return b[153] }

// Flags of the superblock.
const (
	superFlagSeeding    = 1 << 32
	superFlagMetadump   = 1 << 33
	superFlagMetadumpV2 = 1 << 34
	superFlagChanging   = 1<<35 | 1<<36 // the UUID is being changed
)

// Features that a reader must know.
const (
	incompatMixedBackref   = 1 << 0
	incompatDefaultSubvol  = 1 << 1
	incompatMixedGroups    = 1 << 2
	incompatCompressLZO    = 1 << 3
	incompatCompressZSTD   = 1 << 4
	incompatBigMetadata    = 1 << 5
	incompatExtendedIref   = 1 << 6
	incompatRAID56         = 1 << 7
	incompatSkinnyMetadata = 1 << 8
	incompatNoHoles        = 1 << 9
	incompatMetadataUUID   = 1 << 10
	incompatRAID1C34       = 1 << 11
	incompatZoned          = 1 << 12
	incompatExtentTreeV2   = 1 << 13
	incompatRAIDStripeTree = 1 << 14
	incompatSimpleQuota    = 1 << 16
)

// compatBlockGroupTree says that block groups have a tree of their own.
const compatBlockGroupTree = 1 << 3

// Objects of the trees, and types of their items.
const (
	rootTreeID     = 1
	extentTreeID   = 2
	chunkTreeID    = 3
	fsTreeID       = 5
	csumTreeID     = 7
	blockGroupTree = 11
	firstFreeID    = 256
	firstChunkID   = 256
	devItemsID     = 1
	treeLogID      = ^uint64(0) - 5
	extentCsumID   = ^uint64(0) - 9

	inodeItemType   = 1
	inodeRefType    = 12
	inodeExtrefType = 13
	xattrItemType   = 24
	dirLogIndexType = 72
	dirItemType     = 84
	dirIndexType    = 96
	extentDataType  = 108
	extentCsumType  = 128
	rootItemType    = 132
	rootBackrefType = 144
	rootRefType     = 156
	blockGroupType  = 192
	devItemType     = 216
	chunkItemType   = 228
)

const keySize = 17

// A key is where an item stands in its tree.
type key struct {
	id  uint64 // objectid
	typ uint8
	off uint64
}

func keyAt(b []byte) key { return key{le64(b), b[8], le64(b[9:])} }

func (k key) compare(o key) int {
	switch {
	case k.id != o.id:
		return order(k.id < o.id)
	case k.typ != o.typ:
		return order(k.typ < o.typ)
	case k.off != o.off:
		return order(k.off < o.off)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

// A node is a tree block: struct btrfs_header, then items or pointers.
type node []byte

const (
	headerSize  = 101
	itemSize    = keySize + 8
	pointerSize = keySize + 16
	maxLevel    = 7
)

func (n node) csum() []byte       { return n[:csumSize] }
func (n node) covered() []byte    { return n[csumSize:] }
func (n node) fsid() []byte       { return n[32:48] }
func (n node) bytenr() uint64     { return le64(n[48:]) }
func (n node) flags() uint64      { return le64(n[56:]) }
func (n node) generation() uint64 { return le64(n[80:]) }
func (n node) owner() uint64      { return le64(n[88:]) }
func (n node) count() int         { return int(le32(n[96:])) }
func (n node) level() int         { return int(n[100]) }

// slot is the size of an item's or a pointer's header.
func (n node) slot() int {
	if n.level() == 0 {
		return itemSize
	}
	return pointerSize
}

func (n node) key(i int) key { return keyAt(n[headerSize+i*n.slot():]) }

// item is the bytes of item i of a verified leaf.
func (n node) item(i int) []byte {
	h := n[headerSize+i*itemSize+keySize:]
	from := headerSize + le32(h)
	return n[from : from+le32(h[4:]) : from+le32(h[4:])]
}

// itemRange is where item i says that it is, from the end of the header on.
func (n node) itemRange(i int) (off, size uint32) {
	h := n[headerSize+i*itemSize+keySize:]
	return le32(h), le32(h[4:])
}

// child is pointer i of a node above the leaves.
func (n node) child(i int) (bytenr, generation uint64) {
	p := n[headerSize+i*pointerSize+keySize:]
	return le64(p), le64(p[8:])
}
