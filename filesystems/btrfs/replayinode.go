package btrfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"syscall"
)

// inodeItem gives the item of an inode; nil where there is none.
func (r *replay) inodeItem(ctx context.Context, id uint64) (inodeItem, error) {
	data, ok, err := r.get(ctx, key{id, inodeItemType, 0})
	if err != nil || !ok {
		return nil, err
	}
	if len(data) < inodeItemSize {
		return nil, r.corrupt("inode %d has an item of %d bytes", id, len(data))
	}
	return inodeItem(data), nil
}

// change edits the item of an inode that exists.
func (r *replay) change(ctx context.Context, id uint64, edit func(inodeItem)) error {
	old, err := r.inodeItem(ctx, id)
	if err == nil && old == nil {
		err = r.corrupt("inode %d does not exist", id)
	}
	if err != nil {
		return err
	}
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	raw := bytes.Clone(old)
	edit(raw)
	o.set(inodeItemType, 0, raw)
	return nil
}

func (i inodeItem) setGeneration(v uint64) { binary.LittleEndian.PutUint64(i[0:], v) }
func (i inodeItem) setSize(v uint64)       { binary.LittleEndian.PutUint64(i[16:], v) }
func (i inodeItem) setNbytes(v uint64)     { binary.LittleEndian.PutUint64(i[24:], v) }
func (i inodeItem) setNlink(v uint32)      { binary.LittleEndian.PutUint32(i[40:], v) }

// inode replays an inode's item, and what it says of attributes, names and
// extents that are gone.
func (r *replay) inode(ctx context.Context, id uint64, data []byte) error {
	if len(data) < inodeItemSize || id < firstFreeID || id >= emptyBit {
		return r.corrupt("inode %d with an item of %d bytes", id, len(data))
	}
	src := inodeItem(bytes.Clone(data))
	if err := r.dropXattrs(ctx, id); err != nil {
		return err
	}
	isDir := src.mode()&syscall.S_IFMT == syscall.S_IFDIR
	if isDir {
		if err := r.dropNames(ctx, id, false); err != nil {
			return err
		}
	}
	if err := r.overwriteInode(ctx, id, src); err != nil {
		return err
	}
	if src.mode()&syscall.S_IFMT == syscall.S_IFREG {
		// What lies beyond the end was preallocated, and comes again from
		// the log if it is still there.
		dst, err := r.inodeItem(ctx, id)
		if err != nil {
			return err
		}
		sector := uint64(r.fs.geo.sector)
		if size := dst.size(); size < 1<<63-sector {
			if err := r.dropExtents(ctx, id, (size+sector-1)&^(sector-1), ^uint64(0)); err != nil {
				return err
			}
		}
	}
	return r.count(ctx, id)
}

// overwriteInode puts a logged inode item in the place of the committed one.
// Sizes of directories and numbers of bytes follow from the items that are
// replayed. The generation 0 says that the inode was logged only to exist.
func (r *replay) overwriteInode(ctx context.Context, id uint64, src inodeItem) error {
	dst, err := r.inodeItem(ctx, id)
	if err != nil {
		return err
	}
	isDir := src.mode()&syscall.S_IFMT == syscall.S_IFDIR
	isFile := src.mode()&syscall.S_IFMT == syscall.S_IFREG
	if dst == nil {
		src.setNbytes(0)
		if isDir {
			src.setSize(0)
		}
	} else {
		if bytes.Equal(src, dst) {
			return nil
		}
		if src.generation() == 0 {
			size := src.size()
			if isFile && size != 0 && dst.mode()&syscall.S_IFMT == syscall.S_IFREG {
				return r.change(ctx, id, func(i inodeItem) { i.setSize(size) })
			}
			return nil
		}
		src.setNbytes(dst.nbytes())
		if isDir {
			src.setSize(0)
			if dst.mode()&syscall.S_IFMT == syscall.S_IFDIR {
				src.setSize(dst.size())
			}
		}
	}
	if src.generation() == 0 {
		src.setGeneration(r.transid)
	}
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	if err := r.hold(int64(len(src))); err != nil {
		return err
	}
	o.set(inodeItemType, 0, src)
	return nil
}

// dropXattrs removes the attributes that the log does not have: an inode is
// logged with all of its.
func (r *replay) dropXattrs(ctx context.Context, id uint64) error {
	if dst, err := r.inodeItem(ctx, id); err != nil || dst == nil {
		return err
	}
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	for _, it := range append([]item(nil), o.of(xattrItemType)...) {
		logged, _, err := r.log.get(ctx, key{id, xattrItemType, it.off})
		if err != nil {
			return err
		}
		var keep []byte
		for rest := it.data; len(rest) > 0; {
			d := entryAt(rest)
			if d == nil {
				return r.corrupt("the attributes of inode %d do not fit", id)
			}
			if other, err := findEntry(logged, string(d.name())); err != nil {
				return r.corrupt("the attributes of inode %d: %v", id, err)
			} else if other != nil {
				keep = append(keep, d...)
			}
			rest = rest[len(d):]
		}
		if len(keep) == 0 {
			o.remove(xattrItemType, it.off)
		} else {
			o.set(xattrItemType, it.off, keep)
		}
	}
	return nil
}

// count puts an inode among those whose links are counted at the end. Until
// then it has one more, so that it does not go away.
func (r *replay) count(ctx context.Context, id uint64) error {
	if r.fixups[id] {
		return nil
	}
	r.fixups[id] = true
	return r.change(ctx, id, func(i inodeItem) { i.setNlink(i.nlink() + 1) })
}

// fixLinks counts the names of the inodes that the replay touched. One without
// any goes away; of a directory, so does what is in it.
func (r *replay) fixLinks(ctx context.Context) error {
	for len(r.fixups) > 0 {
		// Removing a directory may add others.
		for _, id := range slices.Sorted(maps.Keys(r.fixups)) {
			if err := r.fixLink(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *replay) fixLink(ctx context.Context, id uint64) error {
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	links, err := r.links(o)
	if err != nil {
		return err
	}
	if id == firstFreeID {
		links = max(links, 1) // its name is in another subvolume
	}
	delete(r.fixups, id)
	if err := r.change(ctx, id, func(i inodeItem) { i.setNlink(links) }); err != nil {
		return err
	}
	if links > 0 {
		return nil
	}
	raw, err := r.inodeItem(ctx, id)
	if err != nil {
		return err
	}
	if raw.mode()&syscall.S_IFMT == syscall.S_IFDIR {
		if err := r.dropNames(ctx, id, true); err != nil {
			return err
		}
	}
	o.items = nil
	delete(r.fixups, id)
	return nil
}

// links counts the names of an inode.
func (r *replay) links(o *object) (n uint32, err error) {
	for _, it := range o.of(inodeRefType) {
		for rest := it.data; len(rest) > 0; n++ {
			ref := inodeRef(rest)
			if len(ref) < inodeRefSize || len(ref) < ref.size() {
				return 0, r.corrupt("the names of inode %d do not fit", o.id)
			}
			rest = rest[ref.size():]
		}
	}
	for _, it := range o.of(inodeExtrefType) {
		for rest := it.data; len(rest) > 0; n++ {
			ref := inodeExtref(rest)
			if len(ref) < inodeExtrefSize || len(ref) < ref.size() {
				return 0, r.corrupt("the names of inode %d do not fit", o.id)
			}
			rest = rest[ref.size():]
		}
	}
	return n, nil
}
