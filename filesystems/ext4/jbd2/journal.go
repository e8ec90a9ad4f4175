package jbd2

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A Journal is an opened jbd2 journal.
type Journal struct {
	dev       block.Device // the journal's bytes, block 0 first
	blockSize int64
	maxLen    int64 // blocks in the journal
	first     int64 // first block of the log
	last      int64 // the block after the log
	start     int64 // where the log begins to count; 0: clean
	sequence  uint32
	next      uint32 // the transaction after the last one; set by Recover
	compat    uint32
	incompat  uint32
	format    tagFormat
	seed      uint32 // of versions 2 and 3
	errno     int32
	users     uint32
	log       *slog.Logger
}

var _ txn.Log = (*Journal)(nil)

// Open reads and checks the superblock of the journal on dev, whose blocks
// must have the filesystem's blockSize in bytes. Errors are CorruptError with
// offsets in the journal, UnsupportedError, or what dev answers.
func Open(ctx context.Context, dev block.Device, blockSize int, log *slog.Logger) (*Journal, error) {
	if dev.Size() < superblockSize {
		return nil, ondisk.Corrupt(nameSuperblock, 0, "the journal has only %d bytes", dev.Size())
	}
	raw := make([]byte, superblockSize)
	if err := block.ReadFull(ctx, dev, raw, 0); err != nil {
		return nil, fmt.Errorf("reading the %s: %w", nameSuperblock, err)
	}
	sb := superblock(raw)
	if sb.header().magic() != Magic {
		return nil, ondisk.Corrupt(nameSuperblock, 0, "magic is %#x, not %#x", sb.header().magic(), uint32(Magic))
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	j := &Journal{dev: dev, log: log}
	switch kind := sb.header().kind(); kind {
	case typeSuperblockV1: // has no features, UUID or users
	case typeSuperblockV2:
		j.compat, j.incompat = sb.compat(), sb.incompat()
		j.users = sb.users()
		if err := checkFeatures(sb); err != nil {
			return nil, err
		}
	default:
		return nil, ondisk.Corrupt(nameSuperblock, 4, "block type is %d, not %d or %d", kind, typeSuperblockV1, typeSuperblockV2)
	}
	j.format = formatOf(j.incompat)
	if j.checked() {
		want := blockChecksum(^uint32(0), raw, superblockChecksumOff)
		if sb.checksum() != want {
			return nil, ondisk.BadChecksum(nameSuperblock, superblockChecksumOff, sb.checksum(), want)
		}
		j.seed = ondisk.CRC32C(^uint32(0), sb.uuid())
	}
	if err := j.geometry(sb, int64(blockSize)); err != nil {
		return nil, err
	}
	j.sequence, j.next = sb.sequence(), sb.sequence()
	j.errno = sb.errno()
	return j, nil
}

const nameSuperblock = "jbd2 superblock"

// checkFeatures refuses what recovery does not know, by name.
func checkFeatures(sb superblock) error {
	const what = "jbd2 journal"
	if unknown := sb.incompat() &^ incompatKnown; unknown != 0 {
		return ondisk.Unsupported(what, "incompatible feature %#x", unknown)
	}
	if sb.roCompat() != 0 {
		return ondisk.Unsupported(what, "read-only-compatible feature %#x", sb.roCompat())
	}
	v1 := sb.compat()&compatChecksum != 0
	v2 := sb.incompat()&incompatChecksumV2 != 0
	v3 := sb.incompat()&incompatChecksumV3 != 0
	if v1 && (v2 || v3) || v2 && v3 {
		return ondisk.Corrupt(nameSuperblock, 0x24, "checksums of two versions at once: compat %#x, incompat %#x", sb.compat(), sb.incompat())
	}
	if (v2 || v3) && sb.checksumType() != checksumCRC32C {
		return ondisk.Unsupported(what, "checksum type %d", sb.checksumType())
	}
	if sb.users() > 1 {
		return ondisk.Unsupported(what, "a journal shared by %d filesystems", sb.users())
	}
	return nil
}

// geometry takes the bounds of the log, as journal_load_superblock of the
// kernel checks them.
func (j *Journal) geometry(sb superblock, blockSize int64) error {
	if int64(sb.blockSize()) != blockSize {
		return ondisk.Corrupt(nameSuperblock, 0x0C, "blocks of %d bytes, the filesystem has %d", sb.blockSize(), blockSize)
	}
	if blockSize < superblockSize {
		return ondisk.Corrupt(nameSuperblock, 0x0C, "blocks of %d bytes", blockSize)
	}
	j.blockSize = blockSize
	j.maxLen, j.first, j.start = int64(sb.maxLen()), int64(sb.first()), int64(sb.start())
	if have := j.dev.Size() / blockSize; j.maxLen > have {
		return ondisk.Corrupt(nameSuperblock, 0x10, "%d blocks, the journal has %d", j.maxLen, have)
	}
	if j.first == 0 || j.first >= j.maxLen {
		return ondisk.Corrupt(nameSuperblock, 0x14, "the log begins at block %d of %d", j.first, j.maxLen)
	}
	j.last = j.maxLen
	if j.incompat&incompatFastCommit != 0 {
		n := sb.fastCommitBlocks()
		if n == 0 {
			n = defaultFastCommitBlocks
		}
		if j.maxLen-n < minLogBlocks {
			return ondisk.Corrupt(nameSuperblock, 0x54, "%d blocks of fast commits in a journal of %d", n, j.maxLen)
		}
		j.last = j.maxLen - n
		if j.first >= j.last {
			return ondisk.Corrupt(nameSuperblock, 0x14, "the log begins at block %d, its end is %d", j.first, j.last)
		}
	}
	if j.start != 0 && (j.start < j.first || j.start >= j.last) {
		return ondisk.Corrupt(nameSuperblock, 0x1C, "the log starts at block %d, outside %d to %d", j.start, j.first, j.last)
	}
	return nil
}

// checked says whether blocks carry the checksums of version 2 or 3.
func (j *Journal) checked() bool { return j.format.v2 || j.format.v3 }

// Clean says that the journal was emptied when it was last in use.
func (j *Journal) Clean() bool { return j.start == 0 }

// Errno is the error number, negative, that the kernel recorded in the journal
// when it gave up on the filesystem; 0 where it did not.
func (j *Journal) Errno() int { return int(j.errno) }

// Next is the sequence number of the transaction after the last one that
// Recover found: the one that fast commits in the journal belong to.
func (j *Journal) Next() uint32 { return j.next }

// FastCommits is the area of the journal that holds fast commits, a whole
// number of blocks of BlockSize bytes. ok is false where there is none.
//
// The block between the log and the area is left unused by the kernel.
func (j *Journal) FastCommits() (area block.Device, ok bool) {
	if j.incompat&incompatFastCommit == 0 || j.last+1 >= j.maxLen {
		return nil, false
	}
	area, err := block.Section(j.dev, (j.last+1)*j.blockSize, (j.maxLen-j.last-1)*j.blockSize)
	return area, err == nil
}

// BlockSize is the size in bytes of the journal's blocks.
func (j *Journal) BlockSize() int { return int(j.blockSize) }
