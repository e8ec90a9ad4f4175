package btrfs

import (
	"encoding/binary"
	"errors"

	"github.com/guestctl/guestctl/formats/ondisk"
)

var (
	errLZOInput    = errors.New("lzo: the input ends within a segment")
	errLZOOutput   = errors.New("lzo: a segment gives more than there is room for")
	errLZODistance = errors.New("lzo: a match from before the start")
)

// lzoSegments decodes what btrfs makes of LZO: a total length, then segments,
// each a length and one sector compressed by itself. No length field crosses
// the end of a sector; where it would, there is padding. dst may be shorter
// than what the segments give.
func lzoSegments(dst, src []byte, sector int) (n int, err error) {
	const field = 4
	if len(src) < field {
		return 0, errLZOInput
	}
	total := int(min(binary.LittleEndian.Uint32(src), 1<<30))
	if total < field || total > len(src) {
		return 0, errLZOInput
	}
	src = src[:total]
	var one []byte
	for at := field; at < total && n < len(dst); {
		if left := sector - at%sector; left < field {
			at += left
		}
		if at > total-field {
			// Padding to the end of the last sector.
			return n, nil
		}
		size := int(min(binary.LittleEndian.Uint32(src[at:]), 1<<30))
		at += field
		seg, ok := ondisk.Slice(src, at, size)
		if !ok || size == 0 {
			return n, errLZOInput
		}
		at += size
		out := dst[n:]
		if len(out) >= sector {
			out = out[:sector]
		} else {
			if one == nil {
				one = make([]byte, sector)
			}
			out = one
		}
		got, err := lzo1x(out, seg)
		if len(dst)-n < sector {
			got = copy(dst[n:], out[:got])
		}
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// lzo1x decodes one LZO1X stream into dst and says how many bytes it gave. The
// instructions are those of Documentation/staging/lzo.rst of Linux, bitstream
// version 0.
func lzo1x(dst, src []byte) (n int, err error) {
	const (
		afterLiterals = 4 // the state behind a run of literals
		endDistance   = 16384
	)
	in := 0
	// more is a length that goes on: zeros for 255 each, and a last byte.
	more := func(base int) (int, bool) {
		for in < len(src) {
			b := src[in]
			in++
			if b != 0 {
				return base + int(b), true
			}
			if base += 255; base > len(dst) {
				return 0, false
			}
		}
		return 0, false
	}
	literals := func(count int) error {
		if count > len(src)-in {
			return errLZOInput
		}
		if count > len(dst)-n {
			return errLZOOutput
		}
		copy(dst[n:], src[in:in+count])
		in, n = in+count, n+count
		return nil
	}
	state := 0
	if len(src) > 0 && src[0] > 17 {
		count := int(src[0]) - 17
		in++
		if err := literals(count); err != nil {
			return n, err
		}
		state = min(count, afterLiterals)
	}
	for in < len(src) {
		inst := int(src[in])
		in++
		var length, distance, trail int
		switch {
		case inst < 16 && state == 0:
			length = inst + 3
			if inst == 0 {
				var ok bool
				if length, ok = more(15 + 3); !ok {
					return n, errLZOInput
				}
			}
			if err := literals(length); err != nil {
				return n, err
			}
			state = afterLiterals
			continue
		case inst < 16:
			if in >= len(src) {
				return n, errLZOInput
			}
			distance = int(src[in])<<2 + inst>>2&3 + 1
			length = 2
			if state == afterLiterals {
				distance += 2048
				length = 3
			}
			in++
			trail = inst & 3
		case inst < 64:
			mask, base := 31, 1
			if inst < 32 {
				mask, base = 7, endDistance+(inst>>3&1)<<14
			}
			if length = inst & mask; length == 0 {
				var ok bool
				if length, ok = more(mask); !ok {
					return n, errLZOInput
				}
			}
			length += 2
			if len(src)-in < 2 {
				return n, errLZOInput
			}
			d := int(binary.LittleEndian.Uint16(src[in:]))
			in += 2
			distance, trail = base+d>>2, d&3
			if inst < 32 && distance == endDistance {
				return n, nil
			}
		default:
			if in >= len(src) {
				return n, errLZOInput
			}
			distance = int(src[in])<<3 + inst>>2&7 + 1
			in++
			if length = 3 + inst>>5&1; inst >= 128 {
				length = 5 + inst>>5&3
			}
			trail = inst & 3
		}
		if distance > n {
			return n, errLZODistance
		}
		if length > len(dst)-n {
			return n, errLZOOutput
		}
		if distance >= length {
			copy(dst[n:n+length], dst[n-distance:])
		} else {
			for i := range length {
				dst[n+i] = dst[n+i-distance]
			}
		}
		n += length
		if err := literals(trail); err != nil {
			return n, err
		}
		state = trail
	}
	// Every stream ends with its own mark.
	return n, errLZOInput
}
