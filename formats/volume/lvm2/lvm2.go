package lvm2

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume/lvm2/pdata"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "lvm2"

// Scheme is LVM2.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scan} }

func scan(ctx context.Context, devs []scheme.Device, opt scheme.Options) (scheme.Found, error) {
	var found scheme.Found
	labels := make([]*pv, len(devs))
	errs := make([]error, len(devs))
	var wg sync.WaitGroup
	for i, d := range devs {
		wg.Go(func() {
			warn := func(err error) { opt.Warn(fmt.Errorf("%s: %w", d.Name, err)) }
			if labels[i], errs[i] = readLabel(ctx, d, warn); labels[i] != nil && labels[i].err == nil {
				errs[i] = labels[i].readMetadata(ctx, warn)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return found, err
	}
	byUUID := map[string]*pv{}
	newest := map[string]*group{}
	var groups []string // UUIDs, in the order of devices
	for i, p := range labels {
		if p == nil {
			// A device that cannot be read may be anything: whoever reads it next says so.
			continue
		}
		found.Members = append(found.Members, p.device.Name)
		if errs[i] != nil {
			p.err = errs[i]
		}
		if first := byUUID[p.uuid]; first != nil {
			found.Volumes = append(found.Volumes, broken(p.device, fmt.Errorf("it has the same physical volume UUID %s as %s and is taken for a copy, which is left out; name only one of them",
				p.uuid, first.device.Name)))
			continue
		}
		byUUID[p.uuid] = p
		if g := p.group; g != nil {
			if old := newest[g.uuid]; old == nil {
				groups = append(groups, g.uuid)
				newest[g.uuid] = g
			} else if g.seqno > old.seqno {
				newest[g.uuid] = g
			}
		}
	}
	for _, uuid := range groups {
		found.Volumes = append(found.Volumes, newest[uuid].volumes(ctx, byUUID, opt)...)
	}
	if opt.Final {
		for _, p := range byUUID {
			if p.err != nil && !isListed(newest, p.uuid) {
				found.Volumes = append(found.Volumes, broken(p.device, p.err))
			}
		}
	}
	return found, nil
}

func isListed(groups map[string]*group, uuid string) bool {
	for _, g := range groups {
		for _, p := range g.pvs {
			if p.uuid == uuid {
				return true
			}
		}
	}
	return false
}

// broken says that a device is a physical volume that cannot be used.
func broken(d scheme.Device, err error) scheme.Volume {
	return scheme.Volume{Name: d.Name, Type: Name, Disk: d.Root(), Err: err}
}

// volumes are the visible logical volumes of g; none as long as a physical
// volume may still come.
func (g *group) volumes(ctx context.Context, byUUID map[string]*pv, opt scheme.Options) []scheme.Volume {
	b := &builder{ctx: ctx, group: g, pvs: map[string]block.Device{}, made: map[string]*mapped{}, pools: map[string]*pdata.Pool{},
		warn: func(err error) { opt.Warn(fmt.Errorf("volume group %s: %w", printable(g.name), err)) }}
	var on []*pv
	for _, name := range g.sorted {
		known := g.pvs[name]
		p := byUUID[known.uuid]
		if p == nil {
			if !opt.Final {
				return nil
			}
			continue
		}
		if !slices.Contains(on, p) {
			on = append(on, p)
		}
		if known.missing {
			b.warn(fmt.Errorf("%s was lost and came back with old contents, says the metadata; it is treated as missing (vgextend --restoremissing in the guest takes it back)", p.device.Name))
			continue
		}
		b.pvs[name] = p.device.Dev
		if p.err != nil {
			b.warn(fmt.Errorf("%s: %w; the metadata of another physical volume is used", p.device.Name, p.err))
		}
	}
	var vols []scheme.Volume
	for _, name := range g.order {
		v := g.lvs[name]
		if !v.visible || len(v.segments) == 0 || v.isPool() {
			continue
		}
		kind := v.segments[0].kind
		if kind == "snapshot" {
			// A volume that only ties a store to an origin; the store has the name, and is hidden.
			if v = g.lvs[v.segments[0].text("cow_store")]; v == nil || len(v.segments) == 0 {
				continue
			}
		}
		if len(vols) == scheme.MaxVolumes {
			b.warn(fmt.Errorf("it has more than %d logical volumes; the rest is left out", scheme.MaxVolumes))
			break
		}
		vols = append(vols, b.volume(v, kind, on, opt))
	}
	return vols
}

// volume is one logical volume, as it is listed.
func (b *builder) volume(v *logical, kind string, on []*pv, opt scheme.Options) scheme.Volume {
	g := b.group
	escaped := strings.ReplaceAll(g.name, "-", "--") + "-" + strings.ReplaceAll(v.name, "-", "--")
	vol := scheme.Volume{Name: fileName(escaped), Type: Name, Kind: kind, UUID: v.uuid,
		Aliases: []string{g.name + "/" + v.name, "mapper/" + escaped, "disk/by-id/dm-uuid-LVM-" + strings.ReplaceAll(g.uuid+v.uuid, "-", "")}}
	m := b.shown(v)
	vol.Dev, vol.Err = m.dev, m.err
	if m.err == nil && len(m.missing) > 0 {
		if err := g.missingError(slices.Compact(slices.Sorted(slices.Values(m.missing)))); opt.Partial {
			b.warn(fmt.Errorf("%s is shown as asked, although %w", v.name, err))
		} else {
			vol.Dev, vol.Err = nil, err
		}
	}
	if vol.Err != nil {
		vol.Dev = nil
	}
	// The first physical volume that it uses is the one that it is listed under.
	first := g.firstOf(v, 0)
	for _, p := range on {
		if p.uuid == g.pvs[first].uuid {
			vol.On, vol.Disk = append([]string{p.device.Name}, vol.On...), p.device.Root()
		} else {
			vol.On = append(vol.On, p.device.Name)
		}
	}
	if vol.Disk == "" && len(on) > 0 {
		vol.Disk = on[0].device.Root()
	}
	return vol
}

// firstOf is the physical volume that v begins on; "" where that is not plain.
func (g *group) firstOf(v *logical, depth int) string {
	for depth < maxNesting && v != nil && len(v.segments) > 0 {
		pairs, err := v.segments[0].pairs("stripes")
		if err != nil {
			return ""
		}
		if _, ok := g.pvs[pairs[0].volume]; ok {
			return pairs[0].volume
		}
		v = g.lvs[pairs[0].volume]
		depth++
	}
	return ""
}

// isPool says whether v only holds the data of others.
func (v *logical) isPool() bool {
	return slices.Contains([]string{"thin-pool", "cache-pool", "vdo-pool"}, v.segments[0].kind)
}

// fileName is a name that can stand in a path: LVM's own rules forbid others,
// and hostile metadata has none.
func fileName(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == '/' || r == 0x7f || r == 0xfffd {
			return '_'
		}
		return r
	}, s)
	if len(clean) > 255 {
		clean = clean[:255]
	}
	if clean == "." || clean == ".." || clean == "" {
		return "_"
	}
	return clean
}
