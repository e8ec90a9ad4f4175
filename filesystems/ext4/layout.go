package ext4

import "encoding/binary"

// This file is the on-disk layout, as in the kernel's
// Documentation/filesystems/ext4: every offset stands here, once. The views
// edit and read the bytes in place; what they do not name stays as it is.
// Unless a comment says otherwise, numbers are little-endian.

func u16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// join makes a number of two halves.
func join(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }

// Sizes and places that no superblock field changes.
const (
	superOffset    = 1024 // of the primary superblock, in bytes
	superSize      = 1024
	superMagic     = 0xEF53
	oldInodeSize   = 128 // of revision 0, and of the part every inode has
	oldFirstIno    = 11  // of revision 0
	minDescSize    = 32
	minDescSize64  = 64
	maxDescSize    = 1024
	maxBlockBits   = 16
	minBlockBits   = 10
	maxClusterBits = 30
	rootIno        = 2
	bootLoaderIno  = 5
	resizeIno      = 7
	journalIno     = 8
)

// superblock is the 1,024 bytes at superOffset.
type superblock []byte

func (s superblock) inodesCount() uint32       { return u32(s, 0x00) }
func (s superblock) blocksCountLo() uint32     { return u32(s, 0x04) }
func (s superblock) blocksCountHi() uint32     { return u32(s, 0x150) }
func (s superblock) rBlocksCountLo() uint32    { return u32(s, 0x08) }
func (s superblock) rBlocksCountHi() uint32    { return u32(s, 0x154) }
func (s superblock) firstDataBlock() uint32    { return u32(s, 0x14) }
func (s superblock) logBlockSize() uint32      { return u32(s, 0x18) }
func (s superblock) logClusterSize() uint32    { return u32(s, 0x1C) }
func (s superblock) blocksPerGroup() uint32    { return u32(s, 0x20) }
func (s superblock) clustersPerGroup() uint32  { return u32(s, 0x24) }
func (s superblock) inodesPerGroup() uint32    { return u32(s, 0x28) }
func (s superblock) magic() uint16             { return u16(s, 0x38) }
func (s superblock) state() uint16             { return u16(s, 0x3A) }
func (s superblock) creatorOS() uint32         { return u32(s, 0x48) }
func (s superblock) revLevel() uint32          { return u32(s, 0x4C) }
func (s superblock) firstIno() uint32          { return u32(s, 0x54) }
func (s superblock) inodeSize() uint16         { return u16(s, 0x58) }
func (s superblock) blockGroupNr() uint16      { return u16(s, 0x5A) }
func (s superblock) featureCompat() uint32     { return u32(s, 0x5C) }
func (s superblock) featureIncompat() uint32   { return u32(s, 0x60) }
func (s superblock) featureRoCompat() uint32   { return u32(s, 0x64) }
func (s superblock) uuid() []byte              { return s[0x68:0x78] }
func (s superblock) volumeName() []byte        { return s[0x78:0x88] }
func (s superblock) reservedGDTBlocks() uint16 { return u16(s, 0xCE) }
func (s superblock) journalUUID() []byte       { return s[0xD0:0xE0] }
func (s superblock) journalInum() uint32       { return u32(s, 0xE0) }
func (s superblock) journalDev() uint32        { return u32(s, 0xE4) }
func (s superblock) lastOrphan() uint32        { return u32(s, 0xE8) }
func (s superblock) hashSeed() [4]uint32 {
	return [4]uint32{u32(s, 0xEC), u32(s, 0xF0), u32(s, 0xF4), u32(s, 0xF8)}
}
func (s superblock) defHashVersion() uint8    { return s[0xFC] }
func (s superblock) jnlBackupType() uint8     { return s[0xFD] }
func (s superblock) descSize() uint16         { return u16(s, 0xFE) }
func (s superblock) firstMetaBg() uint32      { return u32(s, 0x104) }
func (s superblock) jnlBlocks() []byte        { return s[0x10C:0x150] } // 15 words of i_block, i_size_high, i_size
func (s superblock) flags() uint32            { return u32(s, 0x160) }
func (s superblock) logGroupsPerFlex() uint8  { return s[0x174] }
func (s superblock) checksumType() uint8      { return s[0x175] }
func (s superblock) overheadClusters() uint32 { return u32(s, 0x248) }
func (s superblock) backupBgs() [2]uint32     { return [2]uint32{u32(s, 0x24C), u32(s, 0x250)} }
func (s superblock) checksumSeed() uint32     { return u32(s, 0x270) }
func (s superblock) encoding() uint16         { return u16(s, 0x27C) }
func (s superblock) encodingFlags() uint16    { return u16(s, 0x27E) }
func (s superblock) orphanFileInum() uint32   { return u32(s, 0x280) }
func (s superblock) checksum() uint32         { return u32(s, superChecksum) }

