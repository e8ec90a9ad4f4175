package md

import (
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/raid"
)

// Levels that are no number of RAID.
const (
	levelLinear    = -1
	levelMultipath = -4
	levelFaulty    = -5
	levelContainer = -100
)

// An array is the members with one UUID.
type array struct {
	newest *member
	all    []*member
	roles  []*member // by role; nil where it is missing
	stale  []*member // that are left out
}

// assemble finds what each member is. all is not empty.
func assemble(all []*member) *array {
	a := &array{all: all, newest: all[0]}
	for _, m := range all {
		if m.events > a.newest.events {
			a.newest = m
		}
	}
	n := a.newest
	a.roles = make([]*member, n.disks)
	for _, m := range all {
		role := m.role
		switch {
		case role < 0:
		case m.events+1 < n.events, m.number >= len(n.table), n.table[m.number] != role, m.level != n.level || m.disks != n.disks:
			a.stale = append(a.stale, m)
		case a.roles[role] != nil && a.roles[role].events >= m.events:
			a.stale = append(a.stale, m) // a copy
		default:
			a.roles[role] = m
		}
	}
	return a
}

// missing are the roles that nobody has.
func (a *array) missing() []int {
	var list []int
	for i, m := range a.roles {
		if m == nil {
			list = append(list, i)
		}
	}
	return list
}

// kind is the level by name.
func (a *array) kind() string {
	switch l := a.newest.level; l {
	case levelLinear:
		return "linear"
	case levelMultipath:
		return "multipath"
	case levelFaulty:
		return "faulty"
	case levelContainer:
		return "container"
	default:
		return fmt.Sprintf("raid%d", l)
	}
}

// device is the array as a device, missing members and all.
func (a *array) device() (block.Device, error) {
	n := a.newest
	switch {
	case n.features&featReshape != 0:
		return nil, ondisk.Unsupported("MD array", "a reshape that has not ended")
	case n.features&featJournal != 0:
		return nil, ondisk.Unsupported("MD array", "a write journal")
	case n.disks == 0:
		return nil, ondisk.Unsupported("MD array", "the level %s without members", a.kind())
	}
	members := make([]block.Device, n.disks)
	for i, m := range a.roles {
		if m == nil {
			continue
		}
		want := n.size
		if n.level == levelLinear || n.level == 0 {
			want = m.dataSize
		}
		var err error
		if members[i], err = m.part(want); err != nil {
			return nil, ondisk.Corrupt("MD superblock", m.superOff, "the data of %s is at byte %d of %d", m.device.Name, m.dataOff, m.device.Dev.Size())
		}
	}
	if n.level > 1 && n.chunk == 0 {
		return nil, ondisk.Corrupt("MD superblock", n.superOff, "%s without a chunk size", a.kind())
	}
	var dev block.Device
	var err error
	switch n.level {
	case levelLinear:
		return a.linear(members)
	case 0:
		return a.zones(members)
	case 1:
		dev, err = raid.Mirror(members, n.size)
	case 4:
		dev, err = raid.Parity(members, 1, raid.ParityLast, n.chunk, n.size)
	case 5:
		dev, err = raid.Parity(members, 1, raid.Layout(n.layout), n.chunk, n.size)
	case 6:
		dev, err = raid.Parity(members, 2, raid.Layout(n.layout), n.chunk, n.size)
	case 10:
		t := raid.Ten{Near: int(n.layout & 255), Far: int(n.layout >> 8 & 255), Offset: n.layout&(1<<16) != 0, Chunk: n.chunk, Length: n.size}
		switch n.layout >> 17 {
		case 0:
		case 1:
			t.Set = n.disks / max(1, t.Far)
		case 2:
			t.Set = t.Far * t.Near
		default:
			return nil, ondisk.Unsupported("MD array", "RAID 10 with the layout %#x", n.layout)
		}
		dev, err = raid.RAID10(members, t)
	default:
		return nil, ondisk.Unsupported("MD array", "the level %s", a.kind())
	}
	if err != nil {
		return nil, ondisk.Corrupt("MD superblock", n.superOff, "%s: %v", a.kind(), err)
	}
	return dev, nil
}

// whole says that all members are there, as levels without redundancy need.
func (a *array) whole() error {
	if list := a.missing(); len(list) > 0 {
		return a.lacks(list)
	}
	return nil
}

// lacks is the error for missing members.
func (a *array) lacks(list []int) error {
	var here, old []string
	for _, m := range a.roles {
		if m != nil {
			here = append(here, m.device.Name)
		}
	}
	for _, m := range a.stale {
		old = append(old, m.device.Name)
	}
	s := fmt.Sprintf("it lacks %d of its %d members (%s is here", len(list), len(a.roles), strings.Join(here, ", "))
	if len(here) == 0 {
		s = fmt.Sprintf("it lacks all of its %d members (none is here", len(a.roles))
	}
	if len(old) > 0 {
		s += "; " + strings.Join(old, ", ") + " has old contents"
	}
	return fmt.Errorf("%s); name the images that hold them as well: %w", s, raid.ErrMissing)
}

// linear is the members in a row.
func (a *array) linear(members []block.Device) (block.Device, error) {
	if err := a.whole(); err != nil {
		return nil, err
	}
	for i, m := range members {
		size := m.Size()
		if c := a.newest.chunk; c > 0 {
			size -= size % c
		}
		var err error
		if members[i], err = block.Section(m, 0, size); err != nil {
			return nil, err
		}
	}
	return block.Concat(members...)
}

// zones is RAID 0: stripes over all members as far as the smallest goes, then
// over those that are larger, and so on. The first version of Linux's that did
// so counted chunks from the start of the array, later ones from the start of
// the zone; the superblock says which it is, where it can.
func (a *array) zones(members []block.Device) (block.Device, error) {
	n := a.newest
	if err := a.whole(); err != nil {
		return nil, err
	}
	if n.chunk <= 0 || n.chunk > 1<<40 {
		return nil, ondisk.Corrupt("MD superblock", n.superOff, "RAID 0 with chunks of %d bytes", n.chunk)
	}
	var sizes []int64
	for _, m := range members {
		sizes = append(sizes, m.Size()/n.chunk*n.chunk)
	}
	ends := slices.Clone(sizes)
	slices.Sort(ends)
	ends = slices.Compact(ends)
	original := n.features&featRAID0Layout != 0 && n.layout == 1
	if len(ends) > 1 && n.features&featRAID0Layout == 0 {
		return nil, ondisk.Unsupported("MD array", "RAID 0 of members of different sizes that does not say which layout it has")
	}
	var zones []block.Device
	start, total := int64(0), int64(0)
	for _, end := range ends {
		if end == start {
			continue
		}
		var parts []block.Device
		for i, m := range members {
			if sizes[i] < end {
				continue
			}
			p, err := block.Section(m, start, end-start)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		if original {
			first := int(total / n.chunk % int64(len(parts)))
			// The chunk that begins the zone is on the member of its number in the array.
			parts = append(parts[first:len(parts):len(parts)], parts[:first]...)
		}
		zone, err := raid.Stripe(parts, n.chunk, end-start)
		if err != nil {
			return nil, ondisk.Corrupt("MD superblock", n.superOff, "%v", err)
		}
		zones = append(zones, zone)
		start, total = end, total+zone.Size()
	}
	return block.Concat(zones...)
}
