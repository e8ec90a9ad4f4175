package jbd2

import "encoding/binary"

// Offsets and values of journal.rst. All fields are big-endian.

// Magic begins every block of the journal that is not a logged copy.
const Magic = 0xC03B3998

// Types of a block, h_blocktype.
const (
	typeDescriptor   = 1
	typeCommit       = 2
	typeSuperblockV1 = 3
	typeSuperblockV2 = 4
	typeRevoke       = 5
)

// header is the 12 bytes that begin every block with the magic.
type header []byte

const headerSize = 12

func (h header) magic() uint32    { return be32(h, 0x0) }
func (h header) kind() uint32     { return be32(h, 0x4) }
func (h header) sequence() uint32 { return be32(h, 0x8) }

func (h header) set(kind, sequence uint32) {
	put32(h, 0x0, Magic)
	put32(h, 0x4, kind)
	put32(h, 0x8, sequence)
}

// superblock is block 0 of the journal.
type superblock []byte

const superblockSize = 1024

func (s superblock) header() header          { return header(s[:headerSize]) }
func (s superblock) blockSize() uint32       { return be32(s, 0x0C) }
func (s superblock) maxLen() uint32          { return be32(s, 0x10) } // blocks in the journal
func (s superblock) first() uint32           { return be32(s, 0x14) } // first block of the log
func (s superblock) sequence() uint32        { return be32(s, 0x18) } // first transaction expected
func (s superblock) start() uint32           { return be32(s, 0x1C) } // its block; 0: clean
func (s superblock) errno() int32            { return int32(be32(s, 0x20)) }
func (s superblock) compat() uint32          { return be32(s, 0x24) } // this and below: version 2 only
func (s superblock) incompat() uint32        { return be32(s, 0x28) }
func (s superblock) roCompat() uint32        { return be32(s, 0x2C) }
func (s superblock) uuid() []byte            { return s[0x30:0x40] }
func (s superblock) users() uint32           { return be32(s, 0x40) }
func (s superblock) checksumType() uint8     { return s[0x50] }
func (s superblock) fastCommitBlocks() int64 { return int64(be32(s, 0x54)) }
func (s superblock) head() uint32            { return be32(s, 0x58) }
func (s superblock) checksum() uint32        { return be32(s, 0xFC) }

func (s superblock) setSequence(v uint32) { put32(s, 0x18, v) }
func (s superblock) setStart(v uint32)    { put32(s, 0x1C, v) }
func (s superblock) setCompat(v uint32)   { put32(s, 0x24, v) }
func (s superblock) setIncompat(v uint32) { put32(s, 0x28, v) }
func (s superblock) setChecksum(v uint32) { put32(s, 0xFC, v) }

func (s superblock) setChecksumType(v uint8) { s[0x50] = v }

// superblockChecksumOff is s_checksum, zero while it is computed.
const superblockChecksumOff = 0xFC

// checksumCRC32C is the only s_checksum_type of versions 2 and 3.
const checksumCRC32C = 4

// Features, s_feature_compat and s_feature_incompat.
const (
	compatChecksum = 0x1 // version 1

	incompatRevoke      = 0x1
	incompat64Bit       = 0x2
	incompatAsyncCommit = 0x4
	incompatChecksumV2  = 0x8
	incompatChecksumV3  = 0x10
	incompatFastCommit  = 0x20

	incompatKnown = incompatRevoke | incompat64Bit | incompatAsyncCommit |
		incompatChecksumV2 | incompatChecksumV3 | incompatFastCommit
)

// defaultFastCommitBlocks is the length of the fast-commit area where
// s_num_fc_blks is zero.
const defaultFastCommitBlocks = 256

// minLogBlocks is JBD2_MIN_JOURNAL_BLOCKS, which fast commits leave to the log.
const minLogBlocks = 1024

// tag is one entry of a descriptor block. Its size and fields depend on the
// features.
type tag struct {
	block    uint64 // home
	flags    uint32
	checksum uint32 // version 3: 32 bits, version 2: 16 bits
}

// Flags of a tag.
const (
	tagEscape   = 0x1
	tagSameUUID = 0x2
	tagDeleted  = 0x4 // never looked at in recovery, as in the kernel
	tagLast     = 0x8
)

