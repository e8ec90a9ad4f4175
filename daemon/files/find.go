package files

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/vfs"
)

// A Range is what a number may be, both ends included.
type Range struct{ Min, Max int64 }

// Has says whether n is in the range.
func (r Range) Has(n int64) bool { return r.Min <= n && n <= r.Max }

// ParseSize reads a size as find takes it: "10M" exactly, "+10M" more, "-10M"
// less; k, M, G and T are powers of 1024 bytes, and b or nothing is bytes.
func ParseSize(s string) (Range, error) {
	number := strings.TrimLeft(s, "+-")
	shift := 0
	if i := len(number) - 1; i > 0 {
		switch number[i] {
		case 'k', 'K':
			shift = 10
		case 'M':
			shift = 20
		case 'G':
			shift = 30
		case 'T':
			shift = 40
		case 'b', 'c', 'B':
		default:
			i++
		}
		number = number[:i]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift || len(s)-len(strings.TrimLeft(s, "+-")) > 1 {
		return Range{}, fmt.Errorf("size %q: write a number of bytes, or with k, M, G or T; + in front for more, - for less", s)
	}
	return signed(s, n<<shift, math.MinInt64), nil
}

// ParseAge reads an age as a range of times of modification: "7d" exactly that
// many days ago (as find rounds, down to whole days), "+7d" longer ago, "-7d"
// more recently; m, h, d and w are minutes to weeks, and days are meant without.
// The times are nanoseconds since 1970, seen from now.
func ParseAge(s string, now time.Time) (Range, error) {
	number := strings.TrimLeft(s, "+-")
	unit := 24 * time.Hour
	if i := len(number) - 1; i > 0 {
		switch number[i] {
		case 'm':
			unit = time.Minute
		case 'h':
			unit = time.Hour
		case 'd':
		case 'w':
			unit = 7 * 24 * time.Hour
		default:
			i++
		}
		number = number[:i]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<20 || len(s)-len(number) > 2 || strings.Count(s, "+")+strings.Count(s, "-") > 1 {
		return Range{}, fmt.Errorf("age %q: write a number of days, or with m, h, d or w; + in front for older, - for newer", s)
	}
	if n > int64(math.MaxInt64/2/unit) {
		return Range{}, fmt.Errorf("age %q is longer than time is recorded", s)
	}
	// find rounds an age down to whole units.
	ages := signed(s, n, 0)
	latest := now.UnixNano() - ages.Min*int64(unit)
	if ages.Min <= 0 {
		latest = math.MaxInt64
	}
	if ages.Max == math.MaxInt64 {
		return Range{math.MinInt64, latest}, nil
	}
	return Range{now.UnixNano() - (ages.Max+1)*int64(unit) + 1, latest}, nil
}

func signed(s string, n, least int64) Range {
	switch s[0] {
	case '+':
		return Range{n + 1, math.MaxInt64}
	case '-':
		return Range{least, n - 1}
	}
	return Range{n, n}
}

// FindOptions are the choices of Find. An entry is found where it meets all
// that are given.
type FindOptions struct {
	Names    []*Glob  // its name is one of these
	Paths    []*Glob  // its path is one of these
	Types    []uint32 // S_IFMT bits
	Size     []Range  // bytes; all of them
	Mtime    []Range  // nanoseconds since 1970; all of them
	MinDepth int
	MaxDepth int // negative: all
	Problem  func(error)
}

// ParseTypes reads letters as find's -type: "f,l".
func ParseTypes(s string) ([]uint32, error) {
	letters := map[string]uint32{"f": syscall.S_IFREG, "d": syscall.S_IFDIR, "l": syscall.S_IFLNK, "c": syscall.S_IFCHR,
		"b": syscall.S_IFBLK, "p": syscall.S_IFIFO, "s": syscall.S_IFSOCK}
	var types []uint32
	for l := range strings.SplitSeq(s, ",") {
		t, ok := letters[l]
		if !ok {
			return nil, fmt.Errorf("type %q: write letters of f d l c b p s, with commas between them", s)
		}
		types = append(types, t)
	}
	return types, nil
}

// Find gives what is at and below path and meets the options, in the order of
// Walk. A symlink at path is followed.
func Find(ctx context.Context, ns *vfs.Namespace, path string, opt FindOptions, each func(*Entry) error) error {
	from, err := Resolve(ctx, ns, path, true)
	if err != nil {
		return err
	}
	return Walk(ctx, ns, from, WalkOptions{MaxDepth: opt.MaxDepth}, func(e *Entry) error {
		if e.Err != nil {
			opt.Problem(e.Err)
			return nil
		}
		if !opt.meets(e) {
			return nil
		}
		return each(e)
	})
}

func (o *FindOptions) meets(e *Entry) bool {
	in := func(n int64) func(Range) bool { return func(r Range) bool { return !r.Has(n) } }
	matches := func(s string) func(*Glob) bool { return func(g *Glob) bool { return g.Match(s) } }
	return e.Depth >= o.MinDepth &&
		(len(o.Names) == 0 || slices.ContainsFunc(o.Names, matches(e.Name))) &&
		(len(o.Paths) == 0 || slices.ContainsFunc(o.Paths, matches(e.Path))) &&
		(len(o.Types) == 0 || slices.Contains(o.Types, e.Type())) &&
		!slices.ContainsFunc(o.Size, in(e.Attr.Size)) &&
		!slices.ContainsFunc(o.Mtime, in(nanoseconds(e.Attr.Mtime)))
}

// nanoseconds since 1970; a time beyond the 292 years of an int64 is its end.
func nanoseconds(t vfs.Time) int64 {
	switch {
	case t.Sec > math.MaxInt64/1_000_000_000-1:
		return math.MaxInt64
	case t.Sec < math.MinInt64/1_000_000_000+1:
		return math.MinInt64
	}
	return t.Sec*1e9 + int64(t.Nsec)
}
