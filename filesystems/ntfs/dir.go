package ntfs

import (
	"context"
	"iter"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// i30 is the name of a directory's index, in UTF-16LE.
const i30 = "$\x00I\x003\x000\x00"

// dirIndex opens the directory's index, once.
func (n *inode) dirIndex(ctx context.Context) (*index, error) {
	if x := n.index.Load(); x != nil {
		return x, nil
	}
	x, err := n.f.openIndex(ctx, []byte(i30))
	if err != nil {
		return nil, err
	}
	n.index.Store(x)
	return x, nil
}

// Lookup finds name by the index: exactly, or, with the option ignore_case and
// where the name is not there exactly, in another case. The short alias of a
// name is found too. A name that is not there and holds a colon is asked for as
// the stream of a file: "file:stream", or ":stream" for one of the directory's
// own.
func (n *inode) Lookup(ctx context.Context, name string) (vfs.Ino, error) {
	if !n.isDir() {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	ino, err := n.lookupEntry(ctx, name)
	if err != syscall.ENOENT {
		return ino, err
	}
	name = strings.TrimSuffix(name, ":$DATA")
	at := strings.LastIndexByte(name, ':')
	if at < 0 || at == len(name)-1 {
		return vfs.Ino{}, syscall.ENOENT
	}
	owner := n.Ino()
	if at > 0 {
		if owner, err = n.lookupEntry(ctx, name[:at]); err != nil {
			return vfs.Ino{}, err
		}
	}
	return n.f.fs.lookupStream(ctx, owner, name[at+1:])
}

// lookupEntry finds an entry of the directory.
func (n *inode) lookupEntry(ctx context.Context, name string) (vfs.Ino, error) {
	ref, err := n.findEntry(ctx, name, n.f.fs.opt.ignoreCase)
	if err != nil {
		return vfs.Ino{}, err
	}
	return refIno(ref), nil
}

func refIno(ref fileRef) vfs.Ino {
	return vfs.Ino{Num: inodeNumber(ref.number()), Gen: uint64(ref.sequence())}
}

// findEntry finds the reference of an entry by its name.
func (n *inode) findEntry(ctx context.Context, name string, ignoreCase bool) (fileRef, error) {
	var buf [2 * maxNameUnits]byte
	want, ok := encodeName(buf[:0], name)
	if !ok || !showable(want) {
		return 0, syscall.ENOENT
	}
	e, err := n.findUnits(ctx, want, ignoreCase)
	if err != nil {
		return 0, err
	}
	return e.ref(), nil
}

// findUnits finds an entry by its name in UTF-16LE.
func (n *inode) findUnits(ctx context.Context, want []byte, ignoreCase bool) (indexEntry, error) {
	x, err := n.dirIndex(ctx)
	if err != nil {
		return nil, err
	}
	upcase, err := n.f.fs.upcase(ctx)
	if err != nil {
		return nil, err
	}
	var found indexEntry
	err = x.search(ctx, func(key []byte) (int, error) {
		k := fileName(key)
		if !k.valid() {
			return 0, n.f.corrupt("its index has a file name of %d bytes", len(key))
		}
		return upcase.compare(want, k.name()), nil
	}, func(e indexEntry) (bool, error) {
		if slices.Equal(fileName(e.key()).name(), want) {
			found = e
			return false, nil
		}
		if ignoreCase && found == nil {
			found = e
		}
		return true, nil
	})
	if err == nil && found == nil {
		err = syscall.ENOENT
	}
	return found, err
}

// Cursors are places in the directory: bytes of $INDEX_ROOT's entries, and from
// allocBase on bytes of $INDEX_ALLOCATION.
const allocBase = 1 << 20

// Entries lists the directory in the order of the disk: the root's entries,
// then those of each block that the bitmap says is in use.
func (n *inode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if !n.isDir() {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		if err := n.entries(ctx, after.Off, yield); err != nil {
			yield(vfs.Entry{}, err)
		}
	}
}

func (n *inode) entries(ctx context.Context, from uint64, yield func(vfs.Entry, error) bool) error {
	x, err := n.dirIndex(ctx)
	if err != nil {
		return err
	}
	if from < allocBase {
		if stop, err := n.nodeEntries(x.root, 0, from, yield); stop || err != nil {
			return err
		}
		from = allocBase
	}
	if x.blockSize == 0 || from-allocBase >= uint64(x.alloc.size) {
		return nil
	}
	var buf [512]byte
	var bits []byte
	off := int64(from-allocBase) / x.blockSize * x.blockSize
	ahead := off
	for bit := int64(-1); off+x.blockSize <= x.alloc.size; off += x.blockSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		blk := off / x.blockSize
		if bit < 0 || blk/8 >= bit+int64(len(bits)) {
			bit = blk / 8
			if bits, err = x.used(ctx, blk, buf[:]); err != nil || bits == nil {
				return err
			}
		}
		if bits[blk/8-bit]>>(blk%8)&1 == 0 {
			continue
		}
		if off >= ahead {
			x.prefetch(ctx, off)
			ahead = off + indexAhead*x.blockSize
		}
		nd, err := x.block(ctx, off)
		if err != nil {
			return err
		}
		if stop, err := n.nodeEntries(nd, uint64(allocBase+off), from, yield); stop || err != nil {
			return err
		}
	}
	return nil
}

// nodeEntries lists a node whose first byte has the cursor base, from the
// cursor from on.
func (n *inode) nodeEntries(nd node, base, from uint64, yield func(vfs.Entry, error) bool) (stop bool, err error) {
	for at := 0; ; {
		e, err := nd.entry(at)
		if err != nil {
			return false, err
		}
		if e.last() {
			return false, nil
		}
		cursor := base + uint64(at)
		at += len(e)
		k := fileName(e.key())
		if !k.valid() {
			return false, n.f.corrupt("its index has a file name of %d bytes", len(e.key()))
		}
		if cursor < from || k.namespace() == nameDOS || !showable(k.name()) {
			continue
		}
		if num := e.ref().number(); num < firstUserFile && num != fileRoot && !n.f.fs.opt.showSystem {
			continue
		}
		if !yield(vfs.Entry{Name: decodeName(k.name()), Ino: refIno(e.ref()), Type: k.fileType(), Next: vfs.Cursor{Off: base + uint64(at)}}, nil) {
			return true, nil
		}
	}
}

// fileType is the type of what an entry names, 0 where only its record knows:
// reparse points and the special files of Interix are not what they seem.
func (f fileName) fileType() uint32 {
	switch a := f.attributes(); {
	case a&(attrReparsePoint|attrSystem) != 0:
		return 0
	case a&attrDupDirectory != 0:
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}
