package xlog

import "encoding/binary"

// This file is the layout of the log. Headers of records and operations are
// big-endian; what items hold is in the order of the machine that wrote it.

func be16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func be32(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
func le32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }

// recordHeader is the first sector of a record (xlog_rec_header).
type recordHeader []byte

func (h recordHeader) isRecord() bool         { return be32(h, 0) == recordMagic }
func (h recordHeader) cycle() uint32          { return be32(h, 4) }
func (h recordHeader) version() uint32        { return be32(h, 8) }
func (h recordHeader) len() uint32            { return be32(h, 12) } // of the payload, in bytes
func (h recordHeader) lsn() uint64            { return be64(h, 16) }
func (h recordHeader) tailLSN() uint64        { return be64(h, 24) }
func (h recordHeader) crc() uint32            { return le32(h, recordCRC) }
func (h recordHeader) ops() uint32            { return be32(h, 40) }
func (h recordHeader) cycleData(i int) []byte { return h[44+4*i : 48+4*i] }
func (h recordHeader) format() uint32         { return be32(h, 300) }
func (h recordHeader) uuid() []byte           { return h[304:320] }
func (h recordHeader) size() uint32           { return be32(h, 320) } // of the largest record

// extendedHeader is one of the sectors that follow it, with the words of
// further payload.
type extendedHeader []byte

func (h extendedHeader) cycleData(i int) []byte { return h[4+4*i : 8+4*i] }

const (
	sector      = 512
	recordMagic = 0xFEEDbabe
	recordCRC   = 32
	// The checksum covers this much of the header; on 32-bit x86 it ends
	// before the padding.
	recordHeaderSize   = 328
	recordHeaderSize32 = 324
	extendedHeaderSize = 260

	version1 = 1
	version2 = 2

	formatLittle = 1 // h_fmt: Linux, little-endian
	formatBig    = 2
	formatIRIX   = 3

	// headerCovers is how many bytes of payload one header sector has words of.
	headerCovers  = 32 << 10
	headerSectors = headerCovers / sector
	// maxRecord bounds the payload of a record.
	maxRecord = 256 << 10
	// recordsInFlight is how many records can be under way at once.
	recordsInFlight = 8
	// scanSectors is how far before the head sectors of it may be missing.
	scanSectors = recordsInFlight * maxRecord / sector
)

// operation is an operation header (xlog_op_header).
type operation []byte

func (o operation) tid() uint32   { return be32(o, 0) }
func (o operation) len() uint32   { return be32(o, 4) }
func (o operation) client() uint8 { return o[8] }
func (o operation) flags() uint8  { return o[9] }

const (
	operationSize = 12

	clientTransaction = 0x69
	clientLog         = 0xaa

	opStart        = 0x01
	opCommit       = 0x02
	opContinue     = 0x04
	opWasContinued = 0x08
	opEnd          = 0x10
	opUnmount      = 0x20
)

const (
	transMagic      = 0x5452414e // TRAN
	transHeaderSize = 16
)

// The types of items.
const (
	itemEFI      = 0x1236
	itemEFD      = 0x1237
	itemInode    = 0x123b
	itemBuf      = 0x123c
	itemDquot    = 0x123d
	itemQuotaoff = 0x123e
	itemIcreate  = 0x123f
	itemRUI      = 0x1240
	itemRUD      = 0x1241
	itemCUI      = 0x1242
	itemCUD      = 0x1243
	itemBUI      = 0x1244
	itemBUD      = 0x1245
	itemATTRI    = 0x1246
	itemATTRD    = 0x1247
	itemXMI      = 0x1248
	itemXMD      = 0x1249
	itemEFIRT    = 0x124a
	itemEFDRT    = 0x124b
	itemRUIRT    = 0x124c
	itemRUDRT    = 0x124d
	itemCUIRT    = 0x124e
	itemCUDRT    = 0x124f
)

// native reads what an item holds.
type native struct {
	b     []byte
	order binary.ByteOrder
}

func (n native) u16(at int) uint16 { return n.order.Uint16(n.b[at:]) }
func (n native) u32(at int) uint32 { return n.order.Uint32(n.b[at:]) }
func (n native) u64(at int) uint64 { return n.order.Uint64(n.b[at:]) }

// Every format begins with its type and the number of its regions.

func (n native) kind() uint16    { return n.u16(0) }
func (n native) regions() uint16 { return n.u16(2) }

// bufFormat is a changed buffer (xfs_buf_log_format).
type bufFormat struct{ native }

func (f bufFormat) flags() uint16        { return f.u16(4) }
func (f bufFormat) sectors() uint16      { return f.u16(6) }
func (f bufFormat) blkno() uint64        { return f.u64(8) }
func (f bufFormat) words() uint32        { return f.u32(16) } // of the map
func (f bufFormat) mapWord(i int) uint32 { return f.u32(bufFormatSize + 4*i) }

const (
	bufFormatSize = 20
	bufChunk      = 128 // bytes that a bit of the map stands for
	// maxBuffer bounds a buffer, in sectors: the largest are directory blocks
	// and clusters of 64 KiB.
	maxBuffer = 256

	bufInodes = 0x1 // only the pointers of unlinked inodes count
	bufCancel = 0x2
	bufQuota  = 0x4 | 0x8 | 0x10

	bufTypeShift = 11
	typeDquotU   = 1
	typeDquotP   = 2
	typeDquotG   = 3
	typeInodes   = 8
	typeRTBitmap = 19
	typeRTSum    = 20
)

// inodeFormat is a changed inode (xfs_inode_log_format), which kernels of 32
// bits packed without the word at 12.
type inodeFormat struct{ native }

func (f inodeFormat) shift() int {
	if len(f.b) >= inodeFormatSize {
		return 4
	}
	return 0
}
func (f inodeFormat) fields() uint32  { return f.u32(4) }
func (f inodeFormat) ino() uint64     { return f.u64(12 + f.shift()) }
func (f inodeFormat) rdev() uint32    { return f.u32(20 + f.shift()) }
func (f inodeFormat) blkno() uint64   { return f.u64(36 + f.shift()) }
func (f inodeFormat) sectors() uint32 { return f.u32(44 + f.shift()) }
func (f inodeFormat) offset() uint32  { return f.u32(48 + f.shift()) } // of the inode in the buffer

const (
	inodeFormatSize   = 56
	inodeFormatSize32 = 52

	fieldDataLocal   = 0x002
	fieldDataExtents = 0x004
	fieldDataRoot    = 0x008
	fieldDev         = 0x010
	fieldAttrLocal   = 0x040
	fieldAttrExtents = 0x080
	fieldAttrRoot    = 0x100
	fieldDataOwner   = 0x200
	fieldAttrOwner   = 0x400

	fieldsData = fieldDataLocal | fieldDataExtents | fieldDataRoot
	fieldsAttr = fieldAttrLocal | fieldAttrExtents | fieldAttrRoot

	maxFlushIter = 0xffff
)

// icreateFormat is new inodes (xfs_icreate_log), big-endian but for its start.
type icreateFormat []byte

func (f icreateFormat) ag() uint32         { return be32(f, 4) }
func (f icreateFormat) bno() uint32        { return be32(f, 8) }
func (f icreateFormat) count() uint32      { return be32(f, 12) }
func (f icreateFormat) inodeSize() uint32  { return be32(f, 16) }
func (f icreateFormat) length() uint32     { return be32(f, 20) } // blocks
func (f icreateFormat) generation() uint32 { return be32(f, 24) }

const icreateFormatSize = 28

// intentFormat is the part that intents and done items share: done items have
// the id of their intent at the same place.
type intentFormat struct{ native }

func (f intentFormat) id() uint64 { return f.u64(8) }

const intentFormatSize = 16

// bmapFormat is an intent to map or unmap extents (xfs_bui_log_format).
type bmapFormat struct{ intentFormat }

func (f bmapFormat) extents() uint32     { return f.u32(4) }
func (f bmapFormat) owner(i int) uint64  { return f.u64(intentFormatSize + i*mapExtentSize) }
func (f bmapFormat) start(i int) uint64  { return f.u64(intentFormatSize + i*mapExtentSize + 8) }
func (f bmapFormat) offset(i int) uint64 { return f.u64(intentFormatSize + i*mapExtentSize + 16) }
func (f bmapFormat) blocks(i int) uint32 { return f.u32(intentFormatSize + i*mapExtentSize + 24) }
func (f bmapFormat) flags(i int) uint32  { return f.u32(intentFormatSize + i*mapExtentSize + 28) }

const (
	mapExtentSize = 32

	mapTypeMask  = 0xff
	mapTypeMap   = 1
	mapTypeUnmap = 2
	mapRealtime  = 1 << 29
	mapUnwritten = 1 << 30
	mapAttrFork  = 1 << 31
)

// exchangeFormat is an intent to exchange extents between two files
// (xfs_xmi_log_format).
type exchangeFormat struct{ intentFormat }

func (f exchangeFormat) ino1() uint64    { return f.u64(16) }
func (f exchangeFormat) ino2() uint64    { return f.u64(24) }
func (f exchangeFormat) gen1() uint32    { return f.u32(32) }
func (f exchangeFormat) gen2() uint32    { return f.u32(36) }
func (f exchangeFormat) offset1() uint64 { return f.u64(40) }
func (f exchangeFormat) offset2() uint64 { return f.u64(48) }
func (f exchangeFormat) blocks() uint64  { return f.u64(56) }
func (f exchangeFormat) flags() uint64   { return f.u64(64) }
func (f exchangeFormat) size1() uint64   { return f.u64(72) }
func (f exchangeFormat) size2() uint64   { return f.u64(80) }

const (
	exchangeFormatSize = 88

	exchangeAttrFork    = 1 << 0
	exchangeSetSizes    = 1 << 1
	exchangeIno1Written = 1 << 2
)

// attrFormat is an intent to change an attribute (xfs_attri_log_format).
type attrFormat struct{ intentFormat }

func (f attrFormat) ino() uint64 { return f.u64(16) }

const attrFormatSize = 40
