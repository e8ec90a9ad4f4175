package codec

import (
	"encoding/binary"
	"errors"
)

// XPRESS decodes LZ77 with Huffman codes as in [MS-XCA] 2.1 and 2.2, which is
// the XPRESS of WIM files and of WOF. Each 64 KiB of output have codes of their
// own.
func XPRESS() *Codec {
	c := &Codec{name: "XPRESS"}
	c.pool.New = func() any { return &xpress{} }
	return c
}

type xpress struct {
	code    prefixCode
	lengths [xpressSymbols]uint8
}

const (
	xpressSymbols = 512
	xpressBlock   = 64 << 10
	xpressMaxBits = 15
	xpressTable   = xpressSymbols / 2 // bytes of code lengths, of four bits each
)

var (
	errXpressDistance = errors.New("a match before the start")
	errXpressLength   = errors.New("a match of an impossible length")
)

func (x *xpress) decode(dst, src []byte) (int, error) {
	n := 0
	for n < len(dst) {
		used, got, err := x.block(dst, n, src)
		n = got
		if err != nil {
			return n, err
		}
		src = src[used:]
	}
	return n, nil
}

// block decodes the block of 64 KiB that begins at n. It says how many bytes
// of src it took and how far dst is filled.
func (x *xpress) block(dst []byte, n int, src []byte) (int, int, error) {
	if len(src) < xpressTable {
		return 0, n, errUnexpected
	}
	for i, b := range src[:xpressTable] {
		x.lengths[2*i], x.lengths[2*i+1] = b&0xF, b>>4
	}
	if err := x.code.build(x.lengths[:], xpressMaxBits); err != nil {
		return 0, n, err
	}
	r := wordReader{src: src, at: xpressTable}
	end := min(n+xpressBlock, len(dst))
	for n < end {
		r.fill()
		symbol, err := x.code.decode(&r)
		if err != nil {
			return 0, n, err
		}
		if symbol < 256 {
			dst[n] = byte(symbol)
			n++
			continue
		}
		r.fill()
		length, err := r.xpressLength(int(symbol) & 0xF)
		if err != nil {
			return 0, n, err
		}
		bits := uint(symbol-256) >> 4
		distance := 1<<bits + int(r.take(bits))
		if distance > n {
			return 0, n, errXpressDistance
		}
		// A match may go past the end of the block, and of what is wanted.
		n = repeatMatch(dst, n, distance, min(length, len(dst)-n))
		if r.over() {
			return 0, n, errUnexpected
		}
	}
	if r.over() {
		return 0, n, errUnexpected
	}
	// The next block begins behind the words that were taken: one word is
	// always read ahead of need.
	r.fill()
	return min(r.at, len(src)), n, nil
}

// xpressLength is the length that the low four bits of a symbol mean: where
// they are 15, more bytes follow in the stream, behind the words taken.
func (r *wordReader) xpressLength(low int) (int, error) {
	if low < 15 {
		return low + 3, nil
	}
	if r.at >= len(r.src) {
		return 0, errUnexpected
	}
	more := int(r.src[r.at])
	r.at++
	if more < 255 {
		return more + 15 + 3, nil
	}
	if r.at+2 > len(r.src) {
		return 0, errUnexpected
	}
	more = int(binary.LittleEndian.Uint16(r.src[r.at:]))
	r.at += 2
	if more == 0 {
		if r.at+4 > len(r.src) {
			return 0, errUnexpected
		}
		long := binary.LittleEndian.Uint32(r.src[r.at:])
		r.at += 4
		if long > 1<<30 {
			return 0, errXpressLength
		}
		more = int(long)
	}
	if more < 15 {
		return 0, errXpressLength
	}
	return more + 3, nil
}
