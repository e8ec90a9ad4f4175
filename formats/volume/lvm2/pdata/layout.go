package pdata

import "encoding/binary"

// Offsets and sizes in bytes; numbers are little-endian.
const (
	BlockSize = 4096

	// Every block.
	checksumOffset = 0 // u32, over what follows
	blockNumber    = 8 // u64; in a node and an array block at other places

	// btree node header
	nodeFlags     = 4  // u32
	nodeNumber    = 8  // u64
	nodeEntries   = 16 // u32
	nodeMax       = 20 // u32
	nodeValueSize = 24 // u32
	nodeKeys      = 32 // u64 each, nodeMax of them; then as many values
	nodeInternal  = 1
	nodeLeaf      = 2

	// array block header
	arrayEntries   = 8  // u32
	arrayValueSize = 12 // u32
	arrayNumber    = 16 // u64
	arrayValues    = 24

	// superblocks of a thin pool and of a cache
	superMagic   = 32 // u64
	superVersion = 40 // u32

	thinMapping   = 320 // u64
	thinDetails   = 328 // u64
	thinBlockSize = 336 // u32, sectors

	cacheMapping   = 192 // u64
	cacheBlockSize = 232 // u32, sectors
	cacheBlocks    = 240 // u32

	thinMagic  = 27022010
	cacheMagic = 0o6142003

	// What checksums are combined with, so that no block is taken for another.
	thinSalt  = 160774
	cacheSalt = 9031977
	nodeSalt  = 121107
	arraySalt = 595846735
)

func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
