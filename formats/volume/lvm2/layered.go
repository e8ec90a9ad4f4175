package lvm2

import (
	"errors"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/lvm2/pdata"
)

// shown is what a visible logical volume shows: for the store of a classic
// snapshot the snapshot, and for an origin that a snapshot is being merged into
// what it will be.
func (b *builder) shown(v *logical) *mapped {
	for _, name := range b.group.order {
		for _, s := range b.group.lvs[name].segments {
			if s.kind != "snapshot" {
				continue
			}
			store, merging := s.text("cow_store"), s.text("merging_store")
			if store == v.name || merging != "" && s.text("origin") == v.name {
				return b.snapshot(s.text("origin"), store+merging, b.length(s.count))
			}
		}
	}
	return b.logical(v.name, 0)
}

func (b *builder) snapshot(origin, store string, size int64) *mapped {
	under, over := b.logical(origin, 1), b.logical(store, 1)
	m := &mapped{missing: append(append([]string(nil), under.missing...), over.missing...)}
	if m.err = errors.Join(under.err, over.err); m.err != nil {
		return m
	}
	if len(over.missing) > 0 {
		m.dev = &lost{size} // nobody knows which chunks it has
		return m
	}
	s, err := openSnapshot(b.ctx, under.dev, over.dev, size)
	if err != nil {
		return &mapped{err: err}
	}
	m.dev = s
	return m
}

// sub is a sub-volume that must be whole: the metadata of pools.
func (b *builder) sub(s segment, key string, depth int) (*mapped, error) {
	name := s.text(key)
	if name == "" {
		return nil, ondisk.Corrupt("LVM2 metadata", 0, "a segment of the type %s has no %s", s.kind, key)
	}
	m := b.logical(name, depth+1)
	return m, m.err
}

// thin is the device of a thin volume.
func (b *builder) thin(s segment, length int64, depth int) *mapped {
	pool := b.group.lvs[s.text("thin_pool")]
	if pool == nil || len(pool.segments) != 1 || pool.segments[0].kind != "thin-pool" {
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "a thin volume in %.64q, which is no thin pool", s.text("thin_pool"))}
	}
	meta, err := b.sub(pool.segments[0], "metadata", depth)
	if err != nil {
		return &mapped{err: err}
	}
	data, err := b.sub(pool.segments[0], "pool", depth)
	if err != nil {
		return &mapped{err: err}
	}
	m := &mapped{missing: append(append([]string(nil), meta.missing...), data.missing...)}
	if len(meta.missing) > 0 {
		m.dev = &lost{length}
		return m
	}
	var origin block.Device
	if name := s.text("external_origin"); name != "" {
		o := b.logical(name, depth+1)
		if o.err != nil {
			return o
		}
		origin = o.dev
		m.missing = append(m.missing, o.missing...)
	}
	p := b.pools[pool.name]
	if p == nil {
		if p, err = pdata.OpenPool(b.ctx, meta.dev, data.dev); err != nil {
			return &mapped{err: err}
		}
		b.pools[pool.name] = p
	}
	id := s.number("device_id")
	if m.dev, err = p.Device(b.ctx, uint64(id), length, origin); err != nil {
		return &mapped{err: err}
	}
	return m
}

// cached is the device of a volume with a cache: in a pool of two sub-volumes,
// or in one that has the metadata before the data.
func (b *builder) cached(s segment, length int64, depth int) *mapped {
	origin, err := b.sub(s, "origin", depth)
	if err != nil {
		return &mapped{err: err}
	}
	var meta, data *mapped
	pool := b.group.lvs[s.text("cache_pool")]
	switch {
	case pool == nil:
		return &mapped{err: ondisk.Corrupt("LVM2 metadata", 0, "a volume cached in %.64q, which is not there", s.text("cache_pool"))}
	case len(pool.segments) == 1 && pool.segments[0].kind == "cache-pool":
		if meta, err = b.sub(pool.segments[0], "metadata", depth); err == nil {
			data, err = b.sub(pool.segments[0], "data", depth)
		}
	default:
		whole := b.logical(pool.name, depth+1)
		if err = whole.err; err == nil {
			meta, err = whole.part(s.number("metadata_start"), s.number("metadata_len"))
		}
		if err == nil {
			data, err = whole.part(s.number("data_start"), s.number("data_len"))
		}
	}
	if err != nil {
		return &mapped{err: err}
	}
	m := &mapped{missing: append(append(append([]string(nil), origin.missing...), meta.missing...), data.missing...)}
	if len(meta.missing) > 0 {
		m.dev = &lost{length}
		return m
	}
	dev, err := pdata.OpenCache(b.ctx, meta.dev, data.dev, origin.dev)
	if err != nil {
		return &mapped{err: err}
	}
	if m.dev, m.err = span(dev, 0, length); m.err != nil {
		m.err = ondisk.Corrupt("LVM2 metadata", 0, "a cached volume of %d bytes, whose origin has %d", length, origin.dev.Size())
	}
	return m
}

// part is sectors of a volume.
func (m *mapped) part(start, count int64) (*mapped, error) {
	if start < 0 || count <= 0 || start > m.dev.Size()/sector || count > m.dev.Size()/sector-start {
		return nil, ondisk.Corrupt("LVM2 metadata", 0, "%d sectors at %d of a cache of %d bytes", count, start, m.dev.Size())
	}
	dev, err := span(m.dev, start*sector, count*sector)
	return &mapped{dev: dev, missing: m.missing}, err
}
