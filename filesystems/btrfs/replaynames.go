package btrfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// refHash is the offset of an extended reference: CRC-32C begun with the
// directory's number.
func refHash(dir uint64, name []byte) uint64 { return uint64(ondisk.CRC32C(uint32(dir), name)) }

// A reference is one name of an inode.
type reference struct {
	dir   uint64
	index uint64
	name  []byte
}

// references decodes an item of an inode's names. dir is that of the key, for
// the old form.
func (r *replay) references(k key, data []byte) ([]reference, error) {
	var all []reference
	for len(data) > 0 {
		var ref reference
		var size int
		if k.typ == inodeRefType {
			d := inodeRef(data)
			if len(d) < inodeRefSize || len(d) < d.size() {
				return nil, r.corrupt("the names of inode %d do not fit", k.id)
			}
			ref, size = reference{k.off, d.index(), d.name()}, d.size()
		} else {
			d := inodeExtref(data)
			if len(d) < inodeExtrefSize || len(d) < d.size() {
				return nil, r.corrupt("the names of inode %d do not fit", k.id)
			}
			ref, size = reference{d.parent(), d.index(), d.name()}, d.size()
		}
		all = append(all, ref)
		data = data[size:]
	}
	return all, nil
}

func has(refs []reference, dir uint64, name []byte) bool {
	return slices.ContainsFunc(refs, func(r reference) bool { return r.dir == dir && bytes.Equal(r.name, name) })
}

// logged says whether the log has this name of an inode, in the item of k.
func (r *replay) logged(ctx context.Context, k key, dir uint64, name []byte) (bool, error) {
	data, ok, err := r.log.get(ctx, k)
	if err != nil || !ok {
		return false, err
	}
	refs, err := r.references(k, data)
	return has(refs, dir, name), err
}

// entries is the entry of a name in a directory, by hash and by index; nil
// where there is none.
func (r *replay) byName(ctx context.Context, dir uint64, name []byte) (dirItem, error) {
	data, _, err := r.get(ctx, key{dir, dirItemType, nameHash(string(name))})
	if err != nil {
		return nil, err
	}
	d, err := findEntry(data, string(name))
	if err != nil {
		return nil, r.corrupt("directory %d: %v", dir, err)
	}
	return d, nil
}

func (r *replay) byIndex(ctx context.Context, t func(context.Context, key) ([]byte, bool, error), dir, index uint64, name []byte) (dirItem, error) {
	data, _, err := t(ctx, key{dir, dirIndexType, index})
	if err != nil {
		return nil, err
	}
	d, err := findEntry(data, string(name))
	if err != nil {
		return nil, r.corrupt("directory %d: %v", dir, err)
	}
	return d, nil
}

// link adds a name to a directory. ok is false where the name or the index is
// taken. With backref the inode learns of it too.
func (r *replay) link(ctx context.Context, dir, id, index uint64, name []byte, backref bool) (ok bool, err error) {
	raw, err := r.inodeItem(ctx, id)
	if err != nil || raw == nil {
		return false, err
	}
	d, err := r.object(ctx, dir)
	if err != nil {
		return false, err
	}
	if old, err := r.byName(ctx, dir, name); err != nil || old != nil {
		return false, err
	}
	if d.get(dirIndexType, index) != nil {
		return false, nil
	}
	if err := r.hold(int64(3 * (dirItemSize + len(name)))); err != nil {
		return false, err
	}
	entry := make([]byte, dirItemSize, dirItemSize+len(name))
	binary.LittleEndian.PutUint64(entry, id)
	entry[8] = inodeItemType
	binary.LittleEndian.PutUint64(entry[17:], r.transid)
	binary.LittleEndian.PutUint16(entry[27:], uint16(len(name)))
	entry[29] = typeOfMode(raw.mode())
	entry = append(entry, name...)
	hash := nameHash(string(name))
	var same []byte
	if it := d.get(dirItemType, hash); it != nil {
		same = it.data
	}
	d.set(dirItemType, hash, append(bytes.Clone(same), entry...))
	d.set(dirIndexType, index, entry)
	if backref {
		o, err := r.object(ctx, id)
		if err != nil {
			return false, err
		}
		var refs []byte
		if it := o.get(inodeRefType, dir); it != nil {
			refs = bytes.Clone(it.data)
		}
		refs = binary.LittleEndian.AppendUint64(refs, index)
		refs = binary.LittleEndian.AppendUint16(refs, uint16(len(name)))
		o.set(inodeRefType, dir, append(refs, name...))
	}
	return true, r.change(ctx, dir, func(i inodeItem) { i.setSize(i.size() + 2*uint64(len(name))) })
}

