package qcow2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	what       = "qcow2 image"
	headerName = "qcow2 header"
)

// header is what the first cluster says, checked.
type header struct {
	version       uint32
	clusterBits   uint
	size          int64 // of the disk
	incompatible  uint64
	autoclear     uint64
	compression   uint8
	l1Offset      int64
	l1Size        int64 // entries
	refOrder      uint
	refOffset     int64 // of the refcount table
	refBytes      int64
	snapOffset    int64
	snapCount     int
	bitmaps       []byte // the bitmaps extension, where the image has one
	backing       string
	backingFormat string
	dataFile      string
	luks          *fullDisk // nil where the image is not encrypted
}

func (h *header) cluster() int64 { return 1 << h.clusterBits }

// extended says whether L2 entries have subclusters.
func (h *header) extended() bool { return h.incompatible&incompatExtendedL2 != 0 }

// l2EntryLen is the number of bytes of an L2 entry.
func (h *header) l2EntryLen() int64 {
	if h.extended() {
		return extendedEntryLen
	}
	return entryLen
}

// l2Bits is the number of bits of a guest offset that one L2 table covers.
func (h *header) l2Bits() uint {
	bits := h.clusterBits + h.clusterBits - 3
	if h.extended() {
		bits--
	}
	return bits
}

// l1Needed is the number of L1 entries that a disk of size bytes takes.
func (h *header) l1Needed(size int64) int64 {
	bits := h.l2Bits()
	n := size >> bits
	if size&(1<<bits-1) != 0 {
		n++
	}
	return n
}

// readHeader reads and checks the header and its extensions.
func readHeader(ctx context.Context, src block.Device) (*header, error) {
	b := make([]byte, headerLenV3+entryLen)
	n, err := src.ReadAt(ctx, b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if b = b[:n]; n < offVersion+4 {
		return nil, ondisk.Corrupt(headerName, 0, "the file ends after %d bytes", n)
	}
	h := &header{version: be32(b, offVersion)}
	length := int64(headerLenV2)
	switch h.version {
	case 1:
		return nil, &ondisk.UnsupportedError{What: "QEMU disk image", Detail: "version 1 (qcow)",
			Remedy: "qemu-img convert -f qcow -O qcow2 makes a qcow2 of it"}
	case 2:
	case 3:
		length = headerLenV3
	default:
		return nil, ondisk.Unsupported(what, "version %d", h.version)
	}
	if int64(n) < length {
		return nil, ondisk.Corrupt(headerName, 0, "the file ends after %d bytes, inside the header", n)
	}
	if length, err = h.parse(b, src.Size()); err != nil {
		return nil, err
	}
	// The extensions and the backing file's name follow, in the first cluster.
	first := make([]byte, min(h.cluster(), src.Size()))
	if err := block.ReadFull(ctx, src, first, 0); err != nil {
		return nil, err
	}
	return h, h.parseRest(first, length)
}

// parse checks the fields that every header has and gives its length. b is at
// least as long as the least header of the version.
func (h *header) parse(b []byte, file int64) (length int64, err error) {
	bad := func(off int64, format string, args ...any) (int64, error) {
		return 0, ondisk.Corrupt(headerName, off, format, args...)
	}
	bits := be32(b, offClusterBits)
	if bits < minClusterBits || bits > maxClusterBits {
		return bad(offClusterBits, "cluster_bits is %d, not %d to %d", bits, minClusterBits, maxClusterBits)
	}
	h.clusterBits = uint(bits)
	length, h.refOrder = headerLenV2, refOrderV2
	if h.version >= 3 {
		h.incompatible = be64(b, offIncompatible)
		length = int64(be32(b, offHeaderLength))
		if length < headerLenV3 || length > h.cluster() {
			return bad(offHeaderLength, "header_length is %d, not %d to %d", length, headerLenV3, h.cluster())
		}
		h.autoclear = be64(b, offAutoclear)
		order := be32(b, offRefcountOrder)
		if order > maxRefcountOrder {
			return bad(offRefcountOrder, "refcount_order is %d, more than %d", order, maxRefcountOrder)
		}
		h.refOrder = uint(order)
		if length > offCompressionType && len(b) > offCompressionType {
			h.compression = b[offCompressionType]
		}
	}
	if h.extended() && h.clusterBits < minClusterBitsExtL2 {
		return bad(offClusterBits, "cluster_bits is %d; extended L2 entries need at least %d", bits, minClusterBitsExtL2)
	}
	size := be64(b, offSize)
	if size > math.MaxInt64-maxL1Bytes {
		return bad(offSize, "a disk of %d bytes", size)
	}
	h.size = int64(size)

	h.l1Size = int64(be32(b, offL1Size))
	if h.l1Size*entryLen > maxL1Bytes {
		return bad(offL1Size, "the L1 table has %d entries, more than %d", h.l1Size, maxL1Bytes/entryLen)
	}
	if need := h.l1Needed(h.size); h.l1Size < need {
		return bad(offL1Size, "the L1 table has %d entries, and a disk of %d bytes needs %d", h.l1Size, h.size, need)
	}
	if h.l1Offset, err = h.table(b, offL1Offset, "L1 table", h.l1Size*entryLen, file); err != nil {
		return 0, err
	}
	h.refBytes = int64(be32(b, offRefcountClusters)) << h.clusterBits
	if h.refBytes > max(maxRefcountBytes, h.cluster()) {
		return bad(offRefcountClusters, "the refcount table has %d bytes, more than %d", h.refBytes, maxRefcountBytes)
	}
	if h.refOffset, err = h.table(b, offRefcountOffset, "refcount table", h.refBytes, file); err != nil {
		return 0, err
	}
	count := be32(b, offSnapshotCount)
	if count > maxSnapshots {
		return bad(offSnapshotCount, "%d snapshots, more than %d", count, maxSnapshots)
	}
	h.snapCount = int(count)
	if h.snapOffset, err = h.table(b, offSnapshotsOffset, "snapshot table", int64(count)*snapHeaderLen, file); err != nil {
		return 0, err
	}
	if be64(b, offBackingOffset) != 0 {
		off, n := be64(b, offBackingOffset), be32(b, offBackingSize)
		if n > maxBackingSize || off > uint64(h.cluster()) || uint64(n) > uint64(h.cluster())-off {
			return bad(offBackingOffset, "the backing file's name has %d bytes at %d, outside the first cluster or longer than %d",
				n, off, maxBackingSize)
		}
	}
	return length, h.parseCrypt(be32(b, offCryptMethod))
}

// table checks the offset of a table of n bytes that stands at off in the
// header: aligned and inside the file. A table without entries may be anywhere.
func (h *header) table(b []byte, off int, name string, n, file int64) (int64, error) {
	at := be64(b, off)
	if n == 0 {
		return 0, nil
	}
	if at > math.MaxInt64 || !ondisk.Fits(int64(at), n, file) {
		return 0, ondisk.Corrupt(headerName, int64(off), "the %s has %d bytes at %d, outside the file of %d bytes", name, n, at, file)
	}
	if int64(at)&(h.cluster()-1) != 0 {
		return 0, ondisk.Corrupt(headerName, int64(off), "the %s at %d is not aligned to the clusters of %d bytes", name, at, h.cluster())
	}
	return int64(at), nil
}

func (h *header) parseCrypt(method uint32) error {
	const remedy = "qemu-img convert with the passphrase makes a copy that is not encrypted"
	switch method {
	case 0:
		return nil
	case cryptAES:
		return &ondisk.UnsupportedError{What: what, Detail: "AES encryption (crypt_method 1)", Remedy: remedy}
	case cryptLUKS:
		h.luks = &fullDisk{}
		return nil
	}
	return ondisk.Unsupported(what, "crypt_method %d", method)
}

// parseRest reads what follows the header in the first cluster: the extensions
// and the name of the backing file; and, with the names of features known,
// refuses the unknown ones.
func (h *header) parseRest(first []byte, length int64) error {
	end := int64(len(first))
	if off := be64(first, offBackingOffset); off != 0 {
		name, ok := ondisk.Slice(first, int(off), int(be32(first, offBackingSize)))
		if !ok {
			return ondisk.Corrupt(headerName, offBackingOffset, "the backing file's name at %d is outside the file of %d bytes", off, end)
		}
		h.backing = string(name)
		end = int64(off)
	}
	var names []byte
	err := extensions(first, length, end, func(kind uint32, at int64, data []byte) error {
		switch kind {
		case extBackingFormat:
			if len(data) > maxBackingFormatName {
				return ondisk.Corrupt("qcow2 backing format extension", at, "a name of %d bytes", len(data))
			}
			h.backingFormat = string(data)
		case extDataFile:
			if len(data) > maxDataFileName {
				return ondisk.Corrupt("qcow2 external data file extension", at, "a name of %d bytes", len(data))
			}
			h.dataFile = string(data)
		case extFeatureNames:
			names = data
		case extBitmaps:
			h.bitmaps = data
		case extEncryption:
			if h.luks != nil && len(data) >= 16 {
				*h.luks = fullDisk{be64(data, 0), be64(data, 8)}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if unknown := h.incompatible &^ incompatKnown; unknown != 0 {
		return ondisk.Unsupported(what, "%s", describeBits(unknown, names))
	}
	return h.checkFeatures()
}

// checkFeatures refuses feature bits that contradict the rest of the header.
func (h *header) checkFeatures() error {
	set := h.incompatible&incompatCompression != 0
	switch {
	case h.compression > compressionZstd:
		return ondisk.Unsupported(what, "compression type %d", h.compression)
	case set != (h.compression != compressionZlib):
		return ondisk.Corrupt(headerName, offCompressionType, "compression type %d, and the incompatible feature bit for it is %t", h.compression, set)
	}
	if h.incompatible&incompatDataFile != 0 && h.snapCount > 0 {
		return ondisk.Corrupt(headerName, offSnapshotCount, "%d snapshots in an image with an external data file", h.snapCount)
	}
	return nil
}

// extensions calls each for every header extension between off and end.
func extensions(first []byte, off, end int64, each func(kind uint32, at int64, data []byte) error) error {
	for end-off >= extensionHeaderLen {
		kind, n := be32(first, int(off)), int64(be32(first, int(off)+4))
		if kind == extEnd {
			return nil
		}
		at := off + extensionHeaderLen
		if n > end-at {
			return ondisk.Corrupt("qcow2 header extension", off, "type %#x of %d bytes reaches beyond the extensions' end at %d", kind, n, end)
		}
		if err := each(kind, at, first[at:at+n]); err != nil {
			return err
		}
		off = at + (n+7)&^7
	}
	return nil
}

// describeBits names incompatible feature bits, by the image's own feature
// name table where it has them.
func describeBits(bits uint64, table []byte) string {
	var all []string
	for bit := range 64 {
		if bits>>bit&1 == 0 {
			continue
		}
		name := fmt.Sprintf("incompatible feature bit %d", bit)
		for t := table; len(t) >= featureNameLen; t = t[featureNameLen:] {
			if t[0] == featureIncompatible && int(t[1]) == bit {
				text, _, _ := bytes.Cut(t[2:featureNameLen], []byte{0})
				name += fmt.Sprintf(" (%q)", text)
				break
			}
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// damaged is what the dirty and corrupt bits say, for Info.
func (h *header) damaged() string {
	var all []string
	if h.incompatible&incompatCorrupt != 0 {
		all = append(all, "marked corrupt by a writer that found damage (corrupt bit)")
	}
	if h.incompatible&incompatDirty != 0 {
		all = append(all, "not closed by its writer (dirty bit); its reference counts may be wrong, which reading does not need")
	}
	return strings.Join(all, "; ")
}
