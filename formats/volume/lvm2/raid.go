package lvm2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/raid"
)

// The superblock of dm-raid, at the start of each metadata sub-volume; bytes,
// little-endian.
const (
	dmRaidMagic    = 0  // u32: "DmRd"
	dmRaidPosition = 12 // u32: of the leg in the array
	dmRaidEvents   = 16 // u64
	dmRaidFailed   = 24 // u64: bits of legs that failed
	dmRaidRecover  = 32 // u64: sectors recovered of this leg; all ones where all are
	dmRaidSize     = 40

	dmRaidNumber = 0x64526d44
)

// parities are the kinds of segments with parity, as dm-raid maps them.
type parities struct {
	count  int
	layout raid.Layout
}

func parityOf(kind string) (parities, bool) {
	switch kind {
	case "raid4":
		return parities{1, raid.ParityFirst}, true
	case "raid5", "raid5_ls":
		return parities{1, raid.LeftSymmetric}, true
	case "raid5_la":
		return parities{1, raid.LeftAsymmetric}, true
	case "raid5_ra":
		return parities{1, raid.RightAsymmetric}, true
	case "raid5_rs":
		return parities{1, raid.RightSymmetric}, true
	case "raid5_n":
		return parities{1, raid.ParityLast}, true
	case "raid6", "raid6_zr":
		return parities{2, raid.RotatingZeroRestart}, true
	case "raid6_nr":
		return parities{2, raid.RotatingNRestart}, true
	case "raid6_nc":
		return parities{2, raid.RotatingNContinue}, true
	case "raid6_ls_6":
		return parities{2, raid.LeftSymmetric6}, true
	case "raid6_rs_6":
		return parities{2, raid.RightSymmetric6}, true
	case "raid6_la_6":
		return parities{2, raid.LeftAsymmetric6}, true
	case "raid6_ra_6":
		return parities{2, raid.RightAsymmetric6}, true
	case "raid6_n_6":
		return parities{2, raid.ParityLast}, true
	}
	return parities{}, false
}

// mirrored is the device of a segment of the old mirror. The first leg has what
// was written, whatever the others had when the machine stopped.
func (b *builder) mirrored(v *logical, s segment, length int64, depth int) *mapped {
	pairs, err := s.pairs("mirrors")
	if err != nil {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "%v", err)}
	}
	m := &mapped{}
	legs := make([]block.Device, len(pairs))
	for i, p := range pairs {
		leg := b.area(p, s.count, depth)
		if leg.err != nil {
			return leg
		}
		if legs[i] = leg.dev; len(leg.missing) > 0 {
			legs[i] = nil
			m.missing = append(m.missing, leg.missing...)
		}
	}
	if m.dev, err = raid.Mirror(legs, length); err != nil {
		m.err = ondisk.Corrupt("LVM2 metadata", 0, "%v", err)
	}
	return b.degraded(v, m)
}

// degraded forgets what a device lacks and can do without, with a warning.
func (b *builder) degraded(v *logical, m *mapped) *mapped {
	if m.err == nil && len(m.missing) > 0 && raid.Usable(m.dev) {
		b.warn(fmt.Errorf("%s is read although %w", printable(v.name), b.group.missingError(slices.Compact(slices.Sorted(slices.Values(m.missing))))))
		m.missing = nil
	}
	return m
}

// A leg is a data sub-volume of RAID with its metadata.
type leg struct {
	data    block.Device // nil where it is missing or old
	missing []string
	events  uint64
	failed  uint64
	known   bool // it has metadata
	old     bool
}

