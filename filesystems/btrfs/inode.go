package btrfs

import (
	"context"
	"fmt"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// An inode is the item of one, copied, and the tree in which its other items
// are.
type inode struct {
	fs      *FileSystem
	sv      *subvolume
	num     uint64
	raw     inodeItem
	noXattr bool // the leaf shows that it has no attributes
}

// emptyBit marks the number of the empty directory that stands where a
// snapshot has the entry of a subvolume that it does not contain. The rest is
// the subvolume's id. Linux counts inodes up from 256 and never comes there.
const emptyBit = 1 << 63

// Inode reads one inode.
func (fs *FileSystem) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	if ino.Num&emptyBit != 0 {
		return fs.emptyDir(ctx, ino)
	}
	n, err := fs.iget(ctx, ino)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (fs *FileSystem) iget(ctx context.Context, ino vfs.Ino) (*inode, error) {
	if ino.Num < firstFreeID || ino.Num >= emptyBit {
		return nil, syscall.ENOENT
	}
	sv, err := fs.subvolume(ctx, ino.Tree)
	if err != nil {
		return nil, err
	}
	n := &inode{fs: fs, sv: sv, num: ino.Num}
	c, err := sv.floor(ctx, key{ino.Num, inodeItemType, 0})
	if err != nil {
		return nil, err
	}
	if !c.ok || c.key != (key{ino.Num, inodeItemType, 0}) {
		return nil, syscall.ENOENT
	}
	if len(c.data) < inodeItemSize {
		return nil, n.corrupt("an item of %d bytes", len(c.data))
	}
	n.raw = append(make(inodeItem, 0, inodeItemSize), c.data[:inodeItemSize]...)
	n.noXattr = c.provesNoXattr()
	if ino.Gen != 0 && ino.Gen != n.raw.generation() {
		return nil, syscall.ESTALE
	}
	switch n.fileType() {
	case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
	default:
		return nil, n.corrupt("mode %#o", n.raw.mode())
	}
	if n.raw.size() > math.MaxInt64 {
		return nil, n.corrupt("%d bytes long", n.raw.size())
	}
	return n, nil
}

// provesNoXattr says that the block with the inode's item shows that none of
// its attributes follows. It stands on that item.
func (c *cursor) provesNoXattr() bool {
	num := c.key.id
	if c.obj != nil {
		return len(c.obj.of(xattrItemType)) == 0
	}
	leaf := c.path[0].n
	for i := c.path[0].slot + 1; i < leaf.count(); i++ {
		if k := leaf.key(i); k.id != num || k.typ > xattrItemType {
			return true
		} else if k.typ == xattrItemType {
			return false
		}
	}
	return false
}

func (n *inode) fileType() uint32 { return n.raw.mode() & syscall.S_IFMT }
func (n *inode) size() int64      { return int64(n.raw.size()) }

// tree is the number under which the inode's subvolume is shown.
func (n *inode) tree() uint64 {
	if n.sv.id == n.fs.main {
		return 0
	}
	return n.sv.id
}

// Ino names the inode with its generation.
func (n *inode) Ino() vfs.Ino {
	return vfs.Ino{Tree: n.tree(), Num: n.num, Gen: n.raw.generation()}
}

// corrupt is the error for damage in the items of an inode.
func (n *inode) corrupt(format string, args ...any) error {
	return ondisk.Corrupt(fmt.Sprintf("btrfs inode %d of subvolume %d", n.num, n.sv.id), int64(n.sv.root.bytenr), format, args...)
}
