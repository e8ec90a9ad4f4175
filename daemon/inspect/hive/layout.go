package hive

// The base block; numbers are little-endian.
const (
	baseSize       = 4096
	baseSector     = 512 // what its checksum covers, and what a log has of it
	magicBase      = "regf"
	offSequence1   = 4
	offSequence2   = 8
	offWritten     = 12 // FILETIME
	offMajor       = 20
	offMinor       = 24
	offType        = 28
	offRoot        = 36
	offBinsSize    = 40
	offClustering  = 44
	offChecksum    = 508
	typePrimary    = 0
	typeLog        = 1 // of the old format
	typeLog2000    = 2 // the same, up to Windows 2000
	typeLogEntries = 6 // of the new format
)

// A hive bin starts with a header; the first one's has the time of writing.
const (
	binSize       = 4096 // and its multiples
	binHeader     = 32
	offBinWritten = 20
)

// A cell: its size, negative where it is in use, then its data. Offsets below are
// in the data.
const (
	cellHeader = 4
	none       = 0xffffffff // an offset that points nowhere
)

// A key node.
const (
	magicKey        = "nk"
	offKeyFlags     = 2
	offKeyWritten   = 4 // FILETIME
	offKeyLayer     = 13
	offKeyParent    = 16
	offKeySubkeys   = 20 // number of them
	offKeyList      = 28
	offKeyValues    = 36 // number of them
	offKeyValueList = 40
	offKeyClass     = 48
	offKeyNameLen   = 72
	offKeyClassLen  = 74
	keyHeader       = 76 // the name follows
	keyPlainName    = 0x20
	keyPredefined   = 0x40 // a handle stands in place of the number of values
	layerTombstone  = 1
	layerMask       = 3
)

// Lists of subkeys: a magic, the number of elements, the elements.
const (
	listLeaf    = "li" // offsets of key nodes
	listFast    = "lf" // those and the first four characters of a name
	listHash    = "lh" // those and a hash of it
	listRoot    = "ri" // offsets of lists of the other kinds
	offElements = 2
	listHeader  = 4
)

// A value.
const (
	magicValue     = "vk"
	offValueName   = 2 // length
	offValueSize   = 4
	offValueData   = 8
	offValueType   = 12
	offValueFlags  = 16
	valueHeader    = 20         // the name follows
	valueInline    = 0x80000000 // in the size: the data stand in place of their offset
	valuePlainName = 1
	valueTombstone = 2
)

// Big data: a list of segments, all but the last of which are full.
const (
	magicBig       = "db"
	offBigSegments = 2 // number of them
	offBigList     = 4
	bigHeader      = 8
	segmentSize    = 16344
)

// A log of the old format: a base block's sector, then this, then the pages.
const (
	magicDirty = "DIRT"
	dirtyPage  = 512
)

// An entry of a log of the new format: this, a reference for each page, the pages.
const (
	magicEntry      = "HvLE"
	offEntrySize    = 4
	offEntrySeq     = 12
	offEntryBins    = 16
	offEntryPages   = 20 // number of them
	offEntryHash1   = 24
	offEntryHash2   = 32
	entryHeader     = 40
	entryRef        = 8
	offRefSize      = 4
	entryAlign      = 512
	entrySeed       = 0x82ef4d887a4e55c5 // hexadecimal digits in the specification; the order is that of Windows 10's logs
	minorBigData    = 4
	minorOldest     = 2
	minorHashedList = 5
)

// What is read at most.
const (
	MaxValue   = 16 << 20 // bytes of one value
	maxHive    = 1 << 31  // bytes of hive bins data: offsets with the highest bit are volatile
	maxLog     = 128 << 20
	maxEntry   = 64 << 20
	maxSubkeys = 1 << 20 // of one key, and values
	maxNesting = 512     // keys below each other, Windows' own limit
	maxCache   = 32 << 20
)