// tagUUIDSize is the UUID that follows a tag without tagSameUUID.
const tagUUIDSize = 16

// tagFormat is how the journal's tags are laid out.
type tagFormat struct {
	size   int // without the UUID
	v3     bool
	v2     bool
	wide   bool // 64-bit block numbers
	tail   int  // bytes at the end of descriptor and revoke blocks that hold the checksum
	record int  // bytes of a revoke entry
}

func formatOf(incompat uint32) tagFormat {
	f := tagFormat{
		v3:     incompat&incompatChecksumV3 != 0,
		v2:     incompat&incompatChecksumV2 != 0,
		wide:   incompat&incompat64Bit != 0,
		record: 4,
	}
	if f.wide {
		f.record = 8
	}
	if f.v2 || f.v3 {
		f.tail = blockTailSize
	}
	switch {
	case f.v3:
		f.size = 16
	default:
		f.size = 12
		if f.v2 {
			f.size += 2
		}
		if !f.wide {
			f.size -= 4
		}
	}
	return f
}

// get reads the tag at the start of b, of at least f.size bytes.
func (f tagFormat) get(b []byte) tag {
	t := tag{block: uint64(be32(b, 0x0))}
	if f.v3 { // journal_block_tag3_t
		t.flags = be32(b, 0x4)
		if f.wide {
			t.block |= uint64(be32(b, 0x8)) << 32
		}
		t.checksum = be32(b, 0xC)
		return t
	}
	// journal_block_tag_t
	t.checksum = uint32(be16(b, 0x4))
	t.flags = uint32(be16(b, 0x6))
	if f.wide {
		t.block |= uint64(be32(b, 0x8)) << 32
	}
	return t
}

// put writes t at the start of b.
func (f tagFormat) put(b []byte, t tag) {
	put32(b, 0x0, uint32(t.block))
	if f.v3 {
		put32(b, 0x4, t.flags)
		put32(b, 0x8, uint32(t.block>>32))
		put32(b, 0xC, t.checksum)
		return
	}
	put16(b, 0x4, uint16(t.checksum))
	put16(b, 0x6, uint16(t.flags))
	if f.wide {
		put32(b, 0x8, uint32(t.block>>32))
	}
}

// blockTailSize is jbd2_journal_block_tail, the checksum that ends a
// descriptor or revoke block of versions 2 and 3.
const blockTailSize = 4

// revoke is a revoke block.
type revoke []byte

const revokeHeaderSize = 16

func (r revoke) count() uint32     { return be32(r, 0xC) } // bytes used, the header included
func (r revoke) setCount(v uint32) { put32(r, 0xC, v) }

// commit is a commit block.
type commit []byte

const (
	commitSize        = 0x40 // with the padding that the kernel counts
	commitChecksumOff = 0x10

	commitTypeCRC32 = 1 // h_chksum_type of version 1
	commitSizeCRC32 = 4 // h_chksum_size of version 1
)

func (c commit) checksumType() uint8 { return c[0xC] }
func (c commit) checksumSize() uint8 { return c[0xD] }
func (c commit) checksum() uint32    { return be32(c, commitChecksumOff) }
func (c commit) seconds() uint64     { return binary.BigEndian.Uint64(c[0x30:]) }
func (c commit) nanoseconds() uint32 { return be32(c, 0x38) }

func (c commit) setChecksum(v uint32) { put32(c, commitChecksumOff, v) }
func (c commit) setVersion1(v uint32) {
	c[0xC], c[0xD] = commitTypeCRC32, commitSizeCRC32
	c.setChecksum(v)
}
func (c commit) setTime(sec uint64, nsec uint32) {
	binary.BigEndian.PutUint64(c[0x30:], sec)
	put32(c, 0x38, nsec)
}

func be16(b []byte, off int) uint16     { return binary.BigEndian.Uint16(b[off:]) }
func be32(b []byte, off int) uint32     { return binary.BigEndian.Uint32(b[off:]) }
func put16(b []byte, off int, v uint16) { binary.BigEndian.PutUint16(b[off:], v) }
func put32(b []byte, off int, v uint32) { binary.BigEndian.PutUint32(b[off:], v) }
