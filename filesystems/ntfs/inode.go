package ntfs

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// An inode is a base record, or one of its named streams.
type inode struct {
	f       file
	attr    vfs.Attr
	data    stream // the unnamed $DATA, or the named one
	stream  uint64 // which named stream, from 1; 0 is the file itself
	info    standardInfo
	hasData bool

	reparse tag      // 0 where it is no reparse point
	target  string   // of a symlink
	wof     *wofData // of a file that WOF compresses
	refuse  error    // why the contents cannot be read
	index   atomic.Pointer[index]
}

var _ vfs.Inode = (*inode)(nil)

// isErrno says whether err is a plain answer rather than damage.
func isErrno(err error) bool {
	var no syscall.Errno
	return err == syscall.ENOENT || err == syscall.ESTALE || errors.As(err, &no) && err == no
}

// Inode reads a base record. The Tree of an Ino is 0, or the number of a named
// stream, counted from 1.
func (fs *FileSystem) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	n, err := fs.openInode(ctx, ino)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (fs *FileSystem) openInode(ctx context.Context, ino vfs.Ino) (*inode, error) {
	switch ino.Num {
	case fileMFT:
		return nil, syscall.ENOENT
	case mftNumber:
		ino.Num = fileMFT
	}
	r, err := fs.record(ctx, ino.Num)
	if err != nil {
		return nil, err
	}
	if r.base() != 0 {
		return nil, syscall.ENOENT // a part of another file
	}
	if ino.Gen != 0 && ino.Gen != uint64(r.sequence()) {
		return nil, syscall.ESTALE
	}
	n := &inode{f: file{fs: fs, num: ino.Num, rec: r}}
	if err := n.f.loadList(ctx); err != nil {
		return nil, err
	}
	if err := n.load(ctx); err != nil {
		return nil, err
	}
	if ino.Tree != 0 {
		return n.openStream(ctx, ino.Tree)
	}
	return n, nil
}

// load finds what Attr says.
func (n *inode) load(ctx context.Context) error {
	var s stream
	ok, err := n.f.find(ctx, typeStandardInformation, nil, &s)
	if err != nil {
		return err
	}
	if !ok || !s.resident() || len(s.value) < standardInfoSize {
		return n.f.corrupt("it lacks a resident $STANDARD_INFORMATION")
	}
	n.info = standardInfo(s.value)
	opt := &n.f.fs.opt
	a := &n.attr
	a.UID, a.GID, a.Nlink = opt.uid, opt.gid, 1
	a.Atime, a.Mtime = ntfsTime(n.info.accessed()), ntfsTime(n.info.modified())
	a.Ctime, a.Btime = ntfsTime(n.info.changed()), ntfsTime(n.info.creation())
	if n.hasData, err = n.f.find(ctx, typeData, nil, &n.data); err != nil {
		return err
	}
	if n.f.rec.flags()&recordDirectory != 0 {
		a.Mode = syscall.S_IFDIR | 0o777&^opt.dmask
		if err := n.dirSize(ctx); err != nil {
			return err
		}
	} else {
		a.Mode = syscall.S_IFREG | 0o777&^opt.fmask
		a.Size, a.Blocks = n.data.size, n.data.blocks()
		if a.Nlink, err = n.f.links(ctx); err != nil {
			return err
		}
	}
	if n.data.compressed() {
		a.Flags |= vfs.FlagCompressed
	}
	if n.data.encrypted() || n.info.attributes()&attrFileEncrypted != 0 && !n.isDir() {
		a.Flags |= vfs.FlagEncrypted
	}
	return n.loadSpecial(ctx)
}

// blocks are the allocated units of 512 bytes. A resident value counts what it
// takes in its record, as in ntfs-3g.
func (s *stream) blocks() int64 {
	if s.resident() {
		return ((s.size+7)&^7 + 511) / 512
	}
	return (s.alloc + 511) / 512
}

// dirSize takes a directory's size from its index, as ntfs-3g does.
func (n *inode) dirSize(ctx context.Context) error {
	var alloc stream
	ok, err := n.f.find(ctx, typeIndexAllocation, []byte(i30), &alloc)
	if ok {
		n.attr.Size, n.attr.Blocks = alloc.size, alloc.blocks()
	}
	return err
}

// links counts the names of a file, without the DOS aliases.
func (f *file) links(ctx context.Context) (uint32, error) {
	links := uint32(0)
	for k, err := range f.names(ctx) {
		if err != nil {
			return 0, err
		}
		if k.namespace() != nameDOS {
			links++
		}
	}
	return max(links, 1), nil
}

// names lists the $FILE_NAME attributes.
func (f *file) names(ctx context.Context) iter.Seq2[fileName, error] {
	return func(yield func(fileName, error) bool) {
		give := func(a attribute) bool {
			if !a.nonResident() {
				if k := fileName(a.value()); k.valid() {
					return yield(k, nil)
				}
			}
			yield(nil, f.corrupt("a $FILE_NAME that is none"))
			return false
		}
		if f.list == nil {
			for at := int(f.rec.attrsOffset()); ; {
				a, problem := f.rec.attr(at)
				if problem != "" {
					yield(nil, f.corrupt("%s", problem))
					return
				}
				if a == nil || a.typ() > typeFileName || a.typ() == typeFileName && !give(a) {
					return
				}
				at += len(a)
			}
		}
		for e, err := range f.listEntries() {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.typ() != typeFileName {
				continue
			}
			a, err := f.extension(ctx, e)
			if err != nil {
				yield(nil, err)
				return
			}
			if !give(a) {
				return
			}
		}
	}
}

// mftNumber is the inode number of $MFT, whose record number 0 is that of no
// inode.
const mftNumber = 1<<47 - 1

// inodeNumber is the inode number of a base record.
func inodeNumber(num uint64) uint64 {
	if num == fileMFT {
		return mftNumber
	}
	return num
}

func (n *inode) Ino() vfs.Ino {
	return vfs.Ino{Tree: n.stream, Num: inodeNumber(n.f.num), Gen: uint64(n.f.rec.sequence())}
}

func (n *inode) Attr() vfs.Attr { return n.attr }

func (n *inode) isDir() bool { return n.attr.Mode&syscall.S_IFMT == syscall.S_IFDIR }

// Map follows the runs of the data.
func (n *inode) Map(ctx context.Context, off, length int64) (vfs.Extent, error) {
	if length = block.Clamp(off, length, n.attr.Size); length == 0 {
		return vfs.Extent{}, syscall.EINVAL
	}
	switch {
	case n.isDir():
		return vfs.Extent{}, syscall.EISDIR
	case n.refuse != nil:
		return vfs.Extent{}, n.refuse
	case n.wof != nil:
		return n.wof.mapAt(ctx, off, length)
	case !n.hasData:
		return vfs.Extent{}, n.f.corrupt("it lacks the attribute of type %#x", typeData)
	}
	return n.data.mapAt(ctx, off, length)
}

// Readlink is the target, as the package comment says.
func (n *inode) Readlink(context.Context) (string, error) {
	if n.attr.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		return "", syscall.EINVAL
	}
	return n.target, n.refuse
}

// ntfsTime is a time of NTFS: units of 100 ns since 1601, UTC.
func ntfsTime(t int64) vfs.Time {
	const epoch = 11644473600 // seconds from 1601 to 1970
	sec, rest := t/10_000_000, t%10_000_000
	if rest < 0 {
		sec, rest = sec-1, rest+10_000_000
	}
	return vfs.Time{Sec: sec - epoch, Nsec: uint32(rest) * 100}
}
