package ext4

import (
	"context"
	"iter"
	"strings"
)

// inlineParts is the entries of an inline directory: behind the parent's
// number in i_block, and in system.data. Their offsets are those of the inline
// data, after the 24 that . and .. would take.
func (n *inode) inlineParts(ctx context.Context) iter.Seq2[dirPart, error] {
	return func(yield func(dirPart, error) bool) {
		more, err := n.inlineMore(ctx)
		if err != nil {
			yield(dirPart{}, err)
			return
		}
		off := n.fs.inodeOffset(ctx, n.num)
		dots := n.inlineDots()
		for _, p := range [...]dirPart{
			{b: dots, at: 0, off: off},
			{b: n.raw.iBlock()[inlineParent:], at: uint64(len(dots)), off: off},
			{b: more, at: uint64(len(dots) + iBlockSize - inlineParent), off: off},
		} {
			if err := n.fs.checkDirents(p.b, p.off, n.num); err != nil {
				yield(dirPart{}, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

const (
	// inlineParent is the length of the parent's number at the start of an
	// inline directory.
	inlineParent   = 4
	inlineDataName = "data" // of the attribute system.data, without the prefix
)

// inlineDots makes the entries . and .. that an inline directory does not store.
func (n *inode) inlineDots() []byte {
	var b strings.Builder
	for _, e := range [...]struct {
		num  uint32
		name string
	}{{n.num, "."}, {u32(n.raw.iBlock(), 0), ".."}} {
		b.Write([]byte{byte(e.num), byte(e.num >> 8), byte(e.num >> 16), byte(e.num >> 24), direntMin, 0, byte(len(e.name)), 2})
		b.WriteString((e.name + "\x00\x00\x00\x00")[:4])
	}
	return []byte(b.String())
}
