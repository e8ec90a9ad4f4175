package ext4

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Fast commits (journal.rst, "Fast commits") are tags in an area of the
// journal, each of a type, a length and a value, all little-endian. A tag never
// spans blocks. A fast commit ends with a TAIL, which carries the number of the
// transaction that it belongs to and the CRC-32C, started at 0, of all the
// tags since the last one; the first begins with a HEAD.

// Types of a tag, fc_tag.
const (
	fcAddRange = 1
	fcDelRange = 2
	fcCreat    = 3
	fcLink     = 4
	fcUnlink   = 5
	fcInode    = 6
	fcPad      = 7
	fcTail     = 8
	fcHead     = 9
)

// fcHeaderSize is the type and the length before a value.
const fcHeaderSize = 4

// fcTag is one tag.
type fcTag struct {
	kind  uint16
	value []byte
	off   int64 // of the tag in the fast-commit area, for errors
}

func (t fcTag) ino() uint32 { return u32(t.value, 0) } // ADD_RANGE, DEL_RANGE, INODE

// ADD_RANGE: the inode and an extent as in the extent tree.
const fcAddRangeSize = 4 + extentEntry

func (t fcTag) extentBlock() uint32  { return u32(t.value, 4) }
func (t fcTag) extentLength() uint16 { return u16(t.value, 8) }
func (t fcTag) extentStart() uint64  { return join(u32(t.value, 12), uint32(u16(t.value, 10))) }

// DEL_RANGE: the inode, the first block, the number of blocks.
const fcDelRangeSize = 12

func (t fcTag) rangeBlock() uint32  { return u32(t.value, 4) }
func (t fcTag) rangeLength() uint32 { return u32(t.value, 8) }

// CREAT, LINK, UNLINK: the directory, the inode, the name.
const fcDentrySize = 8

func (t fcTag) parent() uint32 { return u32(t.value, 0) }
func (t fcTag) child() uint32  { return u32(t.value, 4) }
func (t fcTag) name() string   { return string(t.value[fcDentrySize:]) }

// INODE: the inode, and as much of its bytes as was in use.
const fcInodeSize = 4

func (t fcTag) raw() []byte { return t.value[fcInodeSize:] }

// TAIL: the transaction and the checksum. The value goes on to the end of the
// block.
const (
	fcTailSize    = 8
	fcTailCRC     = 4
	fcHeadSize    = 8
	fcHeadVersion = 0 // fc_features that are known: none
)

func (t fcTag) tailTid() uint32      { return u32(t.value, 0) }
func (t fcTag) tailCRC() uint32      { return u32(t.value, fcTailCRC) }
func (t fcTag) headFeatures() uint32 { return u32(t.value, 0) }
func (t fcTag) headTid() uint32      { return u32(t.value, 4) }

// valid says whether the value has a length that its type can have.
func (t fcTag) valid(inodeSize int) bool {
	n := len(t.value)
	switch t.kind {
	case fcAddRange:
		return n == fcAddRangeSize
	case fcDelRange:
		return n == fcDelRangeSize
	case fcCreat, fcLink, fcUnlink:
		return n > fcDentrySize && n <= fcDentrySize+nameMax
	case fcInode:
		return n >= fcInodeSize+oldInodeSize && n <= fcInodeSize+inodeSize
	case fcPad:
		return true
	case fcTail:
		return n >= fcTailSize
	case fcHead:
		return n == fcHeadSize
	}
	return false
}

// maxFastCommits bounds the fast-commit area, in bytes, which is read into
// memory as far as it is valid. mke2fs makes it 1/64 of the journal, which has
// 1 GiB at most by default.
const maxFastCommits = 16 << 20

// readFastCommits gives the tags of the valid fast commits of transaction tid,
// in order, HEAD, PAD and TAIL left out. torn says why there is nothing, where
// the area begins with a fast commit of tid that was not written whole.
//
// As in the kernel whatever ends the valid ones is no error: it is left over
// from an earlier transaction, or was not written whole. Unlike the kernel,
// which refuses the mount, this also holds for the first one.
func readFastCommits(ctx context.Context, area block.Device, blockSize, inodeSize int, tid uint32) (tags []fcTag, torn string, err error) {
	if area.Size() > maxFastCommits {
		return nil, "", ondisk.Unsupported("ext4 journal", "a fast-commit area of %d bytes (at most %d)", area.Size(), maxFastCommits)
	}
	var pending []fcTag // of the commit that has no TAIL yet
	crc, begun, commits := uint32(0), false, 0
	for off := int64(0); off+int64(blockSize) <= area.Size(); off += int64(blockSize) {
		b := make([]byte, blockSize)
		if err := block.ReadFull(ctx, area, b, off); err != nil {
			return nil, "", fmt.Errorf("reading the fast commits at byte %d of their area: %w", off, err)
		}
		for at := 0; at+fcHeaderSize <= len(b); {
			t := fcTag{kind: u16(b, at), off: off + int64(at)}
			value, ok := ondisk.Slice(b, at+fcHeaderSize, int(u16(b, at+2)))
			t.value = value
			if !begun && (t.kind != fcHead || !ok || !t.valid(inodeSize) || t.headTid() != tid) {
				return nil, "", nil
			}
			begun = true
			if !ok || !t.valid(inodeSize) {
				return endFastCommits(tags, commits, t, "no valid tag")
			}
			end := at + fcHeaderSize + len(value)
			switch t.kind {
			case fcHead:
				if f := t.headFeatures() &^ fcHeadVersion; f != 0 {
					return nil, "", ondisk.Unsupported("ext4 journal", "fast-commit feature %#x", f)
				}
				if t.headTid() != tid {
					return endFastCommits(tags, commits, t, "another transaction")
				}
				crc = ondisk.CRC32C(crc, b[at:end])
			case fcTail:
				crc = ondisk.CRC32C(crc, b[at:at+fcHeaderSize+fcTailCRC])
				if t.tailTid() != tid || t.tailCRC() != crc {
					return endFastCommits(tags, commits, t, "a tail that is not its own")
				}
				tags, pending, crc = append(tags, pending...), pending[:0], 0
				commits++
			case fcPad:
				crc = ondisk.CRC32C(crc, b[at:end])
			default:
				crc = ondisk.CRC32C(crc, b[at:end])
				pending = append(pending, t)
			}
			at = end
		}
	}
	return endFastCommits(tags, commits, fcTag{off: area.Size()}, "no tail")
}

// endFastCommits ends the reading at t.
func endFastCommits(tags []fcTag, commits int, t fcTag, why string) ([]fcTag, string, error) {
	if commits > 0 {
		return tags, "", nil
	}
	return nil, fmt.Sprintf("the fast commit at the start of the area is left out: %s at byte %d", why, t.off), nil
}
