package ldm

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/raid"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

const what = "dynamic volume"

// A group is the disks of a disk group that are there.
type group struct {
	disks  []*disk
	newest *disk
	byGUID map[string]*disk
}

// add takes a disk into the group.
func (g *group) add(d *disk, warn func(error)) {
	if first := g.byGUID[d.priv.disk]; first != nil {
		warn(fmt.Errorf("%s is left out: it is a copy of %s", d.device.Name, first.device.Name))
		return
	}
	g.byGUID[d.priv.disk] = d
	g.disks = append(g.disks, d)
	if g.newest == nil || d.db.sequence > g.newest.db.sequence {
		g.newest = d
	}
}

// lacks says whether disks of the group are missing.
func (g *group) lacks() bool {
	for _, d := range g.newest.db.disks {
		if g.byGUID[d.guid] == nil {
			return true
		}
	}
	return false
}

// volumes are those that the database knows.
func (g *group) volumes(opt scheme.Options) []scheme.Volume {
	db := g.newest.db
	var list []scheme.Volume
	for _, v := range db.volumes {
		name := "ldm_vol_" + scheme.Clean(g.newest.priv.name) + "_" + scheme.Clean(v.name)
		out := scheme.Volume{Name: name, Type: Name, UUID: v.guid, Label: v.hint, Disk: g.newest.device.Root(), Aliases: []string{"mapper/" + name}}
		b := &builder{g: g, sector: uint64(g.newest.sector)}
		var whole bool
		out.Dev, out.Kind, whole, out.Err = b.volume(v)
		for _, d := range b.on {
			out.On = append(out.On, d.device.Name)
		}
		if len(b.on) > 0 {
			out.Disk = b.on[0].device.Root()
		} else {
			out.On = []string{g.newest.device.Name} // whose database describes it
		}
		switch {
		case out.Err != nil:
			out.Dev = nil
		case !whole && !opt.Partial:
			out.Dev, out.Err = nil, b.missing()
		case len(b.lost) > 0:
			opt.Warn(fmt.Errorf("%s: it is read although %w", name, b.missing()))
		}
		list = append(list, out)
	}
	return list
}

// A builder makes one volume.
type builder struct {
	g      *group
	sector uint64
	on     []*disk
	lost   []string // disks that are missing
}

func (b *builder) missing() error {
	return fmt.Errorf("disks of the group are missing: %s: %w", strings.Join(b.lost, ", "), syscall.ENODEV)
}

// bytes is a count of sectors in bytes.
func (b *builder) bytes(sectors uint64) (int64, error) {
	n, ok := ondisk.Mul(sectors, b.sector)
	if !ok {
		return 0, ondisk.Corrupt("LDM record", 0, "%d sectors", sectors)
	}
	return n, nil
}

// volume makes v of its components, and says what it is and whether all of its
// bytes are there.
func (b *builder) volume(v volume) (dev block.Device, kind string, whole bool, err error) {
	size, err := b.bytes(v.size)
	if err != nil {
		return nil, "", false, err
	}
	var mirrors []block.Device
	for _, c := range b.g.newest.db.components {
		if c.parent != v.id {
			continue
		}
		part, k, ok, err := b.component(c, size)
		if err != nil {
			return nil, k, false, err
		}
		kind = k
		if whole = whole || ok; ok || dev == nil {
			dev = part
		}
		if !ok {
			part = nil // half of it is no mirror
		}
		mirrors = append(mirrors, part)
	}
	switch {
	case len(mirrors) == 0:
		return nil, "", false, ondisk.Corrupt("LDM record", 0, "the volume %q has no components", v.name)
	case len(mirrors) == 1:
		return dev, kind, whole, nil
	case !whole:
		return dev, "mirrored", false, nil
	}
	dev, err = raid.Mirror(mirrors, size)
	return dev, "mirrored", true, err
}

