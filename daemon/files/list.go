package files

import (
	"context"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/vfs"
)

// sortEntries bounds how many entries of one directory are held to be sorted;
// a larger one is given in several sorted parts.
const sortEntries = 1 << 20

// ListOptions are the choices of List.
type ListOptions struct {
	All       bool // names that begin with a dot, too
	Recursive bool
	Itself    bool // a directory itself, not what is in it
	Problem   func(error)
}

// A Listing is what List found in one directory, or the one file it was asked for.
type Listing struct {
	Dir     *Entry // nil where the path is no directory, or Itself is set
	Entries []*Entry
	More    bool // the same directory goes on with the next Listing
}

// List gives what is in the directory at path, sorted by name, and with
// Recursive what is in each one below it. A path to anything else gives that
// alone. A symlink at the end of path is not followed, unless a directory's
// contents are asked for.
func List(ctx context.Context, ns *vfs.Namespace, path string, opt ListOptions, each func(*Listing) error) error {
	from, err := Resolve(ctx, ns, path, false)
	if err != nil {
		return err
	}
	if !opt.Itself {
		if to, err := Resolve(ctx, ns, path, true); err == nil && to.isDir() {
			from = to
		}
	}
	if opt.Itself || !from.isDir() {
		from.Path = path
		return each(&Listing{Entries: []*Entry{from}})
	}
	var held []*Entry
	hidden := func(e *Entry) bool { return !opt.All && e.Depth > 0 && strings.HasPrefix(e.Name, ".") }
	walk := WalkOptions{MaxDepth: 1, Sorted: true, Skip: hidden, Chunk: func(dir *Entry, entries []*Entry, last bool) error {
		for _, e := range entries {
			if !hidden(e) {
				held = append(held, e)
			}
		}
		if !last && len(held) < sortEntries {
			return nil
		}
		slices.SortFunc(held, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
		err := each(&Listing{Dir: dir, Entries: held, More: !last})
		held = nil
		return err
	}}
	if opt.Recursive {
		walk.MaxDepth = -1
	}
	return Walk(ctx, ns, from, walk, func(e *Entry) error {
		if e.Err != nil {
			opt.Problem(e.Err)
		}
		return nil
	})
}