// lastUse is what tells one use of a filesystem from another: s_uuid, s_mtime,
// s_wtime, s_mnt_count and s_lastcheck.
func (s superblock) lastUse() []byte {
	b := append([]byte(nil), s.uuid()...)
	b = append(b, s[0x2C:0x36]...)
	return append(b, s[0x40:0x44]...)
}

const (
	superChecksum = 0x3FC // s_checksum; it covers all before it

	stateValid  = 1 // s_state: unmounted cleanly
	stateErrors = 2
	stateOrphan = 4

	osHurd = 1 // s_creator_os

	flagSignedHash   = 1 // s_flags
	flagUnsignedHash = 2
	flagTestFS       = 4

	checksumCRC32C = 1 // s_checksum_type

	encodingUTF8   = 1 // s_encoding: Unicode 12.1
	encodingStrict = 1 // s_encoding_flags
)

// groupDesc is one group descriptor of s_desc_size bytes.
type groupDesc []byte

// wide says whether the high halves exist.
func (g groupDesc) wide() bool { return len(g) >= minDescSize64 }

func (g groupDesc) hi32(at int) uint32 {
	if !g.wide() {
		return 0
	}
	return u32(g, at)
}

func (g groupDesc) hi16(at int) uint32 {
	if !g.wide() {
		return 0
	}
	return uint32(u16(g, at)) << 16
}

func (g groupDesc) blockBitmap() uint64  { return join(u32(g, 0x00), g.hi32(0x20)) }
func (g groupDesc) inodeBitmap() uint64  { return join(u32(g, 0x04), g.hi32(0x24)) }
func (g groupDesc) inodeTable() uint64   { return join(u32(g, 0x08), g.hi32(0x28)) }
func (g groupDesc) freeBlocks() uint32   { return uint32(u16(g, 0x0C)) | g.hi16(0x2C) } // clusters
func (g groupDesc) freeInodes() uint32   { return uint32(u16(g, 0x0E)) | g.hi16(0x2E) }
func (g groupDesc) usedDirs() uint32     { return uint32(u16(g, 0x10)) | g.hi16(0x30) }
func (g groupDesc) flags() uint16        { return u16(g, 0x12) }
func (g groupDesc) itableUnused() uint32 { return uint32(u16(g, 0x1C)) | g.hi16(0x32) }
func (g groupDesc) checksum() uint16     { return u16(g, descChecksum) }

const (
	descChecksum = 0x1E // bg_checksum, two bytes

	groupInodeUninit = 1 // bg_flags
	groupBlockUninit = 2
	groupInodeZeroed = 4
)

// rawInode is one inode of s_inode_size bytes, at least oldInodeSize.
type rawInode []byte

