package codec

import "fmt"

// A Cut is where a raw deflate stream was left, so that it can be taken up
// there again. The zero Cut is the beginning of a stream. What a Cut refers to
// does not change.
type Cut struct {
	bit   uint8 // bits of the next byte that are used up
	state cutState
	last  bool    // the block is the stream's last
	left  uint16  // stored: bytes of the block that are left
	codes []uint8 // dynamic: the lengths of both codes of the block
	split uint16  // how many of codes are of literals and lengths
}

type cutState uint8

const (
	cutBetween cutState = iota // before the header of a block
	cutStored
	cutFixed
	cutDynamic
)

// Cost is the memory of a Cut, in bytes.
func (c *Cut) Cost() int { return cap(c.codes) + 40 }

const (
	// CutRoom is the room that a part of a stream needs behind what is wanted
	// of it, in bytes of output.
	CutRoom = fastOut
	// CutInput is the input that a part needs to make progress: the header of
	// a block with its codes, RFC 1951, 3.2.7, takes no more.
	CutInput = 600
)

// An Inflater decodes a raw deflate stream in parts. It is for one goroutine
// at a time.
type Inflater struct{ inflater }

// Part decodes a stream from a Cut on. dst[:at] is what the stream gave before,
// at least its last 32 KiB or all of it, and the output goes behind it. It
// stops within CutRoom of dst's end, or within CutInput of src's end where more
// says that the stream goes on there. It answers where the output ends, the
// bytes of src that are used up, and the next Cut or that the stream ended.
// The error wraps ErrDamaged.
func (f *Inflater) Part(c Cut, dst []byte, at int, src []byte, more bool) (out, used int, next Cut, ended bool, err error) {
	next, ended, err = f.part(c, dst, at, src, more, true)
	return f.finish(next, ended, err)
}

// Fill is Part for a src that has all that is needed to fill dst, which it does
// but where the stream ends before.
func (f *Inflater) Fill(c Cut, dst []byte, at int, src []byte) (out, used int, ended bool, err error) {
	next, ended, err := f.part(c, dst, at, src, false, false)
	out, used, _, ended, err = f.finish(next, ended, err)
	return out, used, ended, err
}

func (f *Inflater) finish(next Cut, ended bool, err error) (int, int, Cut, bool, error) {
	at := f.in*8 - int(f.have)
	out, used := f.out, at/8
	next.bit = uint8(at % 8)
	if ended {
		used = (at + 7) / 8
	}
	f.dst, f.src = nil, nil
	if err != nil {
		err = fmt.Errorf("deflate: %w: %w", ErrDamaged, err)
	}
	return out, used, next, ended, err
}

// part decodes; with pause it leaves the ends of dst and src alone.
func (f *Inflater) part(c Cut, dst []byte, at int, src []byte, more, pause bool) (Cut, bool, error) {
	f.dst, f.src, f.out, f.in, f.bits, f.have = dst, src, at, 0, 0, 0
	if _, err := f.take(uint(c.bit)); err != nil {
		return c, false, err
	}
	switch c.state {
	case cutFixed:
		f.fixedCodes()
	case cutDynamic:
		if err := f.tables(c.codes[:c.split], c.codes[c.split:]); err != nil {
			return c, false, err
		}
	}
	for {
		if !pause && f.out == len(f.dst) {
			return c, false, nil
		}
		if c.state == cutBetween {
			if c.last {
				return c, true, nil
			}
			if pause && (more && f.in+CutInput > len(src) || len(dst)-f.out < fastOut) {
				return c, false, nil
			}
			if err := f.header(&c); err != nil {
				return c, false, err
			}
		}
		done, err := f.body(&c, more, pause)
		if !done || err != nil {
			return c, false, err
		}
		c = Cut{last: c.last}
	}
}

// header reads that of a block into c.
func (f *Inflater) header(c *Cut) error {
	kind, err := f.take(3)
	if err != nil {
		return err
	}
	c.last = kind&1 != 0
	switch kind >> 1 {
	case 0:
		n, err := f.storedHeader()
		if err != nil {
			return err
		}
		c.state, c.left = cutStored, uint16(n)
	case 1:
		f.fixedCodes()
		c.state = cutFixed
	case 2:
		lengths, distances, err := f.dynamicCodes()
		if err != nil {
			return err
		}
		c.state, c.split = cutDynamic, uint16(lengths)
		c.codes = append([]uint8(nil), f.codes[:lengths+distances]...)
	default:
		return errBlockType
	}
	return nil
}

// body decodes a block as far as it can and says whether that is all of it.
func (f *Inflater) body(c *Cut, more, pause bool) (done bool, err error) {
	if c.state == cutStored {
		n := min(int(c.left), len(f.src)-f.in, len(f.dst)-f.out)
		copy(f.dst[f.out:], f.src[f.in:f.in+n])
		f.in, f.out, c.left = f.in+n, f.out+n, c.left-uint16(n)
		if c.left > 0 && f.in == len(f.src) && f.out < len(f.dst) && !more {
			return false, errUnexpected
		}
		return c.left == 0, nil
	}
	for {
		if f.in <= len(f.src)-fastIn && f.out <= len(f.dst)-fastOut {
			if ended, err := f.fast(); ended || err != nil {
				return ended, err
			}
		}
		if pause && (len(f.dst)-f.out < fastOut || more && len(f.src)-f.in < fastIn) || !pause && f.out == len(f.dst) {
			return false, nil
		}
		ended, full, err := f.symbol()
		if ended || full || err != nil {
			return ended, err
		}
	}
}
