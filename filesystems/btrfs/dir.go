package btrfs

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// nameHash is the hash of names in directories and of attributes: CRC-32C,
// begun with ^1 and not inverted.
func nameHash(name string) uint64 { return uint64(ondisk.CRC32C(^uint32(1), []byte(name))) }

var errEntry = errors.New("an entry that does not fit its item")

// entryAt is the first entry of an item; nil where it does not fit.
func entryAt(data []byte) dirItem {
	d := dirItem(data)
	if len(d) < dirItemSize || len(d) < d.size() {
		return nil
	}
	return d[:d.size()]
}

// findEntry finds a name among the entries of an item; nil where it is not
// there.
func findEntry(data []byte, name string) (dirItem, error) {
	for len(data) > 0 {
		d := entryAt(data)
		if d == nil {
			return nil, errEntry
		}
		if string(d.name()) == name {
			return d, nil
		}
		data = data[len(d):]
	}
	return nil, nil
}

// Lookup finds a name by its hash.
func (n *inode) Lookup(ctx context.Context, name string) (vfs.Ino, error) {
	if n.fileType() != syscall.S_IFDIR {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	data, ok, err := n.sv.get(ctx, key{n.num, dirItemType, nameHash(name)})
	if err != nil {
		return vfs.Ino{}, err
	}
	if !ok {
		return vfs.Ino{}, syscall.ENOENT
	}
	d, err := findEntry(data, name)
	if err != nil {
		return vfs.Ino{}, n.corrupt("the name %q: %v", name, err)
	}
	if d == nil {
		return vfs.Ino{}, syscall.ENOENT
	}
	return n.target(ctx, d)
}

// target is what an entry leads to: an inode of this subvolume, or the root of
// another one.
func (n *inode) target(ctx context.Context, d dirItem) (vfs.Ino, error) {
	switch at := d.location(); {
	case at.typ == inodeItemType && at.id >= firstFreeID && at.id < emptyBit:
		return vfs.Ino{Tree: n.tree(), Num: at.id}, nil
	case at.typ == rootItemType && isSubvolume(at.id):
		inside, err := n.contains(ctx, at.id, d.name())
		if err != nil {
			return vfs.Ino{}, err
		}
		if !inside {
			return vfs.Ino{Tree: n.tree(), Num: emptyBit | at.id}, nil
		}
		ino := vfs.Ino{Tree: at.id, Num: firstFreeID}
		if at.id == n.fs.main {
			ino.Tree = 0
		}
		return ino, nil
	default:
		return vfs.Ino{}, n.corrupt("the name %q leads to (%d %d %d)", d.name(), at.id, at.typ, at.off)
	}
}

// contains says whether the subvolume id is at the name in this directory. A
// snapshot has the entries of the subvolumes that were in its source, which it
// does not contain.
func (n *inode) contains(ctx context.Context, id uint64, name []byte) (bool, error) {
	data, ok, err := n.fs.roots.get(ctx, key{n.sv.id, rootRefType, id})
	if err != nil || !ok {
		return false, err
	}
	ref := rootRef(data)
	if len(ref) < rootRefSize || len(ref) < rootRefSize+ref.nameLen() {
		return false, n.corrupt("the reference to subvolume %d has %d bytes", id, len(ref))
	}
	return ref.dirid() == n.num && bytes.Equal(ref.name(), name), nil
}

// Entries lists a directory by index, in the order in which the names were
// added. Cursor.Off is one more than the index.
func (n *inode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if n.fileType() != syscall.S_IFDIR {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		c, err := n.sv.floor(ctx, key{n.num, dirIndexType, after.Off})
		c.ahead = true
		if err == nil && (!c.ok || c.key != key{n.num, dirIndexType, after.Off}) {
			err = c.next(ctx)
		}
		for ; err == nil && c.ok && c.key.id == n.num && c.key.typ == dirIndexType && c.key.off < math.MaxUint64; err = c.next(ctx) {
			e, problem := n.entry(ctx, &c)
			if !yield(e, problem) || problem != nil {
				return
			}
		}
		if err != nil {
			yield(vfs.Entry{}, err)
		}
	}
}

// entry is the entry that c stands on.
func (n *inode) entry(ctx context.Context, c *cursor) (vfs.Entry, error) {
	d := entryAt(c.data)
	if d == nil {
		return vfs.Entry{}, n.corrupt("index %d: %v", c.key.off, errEntry)
	}
	if badName(d.name()) {
		return vfs.Entry{}, n.corrupt("index %d: the name %q", c.key.off, d.name())
	}
	ino, err := n.target(ctx, d)
	if err != nil {
		return vfs.Entry{}, err
	}
	return vfs.Entry{Name: string(d.name()), Ino: ino, Type: entryType(d.typ()), Next: vfs.Cursor{Off: c.key.off + 1}}, nil
}

// badName says whether a name is none to anybody.
func badName(name []byte) bool {
	return len(name) == 0 || len(name) > nameMax || string(name) == "." || string(name) == ".." || bytes.ContainsAny(name, "/\x00")
}

func entryType(t uint8) uint32 {
	switch t {
	case entryRegular:
		return syscall.S_IFREG
	case entryDir:
		return syscall.S_IFDIR
	case entryChar:
		return syscall.S_IFCHR
	case entryBlock:
		return syscall.S_IFBLK
	case entryFIFO:
		return syscall.S_IFIFO
	case entrySocket:
		return syscall.S_IFSOCK
	case entrySymlink:
		return syscall.S_IFLNK
	}
	return 0
}
