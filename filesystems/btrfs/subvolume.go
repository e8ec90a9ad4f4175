package btrfs

import (
	"context"
	"fmt"
	"math"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const whatRoot = "btrfs root item (logical)"

// A subvolume is a tree of files.
type subvolume struct {
	tree
	item rootItem // its own bytes
}

// rootOf finds a tree in the tree of roots. ENOENT where there is none.
func (fs *FileSystem) rootOf(ctx context.Context, id uint64) (*tree, rootItem, error) {
	// A snapshot's key has the transaction that made it as its offset.
	c, err := fs.roots.floor(ctx, key{id, rootItemType, math.MaxUint64})
	if err != nil {
		return nil, nil, err
	}
	if !c.ok || c.key.id != id || c.key.typ != rootItemType {
		return nil, nil, syscall.ENOENT
	}
	return fs.treeOf(id, c.data)
}

// treeOf is the tree of a root item.
func (fs *FileSystem) treeOf(id uint64, data []byte) (*tree, rootItem, error) {
	if len(data) < rootItemOldSize {
		return nil, nil, ondisk.Corrupt(whatRoot, 0, "tree %d: an item of %d bytes", int64(id), len(data))
	}
	item := rootItem(append([]byte(nil), data...))
	if item.level() > maxLevel {
		return nil, nil, ondisk.Corrupt(whatRoot, int64(item.bytenr()), "tree %d: level %d", int64(id), item.level())
	}
	return &tree{fs: fs, id: id, root: blockRef{item.bytenr(), item.generation(), int(item.level())}}, item, nil
}

// subvolume gives a tree of files. ENOENT where there is none.
func (fs *FileSystem) subvolume(ctx context.Context, id uint64) (*subvolume, error) {
	if id == 0 {
		id = fs.main
	}
	fs.mu.Lock()
	sv := fs.subvolumes[id]
	fs.mu.Unlock()
	if sv != nil {
		return sv, nil
	}
	if !isSubvolume(id) {
		return nil, syscall.ENOENT
	}
	t, item, err := fs.rootOf(ctx, id)
	if err != nil {
		return nil, err
	}
	if item.refs() == 0 {
		return nil, syscall.ENOENT // deleted, and not yet cleaned away
	}
	if item.dirid() != firstFreeID {
		return nil, ondisk.Corrupt(whatRoot, int64(item.bytenr()), "subvolume %d: its root is inode %d", id, item.dirid())
	}
	sv = &subvolume{tree: *t, item: item}
	if fs.after != nil {
		sv.edits = fs.after.edits[id]
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if old := fs.subvolumes[id]; old != nil {
		return old, nil
	}
	fs.subvolumes[id] = sv
	return sv, nil
}

// choose says which subvolume is shown: the one that the options name, else
// the default one.
func (fs *FileSystem) choose(ctx context.Context) (uint64, error) {
	if fs.opts.subvol == "" {
		if id := fs.opts.subvolID; id != 0 {
			_, err := fs.subvolume(ctx, id)
			if err != nil {
				return 0, fmt.Errorf("btrfs option subvolid=%d: %w", id, err)
			}
			return id, nil
		}
		return fs.defaultSubvolume(ctx)
	}
	id, err := fs.resolve(ctx, fs.opts.subvol)
	if err != nil {
		return 0, fmt.Errorf("btrfs option subvol=%s: %w", fs.opts.subvol, err)
	}
	if want := fs.opts.subvolID; want != 0 && want != id {
		return 0, fmt.Errorf("btrfs options subvol=%s and subvolid=%d: the subvolume there is %d: %w", fs.opts.subvol, want, id, syscall.EINVAL)
	}
	return id, nil
}

// defaultSubvolume is the one that "btrfs subvolume set-default" chose, else
// the top level.
func (fs *FileSystem) defaultSubvolume(ctx context.Context) (uint64, error) {
	const name = "default"
	data, ok, err := fs.roots.get(ctx, key{fs.sb.rootDir(), dirItemType, nameHash(name)})
	if err != nil {
		return 0, err
	}
	if ok {
		d, err := findEntry(data, name)
		if err != nil {
			return 0, ondisk.Corrupt("btrfs tree of roots", 0, "the entry of the default subvolume: %v", err)
		}
		if d != nil && d.location().typ == rootItemType && isSubvolume(d.location().id) {
			return d.location().id, nil
		}
	}
	return fsTreeID, nil
}

// resolve finds the subvolume at a path from the top level.
func (fs *FileSystem) resolve(ctx context.Context, path string) (uint64, error) {
	ino := vfs.Ino{Tree: fsTreeID, Num: firstFreeID}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		dir, err := fs.iget(ctx, ino)
		if err != nil {
			return 0, err
		}
		if ino, err = dir.Lookup(ctx, name); err != nil {
			return 0, err
		}
		if ino.Tree == 0 {
			ino.Tree = dir.sv.id
		}
	}
	if ino.Num != firstFreeID {
		return 0, fmt.Errorf("it is no subvolume: %w", syscall.EINVAL)
	}
	return ino.Tree, nil
}

// Subvolumes lists the subvolumes and snapshots with their paths from the top
// level, the top level first.
func (fs *FileSystem) Subvolumes(ctx context.Context) ([]vfs.Subvolume, error) {
	var all []vfs.Subvolume
	byID := map[uint64]int{}
	c, err := fs.roots.ceil(ctx, key{fsTreeID, rootItemType, 0})
	for ; err == nil && c.ok; err = c.next(ctx) {
		if c.key.typ != rootItemType || !isSubvolume(c.key.id) || len(c.data) < rootItemOldSize {
			continue
		}
		item := rootItem(c.data)
		if item.refs() == 0 {
			continue
		}
		v := vfs.Subvolume{ID: c.key.id, ReadOnly: item.flags()&rootFlagReadOnly != 0, Generation: item.generation()}
		if item.extended() {
			v.UUID, v.ParentUUID, v.ReceivedUUID = optionalUUID(item.uuid()), optionalUUID(item.parentUUID()), optionalUUID(item.receivedUUID())
			v.Created = timeOf(item.otime())
		}
		byID[v.ID] = len(all)
		all = append(all, v)
	}
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := fs.locate(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	// A path is its parent's and what leads on from there.
	var path func(i, depth int) string
	path = func(i, depth int) string {
		v := &all[i]
		parent, ok := byID[v.Parent]
		if v.ID == fsTreeID || !ok || depth > len(all) {
			return v.Path
		}
		return strings.TrimPrefix(path(parent, depth+1)+"/"+v.Path, "/")
	}
	paths := make([]string, len(all))
	for i := range all {
		paths[i] = path(i, 0)
	}
	defaultID, err := fs.defaultSubvolume(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Path = "/" + paths[i]
		all[i].Default = all[i].ID == defaultID
		all[i].Root = vfs.Ino{Tree: all[i].ID, Num: firstFreeID}
		if all[i].ID == fs.main {
			all[i].Root.Tree = 0
		}
	}
	return all, nil
}

// locate finds the entry that leads to a subvolume: the parent, and the path
// within it.
func (fs *FileSystem) locate(ctx context.Context, v *vfs.Subvolume) error {
	c, err := fs.roots.ceil(ctx, key{v.ID, rootBackrefType, 0})
	if err != nil || !c.ok || c.key.id != v.ID || c.key.typ != rootBackrefType {
		return err
	}
	ref := rootRef(c.data)
	if len(ref) < rootRefSize || len(ref) < rootRefSize+ref.nameLen() {
		return ondisk.Corrupt(whatRoot, 0, "subvolume %d: a reference of %d bytes", v.ID, len(ref))
	}
	v.Parent, v.Path = c.key.off, string(ref.name())
	sv, err := fs.subvolume(ctx, v.Parent)
	if err != nil {
		if err == syscall.ENOENT {
			err = nil
		}
		return err
	}
	// Up to the root of the parent, along the first name of each directory.
	const deepest = 4096
	dir := ref.dirid()
	for range deepest {
		if dir == firstFreeID {
			return nil
		}
		c, err := sv.ceil(ctx, key{dir, inodeRefType, 0})
		if err != nil {
			return err
		}
		r := inodeRef(c.data)
		if !c.ok || c.key.id != dir || c.key.typ != inodeRefType || len(r) < inodeRefSize || len(r) < r.size() {
			return nil
		}
		v.Path = string(r.name()) + "/" + v.Path
		dir = c.key.off
	}
	return nil
}

func optionalUUID(u []byte) string {
	for _, b := range u {
		if b != 0 {
			return uuidString(u)
		}
	}
	return ""
}
