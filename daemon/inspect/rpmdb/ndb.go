package rpmdb

import (
	"bytes"
	"encoding/binary"
	"hash/adler32"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// The layout of rpm's NDB package file, numbers little-endian, as rpmpkg.c
// writes it: a header in place of the first two slots, slots in pages, blobs in
// blocks of 16 bytes.
const (
	ndbMagic       = "RpmP"
	ndbSlotMagic   = "Slot"
	ndbBlobMagic   = "BlbS"
	ndbTailMagic   = "BlbE"
	offNDBVersion  = 4
	offSlotPages   = 12
	ndbHeader      = 32
	ndbPage        = 4096
	ndbBlock       = 16
	slotSize       = 16
	offSlotIndex   = 4 // of the package; 0 is a free slot
	offSlotBlock   = 8 // where its blob starts, in blocks
	offSlotCount   = 12
	offBlobIndex   = 4
	offBlobLen     = 12
	blobHeader     = 16
	blobTail       = 12
	offTailLen     = 4
	offTailMagic   = 8
	maxSlotPages   = 2048
	ndbVersionRead = 0
)

func isNDB(head []byte) bool {
	return len(head) >= ndbHeader && bytes.HasPrefix(head, []byte(ndbMagic))
}

func readNDB(f File, head []byte, take func([]byte) error, problem func(error)) error {
	if v := binary.LittleEndian.Uint32(head[offNDBVersion:]); v != ndbVersionRead {
		return ondisk.Unsupported("RPM NDB database", "version %d", v)
	}
	pages := binary.LittleEndian.Uint32(head[offSlotPages:])
	if pages == 0 || pages > maxSlotPages || int64(pages)*ndbPage > f.Size() {
		return ondisk.Corrupt("RPM NDB header", offSlotPages, "%d pages of slots in %d bytes", pages, f.Size())
	}
	slots := make([]byte, int(pages)*ndbPage)
	if err := readFull(f, slots, 0); err != nil {
		return err
	}
	for at := ndbHeader; at < len(slots); at += slotSize {
		slot := slots[at : at+slotSize]
		if string(slot[:4]) != ndbSlotMagic {
			return ondisk.Corrupt("RPM NDB slot", int64(at), "its magic is %q", slot[:4])
		}
		index := binary.LittleEndian.Uint32(slot[offSlotIndex:])
		if index == 0 {
			continue
		}
		off := int64(binary.LittleEndian.Uint32(slot[offSlotBlock:])) * ndbBlock
		blocks := int64(binary.LittleEndian.Uint32(slot[offSlotCount:])) * ndbBlock
		blob, err := ndbBlob(f, index, off, blocks)
		if err != nil {
			problem(err)
			continue
		}
		if err := take(blob); err != nil {
			return err
		}
	}
	return nil
}

// ndbBlob reads a blob, which lies between a header and a tail.
func ndbBlob(f File, index uint32, off, size int64) ([]byte, error) {
	if size < blobHeader+blobTail || size > MaxHeader || !ondisk.Fits(off, size, f.Size()) {
		return nil, ondisk.Corrupt("RPM NDB slot", off, "a blob of %d bytes", size)
	}
	b := make([]byte, size)
	if err := readFull(f, b, off); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(b[offBlobLen:]))
	if string(b[:4]) != ndbBlobMagic || binary.LittleEndian.Uint32(b[offBlobIndex:]) != index || n > size-blobHeader-blobTail {
		return nil, ondisk.Corrupt("RPM NDB blob", off, "its header is wrong")
	}
	tail := b[size-blobTail:]
	if string(tail[offTailMagic:]) != ndbTailMagic || int64(binary.LittleEndian.Uint32(tail[offTailLen:])) != n {
		return nil, ondisk.Corrupt("RPM NDB blob", off, "its tail is wrong")
	}
	// The sum is of all that is before it, padding included.
	if want, got := binary.LittleEndian.Uint32(tail), adler32.Checksum(b[:size-blobTail]); want != got {
		return nil, ondisk.BadChecksum("RPM NDB blob", off, want, got)
	}
	return b[blobHeader : blobHeader+n], nil
}
