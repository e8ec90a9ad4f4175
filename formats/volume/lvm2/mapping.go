package lvm2

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/lvm2/pdata"
	"github.com/guestctl/guestctl/formats/volume/raid"
)

const (
	// maxNesting bounds logical volumes that are made of others.
	maxNesting = 16
	// maxBuilt bounds the devices of one group, against metadata that names
	// one volume in very many places.
	maxBuilt = 1 << 18
)

// A builder makes the devices of a group's logical volumes.
type builder struct {
	ctx   context.Context
	group *group
	pvs   map[string]block.Device // by name in the metadata; those that are there
	warn  func(error)

	made  map[string]*mapped
	pools map[string]*pdata.Pool
	built int
}

// A mapped is a logical volume as a device.
type mapped struct {
	dev     block.Device
	missing []string // names of physical volumes without which dev is not whole
	err     error
	making  bool
}

// logical is the device of a logical volume, made once.
func (b *builder) logical(name string, depth int) *mapped {
	if m := b.made[name]; m != nil {
		if m.making {
			return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "logical volume %.128q is made of itself", name)}
		}
		return m
	}
	v := b.group.lvs[name]
	if v == nil {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "there is no logical volume %.128q", name)}
	}
	if depth > maxNesting {
		return &mapped{err: ondisk.Unsupported("logical volume", "%d volumes made of each other", depth)}
	}
	m := &mapped{making: true}
	b.made[name] = m
	var parts []block.Device
	for _, s := range v.segments {
		part := b.segment(v, s, depth)
		m.missing = append(m.missing, part.missing...)
		if part.err != nil {
			m.err = part.err
			break
		}
		parts = append(parts, part.dev)
	}
	if m.err == nil {
		m.dev, m.err = block.Concat(parts...)
	}
	slices.Sort(m.missing)
	m.missing = slices.Compact(m.missing)
	m.making = false
	return m
}

// length is the bytes of that many extents, both bounded when they were read.
func (b *builder) length(extents int64) int64 {
	if extents > math.MaxInt64/b.group.extent {
		return math.MaxInt64
	}
	return extents * b.group.extent
}

// segment is the device of one segment.
func (b *builder) segment(v *logical, s segment, depth int) *mapped {
	if b.built++; b.built > maxBuilt {
		return &mapped{err: ondisk.Unsupported("volume group", "more than %d parts", maxBuilt)}
	}
	length := b.length(s.count)
	if s.count > math.MaxInt64/b.group.extent {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "logical volume %.128q has a segment of %d extents", v.name, s.count)}
	}
	switch {
	case s.kind == "striped" || s.kind == "linear":
		return b.striped(s, length, depth)
	case s.kind == "mirror":
		return b.mirrored(v, s, length, depth)
	case strings.HasPrefix(s.kind, "raid"):
		return b.raided(v, s, length, depth)
	case s.kind == "thin":
		return b.thin(s, length, depth)
	case s.kind == "cache":
		return b.cached(s, length, depth)
	case s.kind == "zero":
		return &mapped{dev: block.Zeros(length)}
	case s.kind == "error":
		return &mapped{dev: &lost{length}}
	}
	return &mapped{err: ondisk.Unsupported("logical volume", "a segment of the type %.64q", s.kind)}
}

// striped is chunks on one volume after another; all of it on one where there
// is only one.
func (b *builder) striped(s segment, length int64, depth int) *mapped {
	pairs, err := s.pairs("stripes")
	if err != nil {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "%v", err)}
	}
	n := int64(len(pairs))
	chunk := b.length(1)
	if n > 1 {
		if chunk = s.number("stripe_size"); chunk <= 0 || chunk > math.MaxInt32 {
			return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "stripes of %d sectors", chunk)}
		}
		chunk *= sector
	}
	if s.count%n != 0 {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "%d extents in %d stripes", s.count, n)}
	}
	m := &mapped{}
	var members []block.Device
	for _, p := range pairs {
		part := b.area(p, s.count/n, depth)
		if part.err != nil {
			return part
		}
		m.missing = append(m.missing, part.missing...)
		members = append(members, part.dev)
	}
	if m.dev, err = raid.Stripe(members, chunk, length/n); err != nil {
		m.err = ondisk.Corrupt("LVM2 metadata", 0, "%v", err)
	}
	if len(members) == 1 {
		m.dev = members[0]
	}
	return m
}

// area is count extents of a physical or logical volume. Those of a physical
// volume that is missing answer errors.
func (b *builder) area(p extentOf, count int64, depth int) *mapped {
	if b.built++; b.built > maxBuilt {
		return &mapped{err: ondisk.Unsupported("volume group", "more than %d parts", maxBuilt)}
	}
	length := b.length(count)
	if known, ok := b.group.pvs[p.volume]; ok {
		dev := b.pvs[p.volume]
		if dev == nil {
			return &mapped{dev: &lost{length}, missing: []string{p.volume}}
		}
		from := known.start + b.length(p.extent)
		part, err := span(dev, from, length)
		if err != nil {
			err = ondisk.Corrupt("LVM2 metadata", 0, "%d bytes at %d of physical volume %.128q, which has %d: the device is truncated or the metadata damaged",
				length, from, p.volume, dev.Size())
		}
		return &mapped{dev: part, err: err}
	}
	m := b.logical(p.volume, depth+1)
	if m.err != nil {
		return m
	}
	part, err := span(m.dev, b.length(p.extent), length)
	if err != nil {
		err = ondisk.Corrupt("LVM2 metadata", 0, "%d extents at %d of logical volume %.128q, which is shorter", count, p.extent, p.volume)
	}
	return &mapped{dev: part, missing: m.missing, err: err}
}

func span(dev block.Device, off, n int64) (block.Device, error) {
	if off == 0 && n == dev.Size() {
		return dev, nil
	}
	return block.Section(dev, off, n)
}

// A lost is a device of which nothing can be read.
type lost struct{ size int64 }

func (l *lost) Size() int64 { return l.size }

func (l *lost) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, raid.ErrMissing
}

func (l *lost) Locate(_ context.Context, off, n int64) (block.Run, error) {
	return block.Run{Kind: block.Opaque, Len: max(1, block.Clamp(off, n, l.size))}, nil
}

// missingError says which physical volumes a logical volume lacks.
func (g *group) missingError(names []string) error {
	var list []string
	for _, n := range names {
		p := g.pvs[n]
		list = append(list, fmt.Sprintf("%s (UUID %s, last seen as %s)", n, printable(p.uuid), printable(p.device)))
	}
	return fmt.Errorf("it lacks %d of the %d physical volumes of volume group %s: %s; name the images that hold them as well: %w",
		len(names), len(g.pvs), printable(g.name), strings.Join(list, ", "), raid.ErrMissing)
}

// printable is a name of the metadata for a message.
func printable(s string) string { return strings.Trim(fmt.Sprintf("%.128q", s), `"`) }
