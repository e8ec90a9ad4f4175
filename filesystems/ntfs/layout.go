package ntfs

import "encoding/binary"

var le = binary.LittleEndian

// bootSector is the first sector of a volume ($Boot). At least 512 bytes.
type bootSector []byte

func (b bootSector) oemID() []byte            { return b[3:11] }
func (b bootSector) bytesPerSector() uint16   { return le.Uint16(b[11:]) }
func (b bootSector) sectorsPerCluster() uint8 { return b[13] }
func (b bootSector) totalSectors() uint64     { return le.Uint64(b[40:]) }
func (b bootSector) mftLCN() uint64           { return le.Uint64(b[48:]) }
func (b bootSector) mftMirrLCN() uint64       { return le.Uint64(b[56:]) }
func (b bootSector) clustersPerRecord() int8  { return int8(b[64]) }
func (b bootSector) clustersPerIndex() int8   { return int8(b[68]) }
func (b bootSector) serial() uint64           { return le.Uint64(b[72:]) }
func (b bootSector) signature() uint16        { return le.Uint16(b[510:]) }

// multiSector is the header of everything that update sequences protect: MFT
// records, index blocks and the pages of $LogFile.
type multiSector []byte

func (m multiSector) magic() uint32     { return le.Uint32(m) }
func (m multiSector) usaOffset() uint16 { return le.Uint16(m[4:]) }
func (m multiSector) usaCount() uint16  { return le.Uint16(m[6:]) }

const (
	magicFile = 0x454C4946 // "FILE"
	magicIndx = 0x58444E49 // "INDX"
	magicRstr = 0x52545352 // "RSTR"
	magicBaad = 0x44414142 // "BAAD": a torn multi-sector transfer

	// usaStride is the piece of a structure that one entry of the update
	// sequence array protects, whatever the volume's sector size.
	usaStride = 512
)

// record is an MFT record (FILE_RECORD_SEGMENT_HEADER) with its fixups applied.
type record []byte

func (r record) magic() uint32       { return le.Uint32(r) }
func (r record) sequence() uint16    { return le.Uint16(r[16:]) }
func (r record) linkCount() uint16   { return le.Uint16(r[18:]) }
func (r record) attrsOffset() uint16 { return le.Uint16(r[20:]) }
func (r record) flags() uint16       { return le.Uint16(r[22:]) }
func (r record) bytesInUse() uint32  { return le.Uint32(r[24:]) }
func (r record) base() fileRef       { return fileRef(le.Uint64(r[32:])) }

// recordHeader is the least an MFT record's header takes, in bytes.
const recordHeader = 42

// Flags of an MFT record.
const (
	recordInUse     = 0x0001
	recordDirectory = 0x0002 // it has an index of file names
)

// fileRef is a reference to an MFT record: 48 bits of number, 16 of sequence.
type fileRef uint64

func (f fileRef) number() uint64   { return uint64(f) & (1<<48 - 1) }
func (f fileRef) sequence() uint16 { return uint16(f >> 48) }

// Numbers of the records that the format fixes.
const (
	fileMFT       = 0
	fileMirr      = 1
	fileLog       = 2
	fileVolume    = 3
	fileRoot      = 5
	fileBitmap    = 6
	fileSecure    = 9
	fileUpCase    = 10
	firstUserFile = 16
)

// Types of attributes.
const (
	typeStandardInformation = 0x10
	typeAttributeList       = 0x20
	typeFileName            = 0x30
	typeSecurityDescriptor  = 0x50
	typeVolumeName          = 0x60
	typeVolumeInformation   = 0x70
	typeData                = 0x80
	typeIndexRoot           = 0x90
	typeIndexAllocation     = 0xA0
	typeBitmap              = 0xB0
	typeReparsePoint        = 0xC0
	typeEA                  = 0xE0
	typeEnd                 = 0xFFFFFFFF
)

// attribute is one attribute record of an MFT record (ATTRIBUTE_RECORD_HEADER).
// record.attr has compared its lengths and offsets.
type attribute []byte

func (a attribute) typ() uint32       { return le.Uint32(a) }
func (a attribute) length() uint32    { return le.Uint32(a[4:]) }
func (a attribute) nonResident() bool { return a[8] != 0 }
func (a attribute) nameLength() int   { return int(a[9]) }
func (a attribute) nameOffset() int   { return int(le.Uint16(a[10:])) }
func (a attribute) flags() uint16     { return le.Uint16(a[12:]) }
func (a attribute) instance() uint16  { return le.Uint16(a[14:]) }
func (a attribute) name() []byte      { return a[a.nameOffset():][:2*a.nameLength()] }

// Resident form.
func (a attribute) valueLength() uint32 { return le.Uint32(a[16:]) }
func (a attribute) valueOffset() uint16 { return le.Uint16(a[20:]) }
func (a attribute) value() []byte       { return a[a.valueOffset():][:a.valueLength():a.valueLength()] }

// Nonresident form.
func (a attribute) lowestVCN() int64       { return int64(le.Uint64(a[16:])) }
func (a attribute) highestVCN() int64      { return int64(le.Uint64(a[24:])) }
func (a attribute) pairsOffset() uint16    { return le.Uint16(a[32:]) }
func (a attribute) compressionUnit() uint8 { return a[34] }
func (a attribute) allocatedLength() int64 { return int64(le.Uint64(a[40:])) }
func (a attribute) fileSize() int64        { return int64(le.Uint64(a[48:])) }
func (a attribute) validDataLength() int64 { return int64(le.Uint64(a[56:])) }
func (a attribute) totalAllocated() int64  { return int64(le.Uint64(a[64:])) } // where compressed or sparse
func (a attribute) pairs() []byte          { return a[a.pairsOffset():] }

