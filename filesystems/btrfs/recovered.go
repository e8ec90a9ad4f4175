package btrfs

import (
	"cmp"
	"slices"
	"sort"
)

// recovered is what the replay of the log changes. It does not change once the
// filesystem is open.
type recovered struct {
	edits map[uint64]map[uint64]*object // by subvolume, by objectid
	csums []sumRange                    // ascending, apart
}

// A sumRange is checksums of data that the log holds.
type sumRange struct {
	start, end uint64 // logical
	sums       []byte
}

// tidy brings the checksums in order. Where two ranges overlap they say the
// same of the same bytes, since no data is overwritten in place.
func (r *recovered) tidy(sector uint64, size int) {
	slices.SortFunc(r.csums, func(a, b sumRange) int { return cmp.Compare(a.start, b.start) })
	out := r.csums[:0]
	var end uint64
	for _, s := range r.csums {
		if s.end <= end {
			continue
		}
		if s.start < end {
			s.sums = s.sums[(end-s.start)/sector*uint64(size):]
			s.start = end
		}
		end = s.end
		out = append(out, s)
	}
	r.csums = out
}

// sums copies the checksums from logical on that the log holds, and says how
// many bytes that are.
func (r *recovered) sums(out []byte, logical uint64, g geometry) int {
	if r == nil {
		return 0
	}
	i := sort.Search(len(r.csums), func(i int) bool { return r.csums[i].start > logical }) - 1
	if i < 0 || r.csums[i].end <= logical {
		return 0
	}
	return copy(out, r.csums[i].sums[(logical-r.csums[i].start)/uint64(g.sector)*uint64(g.sum.size):])
}

// nextSum is where the log's next checksums behind logical begin; 0 where
// there are none.
func (r *recovered) nextSum(logical uint64) uint64 {
	if r == nil {
		return 0
	}
	i := sort.Search(len(r.csums), func(i int) bool { return r.csums[i].start > logical })
	if i == len(r.csums) {
		return 0
	}
	return r.csums[i].start
}
