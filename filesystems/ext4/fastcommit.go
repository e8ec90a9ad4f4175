package ext4

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// replayFastCommits applies the fast commits that follow the last transaction
// of the journal to fs.edits, tag by tag, as the kernel's replay does:
//
//   - INODE: the logged bytes replace the inode's but for its map, which is
//     that of the journal's state plus ADD_RANGE and DEL_RANGE. Inline data is
//     replaced too.
//   - ADD_RANGE and DEL_RANGE: the range has this map, or none.
//   - CREAT, LINK, UNLINK: the directory has the name or has not, and the
//     inode a link more or less. A name that is there already, or is not, is
//     left as it is. An inode that loses its last link is gone.
//
// Fast commits do not log directories: their times and sizes stay those of the
// last transaction, where the kernel's replay sets the times to its own.
func (fs *FileSystem) replayFastCommits(ctx context.Context, j *jbd2.Journal) error {
	area, ok := j.FastCommits()
	if !ok {
		return nil
	}
	tags, torn, err := readFastCommits(ctx, area, fs.geo.blockSize, fs.geo.inodeSize, j.Next())
	if err != nil {
		return err
	}
	if torn != "" {
		fs.replay.Torn = torn
		fs.log.WarnContext(ctx, "ext4: torn fast commit", slog.String("detail", torn))
	}
	if len(tags) == 0 {
		return nil
	}
	fs.edits = newEdits()
	for _, t := range tags {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fs.applyTag(ctx, t); err != nil {
			return fmt.Errorf("fast commit of transaction %d, tag %d at byte %d of the area: %w", j.Next(), t.kind, t.off, err)
		}
	}
	fs.edits.finish()
	fs.log.InfoContext(ctx, "ext4: fast commits replayed into memory", slog.Int("tags", len(tags)))
	return nil
}

func (fs *FileSystem) applyTag(ctx context.Context, t fcTag) error {
	switch t.kind {
	case fcInode:
		return fs.applyInode(ctx, t)
	case fcAddRange:
		return fs.applyAddRange(ctx, t)
	case fcDelRange:
		return fs.applyDelRange(ctx, t)
	}
	dir, num, name := t.parent(), t.child(), t.name()
	n, err := fs.fcInode(ctx, num)
	if err != nil {
		return err
	}
	if n == nil {
		if t.kind == fcCreat {
			return ondisk.Corrupt("ext4 fast commit", t.off, "CREAT of %q: inode %d is not in use", name, num)
		}
		return nil
	}
	parent, err := fs.fcInode(ctx, dir)
	if err != nil {
		return err
	}
	if parent == nil || parent.fileType() != syscall.S_IFDIR {
		return nil
	}
	switch t.kind {
	case fcCreat:
		return fs.applyCreat(ctx, n, parent, name)
	case fcLink:
		_, err := fs.link(ctx, n, parent, name)
		return err
	}
	return fs.applyUnlink(ctx, n, parent, name)
}

// fcInode reads an inode that a tag names; nil where it is not in use.
func (fs *FileSystem) fcInode(ctx context.Context, num uint32) (*inode, error) {
	n, err := fs.iget(ctx, num)
	switch damage := (*ondisk.CorruptError)(nil); {
	case errors.Is(err, syscall.ENOENT), errors.As(err, &damage):
		// A damaged inode is as good as none to the kernel's replay; the next who reads it says so.
		return nil, nil
	case err != nil:
		return nil, err
	case n.raw.links() == 0 || n.raw.mode() == 0:
		return nil, nil
	}
	return n, nil
}

// editable gives the bytes of an inode to be changed.
func (fs *FileSystem) editable(ctx context.Context, num uint32) (rawInode, error) {
	if raw, ok := fs.edits.inode(num); ok {
		return raw, nil
	}
	home, err := fs.homeInode(ctx, num)
	if err != nil {
		return nil, err
	}
	raw := append(rawInode(nil), home...)
	fs.edits.inodes[num] = raw
	return raw, nil
}

// applyInode is the tag INODE.
func (fs *FileSystem) applyInode(ctx context.Context, t fcTag) error {
	num := t.ino()
	if num == 0 || num > fs.geo.inodes {
		return ondisk.Corrupt("ext4 fast commit", t.off, "INODE %d of %d", num, fs.geo.inodes)
	}
	raw, err := fs.editable(ctx, num)
	if damage := (*ondisk.CorruptError)(nil); errors.As(err, &damage) && damage.Checksum {
		// What stands in a table that was never used is no inode.
		raw, err = make(rawInode, fs.geo.inodeSize), nil
		fs.edits.inodes[num] = raw
	}
	if err != nil {
		return err
	}
	if raw.links() == 0 {
		fs.edits.usedInodes++
	}
	logged := rawInode(t.raw())
	raw.takeLogged(logged)
	switch {
	case raw.flags()&flagExtents != 0:
		if extentNode(raw.iBlock()).magic() != extentMagic {
			extentNode(raw.iBlock()).setEmpty()
			fs.forget(num)
		}
	case raw.flags()&flagInlineData != 0 || raw.mode()&syscall.S_IFMT != syscall.S_IFREG && raw.mode()&syscall.S_IFMT != syscall.S_IFDIR:
		// Inline data, a symlink's target, a device's number.
		copy(raw.iBlock(), logged.iBlock())
	}
	return nil
}

