package fat

import (
	"context"
	"iter"
	"slices"
)

// An item is one name of a directory.
type item struct {
	name  string   // as shown
	units []uint16 // of the long name; nil where there is only a short one
	short string   // FAT's 8.3 alias; "" in exFAT
	num   uint64   // inode number
	dir   bool
	at    int64 // byte offset in the directory of its first entry
	next  int64 // and behind its last
}

// longName gathers the entries of one long name, which stand before their
// short entry with the last part first.
type longName struct {
	units  [maxLongParts * longUnits]uint16
	parts  int // in all; 0: none under way
	expect int // ordinal that must come next; 0: complete
	sum    uint8
	at     int64 // where the first entry is
}

func (l *longName) add(e longEntry, at int64) {
	ord := int(e.ord() &^ lastLongEntry)
	if e.ord()&lastLongEntry != 0 {
		l.parts = 0
		if ord == 0 || ord > maxLongParts {
			return
		}
		l.parts, l.expect, l.sum, l.at = ord, ord, e.chksum(), at
	}
	if l.parts == 0 || ord != l.expect || e.chksum() != l.sum {
		l.parts = 0
		return
	}
	l.expect--
	e.units(l.units[(ord-1)*longUnits : (ord-1)*longUnits : ord*longUnits])
}

// take gives the long name that belongs to e, and forgets it. nil where there
// is none, or it is an orphan, or longer than a name may be.
func (l *longName) take(e shortEntry) []uint16 {
	parts := l.parts
	l.parts = 0
	if parts == 0 || l.expect != 0 || l.sum != shortChecksum(e.name()) {
		return nil
	}
	units := l.units[:parts*longUnits]
	if end := slices.Index(units, 0); end >= 0 {
		units = units[:end]
	}
	if len(units) > nameUnits {
		return nil
	}
	return units
}

// items lists a directory from byte offset from on. After an error that is an
// entry's own, and no more, it goes on where the caller does.
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
				long.add(longEntry(rec.b), rec.at)
				continue
			}
			units := long.take(e)
			if e.attr()&attrVolumeID != 0 {
				continue
			}
			it := item{short: fs.oem.shortName(e), num: uint64(rec.pos/entrySize) * 2,
				dir: e.attr()&attrDirectory != 0, at: rec.at, next: rec.at + entrySize}
			it.name = it.short
			if len(units) > 0 {
				it.units, it.name, it.at = units, decodeUnits(units), long.at
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
