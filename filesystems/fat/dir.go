package fat

import (
	"context"
	"iter"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// An item is one name of a directory.
type item struct {
	name  string   // as shown
	units []uint16 // of the long name; nil where there is only a short one
	short string   // FAT's 8.3 alias; "" in exFAT
	num   uint64   // inode number
	dir   bool
	next  int64 // byte offset in the directory behind its entries
}

// longName gathers the entries of one long name, which stand before their
// short entry with the last part first.
type longName struct {
	units  [maxLongParts * longUnits]uint16
	parts  int // in all; 0: none under way
	expect int // ordinal that must come next; 0: complete
	sum    uint8
}

func (l *longName) add(e longEntry) {
	ord := int(e.ord() &^ lastLongEntry)
	if e.ord()&lastLongEntry != 0 {
		l.parts = 0
		if ord == 0 || ord > maxLongParts {
			return
		}
		l.parts, l.expect, l.sum = ord, ord, e.chksum()
	}
	if l.parts == 0 || ord != l.expect || e.chksum() != l.sum {
		l.parts = 0
		return
	}
	l.expect--
	e.units(l.units[(ord-1)*longUnits : (ord-1)*longUnits : ord*longUnits])
}

// take gives the long name that belongs to e, and forgets it. nil where there
// is none or it is an orphan.
func (l *longName) take(e shortEntry) []uint16 {
	parts := l.parts
	l.parts = 0
	if parts == 0 || l.expect != 0 || l.sum != shortChecksum(e.name()) {
		return nil
	}
	units := l.units[:parts*longUnits]
	for i, u := range units {
		if u == 0 {
			return units[:i]
		}
	}
	return units
}

// items lists a FAT directory from byte offset from on.
func (fs *FileSystem) items(ctx context.Context, d directory, from int64) iter.Seq2[item, error] {
	if fs.ex != nil {
		return fs.exItems(ctx, d, from)
	}
	return func(yield func(item, error) bool) {
		var long longName
		for rec, err := range d.records(ctx, fs, from) {
			if err != nil {
				yield(item{}, err)
				return
			}
			if rec.b[0] == entryEnd {
				return
			}
			e := shortEntry(rec.b)
			if e[0] == entryFree {
				long.parts = 0
				continue
			}
			if e.attr()&attrLongMask == attrLongName {
				long.add(longEntry(rec.b))
				continue
			}
			units := long.take(e)
			if e.attr()&attrVolumeID != 0 {
				continue
			}
			it := item{short: fs.oem.shortName(e), num: uint64(rec.pos/entrySize) * 2,
				dir: e.attr()&attrDirectory != 0, next: rec.at + entrySize}
			it.name = it.short
			if len(units) > 0 {
				it.units, it.name = units, decodeUnits(units)
			}
			if e[0] == '.' && (it.short == "." || it.short == "..") {
				continue
			}
			if !showable(it.name) {
				// No tool can name it; what it is stays on the disk.
				fs.log.Warn("a directory entry has a name that cannot be shown", "off", rec.pos, "name", it.name)
				continue
			}
			if !yield(it, nil) {
				return
			}
		}
	}
}

// A nameIndex finds the entries of one directory by folded name.
type nameIndex struct {
	nums map[string]uint64
}

// indexMax bounds the names of one index; a directory with more is scanned.
const indexMax = 1 << 20

// key is the folded form of a name, as bytes.
func (fs *FileSystem) key(units []uint16) string {
	folded := fs.folder(make([]uint16, 0, len(units)), units)
	b := make([]byte, 0, 2*len(folded))
	for _, u := range folded {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// index makes the index of the directory that is inode num.
func (fs *FileSystem) index(ctx context.Context, num uint64, d directory) (*nameIndex, error) {
	return fs.indexes.Get(ctx, num, func(ctx context.Context) (*nameIndex, int64, error) {
		idx := &nameIndex{nums: make(map[string]uint64)}
		cost := int64(64)
		put := func(units []uint16, it item) {
			k := fs.key(units)
			if _, ok := idx.nums[k]; !ok {
				idx.nums[k] = it.num
				cost += int64(len(k)) + 64
			}
		}
		var aliases []item
		for it, err := range fs.items(ctx, d, 0) {
			if err != nil {
				return nil, 0, err
			}
			if len(idx.nums) >= indexMax {
				return nil, 0, ondisk.Unsupported("FAT directory", "more than %d names", indexMax)
			}
			units := it.units
			if units == nil {
				units, _ = encodeUnits(it.name)
			} else if it.short != "" {
				aliases = append(aliases, item{short: it.short, num: it.num})
			}
			put(units, it)
		}
		// A long name outranks another file's alias.
		for _, it := range aliases {
			if units, ok := encodeUnits(it.short); ok {
				put(units, it)
			}
		}
		return idx, cost, nil
	})
}