// raided is the device of a segment of RAID.
func (b *builder) raided(v *logical, s segment, length int64, depth int) *mapped {
	legs, err := b.legs(v, s, depth)
	if err != nil {
		return &mapped{err: err}
	}
	m := &mapped{}
	members := make([]block.Device, len(legs))
	size := int64(0)
	for i, l := range legs {
		if l.data != nil && !l.old {
			members[i] = l.data
			if size == 0 || l.data.Size() < size {
				size = l.data.Size()
			}
		}
		m.missing = append(m.missing, l.missing...)
	}
	chunk := s.number("stripe_size") * sector
	striped := s.kind != "raid1"
	if striped && (chunk <= 0 || chunk > 1<<40) {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "%s %.64q has stripes of %d bytes", s.kind, v.name, chunk)}
	}
	p, hasParity := parityOf(s.kind)
	switch {
	case s.kind == "raid0" || s.kind == "raid0_meta":
		m.dev, err = raid.Stripe(members, chunk, size-size%chunk)
	case s.kind == "raid1":
		m.dev, err = raid.Mirror(members, size)
	case s.kind == "raid10" || s.kind == "raid10_near":
		copies := 2
		if n := s.number("data_copies"); n > 0 && n < 16 {
			copies = int(n)
		}
		m.dev, err = raid.RAID10(members, raid.Ten{Near: copies, Far: 1, Chunk: chunk, Length: size})
	case hasParity:
		m.dev, err = raid.Parity(members, p.count, p.layout, chunk, size)
	default:
		return &mapped{err: ondisk.Unsupported("logical volume", "a segment of the type %.64q", s.kind)}
	}
	switch {
	case err != nil:
		m.err = ondisk.Corrupt("LVM2 metadata", 0, "%s %.64q: %v", s.kind, v.name, err)
	case size == 0:
		m.dev = &lost{length}
	case length > m.dev.Size():
		m.err = ondisk.Corrupt("LVM2 metadata", 0, "%s %.64q has %d bytes, and its legs give %d", s.kind, v.name, length, m.dev.Size())
	case !raid.Usable(m.dev) && len(m.missing) == 0:
		m.err = fmt.Errorf("%s has too many legs with old contents: %w", printable(v.name), raid.ErrMissing)
	default:
		m = b.degraded(v, m)
		m.dev, m.err = span(m.dev, 0, length)
	}
	return m
}

// legs finds the sub-volumes of a segment of RAID, and which have old contents.
func (b *builder) legs(v *logical, s segment, depth int) ([]leg, error) {
	for _, key := range []string{"data_offset", "new_data_offset"} {
		if s.number(key) != 0 {
			return nil, ondisk.Unsupported("logical volume", "%s %.64q with space for a reshape", s.kind, v.name)
		}
	}
	if slices.ContainsFunc(v.section.texts("status"), func(f string) bool { return strings.Contains(f, "RESHAPE") }) {
		return nil, ondisk.Unsupported("logical volume", "%s %.64q in a reshape", s.kind, v.name)
	}
	names, metas := s.texts("raid0_lvs"), []string(nil)
	if len(names) == 0 {
		list := s.texts("raids")
		if len(list) == 0 || len(list)%2 != 0 {
			return nil, ondisk.Corrupt("LVM2 metadata", 0, "%s %.64q does not name its legs", s.kind, v.name)
		}
		for i := 0; i < len(list); i += 2 {
			metas, names = append(metas, list[i]), append(names, list[i+1])
		}
	}
	legs := make([]leg, len(names))
	newest := uint64(0)
	for i, name := range names {
		m := b.logical(name, depth+1)
		if m.err != nil {
			return nil, m.err
		}
		legs[i] = leg{data: m.dev, missing: m.missing}
		if len(m.missing) > 0 {
			legs[i].data = nil
			continue
		}
		if metas != nil {
			if err := b.readLeg(&legs[i], metas[i], i, depth); err != nil {
				return nil, err
			}
			newest = max(newest, legs[i].events)
		}
	}
	for i := range legs {
		l := &legs[i]
		stale := l.known && l.events+1 < newest
		for _, other := range legs {
			stale = stale || l.known && other.known && other.events == newest && i < 64 && other.failed>>i&1 != 0
		}
		if stale {
			l.old = true
		}
		if l.old && l.data != nil {
			b.warn(fmt.Errorf("leg %d of %s has old contents and is left out", i, printable(v.name)))
		}
	}
	return legs, nil
}

// readLeg reads the superblock of a leg. One that is not there yet, as before
// the volume was first used, says nothing.
func (b *builder) readLeg(l *leg, meta string, position, depth int) error {
	m := b.logical(meta, depth+1)
	if m.err != nil {
		return m.err
	}
	if len(m.missing) > 0 {
		return nil
	}
	h := make([]byte, dmRaidSize)
	if err := block.ReadFull(b.ctx, m.dev, h, 0); err != nil {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		b.warn(fmt.Errorf("read the superblock of %s: %w", printable(meta), err))
		return nil
	}
	if u32(h, dmRaidMagic) != dmRaidNumber {
		return nil
	}
	l.known, l.events, l.failed = true, u64(h, dmRaidEvents), u64(h, dmRaidFailed)
	// A leg that is being rebuilt, and one that is not where its metadata says.
	l.old = u64(h, dmRaidRecover) < uint64(l.data.Size()/sector) || int(u32(h, dmRaidPosition)) != position
	return nil
}