func (r rawInode) mode() uint16        { return u16(r, 0x00) }
func (r rawInode) uid() uint32         { return uint32(u16(r, 0x02)) | uint32(u16(r, 0x78))<<16 }
func (r rawInode) sizeLo() uint32      { return u32(r, 0x04) }
func (r rawInode) atime() uint32       { return u32(r, 0x08) }
func (r rawInode) ctime() uint32       { return u32(r, 0x0C) }
func (r rawInode) mtime() uint32       { return u32(r, 0x10) }
func (r rawInode) dtime() uint32       { return u32(r, 0x14) }
func (r rawInode) gid() uint32         { return uint32(u16(r, 0x18)) | uint32(u16(r, 0x7A))<<16 }
func (r rawInode) links() uint16       { return u16(r, 0x1A) }
func (r rawInode) blocksLo() uint32    { return u32(r, 0x1C) }
func (r rawInode) flags() uint32       { return u32(r, 0x20) }
func (r rawInode) iBlock() []byte      { return r[0x28:0x64:0x64] }
func (r rawInode) generation() uint32  { return u32(r, 0x64) }
func (r rawInode) fileACLLo() uint32   { return u32(r, 0x68) }
func (r rawInode) sizeHigh() uint32    { return u32(r, 0x6C) }
func (r rawInode) blocksHigh() uint16  { return u16(r, 0x74) }
func (r rawInode) fileACLHigh() uint16 { return u16(r, 0x76) }
func (r rawInode) checksumLo() uint16  { return u16(r, inodeChecksumLo) }

func (r rawInode) setSize(v uint32) {
	binary.LittleEndian.PutUint32(r[0x04:], v)
	binary.LittleEndian.PutUint32(r[0x6C:], 0)
}

// takeLogged takes all of the bytes that a fast commit logged but i_block.
func (r rawInode) takeLogged(logged []byte) {
	copy(r[:0x28], logged)
	copy(r[0x64:], logged[0x64:])
}

func (r rawInode) setLinks(v uint16) { binary.LittleEndian.PutUint16(r[0x1A:], v) }
func (r rawInode) setFlags(v uint32) { binary.LittleEndian.PutUint32(r[0x20:], v) }

// The fields below exist only where has says so.
func (r rawInode) extraSize() int      { return int(u16(r, inodeExtraSize)) }
func (r rawInode) checksumHi() uint16  { return u16(r, inodeChecksumHi) }
func (r rawInode) ctimeExtra() uint32  { return u32(r, inodeCtimeExtra) }
func (r rawInode) mtimeExtra() uint32  { return u32(r, inodeMtimeExtra) }
func (r rawInode) atimeExtra() uint32  { return u32(r, inodeAtimeExtra) }
func (r rawInode) crtime() uint32      { return u32(r, inodeCrtime) }
func (r rawInode) crtimeExtra() uint32 { return u32(r, inodeCrtimeExtra) }
func (r rawInode) projectID() uint32   { return u32(r, inodeProjectID) }

const (
	inodeChecksumLo  = 0x7C // two bytes
	inodeExtraSize   = 0x80 // i_extra_isize, two bytes: the fields from here on that exist
	inodeChecksumHi  = 0x82 // two bytes
	inodeCtimeExtra  = 0x84
	inodeMtimeExtra  = 0x88
	inodeAtimeExtra  = 0x8C
	inodeCrtime      = 0x90
	inodeCrtimeExtra = 0x94
	inodeProjectID   = 0x9C

	iBlockSize = 60 // bytes of i_block

	flagCompressed  = 0x4 // i_flags
	flagImmutable   = 0x10
	flagAppend      = 0x20
	flagNoDump      = 0x40
	flagEncrypt     = 0x800
	flagIndex       = 0x1000
	flagHugeFile    = 0x40000
	flagExtents     = 0x80000
	flagVerity      = 0x100000
	flagEAInode     = 0x200000
	flagInlineData  = 0x10000000
	flagCasefold    = 0x40000000
	flagProjInherit = 0x20000000
)

// extentNode is an extent header and the entries behind it: i_block, or a block.
type extentNode []byte

func (e extentNode) magic() uint16 { return u16(e, 0) }
func (e extentNode) entries() int  { return int(u16(e, 2)) }
func (e extentNode) max() int      { return int(u16(e, 4)) }
func (e extentNode) depth() int    { return int(u16(e, 6)) }

