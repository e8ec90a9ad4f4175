package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	defaultCluster = 64 << 10
	// headerLen is that of the headers we write: with the compression type, and
	// a multiple of 8.
	headerLen = 112
	// createPiece is how much of the empty tables is written at once.
	createPiece = 1 << 20
)

// CreateOptions describe a new image.
type CreateOptions struct {
	Size          int64  // bytes of the disk
	ClusterSize   int64  // bytes, a power of two from 512 to 2 MiB; 0 is 64 KiB
	Backing       string // the file below, as the image is to name it; "" where none
	BackingFormat string // its Format.Name, which must be said where there is one
}

// Create makes w, which must be empty, a version 3 image that has nothing of
// its own yet: an overlay where it has a backing file, whose bytes it shows up
// to the backing file's end. The image is durable when Create returns; a crash
// before leaves a file that is no qcow2 image.
func Create(ctx context.Context, w block.Grower, opt CreateOptions) error {
	if w.Size() != 0 {
		return fmt.Errorf("creating a qcow2 image in a file of %d bytes: %w", w.Size(), syscall.EEXIST)
	}
	if opt.ClusterSize == 0 {
		opt.ClusterSize = defaultCluster
	}
	h := header{version: 3, size: opt.Size, refOrder: refOrderV2}
	h.clusterBits = uint(bits.TrailingZeros64(uint64(opt.ClusterSize)))
	switch {
	case opt.ClusterSize != h.cluster() || h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits:
		return fmt.Errorf("a qcow2 image with clusters of %d bytes: %w", opt.ClusterSize, syscall.EINVAL)
	// QEMU's disks are whole sectors.
	case opt.Size < 0 || opt.Size%compressedSector != 0 || opt.Size > 1<<h.l2Bits()*(maxL1Bytes/entryLen):
		return fmt.Errorf("a qcow2 image for a disk of %d bytes with clusters of %d: %w", opt.Size, opt.ClusterSize, syscall.EINVAL)
	case (opt.Backing == "") != (opt.BackingFormat == ""):
		return fmt.Errorf("a backing file %q of format %q: %w", opt.Backing, opt.BackingFormat, syscall.EINVAL)
	case len(opt.Backing) > maxBackingSize || headerLen+len(opt.BackingFormat)+len(opt.Backing)+24 > int(h.cluster()):
		return fmt.Errorf("a backing file's name of %d bytes: %w", len(opt.Backing), syscall.ENAMETOOLONG)
	}
	h.l1Size = h.l1Needed(h.size)
	h.backing, h.backingFormat = opt.Backing, opt.BackingFormat
	first, counts := h.lay()
	end := h.refOffset + h.refBytes + int64(len(counts))
	if err := w.Grow(ctx, end); err != nil {
		return err
	}
	for off := int64(0); off < int64(len(counts)); off += createPiece {
		part := counts[off:min(off+createPiece, int64(len(counts)))]
		if _, err := w.WriteAt(ctx, part, h.refOffset+h.refBytes+off); err != nil {
			return err
		}
	}
	table := make([]byte, len(counts)>>h.clusterBits*entryLen)
	for i := range len(counts) >> h.clusterBits {
		binary.BigEndian.PutUint64(table[i*entryLen:], uint64(h.refOffset+h.refBytes+int64(i)<<h.clusterBits))
	}
	if _, err := w.WriteAt(ctx, table, h.refOffset); err != nil {
		return err
	}
	// The magic makes it an image, when all else is there.
	if _, err := w.WriteAt(ctx, first[len(magic):], int64(len(magic))); err != nil {
		return err
	}
	if err := w.Sync(ctx); err != nil {
		return err
	}
	if _, err := w.WriteAt(ctx, first[:len(magic)], 0); err != nil {
		return err
	}
	return w.Sync(ctx)
}

// lay puts the tables one behind the other: the header, the L1 table, the
// refcount table, its blocks. It gives the first cluster and the blocks.
func (h *header) lay() (first, counts []byte) {
	up := func(n int64) int64 { return (n + h.cluster() - 1) &^ (h.cluster() - 1) }
	h.l1Offset = h.cluster()
	h.refOffset = h.l1Offset + up(h.l1Size*entryLen)
	per := h.cluster() * 8 >> h.refOrder // counts in a block
	// Blocks count themselves and the table that names them.
	var blocks int64
	for {
		h.refBytes = max(up(blocks*entryLen), h.cluster())
		need := (h.refOffset+h.refBytes)>>h.clusterBits + blocks
		if need <= blocks*per {
			break
		}
		blocks++
	}
	counts = make([]byte, blocks<<h.clusterBits)
	for i := range (h.refOffset+h.refBytes)>>h.clusterBits + blocks {
		binary.BigEndian.PutUint16(counts[i*2:], 1)
	}
	first = make([]byte, h.cluster())
	copy(first[offMagic:], magic)
	put32 := func(off int, v uint32) { binary.BigEndian.PutUint32(first[off:], v) }
	put64 := func(off int, v int64) { binary.BigEndian.PutUint64(first[off:], uint64(v)) }
	put32(offVersion, h.version)
	put32(offClusterBits, uint32(h.clusterBits))
	put64(offSize, h.size)
	put32(offL1Size, uint32(h.l1Size))
	put64(offL1Offset, h.l1Offset)
	put64(offRefcountOffset, h.refOffset)
	put32(offRefcountClusters, uint32(h.refBytes>>h.clusterBits))
	put32(offRefcountOrder, uint32(h.refOrder))
	put32(offHeaderLength, headerLen)
	at := headerLen
	if h.backing != "" {
		put32(at, extBackingFormat)
		put32(at+4, uint32(len(h.backingFormat)))
		copy(first[at+extensionHeaderLen:], h.backingFormat)
		at += extensionHeaderLen + (len(h.backingFormat)+7)&^7
	}
	// The end of the extensions, which is all zeros.
	put32(at, extEnd)
	at += extensionHeaderLen
	if h.backing != "" {
		put64(offBackingOffset, int64(at))
		put32(offBackingSize, uint32(len(h.backing)))
		copy(first[at:], h.backing)
	}
	return first, counts
}

// CreateOverlay makes w an empty image over the disk base, which it names name
// and which has the given format.
func CreateOverlay(ctx context.Context, w block.Grower, base block.Device, name, format string) error {
	size := base.Size()
	if rest := size % compressedSector; rest != 0 {
		size += compressedSector - rest
	}
	if name == "" || format == "" {
		return ondisk.Unsupported(what, "an overlay over a file without a name and a format")
	}
	return Create(ctx, w, CreateOptions{Size: size, Backing: name, BackingFormat: format})
}
