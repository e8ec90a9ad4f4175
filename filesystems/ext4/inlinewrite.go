package ext4

import (
	"context"
	"slices"

	"github.com/guestctl/guestctl/vfs"
)

// Inline data are not written: a file or directory that is to be changed gets
// blocks of its own first, and new ones have no inline data.

// isInlineData says whether an attribute is what holds inline data.
func (a attribute) isInlineData() bool { return a.index == xattrSystem && a.name == inlineDataName }

// dropInline takes an inode's inline data away, and gives it an empty map.
func (x *tx) dropInline(ctx context.Context, n *inode) error {
	all, err := n.attributes(ctx)
	if err != nil {
		return err
	}
	n.raw.setFlags(n.raw.flags() &^ flagInlineData)
	clear(n.raw.iBlock())
	x.initExtents(n)
	return x.storeAttributes(ctx, n, slices.DeleteFunc(all, attribute.isInlineData))
}

// outlineDir gives an inline directory its first block.
func (x *tx) outlineDir(ctx context.Context, dir *inode) error {
	g := x.fs.geo
	var all []dirEntry
	for part, err := range dir.inlineParts(ctx) {
		if err != nil {
			return err
		}
		for at := 0; at < len(part.b); {
			d := dirent(part.b[at:])
			if d.inode() != 0 {
				all = append(all, dirEntry{string(d.name()), d.inode(), d.fileType()})
			}
			at += recLen(d.rawRecLen(), g.blockSize)
		}
	}
	if err := x.dropInline(ctx, dir); err != nil {
		return err
	}
	dir.raw.setSize64(0)
	b, _, err := x.appendDirBlock(ctx, dir)
	if err != nil {
		return err
	}
	g.initLeaf(b)
	for _, e := range all {
		if !g.putEntry(b, e) {
			return dir.corrupt(ctx, "the entries of the inline directory overlap")
		}
	}
	return nil
}

// outline gives a file with inline data a block for them, which is written
// home before the change that maps it. It answers the inode as it is then.
func (fs *FileSystem) outline(ctx context.Context, ino vfs.Ino, n *inode) (*inode, error) {
	if !n.flag(flagInlineData) || fs.w == nil {
		return n, nil
	}
	b := make([]byte, fs.geo.blockSize)
	data, err := n.readAll(ctx, int64(len(b)))
	if err != nil {
		return nil, err
	}
	var s span
	if copy(b, data) > 0 {
		if s, err = fs.reserveData(ctx, fs.geo.groupStart((n.num-1)/fs.geo.inodesPerGroup), 1); err != nil {
			return nil, err
		}
		if _, err := fs.w.dev.WriteAt(ctx, b, fs.at(s.start).Off); err != nil {
			fs.release(s)
			return nil, err
		}
	}
	if err := fs.mapInline(ctx, ino, s); err != nil {
		fs.release(s)
		return nil, err
	}
	return fs.iget(ctx, n.num)
}

// mapInline makes blocks that were written those of a file, in place of its
// inline data.
func (fs *FileSystem) mapInline(ctx context.Context, ino vfs.Ino, s span) error {
	x, err := fs.begin(ctx, vfs.Time{})
	if err != nil {
		return err
	}
	n, err := x.named(ctx, ino)
	if err == nil {
		err = x.dropInline(ctx, n)
	}
	if err == nil && s.len > 0 {
		if err = x.use(ctx, s); err == nil {
			x.addBlocks(n, int64(s.len))
			err = x.mapBlocks(ctx, n, mapping{0, s.len, s.start, false})
		}
	}
	if err != nil {
		x.Abort()
		return err
	}
	return x.Commit(false)
}
