package btrfs

import (
	"bytes"
	"context"
	"slices"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// drop removes an entry that is in the way; its inode's links are counted.
func (r *replay) drop(ctx context.Context, dir uint64, d dirItem) error {
	at := d.location()
	if at.typ != inodeItemType {
		return ondisk.Unsupported(whatLog, "the removal of subvolume %d", at.id)
	}
	if err := r.count(ctx, at.id); err != nil {
		return err
	}
	return r.unlink(ctx, dir, at.id, bytes.Clone(d.name()))
}

// dropNames removes the names that are gone from a directory: those in the
// ranges for which the log speaks that it does not have, or all.
func (r *replay) dropNames(ctx context.Context, dir uint64, all bool) error {
	if dst, err := r.inodeItem(ctx, dir); err != nil || dst == nil {
		return err
	}
	type span struct{ from, to uint64 }
	spans := []span{{0, ^uint64(0)}}
	if !all {
		spans = nil
		c, err := r.log.ceil(ctx, key{dir, dirLogIndexType, 0})
		for ; err == nil && c.ok && c.key.id == dir && c.key.typ == dirLogIndexType; err = c.next(ctx) {
			if len(c.data) < 8 {
				return r.corrupt("a range of directory %d in %d bytes", dir, len(c.data))
			}
			spans = append(spans, span{c.key.off, le64(c.data)})
		}
		if err != nil {
			return err
		}
	}
	if len(spans) == 0 {
		return nil
	}
	o, err := r.object(ctx, dir)
	if err != nil {
		return err
	}
	for _, it := range append([]item(nil), o.of(dirIndexType)...) {
		if !slices.ContainsFunc(spans, func(s span) bool { return s.from <= it.off && it.off <= s.to }) {
			continue
		}
		d := entryAt(it.data)
		if d == nil {
			return r.corrupt("directory %d: %v", dir, errEntry)
		}
		if !all {
			if other, err := r.byIndex(ctx, r.log.get, dir, it.off, d.name()); err != nil || other != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := r.drop(ctx, dir, d); err != nil {
			return err
		}
	}
	return nil
}

// dirIndex replays a name of a directory. A name of an inode that does not
// exist is left out: an fsync of a directory is none of the files in it.
func (r *replay) dirIndex(ctx context.Context, k key, data []byte) error {
	d := entryAt(data)
	if d == nil {
		return r.corrupt("directory %d: %v", k.id, errEntry)
	}
	if dir, err := r.inodeItem(ctx, k.id); err != nil || dir == nil {
		if err == nil {
			err = r.corrupt("directory %d does not exist", k.id)
		}
		return err
	}
	at := d.location()
	if at.typ != inodeItemType {
		return nil
	}
	raw, err := r.inodeItem(ctx, at.id)
	if err != nil {
		return err
	}
	matches := 0
	for _, find := range []func() (dirItem, error){
		func() (dirItem, error) { return r.byName(ctx, k.id, d.name()) },
		func() (dirItem, error) { return r.byIndex(ctx, r.get, k.id, k.off, d.name()) },
	} {
		old, err := find()
		if err != nil {
			return err
		}
		switch {
		case old == nil:
		case old.location() == at && old.typ() == d.typ():
			matches++
		case raw != nil:
			if err := r.drop(ctx, k.id, old); err != nil {
				return err
			}
		}
	}
	if matches == 2 {
		return nil
	}
	// What the inode itself says in the log is replayed with it.
	for _, rk := range []key{{at.id, inodeRefType, k.id}, {at.id, inodeExtrefType, refHash(k.id, d.name())}} {
		if ok, err := r.logged(ctx, rk, k.id, d.name()); err != nil || ok {
			return err
		}
	}
	ok, err := r.link(ctx, k.id, at.id, k.off, d.name(), true)
	if err != nil || !ok || d.typ() == entryDir {
		return err
	}
	return r.count(ctx, at.id)
}

// makeRoom removes what is in the way of a name: older names of the inode in
// that directory that the log does not have, and an entry of that name.
func (r *replay) makeRoom(ctx context.Context, id uint64, ref reference) error {
	for _, k := range []key{{id, inodeRefType, ref.dir}, {id, inodeExtrefType, refHash(ref.dir, ref.name)}} {
		data, ok, err := r.get(ctx, k)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		old, err := r.references(k, bytes.Clone(data))
		if err != nil {
			return err
		}
		for _, victim := range old {
			if victim.dir != ref.dir {
				continue
			}
			in := k
			if k.typ == inodeExtrefType {
				in.off = refHash(victim.dir, victim.name)
			}
			if ok, err := r.logged(ctx, in, victim.dir, victim.name); err != nil || ok {
				if err != nil {
					return err
				}
				continue
			}
			if err := r.change(ctx, id, func(i inodeItem) { i.setNlink(i.nlink() + 1) }); err != nil {
				return err
			}
			if err := r.unlink(ctx, victim.dir, id, victim.name); err != nil {
				return err
			}
		}
	}
	for _, find := range []func() (dirItem, error){
		func() (dirItem, error) { return r.byIndex(ctx, r.get, ref.dir, ref.index, ref.name) },
		func() (dirItem, error) { return r.byName(ctx, ref.dir, ref.name) },
	} {
		d, err := find()
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		if err := r.drop(ctx, ref.dir, d); err != nil {
			return err
		}
	}
	return nil
}
