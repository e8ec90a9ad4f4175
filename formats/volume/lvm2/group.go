package lvm2

import (
	"fmt"
	"math"
	"strings"
)

// maxExtents bounds extents and their counts, so that sums of a few fit.
const maxExtents = 1 << 40

// maxExtentSectors is the largest extent; lvm2 counts its sectors in 32 bits.
// Products with counts of extents may overflow: builder.length.
const maxExtentSectors = math.MaxUint32

// A group is a volume group, as one copy of the metadata has it.
type group struct {
	name   string
	uuid   string
	seqno  int64
	extent int64 // bytes
	pvs    map[string]physical
	lvs    map[string]*logical
	order  []string // of lvs, as in the text
	sorted []string // names of pvs, as in the text
}

// A physical is what the metadata says of a physical volume.
type physical struct {
	uuid    string
	device  string // where it was last seen by the guest: a hint
	start   int64  // bytes before the first extent
	extents int64
	missing bool // it was lost, and what it has is old
}

// A logical is a logical volume.
type logical struct {
	name     string
	uuid     string
	visible  bool
	extents  int64
	segments []segment
	section  *section
}

// A segment is extents of a logical volume with one mapping.
type segment struct {
	start, count int64 // extents
	kind         string
	*section
}

func parseGroup(root *section) (*group, error) {
	var s *section
	for _, p := range root.parts {
		if p.values["seqno"].number != 0 || p.values["extent_size"].number != 0 {
			s = p
			break
		}
	}
	if s == nil {
		return nil, fmt.Errorf("it has no volume group")
	}
	g := &group{name: s.name, uuid: s.text("id"), seqno: s.number("seqno"), pvs: map[string]physical{}, lvs: map[string]*logical{}}
	sectors := s.number("extent_size")
	if sectors <= 0 || sectors > maxExtentSectors {
		return nil, fmt.Errorf("extents of %d sectors", sectors)
	}
	g.extent = sectors * sector
	for _, p := range s.part("physical_volumes").parts {
		start, count := p.number("pe_start"), p.number("pe_count")
		if start < 0 || start > math.MaxInt64/2/sector || count < 0 || count > maxExtents {
			return nil, fmt.Errorf("physical volume %.128q starts at sector %d and has %d extents", p.name, start, count)
		}
		g.pvs[p.name] = physical{uuid: p.text("id"), device: p.text("device"), start: start * sector, extents: count, missing: p.has("flags", "MISSING")}
		g.sorted = append(g.sorted, p.name)
	}
	for _, p := range s.part("logical_volumes").parts {
		v, err := parseLogical(p)
		if err != nil {
			return nil, fmt.Errorf("logical volume %.128q: %w", p.name, err)
		}
		if g.lvs[v.name] == nil {
			g.order = append(g.order, v.name)
		}
		g.lvs[v.name] = v
	}
	return g, nil
}

func parseLogical(s *section) (*logical, error) {
	v := &logical{name: s.name, uuid: s.text("id"), visible: s.has("status", "VISIBLE"), section: s}
	for _, p := range s.parts {
		if p.values["extent_count"].number == 0 {
			continue
		}
		seg := segment{start: p.number("start_extent"), count: p.number("extent_count"), kind: kindOf(p.text("type")), section: p}
		if seg.start != v.extents || seg.count < 0 || seg.count > maxExtents || v.extents > maxExtents {
			return nil, fmt.Errorf("a segment of %d extents at %d, not at %d", seg.count, seg.start, v.extents)
		}
		v.extents += seg.count
		v.segments = append(v.segments, seg)
	}
	return v, nil
}

// kindOf is a segment's type without the flags behind it that change nothing
// here. With another one the type stays as it is written, and is not supported:
// LVM adds them so that who does not know them leaves the volume alone.
func kindOf(typ string) string {
	kind, flags, _ := strings.Cut(typ, "+")
	for f := range strings.SplitSeq(flags, "+") {
		switch f {
		case "", "METADATA_FORMAT", "CACHE_USES_CACHEVOL", "CROP_METADATA":
		default:
			return typ
		}
	}
	return kind
}

// An extentOf is where a part of a segment begins: a physical or logical volume
// and an extent of it.
type extentOf struct {
	volume string
	extent int64
}

// pairs reads a list of volumes each with an extent.
func (s segment) pairs(name string) ([]extentOf, error) {
	list := s.values[name].list
	if len(list) == 0 || len(list)%2 != 0 {
		return nil, fmt.Errorf("%q is no list of volumes and extents", name)
	}
	var pairs []extentOf
	for i := 0; i < len(list); i += 2 {
		if !list[i].isText || list[i+1].isText || list[i+1].number < 0 || list[i+1].number > maxExtents {
			return nil, fmt.Errorf("%q is no list of volumes and extents", name)
		}
		pairs = append(pairs, extentOf{list[i].text, list[i+1].number})
	}
	return pairs, nil
}
