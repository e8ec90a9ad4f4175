package ext4

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Unlink takes a name away: a directory's where dir says so, EISDIR and ENOTDIR
// otherwise. The inode whose last name it was is an orphan until Evict.
func (x *tx) Unlink(ctx context.Context, in vfs.Ino, name string, isDir bool) (vfs.Ino, error) {
	dir, err := x.directory(ctx, in)
	if err != nil {
		return vfs.Ino{}, err
	}
	switch name {
	case ".":
		return vfs.Ino{}, syscall.EINVAL
	case "..":
		return vfs.Ino{}, syscall.ENOTEMPTY
	case "":
		return vfs.Ino{}, syscall.ENOENT
	}
	s, err := x.findSlot(ctx, dir, name)
	if err != nil {
		return vfs.Ino{}, err
	}
	if dir.flag(flagAppend) {
		return vfs.Ino{}, syscall.EPERM
	}
	n, err := x.target(ctx, s)
	if err != nil {
		return vfs.Ino{}, err
	}
	if err := x.removable(ctx, n, isDir); err != nil {
		return vfs.Ino{}, err
	}
	x.removeName(s)
	x.touch(dir)
	return n.Ino(), x.dropName(ctx, dir, n)
}

// target is the inode that a slot's entry names.
func (x *tx) target(ctx context.Context, s slot) (*inode, error) {
	num := s.entry().inode()
	if num < x.fs.geo.firstIno {
		return nil, syscall.EPERM
	}
	n, err := x.inode(ctx, num)
	if err != nil {
		return nil, err
	}
	if n.raw.mode() == 0 || n.raw.links() == 0 {
		return nil, n.corrupt(ctx, "a directory names it, but it is not in use")
	}
	return n, nil
}

// removable says why a name of n cannot be taken away.
func (x *tx) removable(ctx context.Context, n *inode, isDir bool) error {
	if is := n.fileType() == syscall.S_IFDIR; is != isDir {
		if is {
			return syscall.EISDIR
		}
		return syscall.ENOTDIR
	}
	if n.flag(flagImmutable | flagAppend) {
		return syscall.EPERM
	}
	if isDir {
		empty, err := x.emptyDir(ctx, n)
		if err != nil {
			return err
		}
		if !empty {
			return syscall.ENOTEMPTY
		}
	}
	return nil
}

// dropName counts one name of n in dir less.
func (x *tx) dropName(ctx context.Context, dir, n *inode) error {
	x.changed(n)
	if n.fileType() == syscall.S_IFDIR {
		n.raw.setLinks(0)
		n.raw.setSize64(0) // as the kernel, so that nobody lists it
		x.dropSubdir(dir)
		return x.addOrphan(ctx, n)
	}
	n.raw.setLinks(n.raw.links() - 1)
	if n.raw.links() == 0 {
		return x.addOrphan(ctx, n)
	}
	return nil
}

// addOrphan puts an inode at the head of the orphan list: whoever recovers the
// filesystem frees it, or cuts it to its size.
func (x *tx) addOrphan(ctx context.Context, n *inode) error {
	sb, err := x.fs.editSuper(ctx, x.t)
	if err != nil {
		return err
	}
	n.raw.setDtime(sb.lastOrphan())
	sb.setLastOrphan(n.num)
	x.t.OnDone(func() { x.fs.w.orphans = append(x.fs.w.orphans, n.num) })
	return nil
}

// orphanAt says where in the list an inode is.
func (fs *FileSystem) orphanAt(num uint32) (at int, ok bool) {
	for i, o := range fs.w.orphans {
		if o == num {
			return i, true
		}
	}
	return 0, false
}

