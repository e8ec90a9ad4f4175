package sqlite

// The database header, section 1.3: offsets in bytes, numbers are big-endian.
const (
	magic          = "SQLite format 3\x00"
	headerSize     = 100
	offPageSize    = 16 // 1 stands for 65536
	offReserved    = 20 // bytes unused at the end of each page
	offChangeCount = 24
	offPages       = 28 // size of the database in pages
	offEncoding    = 56 // 1: UTF-8
	offValidFor    = 92 // change counter at which offPages was right
	encodingUTF8   = 1
	minPageSize    = 512
	maxPageSize    = 65536
)

// A b-tree page, section 1.6; page 1 has the database header before it.
const (
	pageInteriorTable = 0x05
	pageLeafTable     = 0x0d
	offCells          = 3 // number of cells
	offRight          = 8 // of an interior page: the right-most child
	leafHeader        = 8
	interiorHeader    = 12
)

// The write-ahead log, section 4.1.
const (
	walMagic       = 0x377f0682 // its lowest bit says that checksums are of big-endian words
	walVersion     = 3007000
	walHeaderSize  = 32
	offWalPageSize = 8
	offWalSalt     = 16
	offWalChecksum = 24
	frameHeader    = 24
	offFramePage   = 0
	offFrameCommit = 4 // size of the database in pages after a commit, else 0
	offFrameSalt   = 8
	offFrameSum    = 16
)

// What is read at most.
const (
	MaxValue = 16 << 20 // bytes of one value
	maxDepth = 20       // pages from a b-tree's root to a leaf; SQLite's own limit
	maxCols  = 2000     // of one row, SQLite's default limit
	maxWAL   = 1 << 30  // bytes of a log
)
