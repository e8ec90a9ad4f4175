package fat

import (
	"context"
	"errors"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// An inode is what one directory entry names, or the root.
type inode struct {
	fs    *FileSystem
	num   uint64
	attr  vfs.Attr
	chain *chain    // nil where nothing is allocated
	valid int64     // bytes that were ever written; zeros up to the size
	dir   directory // directories
}

var _ vfs.Inode = (*inode)(nil)

func isDamage(err error) bool {
	var c *ondisk.CorruptError
	return errors.As(err, &c)
}

// Inode reads the entry that ino's number places.
func (fs *FileSystem) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	if ino.Gen != 0 || ino.Tree != 0 {
		return nil, syscall.ESTALE
	}
	if ino.Num == rootNum {
		return fs.rootInode(ctx)
	}
	if ino.Num>>1 > uint64(fs.geo.size)/entrySize {
		return nil, syscall.ESTALE
	}
	pos := int64(ino.Num>>1) * entrySize
	if fs.ex != nil {
		return fs.exInode(ctx, ino.Num, pos)
	}
	b, err := fs.readEntry(ctx, pos)
	if err != nil {
		return nil, err
	}
	e := shortEntry(b)
	if e[0] == entryFree || e[0] == entryEnd || e.attr()&attrLongMask == attrLongName || e.attr()&attrVolumeID != 0 || ino.Num&1 != 0 {
		return nil, syscall.ESTALE
	}
	first := uint32(e.fstClusLO())
	if fs.geo.bits == 32 {
		first |= uint32(e.fstClusHI()) << 16 & 0x0FFFFFFF
	}
	zone := fs.opt.zone
	f := &inode{fs: fs, num: ino.Num, valid: int64(e.fileSize())}
	f.attr = fs.attr(e.attr()&attrDirectory != 0, e.attr()&attrReadOnly != 0)
	f.attr.Mtime = dosTime(e.wrtDate(), e.wrtTime(), 0, zone)
	f.attr.Ctime = f.attr.Mtime
	f.attr.Atime = dosTime(e.lstAccDate(), 0, 0, zone)
	f.attr.Btime = dosTime(e.crtDate(), e.crtTime(), e.crtTenth(), zone)
	return f, f.place(ctx, first, false, int64(e.fileSize()), pos)
}

// exInode reads the entry set at pos. What follows its first entry lies behind
// it, in the next cluster of the FAT or, for the odd numbers, of the volume.
func (fs *FileSystem) exInode(ctx context.Context, num uint64, pos int64) (vfs.Inode, error) {
	g := fs.geo
	if pos < g.heapOff {
		return nil, syscall.ESTALE
	}
	c := uint32((pos-g.heapOff)/g.cluster) + 2
	if !g.has(c) {
		return nil, syscall.ESTALE
	}
	// A set of 19 entries that begins at the end of one cluster of 512 bytes
	// ends in the third.
	span := 1 + uint32((exSetMax*entrySize-entrySize+g.cluster-1)/g.cluster)
	if contiguous := num&1 != 0; contiguous {
		span = min(span, g.clusters-(c-2))
	}
	d := directory{chain: newChain(&fs.fat, c, num&1 != 0, span)}
	var set setReader
	for rec, err := range d.records(ctx, fs, (pos-g.heapOff)%g.cluster) {
		if err != nil {
			return nil, err
		}
		done, err := set.add(rec)
		if err != nil {
			return nil, err
		}
		if rec.pos == pos && set.left == 0 {
			return nil, syscall.ESTALE // not the first entry of a set
		}
		if !done {
			continue
		}
		return fs.setInode(ctx, num, pos, &set)
	}
	return nil, syscall.ESTALE
}

func (fs *FileSystem) setInode(ctx context.Context, num uint64, pos int64, set *setReader) (vfs.Inode, error) {
	e, s := exEntry(set.file[:]), exEntry(set.stream[:])
	zone := fs.opt.zone
	limit := uint64(fs.geo.clusters) * uint64(fs.geo.cluster)
	if e.attributes()&attrDirectory != 0 {
		limit = min(limit, dirMax)
	}
	if s.dataLength() > limit || s.validLength() > s.dataLength() {
		return nil, ondisk.Corrupt("exFAT stream extension", pos, "%d valid bytes of %d, of which there can be %d", s.validLength(), s.dataLength(), limit)
	}
	f := &inode{fs: fs, num: num, valid: int64(s.validLength())}
	f.attr = fs.attr(e.attributes()&attrDirectory != 0, e.attributes()&attrReadOnly != 0)
	f.attr.Mtime = exTime(e.modified(), e.modified10ms(), e.modifiedZone(), zone)
	f.attr.Ctime = f.attr.Mtime
	f.attr.Atime = exTime(e.accessed(), 0, e.accessedZone(), zone)
	f.attr.Btime = exTime(e.created(), e.created10ms(), e.createdZone(), zone)
	return f, f.place(ctx, s.firstCluster(), s.secondaryFlags()&exNoFatChain != 0, int64(s.dataLength()), pos)
}

// attr is what mode, owner and link count are without the rest.
func (fs *FileSystem) attr(dir, readOnly bool) vfs.Attr {
	a := vfs.Attr{Nlink: 1, UID: fs.opt.uid, GID: fs.opt.gid, NoXattr: true}
	if dir {
		// As on btrfs, 1 says that subdirectories are not counted.
		a.Mode = syscall.S_IFDIR | 0o777&^fs.opt.dmask
	} else {
		a.Mode = syscall.S_IFREG | 0o777&^fs.opt.fmask
	}
	if readOnly && !dir {
		// On a directory the attribute forbids nothing: Windows marks folders
		// that look special so.
		a.Mode &^= 0o222
	}
	return a
}

// place sets where the contents lie, given the first cluster and, for all but
// FAT's directories, their size.
func (f *inode) place(ctx context.Context, first uint32, contiguous bool, size, pos int64) error {
	g := f.fs.geo
	dir := f.attr.Mode&syscall.S_IFMT == syscall.S_IFDIR
	sized := !dir || f.fs.ex != nil
	clusters := int64(g.dirClusters())
	if sized {
		clusters = (size + g.cluster - 1) / g.cluster
	}
	switch {
	case first == 0 && sized && size == 0, first == 0 && f.valid == 0 && !dir:
		// Nothing allocated: an empty file, or one that is all zeros.
		clusters = 0
	case clusters == 0:
		// A first cluster without a size: preallocated by some tools.
	case !g.has(first) || clusters > int64(g.clusters):
		return ondisk.Corrupt("FAT directory entry", pos, "%d bytes from cluster %d on, of %d clusters", size, first, g.clusters)
	case contiguous && clusters > int64(g.clusters)-int64(first-2):
		return ondisk.Corrupt("exFAT stream extension", pos, "%d clusters in a row from %d on, of %d", clusters, first, g.clusters)
	default:
		f.chain = newChain(&f.fs.fat, first, contiguous, uint32(clusters))
	}
	f.attr.Size = size
	if dir {
		f.dir = directory{chain: f.chain, size: size}
		if !sized {
			f.dir.size = 0
			n, err := f.chain.length(ctx)
			if err != nil && !isDamage(err) {
				return err
			}
			// A damaged chain shows where its directory is listed.
			f.attr.Size = int64(n) * g.cluster
			clusters = int64(n)
		}
	}
	f.attr.Blocks = clusters * g.cluster / 512
	return nil
}

func (fs *FileSystem) rootInode(ctx context.Context) (vfs.Inode, error) {
	f := &inode{fs: fs, num: rootNum, attr: fs.attr(true, false), dir: fs.root, chain: fs.root.chain}
	f.attr.Size = fs.root.len
	if c := fs.root.chain; c != nil {
		n, err := c.length(ctx)
		if err != nil && !isDamage(err) {
			return nil, err
		}
		f.attr.Size = int64(n) * fs.geo.cluster
	}
	f.attr.Blocks = (f.attr.Size + 511) / 512
	return f, nil
}

func (f *inode) Ino() vfs.Ino   { return vfs.Ino{Num: f.num} }
func (f *inode) Attr() vfs.Attr { return f.attr }

func (f *inode) isDir() bool { return f.attr.Mode&syscall.S_IFMT == syscall.S_IFDIR }

// Lookup finds name by the directory's index, whatever its case.
func (f *inode) Lookup(ctx context.Context, name string) (vfs.Ino, error) {
	if !f.isDir() {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	units, ok := encodeUnits(name)
	if !ok || len(units) > nameUnits {
		return vfs.Ino{}, syscall.ENOENT
	}
	if f.dir.chain == nil && f.num != rootNum {
		return vfs.Ino{}, syscall.ENOENT
	}
	num, err := f.fs.find(ctx, f.num, f.dir, units)
	if err != nil {
		return vfs.Ino{}, err
	}
	return vfs.Ino{Num: num}, nil
}

// Entries lists the directory in the order of the disk. A Cursor is a byte
// offset in the directory.
func (f *inode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if !f.isDir() {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		if f.dir.chain == nil && f.num != rootNum {
			return
		}
		if after.Off > uint64(1)<<48 {
			return
		}
		for it, err := range f.fs.items(ctx, f.dir, int64(after.Off)) {
			if err != nil {
				yield(vfs.Entry{}, err)
				return
			}
			kind := uint32(syscall.S_IFREG)
			if it.dir {
				kind = syscall.S_IFDIR
			}
			if !yield(vfs.Entry{Name: it.name, Ino: vfs.Ino{Num: it.num}, Type: kind, Next: vfs.Cursor{Off: uint64(it.next)}}, nil) {
				return
			}
		}
	}
}

// Map follows the chain.
func (f *inode) Map(ctx context.Context, off, n int64) (vfs.Extent, error) {
	g := f.fs.geo
	if n = block.Clamp(off, n, f.attr.Size); n == 0 {
		return vfs.Extent{}, syscall.EINVAL
	}
	if f.isDir() {
		return vfs.Extent{}, syscall.EISDIR
	}
	if off >= f.valid || f.chain == nil {
		return vfs.Extent{Kind: vfs.Hole, Len: n, Unwritten: f.chain != nil}, nil
	}
	n = min(n, f.valid-off)
	index, in := uint32(off/g.cluster), off%g.cluster
	want := (in + n + g.cluster - 1) / g.cluster
	c, run, err := f.chain.run(ctx, index, uint32(want))
	if err != nil {
		return vfs.Extent{}, err
	}
	if run == 0 {
		return vfs.Extent{}, ondisk.Corrupt("FAT chain", g.fatOff, "the chain of cluster %d ends before the file's byte %d of %d", f.chain.first, off, f.attr.Size)
	}
	return vfs.Extent{Kind: vfs.Mapped, Dev: f.fs.dev, Off: g.offset(c) + in, Len: min(n, int64(run)*g.cluster-in)}, nil
}

func (f *inode) Readlink(context.Context) (string, error) { return "", syscall.EINVAL }

func (f *inode) Xattrs(context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(func(vfs.Xattr, error) bool) {}
}
