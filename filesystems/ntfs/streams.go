package ntfs

import (
	"bytes"
	"context"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// A namedStream is the name of an alternate data stream and its number, from 1
// on, in the order of the record.
type namedStream struct {
	name   []byte // UTF-16LE
	number uint64
}

// streams lists the named $DATA attributes.
func (f *file) streams() iter.Seq2[namedStream, error] {
	return func(yield func(namedStream, error) bool) {
		number := uint64(0)
		if f.list != nil {
			for e, err := range f.listEntries() {
				if err != nil {
					yield(namedStream{}, err)
					return
				}
				if e.typ() != typeData || e.nameLength() == 0 || e.lowestVCN() != 0 {
					continue
				}
				if number++; !yield(namedStream{e.name(), number}, nil) {
					return
				}
			}
			return
		}
		for at := int(f.rec.attrsOffset()); ; {
			a, problem := f.rec.attr(at)
			if problem != "" {
				yield(namedStream{}, f.corrupt("%s", problem))
				return
			}
			if a == nil {
				return
			}
			at += len(a)
			if a.typ() != typeData || a.nameLength() == 0 {
				continue
			}
			if number++; !yield(namedStream{a.name(), number}, nil) {
				return
			}
		}
	}
}

// lookupStream finds a stream of the file that owner names: exactly, or with
// the option ignore_case in another case.
func (fs *FileSystem) lookupStream(ctx context.Context, owner vfs.Ino, name string) (vfs.Ino, error) {
	n, err := fs.openInode(ctx, owner)
	if err != nil {
		return vfs.Ino{}, err
	}
	var buf [2 * maxNameUnits]byte
	want, ok := encodeName(buf[:0], name)
	if !ok || len(want) == 0 {
		return vfs.Ino{}, syscall.ENOENT
	}
	ino := n.Ino()
	for s, err := range n.f.streams() {
		if err != nil {
			return vfs.Ino{}, err
		}
		same := bytes.Equal(s.name, want)
		if !same && fs.opt.ignoreCase && ino.Tree == 0 {
			upcase, err := fs.upcase(ctx)
			if err != nil {
				return vfs.Ino{}, err
			}
			same = upcase.compare(s.name, want) == 0
		}
		if same {
			ino.Tree = s.number
		}
		if bytes.Equal(s.name, want) {
			break
		}
	}
	if ino.Tree == 0 {
		return vfs.Ino{}, syscall.ENOENT
	}
	return ino, nil
}

// openStream makes the inode of the file's stream of that number: a regular
// file with the file's owner, permissions and times.
func (n *inode) openStream(ctx context.Context, number uint64) (*inode, error) {
	for s, err := range n.f.streams() {
		if err != nil {
			return nil, err
		}
		if s.number != number {
			continue
		}
		out := &inode{f: n.f, attr: n.attr, info: n.info, stream: number}
		if out.hasData, err = out.f.find(ctx, typeData, s.name, &out.data); err != nil {
			return nil, err
		}
		a := &out.attr
		a.Mode = syscall.S_IFREG | 0o777&^n.f.fs.opt.fmask
		a.Size, a.Blocks, a.Nlink, a.Rdev, a.Flags, a.NoXattr = out.data.size, out.data.blocks(), 1, 0, 0, true
		return out, nil
	}
	return nil, syscall.ENOENT
}
