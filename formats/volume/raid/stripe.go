package raid

import (
	"fmt"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// stripes is RAID 0: chunks on one member after another.
type stripes struct {
	n, chunk int64
}

// Stripe is RAID 0 over members, each used for length bytes, a multiple of
// chunk where there is more than one.
func Stripe(members []block.Device, chunk, length int64) (block.Device, error) {
	if err := check(members, chunk); err != nil {
		return nil, err
	}
	n := int64(len(members))
	if n == 1 {
		return newArray(members, length, whole{length, 1}, nil)
	}
	if length < 0 || length%chunk != 0 || length > math.MaxInt64/n {
		return nil, fmt.Errorf("%d stripes of %d bytes with chunks of %d: %w", n, length, chunk, syscall.EINVAL)
	}
	return newArray(members, length*n, stripes{n, chunk}, nil)
}

func (s stripes) find(off int64) ([]place, int64) {
	c, in := off/s.chunk, off%s.chunk
	return []place{{int(c % s.n), c/s.n*s.chunk + in}}, s.chunk - in
}

// whole is RAID 1: all bytes on every member.
type whole struct {
	size    int64
	members int
}

// Mirror is RAID 1 over members, each with the same length bytes. The first
// that is there is read.
func Mirror(members []block.Device, length int64) (block.Device, error) {
	if err := check(members, 1); err != nil {
		return nil, err
	}
	return newArray(members, length, whole{length, len(members)}, nil)
}

func (w whole) find(off int64) ([]place, int64) {
	copies := make([]place, w.members)
	for i := range copies {
		copies[i] = place{i, off}
	}
	return copies, w.size - off
}

// A Ten is the geometry of RAID 10 as Linux's md has it: Near copies of a
// chunk stand beside each other, Far copies of whole stripes apart from each
// other.
type Ten struct {
	Near, Far int
	Offset    bool  // far copies follow each stripe ("offset"), else each part of the member ("far")
	Set       int   // far copies stay within sets of so many members; 0 is all of them
	Chunk     int64 // bytes
	Length    int64 // bytes used of each member
}

// ten finds the copies in RAID 10.
type ten struct {
	Ten
	members int64
	stride  int64 // bytes between the far copies on a member
	set     int64 // members of a set
	last    int64 // members from here on are one larger set
}

// RAID10 is RAID 10 over members.
func RAID10(members []block.Device, t Ten) (block.Device, error) {
	if err := check(members, t.Chunk); err != nil {
		return nil, err
	}
	n := int64(len(members))
	near, far := int64(t.Near), int64(t.Far)
	if near < 1 || far < 1 || near > n || far > n || near*far > n {
		return nil, fmt.Errorf("RAID 10 of %d members with %d near and %d far copies: %w", n, near, far, syscall.EINVAL)
	}
	// As calc_sectors in drivers/md/raid10.c.
	perMember := t.Length / t.Chunk / far
	if t.Length < 0 || perMember > math.MaxInt64/n/t.Chunk {
		return nil, fmt.Errorf("RAID 10 of %d members of %d bytes: %w", n, t.Length, syscall.EINVAL)
	}
	chunks := perMember * n / near
	g := ten{Ten: t, members: n, set: n, last: n}
	used := (chunks*near*far + n - 1) / n
	if t.Offset {
		g.stride = t.Chunk
	} else {
		g.stride = used / far * t.Chunk
	}
	if set := int64(t.Set); set > 0 && set < n {
		if set < near {
			return nil, fmt.Errorf("RAID 10 in sets of %d members with %d near copies: %w", set, near, syscall.EINVAL)
		}
		if g.set = set; n%set != 0 {
			g.last = (n/set - 1) * set
		}
	}
	return newArray(members, chunks*t.Chunk, g, nil)
}

func (g ten) find(off int64) ([]place, int64) {
	chunk, in := off/g.Chunk, off%g.Chunk
	chunk *= int64(g.Near)
	row, dev := chunk/g.members, chunk%g.members
	if g.Offset {
		row *= int64(g.Far)
	}
	at := row*g.Chunk + in
	var copies []place
	for range g.Near {
		d, o := dev, at
		copies = append(copies, place{int(d), o})
		for range g.Far - 1 {
			first, size := d/g.set*g.set, g.set
			if d >= g.last && g.last < g.members {
				first, size = g.last, g.members-g.last
			}
			d = first + (d-first+int64(g.Near))%size
			o += g.stride
			copies = append(copies, place{int(d), o})
		}
		if dev++; dev >= g.members {
			dev = 0
			at += g.Chunk
		}
	}
	return copies, g.Chunk - in
}