func typeOfMode(mode uint32) uint8 {
	for t := uint8(entryRegular); t <= entrySymlink; t++ {
		if entryType(t) == mode&syscall.S_IFMT {
			return t
		}
	}
	return 0
}

// unlink removes a name from a directory and from its inode, which has one
// link less.
func (r *replay) unlink(ctx context.Context, dir, id uint64, name []byte) error {
	d, err := r.object(ctx, dir)
	if err != nil {
		return err
	}
	o, err := r.object(ctx, id)
	if err != nil {
		return err
	}
	hash := nameHash(string(name))
	it := d.get(dirItemType, hash)
	if it == nil {
		return r.corrupt("directory %d has no name %q to remove", dir, name)
	}
	var keep []byte
	for rest := it.data; len(rest) > 0; {
		e := entryAt(rest)
		if e == nil {
			return r.corrupt("directory %d: %v", dir, errEntry)
		}
		if !bytes.Equal(e.name(), name) {
			keep = append(keep, e...)
		}
		rest = rest[len(e):]
	}
	if len(keep) == 0 {
		d.remove(dirItemType, hash)
	} else {
		d.set(dirItemType, hash, keep)
	}
	index, err := r.dropReference(o, dir, name)
	if err != nil {
		return err
	}
	d.remove(dirIndexType, index)
	if err := r.change(ctx, dir, func(i inodeItem) { i.setSize(i.size() - min(i.size(), 2*uint64(len(name)))) }); err != nil {
		return err
	}
	return r.change(ctx, id, func(i inodeItem) { i.setNlink(i.nlink() - min(i.nlink(), 1)) })
}

// dropReference removes a name from its inode and says which index it has in
// the directory.
func (r *replay) dropReference(o *object, dir uint64, name []byte) (index uint64, err error) {
	for _, k := range []key{{o.id, inodeRefType, dir}, {o.id, inodeExtrefType, refHash(dir, name)}} {
		it := o.get(k.typ, k.off)
		if it == nil {
			continue
		}
		refs, err := r.references(k, it.data)
		if err != nil {
			return 0, err
		}
		var keep []byte
		found := false
		for _, ref := range refs {
			if ref.dir == dir && bytes.Equal(ref.name, name) {
				index, found = ref.index, true
				continue
			}
			if k.typ == inodeExtrefType {
				keep = binary.LittleEndian.AppendUint64(keep, ref.dir)
			}
			keep = binary.LittleEndian.AppendUint64(keep, ref.index)
			keep = binary.LittleEndian.AppendUint16(keep, uint16(len(ref.name)))
			keep = append(keep, ref.name...)
		}
		if !found {
			continue
		}
		if len(keep) == 0 {
			o.remove(k.typ, k.off)
		} else {
			o.set(k.typ, k.off, keep)
		}
		return index, nil
	}
	return 0, r.corrupt("inode %d does not know its name %q in directory %d", o.id, name, dir)
}

// reference replays the names that an inode has in the log.
func (r *replay) reference(ctx context.Context, k key, data []byte) error {
	refs, err := r.references(k, data)
	if err != nil || len(refs) == 0 {
		return err
	}
	if raw, err := r.inodeItem(ctx, k.id); err != nil || raw == nil {
		if err == nil {
			err = r.corrupt("inode %d does not exist", k.id)
		}
		return err
	}
	for _, ref := range refs {
		dir, err := r.inodeItem(ctx, ref.dir)
		if err != nil {
			return err
		}
		if dir == nil {
			if k.typ == inodeRefType {
				return nil // not all directories above need be logged
			}
			continue
		}
		if k.id == ref.dir {
			return nil // the root
		}
		index, err := r.byIndex(ctx, r.get, ref.dir, ref.index, ref.name)
		if err != nil {
			return err
		}
		name, err := r.byName(ctx, ref.dir, ref.name)
		if err != nil {
			return err
		}
		if index != nil && name != nil && index.location().id == k.id && name.location().id == k.id {
			continue
		}
		if err := r.makeRoom(ctx, k.id, ref); err != nil {
			return err
		}
		if _, err := r.link(ctx, ref.dir, k.id, ref.index, ref.name, false); err != nil {
			return err
		}
	}
	// The committed names of this item that the log does not have are gone.
	o, err := r.object(ctx, k.id)
	if err != nil {
		return err
	}
	if it := o.get(k.typ, k.off); it != nil {
		old, err := r.references(k, bytes.Clone(it.data))
		if err != nil {
			return err
		}
		for _, ref := range old {
			if has(refs, ref.dir, ref.name) {
				continue
			}
			if err := r.unlink(ctx, ref.dir, k.id, ref.name); err != nil {
				return err
			}
		}
	}
	o.set(k.typ, k.off, bytes.Clone(data))
	return r.hold(int64(len(data)))
}