// setEmpty makes i_block a tree without extents.
func (e extentNode) setEmpty() {
	clear(e)
	binary.LittleEndian.PutUint16(e, extentMagic)
	binary.LittleEndian.PutUint16(e[4:], uint16((len(e)-extentHeader)/extentEntry))
}
func (e extentNode) block(i int) uint32  { return u32(e, extentHeader+i*extentEntry) } // ee_block and ei_block
func (e extentNode) length(i int) uint16 { return u16(e, extentHeader+i*extentEntry+4) }
func (e extentNode) start(i int) uint64 {
	at := extentHeader + i*extentEntry
	return join(u32(e, at+8), uint32(u16(e, at+6)))
}
func (e extentNode) leaf(i int) uint64 {
	at := extentHeader + i*extentEntry
	return join(u32(e, at+4), uint32(u16(e, at+8)))
}

const (
	extentMagic    = 0xF30A
	extentHeader   = 12
	extentEntry    = 12
	extentTail     = 4 // the checksum behind the last possible entry
	extentMaxDepth = 5
	extentMaxLen   = 1 << 15 // a length above it is that much less, and unwritten
)

// dirent is a directory entry and what follows it.
type dirent []byte

func (d dirent) inode() uint32   { return u32(d, 0) }
func (d dirent) rawRecLen() int  { return int(u16(d, 4)) }
func (d dirent) nameLen() int    { return int(d[6]) }
func (d dirent) fileType() uint8 { return d[7] } // the high half of name_len where the feature filetype is absent
func (d dirent) name() []byte    { return d[direntHeader : direntHeader+d.nameLen()] }

const (
	direntHeader   = 8
	direntMin      = 12 // the smallest rec_len
	direntTail     = 12 // an entry of no inode that holds the block's checksum
	direntTailType = 0xDE
	direntTailSum  = 8
	direntHash     = 8 // hash and minor hash behind the name, in encrypted casefolded directories
)

// The hash tree. A dx_root is the entries . and .., dx_root_info and the
// index entries; a dx_node an unused entry of the whole block and the index
// entries. The first index entry's hash is the limit and the count.
const (
	dxRootInfo     = 24
	dxRootEntries  = 32
	dxNodeEntries  = 8
	dxEntry        = 8
	dxTail         = 8
	dxTailChecksum = 4
	dxInfoLength   = 8
	dxBlockMask    = 0x0FFFFFFF
)

// dxInfo is the dx_root_info.
type dxInfo []byte

func (d dxInfo) reserved() uint32      { return u32(d, 0) }
func (d dxInfo) hashVersion() uint8    { return d[4] }
func (d dxInfo) infoLength() uint8     { return d[5] }
func (d dxInfo) indirectLevels() uint8 { return d[6] }

// dxEntries are the index entries of a node.
type dxEntries []byte

func (d dxEntries) limit() int         { return int(u16(d, 0)) }
func (d dxEntries) count() int         { return int(u16(d, 2)) }
func (d dxEntries) hash(i int) uint32  { return u32(d, i*dxEntry) } // not of the first
func (d dxEntries) block(i int) uint32 { return u32(d, i*dxEntry+4) & dxBlockMask }

// xattrBlock is the header of a block of extended attributes.
type xattrBlock []byte

func (x xattrBlock) magic() uint32    { return u32(x, 0) }
func (x xattrBlock) blocks() uint32   { return u32(x, 8) }
func (x xattrBlock) checksum() uint32 { return u32(x, xattrChecksum) }

// xattrEntry is one entry and what follows it.
type xattrEntry []byte

func (x xattrEntry) nameLen() int      { return int(x[0]) }
func (x xattrEntry) nameIndex() uint8  { return x[1] }
func (x xattrEntry) valueOff() int     { return int(u16(x, 2)) }
func (x xattrEntry) valueInum() uint32 { return u32(x, 4) }
func (x xattrEntry) valueSize() uint32 { return u32(x, 8) }
func (x xattrEntry) hash() uint32      { return u32(x, 12) }
func (x xattrEntry) name() []byte      { return x[xattrHeader : xattrHeader+x.nameLen()] }

const (
	xattrMagic      = 0xEA020000
	xattrBlockStart = 32 // of the first entry in a block
	xattrBodyStart  = 4  // of the first entry behind the magic in an inode
	xattrChecksum   = 16 // h_checksum, four bytes
	xattrHeader     = 16
	xattrAlign      = 4
)
