package btrfs

import (
	"context"
	"io"
)

// Compressions.
const (
	compressNone = iota
	compressZlib
	compressLZO
	compressZSTD
)

// maxDecoded bounds a compressed extent, in bytes, before and after. Linux
// makes them of at most 128 KiB.
const maxDecoded = 1 << 20

// A compressedExtent decodes a part of one for a file.
type compressedExtent struct {
	n    *inode
	item extentItem
	off  int64 // where the part begins in the decoded extent
	len  int64 // of the part
	all  bool  // the part is all that the file shows of the extent
}

func (x *compressedExtent) decode(ctx context.Context, p []byte, at int64) (int, error) {
	off := x.off + at
	fs := x.n.fs
	if x.all && at == 0 && int64(len(p)) == x.len {
		// Who reads all of it need not have it kept.
		if err := x.decodeTo(ctx, p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	fill := func(ctx context.Context) ([]byte, int64, error) {
		b := make([]byte, x.item.ramBytes())
		return b, int64(len(b)), x.decodeTo(ctx, b)
	}
	var b []byte
	var err error
	if x.item.typ() == extentInline {
		b, _, err = fill(ctx)
	} else {
		b, err = fs.decoded.Get(ctx, x.item.diskBytenr(), fill)
	}
	if err != nil {
		return 0, err
	}
	n := copy(p, b[min(off, int64(len(b))):])
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// decodeTo decodes the extent from its start. What the compressed bytes do not
// reach is zeros.
func (x *compressedExtent) decodeTo(ctx context.Context, p []byte) error {
	fs, e := x.n.fs, x.item
	var src []byte
	if e.typ() == extentInline {
		src = e.inline()
	} else {
		buf := fs.buffer(int(e.diskNumBytes()))
		defer fs.buffers.Put(buf)
		if err := fs.readData(ctx, *buf, e.diskBytenr(), x.n.verifies()); err != nil {
			return err
		}
		src = *buf
	}
	var n int
	var err error
	switch e.compression() {
	case compressZlib:
		n, err = fs.zlib.Decode(p, src)
	case compressZSTD:
		n, err = fs.zstd.Decode(p, src)
	case compressLZO:
		n, err = lzoSegments(p, src, int(fs.geo.sector))
	}
	if err != nil {
		return x.n.corrupt("a compressed extent at logical address %d: %v", e.diskBytenr(), err)
	}
	clear(p[n:])
	return nil
}
