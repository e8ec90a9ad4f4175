package vfs

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// treeCacheBytes bounds the inodes a Tree keeps, by inodeCost.
const treeCacheBytes = 16 << 20

// inodeCost is what one cached inode is taken to cost, in bytes.
const inodeCost = 512

// A Tree is an attached FileSystem with the cache of its inodes, where it is
// read-only, or else with their locks.
type Tree struct {
	name    string
	fs      FileSystem
	root    Ino
	nameMax int
	inodes  *block.Cache[inodeKey, Inode]
	w       *writable // nil where the FileSystem is read-only
}

// inodeKey leaves the generation out: Lookup may not know it.
type inodeKey struct{ tree, num uint64 }

// NewTree attaches fs under the name of its volume, which errors show. A
// FileSystem that is open for writing has one Tree only: it has the locks.
func NewTree(name string, fs FileSystem) *Tree {
	info := fs.Info()
	t := &Tree{name: name, fs: fs, root: fs.Root(), nameMax: info.NameMax}
	if c, ok := fs.(Changer); ok && !info.ReadOnly {
		t.w = newWritable(c)
	} else {
		t.inodes = block.NewCache[inodeKey, Inode](treeCacheBytes)
	}
	return t
}

// Another is a Tree of the same FileSystem under a name of its own, for another
// Namespace. It shares the cache and the locks.
func (t *Tree) Another(name string) *Tree {
	a := *t
	a.name = name
	return &a
}

// Below is Another that shows the FileSystem from the directory root on: a
// subvolume by itself.
func (t *Tree) Below(name string, root Ino) *Tree {
	a := t.Another(name)
	a.root = root
	return a
}

// Name is the volume's: "sda2".
func (t *Tree) Name() string { return t.name }

// CacheStats say how the cache of inodes does.
func (t *Tree) CacheStats() block.CacheStats {
	if t.inodes == nil {
		return block.CacheStats{}
	}
	return t.inodes.Stats()
}

// FileSystem is what is attached.
func (t *Tree) FileSystem() FileSystem { return t.fs }

// Writable says whether the FileSystem is open for writing.
func (t *Tree) Writable() bool { return t.w != nil }

// Removals counts the names that were taken away or given to something else:
// as long as it stays the same, every name that was listed is still right.
func (t *Tree) Removals() uint64 {
	if t.w == nil {
		return 0
	}
	return t.w.removals.Load()
}

// Inode gives the inode that ino names, from the cache or the FileSystem. A
// generation other than the inode's, where ino states one, is ESTALE. The
// generation is compared here, since the cache leaves it out. The inode of a
// writable Tree has the attributes of now, and everything else of when it is
// asked.
func (t *Tree) Inode(ctx context.Context, ino Ino) (Inode, error) {
	if t.w != nil {
		f, err := t.fs.Inode(ctx, ino)
		if err != nil {
			return nil, &OpError{Op: "read inode", Volume: t.name, Ino: ino, Err: err}
		}
		return &liveInode{Inode: f, t: t}, nil
	}
	f, err := t.inodes.Get(ctx, inodeKey{ino.Tree, ino.Num}, func(ctx context.Context) (Inode, int64, error) {
		f, err := t.fs.Inode(ctx, Ino{Tree: ino.Tree, Num: ino.Num})
		return f, inodeCost, err
	})
	if err == nil && ino.Gen != 0 && f.Ino().Gen != ino.Gen {
		err = syscall.ESTALE
	}
	if err != nil {
		return nil, &OpError{Op: "read inode", Volume: t.name, Ino: ino, Err: err}
	}
	return f, nil
}

// Prefetch reads the metadata of inos at once where the FileSystem can.
func (t *Tree) Prefetch(ctx context.Context, inos []Ino) {
	if p, ok := t.fs.(Prefetcher); ok {
		p.Prefetch(ctx, inos)
	}
}

// An OpError says what was tried, on which inode of which volume.
type OpError struct {
	Op     string
	Volume string
	Ino    Ino
	Err    error
}

func (e *OpError) Error() string {
	return fmt.Sprintf("%s %d of %s: %v", e.Op, e.Ino.Num, e.Volume, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }
