package ext4

import (
	"context"
	"math"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	// linkMax is EXT4_LINK_MAX: more links than that no file has.
	linkMax = 65000

	flagSync    = 0x8
	flagNoAtime = 0x80
	flagDirSync = 0x10000
	// flagInherited are the bits of i_flags that a new file takes from its
	// directory, among those that this driver keeps.
	flagInherited = flagSync | flagNoDump | flagNoAtime | flagDirSync | flagProjInherit

	maxExtraSize = 32 // i_extra_isize of all fields that are defined
)

// setTime writes a time: seconds, and in the extra word, where the inode has
// it, two more bits of them and the nanoseconds.
func (r rawInode) setTime(at, extraAt int, t vfs.Time) {
	if r.has(extraAt, 4) {
		sec := min(max(t.Sec, math.MinInt32), math.MaxInt32+3<<32)
		set32(r, at, uint32(sec))
		set32(r, extraAt, uint32((sec-int64(int32(sec)))>>32)&3|t.Nsec<<2)
		return
	}
	set32(r, at, uint32(min(max(t.Sec, math.MinInt32), math.MaxInt32)))
}

// touch sets mtime and ctime.
func (x *tx) touch(n *inode) {
	n.raw.setTime(inodeMtime, inodeMtimeExtra, x.now)
	x.changed(n)
}

// changed sets ctime.
func (x *tx) changed(n *inode) { n.raw.setTime(inodeCtime, inodeCtimeExtra, x.now) }

// checkName says what is wrong with a name that is to be made.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return syscall.EEXIST
	case len(name) > nameMax:
		return syscall.ENAMETOOLONG
	case strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	}
	return nil
}

// directory gives a directory to be changed.
func (x *tx) directory(ctx context.Context, ino vfs.Ino) (*inode, error) {
	dir, err := x.named(ctx, ino)
	if err != nil {
		return nil, err
	}
	if dir.fileType() != syscall.S_IFDIR {
		return nil, syscall.ENOTDIR
	}
	if dir.raw.links() == 0 {
		return nil, syscall.ENOENT
	}
	if dir.flag(flagImmutable) {
		return nil, syscall.EPERM
	}
	if dir.flag(flagEncrypt) {
		return nil, ondisk.Unsupported("ext4 filesystem", "changing directory %d, with flags %#x,", dir.num, dir.raw.flags())
	}
	if dir.flag(flagInlineData) {
		if err := x.outlineDir(ctx, dir); err != nil {
			return nil, err
		}
	}
	return dir, nil
}

// absent says EEXIST where a name stands in a directory.
func (x *tx) absent(ctx context.Context, dir *inode, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	num, err := dir.find(ctx, dir.nameMatch(name))
	if err == nil && num != 0 {
		err = syscall.EEXIST
	}
	return err
}

// Create makes a file, directory, symlink or device node.
func (x *tx) Create(ctx context.Context, in vfs.Ino, name string, what vfs.New) (vfs.Ino, error) {
	dir, err := x.directory(ctx, in)
	if err != nil {
		return vfs.Ino{}, err
	}
	if err := x.absent(ctx, dir, name); err != nil {
		return vfs.Ino{}, err
	}
	n, err := x.build(ctx, dir, what)
	if err != nil {
		return vfs.Ino{}, err
	}
	if err := x.addEntry(ctx, dir, dirEntry{name, n.num, fileTypeOf(what.Mode)}); err != nil {
		return vfs.Ino{}, err
	}
	n.raw.setLinks(1)
	if what.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		n.raw.setLinks(2)
		if err := x.addLink(dir); err != nil {
			return vfs.Ino{}, err
		}
	}
	x.touch(dir)
	return n.Ino(), nil
}

// CreateUnnamed makes a file without a name, O_TMPFILE, which is an orphan
// until Link gives it one.
func (x *tx) CreateUnnamed(ctx context.Context, in vfs.Ino, what vfs.New) (vfs.Ino, error) {
	dir, err := x.directory(ctx, in)
	if err != nil {
		return vfs.Ino{}, err
	}
	if what.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return vfs.Ino{}, syscall.EINVAL
	}
	n, err := x.build(ctx, dir, what)
	if err != nil {
		return vfs.Ino{}, err
	}
	return n.Ino(), x.addOrphan(ctx, n)
}

// build makes an inode that belongs to a directory and has no name yet.
func (x *tx) build(ctx context.Context, dir *inode, what vfs.New) (*inode, error) {
	isDir := what.Mode&syscall.S_IFMT == syscall.S_IFDIR
	if fileTypeOf(what.Mode) == 0 {
		return nil, syscall.EINVAL
	}
	n, err := x.newInode(ctx, dir.num, isDir)
	if err != nil {
		return nil, err
	}
	mode, gid := what.Mode, what.GID
	if dir.raw.mode()&syscall.S_ISGID != 0 {
		gid = dir.raw.gid()
		if isDir {
			mode |= syscall.S_ISGID
		}
	}
	n.raw.setMode(uint16(mode))
	n.raw.setUID(what.UID)
	n.raw.setGID(gid)
	flags := dir.raw.flags() & flagInherited
	if !isDir {
		flags &^= flagDirSync | flagProjInherit
	}
	if t := mode & syscall.S_IFMT; t != syscall.S_IFREG && t != syscall.S_IFDIR {
		flags &= flagNoDump | flagNoAtime
	}
	n.raw.setFlags(flags)
	if len(n.raw) > oldInodeSize {
		n.raw.setExtraSize(uint16(min(len(n.raw)-oldInodeSize, max(maxExtraSize, int(x.fs.sb.wantExtraIsize())&^3))))
	}
	n.raw.setTime(inodeAtime, inodeAtimeExtra, x.now)
	if n.raw.has(inodeCrtimeExtra, 4) {
		n.raw.setTime(inodeCrtime, inodeCrtimeExtra, x.now)
	}
	x.touch(n)
	if err := x.inheritACL(ctx, dir, n, what.Mask); err != nil {
		return nil, err
	}
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		x.initExtents(n)
	case syscall.S_IFDIR:
		x.initExtents(n)
		return n, x.initDir(ctx, n, dir.num)
	case syscall.S_IFLNK:
		return n, x.initLink(ctx, n, what.Target)
	case syscall.S_IFCHR, syscall.S_IFBLK:
		n.setRdev(what.Rdev)
	}
	return n, nil
}

// initExtents gives an inode an empty extent tree, where the filesystem has
// any. An empty block map is all zeros.
func (x *tx) initExtents(n *inode) {
	if !x.fs.sb.hasIncompat(incompatExtents) {
		return
	}
	n.raw.setFlags(n.raw.flags() | flagExtents)
	extentNode(n.raw.iBlock()).setEmpty()
}

// initDir gives a directory its first block.
func (x *tx) initDir(ctx context.Context, n *inode, parent uint32) error {
	b, _, err := x.appendDirBlock(ctx, n)
	if err != nil {
		return err
	}
	g := x.fs.geo
	g.initLeaf(b)
	for _, e := range [...]dirEntry{{".", n.num, 2}, {"..", parent, 2}} {
		g.putEntry(b, e)
	}
	return nil
}

// initLink stores a symlink's target: in the inode, or in a block that is
// written home before anything refers to it.
func (x *tx) initLink(ctx context.Context, n *inode, target string) error {
	switch {
	case target == "":
		return syscall.ENOENT
	case len(target) >= min(x.fs.geo.blockSize, maxSymlink):
		return syscall.ENAMETOOLONG
	case strings.IndexByte(target, 0) >= 0:
		return syscall.EINVAL
	}
	n.raw.setSize64(int64(len(target)))
	if len(target) < iBlockSize {
		copy(n.raw.iBlock(), target)
		return nil
	}
	x.initExtents(n)
	s, err := x.allocate(ctx, x.fs.geo.groupStart((n.num-1)/x.fs.geo.inodesPerGroup), 1)
	if err != nil {
		return err
	}
	b := make([]byte, x.fs.geo.blockSize)
	copy(b, target)
	if _, err := x.fs.w.dev.WriteAt(ctx, b, x.fs.at(s.start).Off); err != nil {
		return err
	}
	x.addBlocks(n, 1)
	return x.mapBlocks(ctx, n, mapping{0, 1, s.start, false})
}

// setRdev stores a device number, in the old encoding where it fits.
func (n *inode) setRdev(rdev uint32) {
	clear(n.raw.iBlock())
	if rdev>>16 == 0 {
		set32(n.raw.iBlock(), 0, rdev)
		return
	}
	set32(n.raw.iBlock(), 4, rdev)
}