// dropOrphan takes an inode off the orphan list, or out of the orphan file.
// ENOENT where it is in neither.
func (x *tx) dropOrphan(ctx context.Context, n *inode) error {
	w := x.fs.w
	if slot, ok := w.slots[n.num]; ok {
		b, err := x.t.Edit(ctx, slot.block, x.fs.kinds.orphans)
		if err != nil {
			return err
		}
		set32(b, slot.at, 0)
		x.t.OnDone(func() { delete(w.slots, n.num) })
		return nil
	}
	at, ok := x.fs.orphanAt(n.num)
	if !ok {
		return syscall.ENOENT
	}
	if at == len(w.orphans)-1 {
		sb, err := x.fs.editSuper(ctx, x.t)
		if err != nil {
			return err
		}
		if sb.lastOrphan() != n.num {
			return n.corrupt(ctx, "the orphan list begins with inode %d", sb.lastOrphan())
		}
		sb.setLastOrphan(n.raw.dtime())
	} else {
		before, err := x.inode(ctx, w.orphans[at+1])
		if err != nil {
			return err
		}
		before.raw.setDtime(n.raw.dtime())
	}
	n.raw.setDtime(0)
	x.t.OnDone(func() {
		if at, ok := x.fs.orphanAt(n.num); ok {
			w.orphans = append(w.orphans[:at:at], w.orphans[at+1:]...)
		}
	})
	return nil
}

// Evict frees an inode that has no name and is not in use any more. It is a
// chain of changes, each of which leaves the inode shorter and on the list.
func (fs *FileSystem) Evict(ctx context.Context, ino vfs.Ino, now vfs.Time) error {
	num, err := fs.number(ino)
	if err != nil {
		return err
	}
	for {
		x, err := fs.beginFree(ctx, now)
		if err != nil {
			return err
		}
		done, err := x.evictStep(ctx, num, ino.Gen)
		if err != nil {
			x.Abort()
			return err
		}
		if err := x.Commit(false); err != nil || done {
			return err
		}
	}
}

func (x *tx) evictStep(ctx context.Context, num uint32, gen uint64) (done bool, err error) {
	n, err := x.inode(ctx, num)
	if err != nil {
		return false, err
	}
	if gen != 0 && gen != uint64(n.raw.generation()) || n.raw.links() > 0 || n.raw.mode() == 0 {
		return true, nil
	}
	if done, err := x.cut(ctx, n, 0); err != nil || !done {
		return false, err
	}
	if err := x.dropXattrBlock(ctx, n); err != nil {
		return false, err
	}
	if err := x.dropOrphan(ctx, n); err != nil && err != syscall.ENOENT {
		return false, err
	}
	return true, x.freeInode(ctx, n)
}

// processOrphans ends what the last user of the filesystem had begun: it frees
// the orphans without names and cuts the others to their sizes.
func (fs *FileSystem) processOrphans(ctx context.Context) error {
	seen := make(map[uint32]bool)
	var list []uint32
	for num := fs.sb.lastOrphan(); num != 0; {
		if seen[num] {
			return ondisk.Corrupt("ext4 orphan list", superOffset, "it comes back to inode %d", num)
		}
		raw, err := fs.orphan(ctx, num, seen)
		if err != nil {
			return err
		}
		list = append(list, num)
		num = raw.dtime()
	}
	for i := len(list) - 1; i >= 0; i-- {
		fs.w.orphans = append(fs.w.orphans, list[i])
	}
	fs.w.slots = make(map[uint32]orphanSlot)
	if err := fs.orphanEntries(ctx, func(num uint32, slot orphanSlot) error {
		if seen[num] {
			return ondisk.Corrupt(fs.kinds.orphans.Name, slot.block.Off+int64(slot.at), "inode %d is an orphan twice", num)
		}
		fs.w.slots[num] = slot
		list = append(list, num)
		_, err := fs.orphan(ctx, num, seen)
		return err
	}); err != nil {
		return err
	}
	fs.orphans = orphans{}
	for _, num := range list {
		if err := fs.endOrphan(ctx, num); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		fs.log.InfoContext(ctx, "ext4: orphans freed or cut", "inodes", len(list))
	}
	return nil
}

func (fs *FileSystem) endOrphan(ctx context.Context, num uint32) error {
	n, err := fs.iget(ctx, num)
	if err != nil {
		return err
	}
	if n.raw.mode() == 0 {
		return n.corrupt(ctx, "an orphan that is not in use")
	}
	now := vfs.Time{Sec: int64(n.raw.ctime())}
	if n.raw.links() == 0 {
		return fs.Evict(ctx, vfs.Ino{Num: uint64(num)}, now)
	}
	return fs.truncateChain(ctx, vfs.Ino{Num: uint64(num)}, now)
}
