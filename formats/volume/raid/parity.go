package raid

import (
	"context"
	"crypto/subtle"
	"fmt"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A Layout says where parity is, by md's numbers. Those from RotatingZeroRestart
// on are for two parities only; those from LeftAsymmetric6 on have Q on the
// last member and the rest as RAID 5.
type Layout int

const (
	LeftAsymmetric      Layout = 0
	RightAsymmetric     Layout = 1
	LeftSymmetric       Layout = 2
	RightSymmetric      Layout = 3
	ParityFirst         Layout = 4
	ParityLast          Layout = 5
	RotatingZeroRestart Layout = 8
	RotatingNRestart    Layout = 9
	RotatingNContinue   Layout = 10
	LeftAsymmetric6     Layout = 16
	RightAsymmetric6    Layout = 17
	LeftSymmetric6      Layout = 18
	RightSymmetric6     Layout = 19
	ParityFirst6        Layout = 20
)

// valid says whether the layout is known for that number of parities.
func (l Layout) valid(parities int) bool {
	switch {
	case l >= LeftAsymmetric && l <= ParityLast:
		return true
	case parities == 2:
		return l >= RotatingZeroRestart && l <= RotatingNContinue || l >= LeftAsymmetric6 && l <= ParityFirst6
	}
	return false
}

// parity is RAID 4, 5 and 6.
type parity struct {
	n        int64 // members
	chunk    int64
	parities int // 1 or 2
	layout   Layout
	field    *field // for two parities
}

// Parity is an array with one parity (RAID 4 and 5) or two (RAID 6), each
// member used for length bytes, a multiple of chunk.
func Parity(members []block.Device, parities int, layout Layout, chunk, length int64) (block.Device, error) {
	if err := check(members, chunk); err != nil {
		return nil, err
	}
	n := int64(len(members))
	if parities < 1 || parities > 2 || n <= int64(parities) || !layout.valid(parities) || n > 256 && parities == 2 {
		return nil, fmt.Errorf("an array of %d members with %d parities and layout %d: %w", n, parities, layout, syscall.EINVAL)
	}
	data := n - int64(parities)
	length -= length % chunk
	if length < 0 || length > math.MaxInt64/data {
		return nil, fmt.Errorf("an array of %d members of %d bytes: %w", n, length, syscall.EINVAL)
	}
	p := &parity{n: n, chunk: chunk, parities: parities, layout: layout}
	if parities == 2 {
		p.field = newField()
	}
	return newArray(members, length*data, p, p)
}

func (p *parity) find(off int64) ([]place, int64) {
	c, in := off/p.chunk, off%p.chunk
	data := p.n - int64(p.parities)
	stripe := c / data
	member, _, _ := p.stripe(stripe, c%data)
	return []place{{int(member), stripe*p.chunk + in}}, p.chunk - in
}

// stripe answers the members that have the data chunk of that number, P and Q
// of a stripe; Q is -1 where there is none. As raid5_compute_sector in
// drivers/md/raid5.c.
func (p *parity) stripe(stripe, chunk int64) (data, pd, qd int64) {
	if p.parities == 1 {
		data, pd = rotate(p.layout, p.n, stripe, chunk)
		return data, pd, -1
	}
	n := p.n
	// past steps over P and Q, which stand together from pd on.
	past := func() int64 {
		switch {
		case pd == n-1: // Q is on the first member
			return chunk + 1
		case chunk >= pd:
			return chunk + 2
		}
		return chunk
	}
	switch p.layout {
	case LeftAsymmetric:
		pd = n - 1 - stripe%n
		return past(), pd, (pd + 1) % n
	case RightAsymmetric, RotatingZeroRestart:
		pd = stripe % n
		return past(), pd, (pd + 1) % n
	case RotatingNRestart:
		pd = n - 1 - (stripe+1)%n
		return past(), pd, (pd + 1) % n
	case LeftSymmetric:
		pd = n - 1 - stripe%n
		return (pd + 2 + chunk) % n, pd, (pd + 1) % n
	case RightSymmetric:
		pd = stripe % n
		return (pd + 2 + chunk) % n, pd, (pd + 1) % n
	case ParityFirst:
		return chunk + 2, 0, 1
	case ParityLast:
		return chunk, n - 2, n - 1
	case RotatingNContinue:
		pd = n - 1 - stripe%n
		return (pd + 1 + chunk) % n, pd, (pd + n - 1) % n
	}
	data, pd = rotate(p.layout-LeftAsymmetric6, n-1, stripe, chunk)
	return data, pd, n - 1
}

// rotate is the place of a data chunk and of P for RAID 5 with n members.
func rotate(l Layout, n, stripe, chunk int64) (data, pd int64) {
	switch l {
	case LeftAsymmetric, LeftSymmetric:
		pd = n - 1 - stripe%n
	case RightAsymmetric, RightSymmetric:
		pd = stripe % n
	case ParityFirst:
		return chunk + 1, 0
	case ParityLast:
		return chunk, n - 1
	}
	if l == LeftSymmetric || l == RightSymmetric {
		return (pd + 1 + chunk) % n, pd
	}
	if chunk >= pd {
		chunk++
	}
	return chunk, pd
}

// ddf says whether Q counts members as the SNIA's Common RAID Disk Data Format
// has it: every one from the first on, P and Q included.
func (p *parity) ddf() bool {
	return p.layout >= RotatingZeroRestart && p.layout <= RotatingNContinue
}

// powers answers for each member the power of the generator that it has in Q,
// -1 for P and Q themselves.
func (p *parity) powers(pd, qd int64) []int {
	powers := make([]int, p.n)
	power, first := 0, (qd+1)%p.n
	if p.ddf() {
		first = 0
	}
	for i := range p.n {
		m := (first + i) % p.n
		switch {
		case m != pd && m != qd:
			powers[m] = power
			power++
		case p.ddf():
			powers[m] = -1
			power++
		default:
			powers[m] = -1
		}
	}
	return powers
}

// rebuild computes what the member of at has there from the others.
func (p *parity) rebuild(ctx context.Context, a *array, dst []byte, at place) error {
	_, pd, qd := p.stripe(at.off/p.chunk, 0)
	var (
		sum    = make([]byte, len(dst)) // of data and P
		q      []byte
		powers []int
		buf    = make([]byte, len(dst))
		failed error
		other  = int64(-1) // a second data member that cannot be read
		lostP  bool
		lostQ  = qd < 0
	)
	if qd >= 0 {
		q, powers = make([]byte, len(dst)), p.powers(pd, qd)
	}
	for m := range p.n {
		if m == int64(at.member) {
			continue
		}
		if err := a.member(ctx, buf, place{int(m), at.off}); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = err
			switch {
			case m == pd:
				lostP = true
			case m == qd:
				lostQ = true
			case other >= 0:
				return fmt.Errorf("three members of a stripe cannot be read: %w", err)
			default:
				other = m
			}
			continue
		}
		if m == qd {
			subtle.XORBytes(q, q, buf)
			continue
		}
		subtle.XORBytes(sum, sum, buf)
		if q != nil && m != pd {
			p.field.addTo(q, buf, p.field.power(powers[m]))
		}
	}
	switch {
	case other < 0 && !lostP:
		copy(dst, sum)
		return nil
	case other < 0 && !lostQ:
		p.field.scale(dst, q, p.field.power(-powers[at.member]))
		return nil
	case other >= 0 && !lostP && !lostQ:
		// D_x = (g^(y-x) P' + g^-x Q') / (g^(y-x) + 1), with P' and Q' the sums of what is lost.
		f := p.field
		x, y := powers[at.member], powers[other]
		over := f.inverse(f.power(y-x) ^ 1)
		f.scale(dst, sum, f.multiply(f.power(y-x), over))
		f.addTo(dst, q, f.multiply(f.power(-x), over))
		return nil
	}
	return fmt.Errorf("more members of a stripe cannot be read than it has parities: %w", failed)
}
