package fat

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"syscall"
)

// A nameIndex finds the entries of one directory by the hash of their folded
// names, long ones and aliases. A hit is compared with the entry itself.
type nameIndex struct {
	names []indexed // in ascending order
	// rest is where in the directory those names begin that are not in the
	// index; 0 where all are.
	rest int64
	// damage is what was met on the way. The names that could be read are
	// there; of any other nothing is known.
	damage error
}

type indexed struct {
	hash uint64
	at   int64 // byte offset in the directory
}

const (
	indexBytes  = 64 << 20 // of all indexes of a volume
	indexedSize = 16
	// indexMax bounds the names of one index. What a larger directory holds
	// beyond them is scanned for each name.
	indexMax = 1 << 20
)

// key is the folded form of a name, as bytes.
func (fs *FileSystem) key(units []uint16) string {
	folded := fs.folder(make([]uint16, 0, len(units)), units)
	b := make([]byte, 0, 2*len(folded))
	for _, u := range folded {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// keys are those by which an item is found: its name's, and its alias's, which
// is "" where there is none besides the name.
func (fs *FileSystem) keys(it item) (name, alias string) {
	if it.units != nil {
		name = fs.key(it.units)
		if it.short == "" {
			return name, ""
		}
	}
	units, ok := encodeUnits(it.short)
	if !ok {
		return name, ""
	}
	if alias = fs.key(units); it.units == nil {
		return alias, ""
	}
	return name, alias
}

// index makes the index of the directory that is inode num, in one pass over
// it.
func (fs *FileSystem) index(ctx context.Context, num uint64, d directory) (*nameIndex, error) {
	return fs.indexes.Get(ctx, num, func(ctx context.Context) (*nameIndex, int64, error) {
		idx := &nameIndex{}
		for it, err := range fs.items(ctx, d, 0) {
			if isDamage(err) {
				if idx.damage == nil {
					idx.damage = err
				}
				continue
			}
			if err != nil {
				return nil, 0, err
			}
			if len(idx.names) >= indexMax {
				idx.rest = it.at
				break
			}
			name, alias := fs.keys(it)
			idx.names = append(idx.names, indexed{maphash.String(fs.seed, name), it.at})
			if alias != "" && alias != name {
				idx.names = append(idx.names, indexed{maphash.String(fs.seed, alias), it.at})
			}
		}
		idx.names = slices.Clip(idx.names)
		slices.SortStableFunc(idx.names, func(a, b indexed) int { return cmp.Compare(a.hash, b.hash) })
		return idx, 64 + indexedSize*int64(cap(idx.names)), nil
	})
}

// find answers the inode number of the entry with that name, whatever its case.
// A long name outranks another file's alias. Of several the first counts.
func (fs *FileSystem) find(ctx context.Context, num uint64, d directory, units []uint16) (uint64, error) {
	idx, err := fs.index(ctx, num, d)
	if err != nil {
		return 0, err
	}
	want := fs.key(units)
	hash := maphash.String(fs.seed, want)
	i, _ := slices.BinarySearchFunc(idx.names, hash, func(n indexed, hash uint64) int { return cmp.Compare(n.hash, hash) })
	byAlias := uint64(0)
	match := func(it item) bool {
		name, alias := fs.keys(it)
		if name != want && alias == want && byAlias == 0 {
			byAlias = it.num
		}
		return name == want
	}
	for ; i < len(idx.names) && idx.names[i].hash == hash; i++ {
		for it, err := range fs.items(ctx, d, idx.names[i].at) {
			if err != nil {
				return 0, err
			}
			if match(it) {
				return it.num, nil
			}
			break // the first is the one that was indexed
		}
	}
	if idx.rest > 0 {
		for it, err := range fs.items(ctx, d, idx.rest) {
			if isDamage(err) {
				if idx.damage == nil {
					return 0, err
				}
				continue
			}
			if err != nil {
				return 0, err
			}
			if match(it) {
				return it.num, nil
			}
		}
	}
	if byAlias != 0 {
		return byAlias, nil
	}
	if idx.damage != nil {
		return 0, idx.damage
	}
	return 0, syscall.ENOENT
}