// component makes a device of size bytes of c's partitions.
func (b *builder) component(c component, size int64) (dev block.Device, kind string, whole bool, err error) {
	var parts []partition
	for _, p := range b.g.newest.db.partitions {
		if p.parent == c.id {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 || uint64(len(parts)) != c.parts {
		return nil, "", false, ondisk.Corrupt("LDM record", 0, "a component of %d partitions has %d", c.parts, len(parts))
	}
	switch c.kind {
	case componentSpanned:
		if kind = "spanned"; len(parts) == 1 {
			kind = "simple"
		}
		dev, whole, err = b.spanned(parts)
	case componentStriped:
		kind = "striped"
		dev, whole, err = b.columns(c, parts, raid.Stripe)
	case componentRAID:
		kind = "raid5"
		dev, whole, err = b.columns(c, parts, func(members []block.Device, chunk, length int64) (block.Device, error) {
			return raid.Parity(members, 1, raid.LeftSymmetric, chunk, length)
		})
	default:
		err = ondisk.Unsupported(what, "a component of the kind %d", c.kind)
	}
	if err != nil {
		return nil, kind, false, err
	}
	if dev.Size() < size {
		return nil, kind, false, ondisk.Corrupt("LDM record", 0, "a volume of %d bytes, of whose partitions there are %d", size, dev.Size())
	}
	dev, err = block.Section(dev, 0, size)
	return dev, kind, whole, err
}

// part is a partition as a device, nil where its disk is missing, and its size.
func (b *builder) part(p partition) (block.Device, int64, error) {
	start, err := b.bytes(p.start)
	if err != nil {
		return nil, 0, err
	}
	size, err := b.bytes(p.size)
	if err != nil || start > math.MaxInt64-size {
		return nil, 0, ondisk.Corrupt("LDM record", 0, "the partition %q has %d sectors at %d", p.name, p.size, p.start)
	}
	rec := b.g.newest.db.disks[p.disk]
	d := b.g.byGUID[rec.guid]
	if d == nil {
		if !slices.Contains(b.lost, rec.name) {
			b.lost = append(b.lost, rec.name)
		}
		return nil, size, nil
	}
	if !slices.Contains(b.on, d) {
		b.on = append(b.on, d)
	}
	dev, err := d.partition(start, size)
	return dev, size, err
}

// spanned joins partitions by their places.
func (b *builder) spanned(parts []partition) (dev block.Device, whole bool, err error) {
	slices.SortStableFunc(parts, func(x, y partition) int { return cmp.Compare(x.offset, y.offset) })
	var devs []block.Device
	whole = true
	next := uint64(0)
	for _, p := range parts {
		if p.offset != next {
			return nil, false, ondisk.Corrupt("LDM record", 0, "the partition %q begins at sector %d of its volume, where %d come before it", p.name, p.offset, next)
		}
		dev, size, err := b.part(p)
		if err != nil {
			return nil, false, err
		}
		if next += p.size; next < p.size {
			return nil, false, ondisk.Corrupt("LDM record", 0, "the partition %q has %d sectors", p.name, p.size)
		}
		if dev == nil {
			// One member that is missing: an array whose bytes nobody has.
			if dev, err = raid.Mirror([]block.Device{nil}, size); err != nil {
				return nil, false, err
			}
			whole = false
		}
		devs = append(devs, dev)
	}
	dev, err = block.Concat(devs...)
	return dev, whole, err
}

// columns makes an array of partitions, each of which is a column.
func (b *builder) columns(c component, parts []partition, array func(members []block.Device, chunk, length int64) (block.Device, error)) (dev block.Device, whole bool, err error) {
	if c.columns != uint64(len(parts)) {
		return nil, false, ondisk.Unsupported(what, "%d columns of %d partitions", c.columns, len(parts))
	}
	slices.SortStableFunc(parts, func(x, y partition) int { return cmp.Compare(x.index, y.index) })
	chunk, err := b.bytes(c.chunk)
	if err != nil || chunk == 0 {
		return nil, false, ondisk.Corrupt("LDM record", 0, "chunks of %d sectors", c.chunk)
	}
	members, length := make([]block.Device, len(parts)), int64(math.MaxInt64)
	for i, p := range parts {
		dev, size, err := b.part(p)
		if err != nil {
			return nil, false, err
		}
		members[i], length = dev, min(length, size)
	}
	length = length / chunk * chunk
	for i, dev := range members {
		if dev == nil {
			continue
		}
		if members[i], err = block.Section(dev, 0, length); err != nil {
			return nil, false, err
		}
	}
	if dev, err = array(members, chunk, length); err != nil {
		return nil, false, err
	}
	return dev, raid.Usable(dev), nil
}
