package ext4

import "encoding/binary"

// The setters of the views in layout.go, for the writer. The places stand
// there; those that only a writer needs stand here.

func set16(b []byte, at int, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
func set32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

func (s superblock) setFreeBlocks(v uint64) {
	set32(s, 0x0C, uint32(v))
	set32(s, 0x158, uint32(v>>32))
}
func (s superblock) setFreeInodes(v uint32) { set32(s, 0x10, v) }
func (s superblock) setWtime(sec int64) {
	set32(s, 0x30, uint32(sec))
	s[0x274] = byte(sec >> 32)
}
func (s superblock) setState(v uint16)           { set16(s, 0x3A, v) }
func (s superblock) setFeatureCompat(v uint32)   { set32(s, 0x5C, v) }
func (s superblock) setFeatureIncompat(v uint32) { set32(s, 0x60, v) }
func (s superblock) setFeatureRoCompat(v uint32) { set32(s, 0x64, v) }
func (s superblock) setLastOrphan(v uint32)      { set32(s, 0xE8, v) }
func (s superblock) setChecksum(v uint32)        { set32(s, superChecksum, v) }
func (s superblock) errorCount() uint32          { return u32(s, 0x194) }
func (s superblock) minExtraIsize() uint16       { return u16(s, 0x15C) }
func (s superblock) wantExtraIsize() uint16      { return u16(s, 0x15E) }

func (g groupDesc) setLoHi16(lo, hi int, v uint32) {
	set16(g, lo, uint16(v))
	if g.wide() {
		set16(g, hi, uint16(v>>16))
	}
}
func (g groupDesc) setFreeBlocks(v uint32)          { g.setLoHi16(0x0C, 0x2C, v) }
func (g groupDesc) setFreeInodes(v uint32)          { g.setLoHi16(0x0E, 0x2E, v) }
func (g groupDesc) setUsedDirs(v uint32)            { g.setLoHi16(0x10, 0x30, v) }
func (g groupDesc) setFlags(v uint16)               { set16(g, 0x12, v) }
func (g groupDesc) setItableUnused(v uint32)        { g.setLoHi16(0x1C, 0x32, v) }
func (g groupDesc) setBlockBitmapChecksum(v uint32) { g.setLoHi16(0x18, 0x38, v) }
func (g groupDesc) setInodeBitmapChecksum(v uint32) { g.setLoHi16(0x1A, 0x3A, v) }
func (g groupDesc) blockBitmapChecksum() uint32     { return uint32(u16(g, 0x18)) | g.hi16(0x38) }
func (g groupDesc) inodeBitmapChecksum() uint32     { return uint32(u16(g, 0x1A)) | g.hi16(0x3A) }
func (g groupDesc) setChecksum(v uint16)            { set16(g, descChecksum, v) }

func (r rawInode) setMode(v uint16) { set16(r, 0x00, v) }
func (r rawInode) setUID(v uint32)  { set16(r, 0x02, uint16(v)); set16(r, 0x78, uint16(v>>16)) }
func (r rawInode) setGID(v uint32)  { set16(r, 0x18, uint16(v)); set16(r, 0x7A, uint16(v>>16)) }
func (r rawInode) setSize64(v int64) {
	set32(r, 0x04, uint32(v))
	set32(r, 0x6C, uint32(v>>32))
}
func (r rawInode) setDtime(v uint32)      { set32(r, 0x14, v) }
func (r rawInode) setGeneration(v uint32) { set32(r, 0x64, v) }
func (r rawInode) setFileACL(v uint64)    { set32(r, 0x68, uint32(v)); set16(r, 0x76, uint16(v>>32)) }
func (r rawInode) setExtraSize(v uint16)  { set16(r, inodeExtraSize, v) }

const (
	inodeAtime = 0x08
	inodeCtime = 0x0C
	inodeMtime = 0x10
)

func (e extentNode) setHeader(entries, limit, depth int) {
	set16(e, 0, extentMagic)
	e.setEntries(entries)
	set16(e, 4, uint16(limit))
	set16(e, 6, uint16(depth))
	set32(e, 8, 0)
}
func (e extentNode) setEntries(n int)            { set16(e, 2, uint16(n)) }
func (e extentNode) entry(i int) []byte          { return e[extentHeader+i*extentEntry:][:extentEntry] }
func (e extentNode) setBlock(i int, lblk uint32) { set32(e.entry(i), 0, lblk) }

// setExtent writes a leaf's entry.
func (e extentNode) setExtent(i int, lblk uint32, length uint64, unwritten bool, start uint64) {
	b := e.entry(i)
	set32(b, 0, lblk)
	if unwritten {
		length += extentMaxLen
	}
	set16(b, 4, uint16(length))
	set16(b, 6, uint16(start>>32))
	set32(b, 8, uint32(start))
}

// setIndex writes an index entry.
func (e extentNode) setIndex(i int, lblk uint32, leaf uint64) {
	b := e.entry(i)
	set32(b, 0, lblk)
	set32(b, 4, uint32(leaf))
	set16(b, 8, uint16(leaf>>32))
	set16(b, 10, 0)
}

// insert makes room for an entry at i.
func (e extentNode) insert(i int) {
	n := e.entries()
	copy(e[extentHeader+(i+1)*extentEntry:], e[extentHeader+i*extentEntry:extentHeader+n*extentEntry])
	e.setEntries(n + 1)
}

// remove takes n entries out from i on.
func (e extentNode) remove(i, n int) {
	all := e.entries()
	copy(e[extentHeader+i*extentEntry:], e[extentHeader+(i+n)*extentEntry:extentHeader+all*extentEntry])
	clear(e[extentHeader+(all-n)*extentEntry : extentHeader+all*extentEntry])
	e.setEntries(all - n)
}

func (d dirent) setInode(v uint32)   { set32(d, 0, v) }
func (d dirent) setFileType(t uint8) { d[7] = t }
func (d dirent) setName(name string) {
	d[6] = byte(len(name))
	copy(d[direntHeader:], name)
}

// setRecLen encodes a length, as recLen decodes it.
func (d dirent) setRecLen(length, blockSize int) {
	if blockSize == 1<<16 {
		if length == blockSize {
			length = 1<<16 - 1
		} else {
			length = length&^3&0xFFFF | length>>16&3
		}
	}
	set16(d, 4, uint16(length))
}

func (d dxEntries) setLimit(n int)           { set16(d, 0, uint16(n)) }
func (d dxEntries) setCount(n int)           { set16(d, 2, uint16(n)) }
func (d dxEntries) setBlock(i int, b uint32) { set32(d, i*dxEntry+4, b) }
func (d dxEntries) set(i int, h, b uint32)   { set32(d, i*dxEntry, h); set32(d, i*dxEntry+4, b) }

func (d dxInfo) setLevels(n uint8) { d[6] = n }

func (x xattrBlock) refcount() uint32     { return u32(x, 4) }
func (x xattrBlock) setRefcount(v uint32) { set32(x, 4, v) }
