package btrfs

import (
	"context"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// The field of raid6 is GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1. P is the
// sum of the data stripes, Q the sum of g^i times stripe i, with g = 2
// (H. P. Anvin, "The mathematics of RAID-6").

// double multiplies the bytes of p by g.
func double(p []byte) {
	for i, b := range p {
		p[i] = b<<1 ^ -(b>>7)&0x1d
	}
}

func gfMul(a, b byte) (p byte) {
	for ; b != 0; b >>= 1 {
		p ^= a & -(b & 1)
		a = a<<1 ^ -(a>>7)&0x1d
	}
	return p
}

func gfPow(a byte, n int) byte {
	p := byte(1)
	for range n % 255 {
		p = gfMul(p, a)
	}
	return p
}

// gfInv is a^254, since a^255 = 1.
func gfInv(a byte) byte { return gfPow(a, 254) }

func xor(p, q []byte) {
	for i, b := range q {
		p[i] ^= b
	}
}

// scale multiplies the bytes of p by a.
func scale(p []byte, a byte) {
	var table [256]byte
	for i := range table {
		table[i] = gfMul(byte(i), a)
	}
	for i, b := range p {
		p[i] = table[b]
	}
}

// rebuild computes what lies in bytes into the chunk from the other stripes of
// its row. Attempt 1 takes only what it must as lost; of raid6 each later one
// takes another stripe as lost too.
func (m *chunkMap) rebuild(ctx context.Context, c *chunk, in uint64, p []byte, attempt int) error {
	data, n := uint64(c.data()), uint64(len(c.stripes))
	piece := in / stripeLen
	row, want := piece/data, int(piece%data)
	off := row*stripeLen + in%stripeLen
	// Column i of the row: data first, then P, then Q.
	column := func(i int) stripe { return c.stripes[(row+uint64(i))%n] }
	lost := -1
	switch {
	case attempt > 1:
		if lost = attempt - 2; lost >= want {
			lost++
		}
	case c.parity == 2:
		for i := range int(n) {
			if i != want && column(i).on.dev == nil {
				lost = i
				break
			}
		}
	}
	if want == lost || lost >= int(n) {
		return ondisk.Corrupt(whatChunk, int64(c.start+in), "no such attempt")
	}
	pIndex, qIndex := int(data), int(data)+1
	// The sums of all that is there: sum of the data and P, and of Q.
	sum, buf := make([]byte, len(p)), make([]byte, len(p))
	var weighted []byte
	needQ := lost >= 0 && lost != qIndex
	if needQ {
		weighted = make([]byte, len(p))
	}
	// From the last column on, so that Horner's rule gives the powers of g.
	for i := int(data) - 1; i >= 0; i-- {
		if needQ {
			double(weighted)
		}
		if i == want || i == lost {
			continue
		}
		if err := m.readOn(ctx, column(i), buf, off); err != nil {
			return err
		}
		xor(sum, buf)
		if needQ {
			xor(weighted, buf)
		}
	}
	if lost != pIndex {
		if err := m.readOn(ctx, column(pIndex), buf, off); err != nil {
			return err
		}
		xor(sum, buf)
	}
	if !needQ {
		copy(p, sum)
		return nil
	}
	if err := m.readOn(ctx, column(qIndex), buf, off); err != nil {
		return err
	}
	xor(weighted, buf)
	if lost == pIndex {
		// g^want * D = what is missing in Q.
		scale(weighted, gfInv(gfPow(2, want)))
		copy(p, weighted)
		return nil
	}
	// D + E = sum, g^want*D + g^lost*E = weighted.
	a, b := gfPow(2, want), gfPow(2, lost)
	scale(sum, b)
	xor(weighted, sum)
	scale(weighted, gfInv(a^b))
	copy(p, weighted)
	return nil
}