// forget makes an inode one without blocks.
func (fs *FileSystem) forget(num uint32) {
	m := fs.edits.maps[num]
	if m == nil {
		m = &editMap{}
		fs.edits.maps[num] = m
	}
	m.changes = nil
}

// fcMap gives the changes of an inode's map, which begin with its own map.
func (fs *FileSystem) fcMap(ctx context.Context, n *inode) (*editMap, error) {
	if m := fs.edits.maps[n.num]; m != nil {
		return m, nil
	}
	m := &editMap{}
	for lblk := uint64(0); lblk < maxLogical; {
		r, err := n.runAt(ctx, lblk)
		if err != nil {
			return nil, err
		}
		r.len = min(r.len, maxLogical-lblk)
		if !r.hole() {
			m.changes = append(m.changes, editExtent{uint32(lblk), r.len, r.start, r.unwritten})
			m.home += int64(r.len)
		}
		lblk += r.len
	}
	fs.edits.maps[n.num] = m
	return m, nil
}

// applyAddRange is the tag ADD_RANGE.
func (fs *FileSystem) applyAddRange(ctx context.Context, t fcTag) error {
	n, err := fs.fcInode(ctx, t.ino())
	if n == nil || err != nil {
		return err
	}
	x := editExtent{file: t.extentBlock(), blocks: uint64(t.extentLength()), start: t.extentStart()}
	if x.blocks > extentMaxLen {
		x.blocks, x.unwritten = x.blocks-extentMaxLen, true
	}
	if x.blocks == 0 || x.end() > maxLogical || x.start <= fs.geo.firstBlock || x.start > fs.geo.blocks-x.blocks {
		return ondisk.Corrupt("ext4 fast commit", t.off, "ADD_RANGE of inode %d: %d blocks at %d of the file, at %d of %d", n.num, x.blocks, x.file, x.start, fs.geo.blocks)
	}
	m, err := fs.fcMap(ctx, n)
	if err == nil {
		m.changes = append(m.changes, x)
	}
	return err
}

// applyDelRange is the tag DEL_RANGE.
func (fs *FileSystem) applyDelRange(ctx context.Context, t fcTag) error {
	n, err := fs.fcInode(ctx, t.ino())
	if n == nil || err != nil || t.rangeLength() == 0 {
		return err
	}
	x := editExtent{file: t.rangeBlock(), blocks: uint64(t.rangeLength())}
	x.blocks = min(x.blocks, maxLogical-uint64(x.file))
	m, err := fs.fcMap(ctx, n)
	if err == nil {
		m.changes = append(m.changes, x)
	}
	return err
}

// applyCreat is the tag CREAT.
func (fs *FileSystem) applyCreat(ctx context.Context, n, parent *inode, name string) error {
	if n.fileType() == syscall.S_IFDIR {
		// A directory without anything in it, of one block that the replay would choose.
		raw, err := fs.editable(ctx, n.num)
		if err != nil {
			return err
		}
		raw.setFlags(raw.flags() &^ (flagIndex | flagInlineData))
		raw.setSize(uint32(fs.geo.blockSize))
		fs.forget(n.num)
		delete(fs.edits.dirs, n.num)
	}
	if _, err := fs.link(ctx, n, parent, name); err != nil {
		return err
	}
	raw, err := fs.editable(ctx, n.num)
	if err != nil {
		return err
	}
	raw.setLinks(1)
	return nil
}

// link gives n a name, unless there is one already.
func (fs *FileSystem) link(ctx context.Context, n, parent *inode, name string) (made bool, err error) {
	have, err := fs.fcLookup(ctx, parent, name)
	if err != nil || have != 0 {
		return false, err
	}
	raw, err := fs.editable(ctx, n.num)
	if err != nil {
		return false, err
	}
	fs.edits.setName(parent.num, name, n.num)
	if raw.links() < math.MaxUint16 {
		raw.setLinks(raw.links() + 1)
	}
	return true, nil
}

// applyUnlink is the tag UNLINK.
func (fs *FileSystem) applyUnlink(ctx context.Context, n, parent *inode, name string) error {
	have, err := fs.fcLookup(ctx, parent, name)
	if err != nil || have == 0 {
		return err
	}
	if have == n.num {
		fs.edits.setName(parent.num, name, 0)
	}
	raw, err := fs.editable(ctx, n.num)
	if err != nil {
		return err
	}
	raw.setLinks(raw.links() - 1)
	if raw.links() > 0 {
		return nil
	}
	if _, err := fs.fcMap(ctx, n); err != nil {
		return err
	}
	fs.forget(n.num)
	extentNode(raw.iBlock()).setEmpty()
	fs.edits.usedInodes--
	return nil
}

// fcLookup finds a name in a directory as the replay left it so far; 0 where
// there is none.
func (fs *FileSystem) fcLookup(ctx context.Context, parent *inode, name string) (uint32, error) {
	if d := fs.edits.dir(parent.num); d.hides(name) {
		return d.names[name], nil
	}
	ino, err := parent.Lookup(ctx, name)
	if errors.Is(err, syscall.ENOENT) {
		return 0, nil
	}
	return uint32(ino.Num), err
}
