package qcow2

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const bitmapName = "qcow2 bitmap directory"

// bitmap is an entry of the bitmap directory.
type bitmap struct {
	at     int64 // of the entry in the file
	flags  uint32
	offset int64 // of the table
	size   int64 // entries
}

// readBitmaps reads the bitmap directory, section "Bitmaps". An image whose
// autoclear bit for them is not set has none that count. The directory's own
// place is the answer's second part.
func readBitmaps(ctx context.Context, src block.Device, h *header) (all []bitmap, dir [2]int64, err error) {
	if h.autoclear&autoclearBitmaps == 0 || h.bitmaps == nil {
		return nil, dir, nil
	}
	bad := func(off int64, format string, args ...any) ([]bitmap, [2]int64, error) {
		return nil, dir, ondisk.Corrupt(bitmapName, off, format, args...)
	}
	if len(h.bitmaps) != bitmapsLen {
		return bad(0, "an extension of %d bytes, not %d", len(h.bitmaps), bitmapsLen)
	}
	count, n, off := be32(h.bitmaps, bitmapsCount), be64(h.bitmaps, bitmapsDirSize), be64(h.bitmaps, bitmapsDirOffset)
	if count > maxBitmaps || n > maxBitmapDirBytes || off > math.MaxInt64 || int64(off)&(h.cluster()-1) != 0 ||
		!ondisk.Fits(int64(off), int64(n), src.Size()) {
		return bad(0, "%d bitmaps, and a directory of %d bytes at %d of a file of %d bytes", count, n, off, src.Size())
	}
	dir = [2]int64{int64(off), int64(n)}
	b := make([]byte, n)
	if err := block.ReadFull(ctx, src, b, int64(off)); err != nil {
		return nil, dir, err
	}
	at := int64(0)
	for range count {
		if !ondisk.Fits(at, bitmapHeaderLen, int64(n)) {
			return bad(int64(off)+at, "the entry reaches beyond its %d bytes", n)
		}
		e := b[at:]
		m := bitmap{at: int64(off) + at, flags: be32(e, bitmapFlags), size: int64(be32(e, bitmapTableSize))}
		table := be64(e, bitmapTableOffset)
		if m.size > maxBitmapTable || table > math.MaxInt64 || int64(table)&(h.cluster()-1) != 0 ||
			!ondisk.Fits(int64(table), m.size*entryLen, src.Size()) {
			return bad(m.at, "a table of %d entries at %d of a file of %d bytes", m.size, table, src.Size())
		}
		m.offset = int64(table)
		all = append(all, m)
		at += (bitmapHeaderLen + int64(be32(e, bitmapExtraLen)) + int64(be16(e, bitmapNameLen)) + 7) &^ 7
	}
	return all, dir, nil
}

// markBitmaps writes, for each bitmap that is to know of every write, that it
// does not from here on. It says whether there was any to mark.
func (w *writing) markBitmaps(ctx context.Context) (bool, error) {
	all, _, err := readBitmaps(ctx, w.src, w.h)
	if err != nil {
		return false, err
	}
	marked := false
	for _, m := range all {
		if m.flags&bitmapAuto == 0 || m.flags&bitmapInUse != 0 {
			continue
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], m.flags|bitmapInUse)
		if _, err := w.src.WriteAt(ctx, b[:], m.at+bitmapFlags); err != nil {
			return false, err
		}
		marked = true
	}
	return marked, nil
}
