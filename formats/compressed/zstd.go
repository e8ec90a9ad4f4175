package compressed

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Of RFC 8878, 3.1. Numbers are little-endian.
const (
	zstdWhat = "zstd file"

	frameMagic    = 0xfd2fb528
	skippable     = 0x184d2a50 // to 0x184d2a5f
	skippableMask = 0xfffffff0

	frameContent     = 6 // of the descriptor: the shift of the size's own size
	frameSingle      = 1 << 5
	frameReserved    = 1 << 3
	frameChecksum    = 1 << 2
	frameDictionary  = 3
	frameChecksumLen = 4
	maxFrameHeader   = 18

	// maxFrameWindow is that of package codec.
	maxFrameWindow = 8 << 20
	blockHeaderLen = 3
	blockRaw       = 0
	blockRLE       = 1
	blockReserved  = 3
	maxFrameBlock  = 128 << 10
)

// A frame is what its header and the headers of its blocks say.
type frame struct {
	len   int64 // in the file
	size  int64 // decoded; -1 where the header does not say
	limit int64 // what its blocks can give at most
}

// maxLeading bounds the skippable frames before the first one: pzstd begins with
// one, and a disk could begin with any number.
const maxLeading = 4

// beginsZstd says whether a file begins with a frame.
func beginsZstd(ctx context.Context, src block.Device) (bool, error) {
	w := newWindow(src)
	for range maxLeading {
		b, err := w.peek(ctx, 8)
		if err != nil || len(b) < 8 {
			return false, err
		}
		if binary.LittleEndian.Uint32(b)&skippableMask != skippable {
			return string(b[:len(zstdMagic)]) == zstdMagic, nil
		}
		n := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
		if n > src.Size()-w.off {
			return false, nil
		}
		if err := w.jump(n); err != nil {
			return false, err
		}
	}
	return false, nil
}

type zstdIndex struct {
	index
	zstd *codec.Codec
}

// indexZstd goes over the frames of a file.
func indexZstd(ctx context.Context, src block.Device) (*index, error) {
	x := &zstdIndex{zstd: codec.Zstd()}
	x.unpack = x.unpackFrame
	w := newWindow(src)
	for {
		b, err := w.peek(ctx, maxFrameHeader)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			return &x.index, nil
		}
		if len(b) < 8 {
			return nil, ondisk.Corrupt("zstd frame", w.off, "the file ends in it")
		}
		magic := binary.LittleEndian.Uint32(b)
		if magic&skippableMask == skippable {
			n := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
			if err := w.jump(n); err != nil {
				return nil, err
			}
			continue
		}
		if magic != frameMagic {
			return nil, ondisk.Corrupt("zstd frame", w.off, "no signature")
		}
		at := w.off
		f, err := readFrame(ctx, w)
		if err != nil {
			return nil, err
		}
		if f.size < 0 {
			if f.size, err = x.measure(ctx, src, at, f); err != nil {
				return nil, err
			}
		}
		if err := x.add(zstdWhat, piece{len: f.size, at: at, size: f.len}); err != nil {
			return nil, err
		}
	}
}

// jump goes n bytes on, which may be more than were read.
func (w *window) jump(n int64) error {
	if n > w.src.Size()-w.off {
		return ondisk.Corrupt(zstdWhat, w.off, "%d bytes, where the file of %d ends before", n, w.src.Size())
	}
	used := min(n, int64(len(w.b)))
	w.skip(int(used))
	w.off += n - used
	return nil
}

// readFrame goes over a frame.
func readFrame(ctx context.Context, w *window) (f frame, err error) {
	const what = "zstd frame"
	b, at := w.b, w.off
	d := b[4]
	if d&frameReserved != 0 {
		return f, ondisk.Unsupported(zstdWhat, "a frame descriptor of %#x", d)
	}
	n, windowSize := 5, int64(0)
	if d&frameSingle == 0 {
		exponent, mantissa := b[n]>>3, int64(b[n]&7)
		windowSize = int64(1) << (10 + exponent)
		windowSize += windowSize / 8 * mantissa
		n++
	}
	if windowSize > maxFrameWindow {
		return f, &ondisk.UnsupportedError{What: zstdWhat, Detail: "a window of more than 8 MiB (zstd --long or --ultra)", Remedy: "unpack it"}
	}
	if d&frameDictionary != 0 {
		return f, ondisk.Unsupported(zstdWhat, "a dictionary")
	}
	f.size = -1
	sizeLen := [4]int{0, 2, 4, 8}[d>>frameContent]
	if sizeLen == 0 && d&frameSingle != 0 {
		sizeLen = 1
	}
	if len(b) < n+sizeLen {
		return f, ondisk.Corrupt(what, at, "the file ends in its header")
	}
	var field [8]byte
	copy(field[:], b[n:n+sizeLen])
	size := binary.LittleEndian.Uint64(field[:])
	if sizeLen == 2 {
		size += 256
	}
	if size > math.MaxInt64 {
		return f, ondisk.Corrupt(what, at, "a size of %d bytes", size)
	}
	if sizeLen > 0 {
		f.size = int64(size)
	}
	w.skip(n + sizeLen)
	for last := false; !last; {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		b, err := w.peek(ctx, blockHeaderLen)
		if err != nil {
			return f, err
		}
		if len(b) < blockHeaderLen {
			return f, ondisk.Corrupt(what, at, "the file ends in it")
		}
		h := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		kind, size := h>>1&3, int64(h>>3)
		if kind == blockReserved || size > maxFrameBlock {
			return f, ondisk.Corrupt("zstd block", w.off, "type %d of %d bytes", kind, size)
		}
		f.limit += max(size, maxFrameBlock)
		if kind == blockRLE {
			size = 1
		}
		last = h&1 != 0
		if err := w.jump(blockHeaderLen + size); err != nil {
			return f, err
		}
	}
	if d&frameChecksum != 0 {
		if err := w.jump(frameChecksumLen); err != nil {
			return f, err
		}
	}
	f.len = w.off - at
	if f.size > f.limit {
		return f, ondisk.Corrupt(what, at, "a size of %d bytes, of which its blocks can give %d", f.size, f.limit)
	}
	return f, nil
}

// measure decodes a frame that does not say how large it is.
func (x *zstdIndex) measure(ctx context.Context, src block.Device, at int64, f frame) (int64, error) {
	if f.limit > maxPiece+maxFrameBlock { // add says so
		return f.limit, nil
	}
	raw := make([]byte, f.len)
	if err := block.ReadFull(ctx, src, raw, at); err != nil {
		return 0, err
	}
	n, err := x.zstd.Decode(make([]byte, f.limit), raw)
	if err != nil {
		return 0, ondisk.Corrupt("zstd frame", at, "%v", err)
	}
	return int64(n), nil
}

// unpackFrame decodes a frame and compares its checksum, if it has one.
func (x *zstdIndex) unpackFrame(i int, raw []byte) ([]byte, error) {
	p := x.pieces[i]
	// A byte more, so that the frame ends within it and is verified.
	out := make([]byte, p.len+1)
	n, err := x.zstd.Decode(out, raw)
	if err != nil {
		return nil, ondisk.Corrupt("zstd frame", p.at, "%v", err)
	}
	return out[:n], nil
}
