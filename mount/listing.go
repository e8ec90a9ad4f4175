package mount

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// windowSize is how many entries are sorted and kept together. It is a part of what an offset in a directory means,
	// and bounds the memory that one listing takes: about 10 MB.
	windowSize = 128 << 10
	// maxWindows bounds the entries of a directory that are shown: eight billion.
	maxWindows = 64 << 10
	// listingBytes bounds all windows kept.
	listingBytes = 8 << 20
	// cursorBytes bounds the places where windows start.
	cursorBytes = 1 << 20
	// prefetchAhead is how many inodes are read at once before the kernel asks for the first.
	prefetchAhead = 4096
)

// listings keeps what directories hold, as windows of entries in the order of their inode numbers, in which their
// attributes lie on the disk. An entry's offset is its position: the image does not change, so that a window which was
// thrown away is made again as it was, and telldir(3)'s places hold for as long as the mount.
type listings struct {
	m       *fileSystem
	size    int // entries of a window: windowSize
	windows *block.Cache[windowKey, *window]
	cursors *block.Cache[windowKey, vfs.Cursor] // where window k > 0 starts
}

type windowKey struct {
	dir   uint64 // the directory's node id
	index uint64
}

// A window is a part of a directory. All but the marks stays as it is.
type window struct {
	names   string // all names on end
	entries []windowEntry
	next    vfs.Cursor // where the next window starts
	last    bool       // there is none

	removals uint64 // of the tree, when the window was made

	fetched atomic.Int32 // inodes of the entries before this one were read ahead
	scouted atomic.Bool  // by the scout, and no listing began since
	pushed  pushState    // the pusher's own
}

type windowEntry struct {
	ino  vfs.Ino
	name uint32 // offset in names
	len  uint16
	typ  uint8 // S_IFMT bits, shifted
}

func (w *window) name(i int) string {
	e := &w.entries[i]
	return w.names[e.name : e.name+uint32(e.len)]
}

func newListings(m *fileSystem) *listings {
	return &listings{m: m, size: windowSize,
		windows: block.NewCache[windowKey, *window](listingBytes),
		cursors: block.NewCache[windowKey, vfs.Cursor](cursorBytes)}
}

// window is window k of a directory: nil where it ends before. With an error it is what could be read before the
// error.
func (l *listings) window(id uint64, dir vfs.Node, k uint64) (*window, error) {
	if k >= maxWindows {
		return nil, nil // an offset that was never given out
	}
	if w, ok := l.windows.Peek(windowKey{id, k}); ok {
		return w, nil
	}
	var from vfs.Cursor
	i := k
	for ; i > 0; i-- {
		c, ok := l.cursors.Peek(windowKey{id, i})
		if ok {
			from = c
			break
		}
	}
	for ; ; i++ {
		w, err := l.windows.Get(l.m.ctx, windowKey{id, i}, func(ctx context.Context) (*window, int64, error) {
			w, err := l.read(ctx, dir, from)
			return w, w.cost(), err
		})
		if i == k || err != nil {
			if i < k {
				return nil, err
			}
			return w, err
		}
		if w.last {
			return nil, nil
		}
		l.cursors.Add(windowKey{id, i + 1}, w.next, int64(64+len(w.next.Name)))
		from = w.next
	}
}

// read makes the window that starts at from.
func (l *listings) read(ctx context.Context, dir vfs.Node, from vfs.Cursor) (*window, error) {
	w := &window{last: true, removals: dir.Tree.Removals()}
	var names strings.Builder
	var failed error
	for e, err := range l.m.ns.Entries(ctx, dir, from) {
		if err != nil {
			failed = err
			break
		}
		if len(w.entries) == l.size {
			w.last = false
			break
		}
		w.next = e.Next
		if !listable(e.Name) {
			l.m.faults.log("a name that cannot be listed is left out", "volume", dir.Tree.Name(), "directory", dir.Ino.Num, "name", e.Name)
			continue
		}
		w.entries = append(w.entries, windowEntry{e.Ino, uint32(names.Len()), uint16(len(e.Name)), uint8(e.Type >> 12)})
		names.WriteString(e.Name)
	}
	w.names = names.String()
	w.entries = slices.Clip(w.entries)
	slices.SortStableFunc(w.entries, func(a, b windowEntry) int {
		if c := cmp.Compare(a.ino.Tree, b.ino.Tree); c != 0 {
			return c
		}
		return cmp.Compare(a.ino.Num, b.ino.Num)
	})
	return w, failed
}

func (w *window) cost() int64 { return int64(256 + len(w.names) + 32*len(w.entries)) }

// prefetch reads the inodes of the entries from one on in bulk, where that was not done since the listing began.
func (l *listings) prefetch(dir vfs.Node, w *window, from int) {
	if (from > 0 || w.scouted.Swap(false)) && from < int(w.fetched.Load()) {
		return
	}
	end := min(from+prefetchAhead, len(w.entries))
	w.fetched.Store(int32(end))
	if end-from < 2 {
		return
	}
	inos := make([]vfs.Ino, 0, end-from)
	for i := from; i < end; i++ {
		inos = append(inos, w.entries[i].ino)
	}
	dir.Tree.Prefetch(l.m.ctx, inos)
}
