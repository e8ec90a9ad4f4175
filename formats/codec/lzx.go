package codec

import (
	"encoding/binary"
	"errors"
)

// LZX decodes LZX as WIM files and WOF use it: each block of up to 32 KiB by
// itself, with a window of 32 KiB, and always with the translation of x86 calls
// that Microsoft's description of the format ([MS-PATCH] 2) makes optional, for
// a file size of 12,000,000.
func LZX() *Codec {
	c := &Codec{name: "LZX"}
	c.pool.New = func() any { return &lzx{} }
	return c
}

const (
	lzxWindow      = 32 << 10
	lzxSlots       = 30 // position slots of a window of 32 KiB
	lzxMain        = 256 + 8*lzxSlots
	lzxLengths     = 249
	lzxAligned     = 8
	lzxPre         = 20
	lzxMinMatch    = 2
	lzxMaxBits     = 16
	lzxFileSize    = 12_000_000
	lzxVerbatim    = 1 // types of blocks
	lzxAlignedType = 2
	lzxStored      = 3
)

var (
	errLZXBlock    = errors.New("a block of an unknown type")
	errLZXDistance = errors.New("a match before the start")
	errLZXSize     = errors.New("a block that is longer than the output")
	errLZXRepeat   = errors.New("code lengths that repeat past their end")
)

type lzx struct {
	main, length, aligned, pre prefixCode
	// The lengths of the codes of the block before, from which a block's are
	// stored as differences.
	mainLengths   [lzxMain]uint8
	lengthLengths [lzxLengths]uint8
	recent        [3]int // distances used last
}

func (x *lzx) decode(dst, src []byte) (int, error) {
	if len(dst) > lzxWindow {
		return 0, errLZXSize
	}
	clear(x.mainLengths[:])
	clear(x.lengthLengths[:])
	x.recent = [3]int{1, 1, 1}
	r := wordReader{src: src}
	n := 0
	for n < len(dst) {
		kind, size := x.blockHeader(&r)
		if size == 0 || size > len(dst)-n {
			if r.over() {
				return n, errUnexpected
			}
			return n, errLZXSize
		}
		var err error
		switch kind {
		case lzxVerbatim, lzxAlignedType:
			if err = x.codes(&r, kind); err == nil {
				n, err = x.block(dst, n, n+size, &r, kind)
			}
		case lzxStored:
			n, err = x.stored(dst, n, n+size, &r)
		default:
			err = errLZXBlock
		}
		if err == nil && r.over() {
			err = errUnexpected
		}
		if err != nil {
			return n, err
		}
	}
	lzxUntranslate(dst)
	return n, nil
}

// blockHeader reads a block's type and size: one bit says that it is 32 KiB.
func (x *lzx) blockHeader(r *wordReader) (kind uint32, size int) {
	r.fill()
	kind = r.take(3)
	if r.take(1) != 0 {
		return kind, lzxWindow
	}
	r.fill()
	return kind, int(r.take(16))
}

// codes reads the codes of a block.
func (x *lzx) codes(r *wordReader, kind uint32) error {
	if kind == lzxAlignedType {
		var lengths [lzxAligned]uint8
		for i := range lengths {
			r.fill()
			lengths[i] = uint8(r.take(3))
		}
		if err := x.aligned.build(lengths[:], 7); err != nil {
			return err
		}
	}
	if err := x.readLengths(r, x.mainLengths[:256]); err != nil {
		return err
	}
	if err := x.readLengths(r, x.mainLengths[256:]); err != nil {
		return err
	}
	if err := x.main.build(x.mainLengths[:], lzxMaxBits); err != nil {
		return err
	}
	if err := x.readLengths(r, x.lengthLengths[:]); err != nil {
		return err
	}
	return x.length.build(x.lengthLengths[:], lzxMaxBits)
}

// readLengths reads code lengths, which are themselves coded: as differences,
// modulo 17, from those of the block before, and as runs.
func (x *lzx) readLengths(r *wordReader, lengths []uint8) error {
	var pre [lzxPre]uint8
	for i := range pre {
		r.fill()
		pre[i] = uint8(r.take(4))
	}
	if err := x.pre.build(pre[:], 15); err != nil {
		return err
	}
	for i := 0; i < len(lengths); {
		r.fill()
		symbol, err := x.pre.decode(r)
		if err != nil {
			return err
		}
		if symbol < 17 {
			lengths[i] = (lengths[i] + 17 - uint8(symbol)) % 17
			i++
			continue
		}
		r.fill()
		var run int
		value := uint8(0)
		switch symbol {
		case 17:
			run = 4 + int(r.take(4))
		case 18:
			run = 20 + int(r.take(5))
		default:
			run = 4 + int(r.take(1))
			r.fill()
			if symbol, err = x.pre.decode(r); err != nil {
				return err
			}
			if symbol > 16 {
				return errPrefixCode
			}
			value = (lengths[i] + 17 - uint8(symbol)) % 17
		}
		if run > len(lengths)-i {
			return errLZXRepeat
		}
		for range run {
			lengths[i] = value
			i++
		}
	}
	return nil
}

// block decodes a verbatim or aligned block of the bytes from n to end.
func (x *lzx) block(dst []byte, n, end int, r *wordReader, kind uint32) (int, error) {
	for n < end {
		r.fill()
		symbol, err := x.main.decode(r)
		if err != nil {
			return n, err
		}
		if symbol < 256 {
			dst[n] = byte(symbol)
			n++
			continue
		}
		symbol -= 256
		length := int(symbol & 7)
		if length == 7 {
			r.fill()
			more, err := x.length.decode(r)
			if err != nil {
				return n, err
			}
			length += int(more)
		}
		length += lzxMinMatch
		distance, err := x.distance(r, uint(symbol>>3), kind)
		if err != nil {
			return n, err
		}
		if distance > n || distance <= 0 {
			return n, errLZXDistance
		}
		if length > end-n {
			return n, errLZXSize
		}
		n = repeatMatch(dst, n, distance, length)
		if r.over() {
			return n, errUnexpected
		}
	}
	return n, nil
}

// distance reads the distance of a match: one of the three used last, or a
// position slot with bits behind it, of which the lowest three have a code of
// their own in aligned blocks.
func (x *lzx) distance(r *wordReader, slot uint, kind uint32) (int, error) {
	if slot < 3 {
		x.recent[0], x.recent[slot] = x.recent[slot], x.recent[0]
		return x.recent[0], nil
	}
	distance := int(slot)
	if slot >= 4 {
		extra := slot/2 - 1
		distance = int(2+slot&1) << extra
		r.fill()
		if kind == lzxAlignedType && extra >= 3 {
			distance += int(r.take(extra-3)) << 3
			r.fill()
			low, err := x.aligned.decode(r)
			if err != nil {
				return 0, err
			}
			distance += int(low)
		} else {
			distance += int(r.take(extra))
		}
	}
	distance -= 2
	x.recent = [3]int{distance, x.recent[0], x.recent[1]}
	return distance, nil
}

// stored copies an uncompressed block. It begins at a word; where the bits do
// so already, a whole word is padding.
func (x *lzx) stored(dst []byte, n, end int, r *wordReader) (int, error) {
	if r.ended > 0 {
		return n, errUnexpected
	}
	// Words that were read ahead and hold no bit of the padding are given back.
	r.at -= int(r.n/16) * 2
	if r.n%16 == 0 {
		r.at += 2
	}
	r.bits, r.n = 0, 0
	size := end - n
	if len(r.src)-r.at < 12+size {
		return n, errUnexpected
	}
	for i := range x.recent {
		v := binary.LittleEndian.Uint32(r.src[r.at:])
		if v == 0 || v > lzxWindow {
			return n, errLZXDistance
		}
		x.recent[i] = int(v)
		r.at += 4
	}
	copy(dst[n:end], r.src[r.at:])
	r.at += size + size&1
	r.at = min(r.at, len(r.src))
	return end, nil
}

// lzxUntranslate turns the targets of x86 calls, which the encoder made
// absolute, back into distances.
func lzxUntranslate(b []byte) {
	for i := 0; i < len(b)-10; i++ {
		if b[i] != 0xE8 {
			continue
		}
		target := int32(binary.LittleEndian.Uint32(b[i+1:]))
		at := int32(i)
		switch {
		case target >= 0 && target < lzxFileSize:
			binary.LittleEndian.PutUint32(b[i+1:], uint32(target-at))
		case target < 0 && target >= -at:
			binary.LittleEndian.PutUint32(b[i+1:], uint32(target+lzxFileSize))
		}
		i += 4
	}
}