const (
	residentHeader    = 24
	nonResidentHeader = 64

	attrCompressionMask = 0x00FF
	attrLZNT1           = 0x0001
	attrEncrypted       = 0x4000
	attrSparse          = 0x8000
)

// listEntry is an entry of $ATTRIBUTE_LIST (ATTRIBUTE_LIST_ENTRY).
type listEntry []byte

func (e listEntry) typ() uint32      { return le.Uint32(e) }
func (e listEntry) length() int      { return int(le.Uint16(e[4:])) }
func (e listEntry) nameLength() int  { return int(e[6]) }
func (e listEntry) nameOffset() int  { return int(e[7]) }
func (e listEntry) lowestVCN() int64 { return int64(le.Uint64(e[8:])) }
func (e listEntry) segment() fileRef { return fileRef(le.Uint64(e[16:])) }
func (e listEntry) instance() uint16 { return le.Uint16(e[24:]) }
func (e listEntry) name() []byte     { return e[e.nameOffset():][:2*e.nameLength()] }

const listEntryHeader = 26

// standardInfo is $STANDARD_INFORMATION: 48 bytes, 72 since NTFS 3.0.
type standardInfo []byte

func (s standardInfo) creation() int64    { return int64(le.Uint64(s)) }
func (s standardInfo) modified() int64    { return int64(le.Uint64(s[8:])) }
func (s standardInfo) changed() int64     { return int64(le.Uint64(s[16:])) }
func (s standardInfo) accessed() int64    { return int64(le.Uint64(s[24:])) }
func (s standardInfo) attributes() uint32 { return le.Uint32(s[32:]) }
func (s standardInfo) securityID() uint32 {
	if len(s) < 56 {
		return 0
	}
	return le.Uint32(s[52:])
}

const standardInfoSize = 48

// File attributes ([MS-FSCC] 2.6), and those that only $FILE_NAME has.
const (
	attrReadOnly           = 0x0001
	attrHidden             = 0x0002
	attrSystem             = 0x0004
	attrDirectory          = 0x0010
	attrReparsePoint       = 0x0400
	attrOffline            = 0x1000
	attrFileEncrypted      = 0x4000
	attrRecallOnDataAccess = 0x00400000
	attrDupDirectory       = 0x10000000 // $FILE_NAME: it has an index of file names
)

// fileName is $FILE_NAME, in a record and as the key of a directory's index.
type fileName []byte

func (f fileName) parent() fileRef    { return fileRef(le.Uint64(f)) }
func (f fileName) attributes() uint32 { return le.Uint32(f[56:]) }
func (f fileName) length() int        { return int(f[64]) }
func (f fileName) namespace() uint8   { return f[65] }
func (f fileName) name() []byte       { return f[66:][:2*f.length()] }
func (f fileName) valid() bool {
	return len(f) >= fileNameHeader && len(f) >= fileNameHeader+2*f.length()
}

const (
	fileNameHeader = 66

	nameDOS = 2 // namespace of the short alias beside a Win32 name
)

// indexRoot is $INDEX_ROOT, followed by an index header.
type indexRoot []byte

func (r indexRoot) blockSize() uint32 { return le.Uint32(r[8:]) }

const indexRootHeader = 16

// indexHeader stands before the entries of a node; offsets count from it.
type indexHeader []byte

func (h indexHeader) entriesOffset() uint32 { return le.Uint32(h) }
func (h indexHeader) indexLength() uint32   { return le.Uint32(h[4:]) }
func (h indexHeader) flags() uint8          { return h[12] }

const (
	indexHeaderSize  = 16
	indexHasChildren = 0x01
)

// indexBlock is a block of $INDEX_ALLOCATION; its index header stands at 24.
type indexBlock []byte

func (b indexBlock) vcn() int64          { return int64(le.Uint64(b[16:])) }
func (b indexBlock) header() indexHeader { return indexHeader(b[24:]) }

const indexBlockHeader = 24

// indexEntry is one entry of a node. nodeEntry has compared its lengths.
type indexEntry []byte

func (e indexEntry) ref() fileRef    { return fileRef(le.Uint64(e)) } // in an index of file names
func (e indexEntry) dataOffset() int { return int(le.Uint16(e)) }     // in the other indexes
func (e indexEntry) dataLength() int { return int(le.Uint16(e[2:])) }
func (e indexEntry) length() int     { return int(le.Uint16(e[8:])) }
func (e indexEntry) keyLength() int  { return int(le.Uint16(e[10:])) }
func (e indexEntry) flags() uint16   { return le.Uint16(e[12:]) }
func (e indexEntry) key() []byte     { return e[16:][:e.keyLength()] }
func (e indexEntry) child() int64    { return int64(le.Uint64(e[len(e)-8:])) }
func (e indexEntry) last() bool      { return e.flags()&entryLast != 0 }
func (e indexEntry) hasChild() bool  { return e.flags()&entryHasChild != 0 }

const (
	indexEntryHeader = 16

	entryHasChild = 0x01
	entryLast     = 0x02
)

// volumeInfo is $VOLUME_INFORMATION.
type volumeInfo []byte

func (v volumeInfo) major() uint8  { return v[8] }
func (v volumeInfo) minor() uint8  { return v[9] }
func (v volumeInfo) flags() uint16 { return le.Uint16(v[10:]) }

const (
	volumeInfoSize = 12
	volumeIsDirty  = 0x0001
)
