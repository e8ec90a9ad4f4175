package codec

import (
	"encoding/binary"
	"errors"
)

// LZNT1 decodes LZNT1 ([MS-XCA] 2.5), with which NTFS compresses: chunks of
// 4,096 bytes, each with a header, ended by a header of zero. A chunk that
// decodes to less and is not the last is filled up with zeros, as in NTFS.
func LZNT1() *Codec {
	c := &Codec{name: "LZNT1"}
	c.pool.New = func() any { return lznt1{} }
	return c
}

type lznt1 struct{}

const (
	lznt1Chunk      = 4096
	lznt1Signature  = 3 << 12 // bits 12 to 14 of a chunk's header
	lznt1Compressed = 1 << 15
)

var (
	errLZNT1Header   = errors.New("a chunk header without the signature")
	errLZNT1Distance = errors.New("a match before the chunk's start")
	errLZNT1Long     = errors.New("a chunk of more than 4096 bytes")
)

func (lznt1) decode(dst, src []byte) (int, error) {
	n := 0 // bytes given
	for at := 0; n < len(dst) && len(src) >= 2; at += lznt1Chunk {
		header := binary.LittleEndian.Uint16(src)
		if header == 0 {
			return n, nil
		}
		// The chunk before was a short one: zeros up to this.
		if n < at {
			end := min(at, len(dst))
			clear(dst[n:end])
			if n = end; n == len(dst) {
				return n, nil
			}
		}
		if header&0x7000 != lznt1Signature {
			return n, errLZNT1Header
		}
		size := int(header&0xFFF) + 1
		src = src[2:]
		if size > len(src) {
			return n, errUnexpected
		}
		out := dst[at:min(at+lznt1Chunk, len(dst))]
		if header&lznt1Compressed == 0 {
			n += copy(out, src[:size])
		} else {
			got, err := lznt1DecodeChunk(out, src[:size])
			n += got
			if err != nil {
				return n, err
			}
		}
		src = src[size:]
	}
	return n, nil
}

// lznt1DecodeChunk decodes one chunk into dst, which is 4,096 bytes, or fewer
// where the caller wants no more. A token of 16 bits is a distance above a
// length; the nearer the chunk's start, the fewer bits the distance needs.
func lznt1DecodeChunk(dst, src []byte) (int, error) {
	n, i := 0, 0
	shift, limit := 12, 16 // bits of the length; the last position they are for
	for i < len(src) {
		flags := src[i]
		i++
		for range 8 {
			if i >= len(src) {
				return n, nil
			}
			if n >= len(dst) {
				if len(dst) == lznt1Chunk {
					return n, errLZNT1Long
				}
				return n, nil
			}
			if flags&1 == 0 {
				dst[n] = src[i]
				n, i, flags = n+1, i+1, flags>>1
				continue
			}
			flags >>= 1
			if i+2 > len(src) {
				return n, errUnexpected
			}
			token := int(binary.LittleEndian.Uint16(src[i:]))
			i += 2
			for n > limit {
				shift, limit = shift-1, limit*2
			}
			distance, length := token>>shift+1, token&(1<<shift-1)+3
			if distance > n {
				return n, errLZNT1Distance
			}
			if length > len(dst)-n {
				if len(dst) == lznt1Chunk {
					return n, errLZNT1Long
				}
				length = len(dst) - n
			}
			n = repeatMatch(dst, n, distance, length)
		}
	}
	return n, nil
}

// repeatMatch copies length bytes from distance before n to n. Where the two
// overlap, what was just written repeats.
func repeatMatch(dst []byte, n, distance, length int) int {
	end := n + length
	if distance >= length {
		copy(dst[n:end], dst[n-distance:])
		return end
	}
	from := n - distance
	for n < end {
		n += copy(dst[n:end], dst[from:n])
	}
	return end
}
