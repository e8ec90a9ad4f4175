package ext4

import (
	"bytes"
	"context"
	"iter"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/vfs"
)

// dirAhead is how much of a directory is read ahead of a listing, in bytes.
const dirAhead = 256 << 10

// editedNames is the cursor from which the names come that a fast commit added
// to a directory: behind every byte offset of one.
const editedNames = 1 << 62

// entryType makes S_IFMT bits of a file type.
func (fs *FileSystem) entryType(t uint8) uint32 {
	if !fs.sb.hasIncompat(incompatFiletype) {
		return 0
	}
	types := [...]uint32{0, syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFLNK}
	if int(t) < len(types) {
		return types[t]
	}
	return 0
}

// dirBlocks is the number of blocks of a directory.
func (n *inode) dirBlocks() uint64 {
	return (uint64(n.size()) + uint64(n.fs.geo.blockSize) - 1) >> n.fs.geo.blockBits
}

// dirBlock reads one block of a directory. ok is false for a hole.
func (n *inode) dirBlock(ctx context.Context, lblk uint64) (b []byte, ok bool, err error) {
	r, err := n.runAt(ctx, lblk)
	if err != nil || r.hole() || r.unwritten {
		return nil, false, err
	}
	b, err = n.fs.readBlock(ctx, r.start, n.fs.kinds.dir, n)
	return b, err == nil, err
}

// dirWalk goes through the blocks of a directory from a logical block on.
// Holes are skipped, as the kernel does.
func (n *inode) dirWalk(ctx context.Context, from uint64) iter.Seq2[dirPart, error] {
	return func(yield func(dirPart, error) bool) {
		bits, total := n.fs.geo.blockBits, n.dirBlocks()
		ahead := uint64(dirAhead) >> bits
		for lblk := from; lblk < total; {
			r, err := n.runAt(ctx, lblk)
			if err != nil {
				yield(dirPart{}, err)
				return
			}
			r.len = min(r.len, total-lblk)
			if r.hole() || r.unwritten {
				lblk += r.len
				continue
			}
			for i := uint64(0); i < r.len; i++ {
				if i%max(ahead, 1) == 0 && min(ahead, r.len-i) > 1 {
					n.prefetchBlocks(ctx, r.start+i, min(ahead, r.len-i))
				}
				b, err := n.fs.readBlock(ctx, r.start+i, n.fs.kinds.dir, n)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					yield(dirPart{}, err)
					return
				}
				part := dirPart{b: b, at: (lblk + i) << bits, off: int64((r.start + i) << bits)}
				if !yield(part, nil) {
					return
				}
			}
			lblk += r.len
		}
	}
}

// dirPart is a stretch of checked entries.
type dirPart struct {
	b   []byte
	at  uint64 // of b in the directory
	off int64  // of b in the device, for errors
}

// prefetchBlocks reads directory blocks that lie in a row, in one read.
func (n *inode) prefetchBlocks(ctx context.Context, start, count uint64) {
	if last, err := n.fs.blockAddr(start+count-1, n.fs.kinds.dir, n); err == nil {
		if _, ok := n.fs.store.Peek(last.Off, n.fs.kinds.dir); ok {
			return
		}
	}
	addrs := make([]txn.Addr, 0, count)
	for blk := start; blk < start+count; blk++ {
		if at, err := n.fs.blockAddr(blk, n.fs.kinds.dir, n); err == nil {
			addrs = append(addrs, at)
		}
	}
	n.fs.store.Prefetch(ctx, addrs, n.fs.kinds.dir)
}

// parts is every stretch of entries from a byte offset on, inline or in blocks.
func (n *inode) parts(ctx context.Context, from uint64) iter.Seq2[dirPart, error] {
	if n.flag(flagInlineData) {
		return n.inlineParts(ctx)
	}
	return n.dirWalk(ctx, from>>n.fs.geo.blockBits)
}

// Entries lists a directory in the order of its bytes. Cursor.Off is the byte
// offset behind the entry.
func (n *inode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if n.fileType() != syscall.S_IFDIR {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		show, edit := n.nameShow(ctx), n.fs.edits.dir(n.num)
		for p, err := range n.parts(ctx, after.Off) {
			if err != nil {
				yield(vfs.Entry{}, err)
				return
			}
			for at := 0; at < len(p.b); {
				d := dirent(p.b[at:])
				length := recLen(d.rawRecLen(), n.fs.geo.blockSize)
				here := p.at + uint64(at)
				at += length
				if d.inode() == 0 || here < after.Off || isDots(d.name()) {
					continue
				}
				if err := n.checkName(d.name(), p.off+int64(at-length)); err != nil {
					yield(vfs.Entry{}, err)
					return
				}
				if edit != nil && edit.hides(string(d.name())) {
					continue
				}
				e := vfs.Entry{Name: show.name(d, length), Ino: vfs.Ino{Num: uint64(d.inode())}, Type: n.fs.entryType(d.fileType()),
					Next: vfs.Cursor{Off: here + uint64(length)}}
				if !yield(e, nil) {
					return
				}
			}
		}
		if edit == nil {
			return
		}
		for i, e := range edit.added {
			next := editedNames + uint64(i) + 1
			if next > after.Off && !yield(vfs.Entry{Name: show.plain([]byte(e.name)), Ino: vfs.Ino{Num: uint64(e.ino)}, Type: e.mode, Next: vfs.Cursor{Off: next}}, nil) {
				return
			}
		}
	}
}

// isDots says whether a name is . or .., which are not listed.
func isDots(name []byte) bool {
	return name[0] == '.' && (len(name) == 1 || len(name) == 2 && name[1] == '.')
}

// checkName refuses what is no name to anybody: encrypted names are shown in
// another form and may be any bytes.
func (n *inode) checkName(name []byte, off int64) error {
	if !n.flag(flagEncrypt) && (bytes.IndexByte(name, '/') >= 0 || bytes.IndexByte(name, 0) >= 0) {
		return n.fs.badDirent(off, n.num, "name %q", name)
	}
	return nil
}

// Lookup finds a name, by the hash tree where there is one.
func (n *inode) Lookup(ctx context.Context, name string) (vfs.Ino, error) {
	if n.fileType() != syscall.S_IFDIR {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	if name == "" || len(name) > nameMax {
		return vfs.Ino{}, syscall.ENOENT
	}
	m := n.nameMatch(name)
	num, err := n.find(ctx, m)
	if err != nil {
		return vfs.Ino{}, err
	}
	if num == 0 {
		return vfs.Ino{}, syscall.ENOENT
	}
	return vfs.Ino{Num: uint64(num)}, nil
}

// find gives the inode number that a name stands for, 0 where there is none.
func (n *inode) find(ctx context.Context, m *matcher) (uint32, error) {
	if edit := n.fs.edits.dir(n.num); edit != nil {
		m.hidden = edit.hides
		for _, e := range edit.added {
			if m.matches([]byte(e.name)) {
				return e.ino, nil
			}
		}
	}
	if n.indexed() && !m.dots {
		num, done, err := n.findHashed(ctx, m)
		if err != nil || done {
			return num, err
		}
	}
	for p, err := range n.parts(ctx, 0) {
		if err != nil {
			return 0, err
		}
		if num := n.search(p.b, m); num != 0 {
			return num, nil
		}
		if m.dots && p.at == 0 {
			return 0, nil // . and .. are in the first block
		}
	}
	return 0, nil
}

// search looks through checked entries for a name.
func (n *inode) search(b []byte, m *matcher) uint32 {
	for at := 0; at < len(b); {
		d := dirent(b[at:])
		if d.inode() != 0 && m.matches(d.name()) && (m.hidden == nil || !m.hidden(string(d.name()))) {
			return d.inode()
		}
		at += recLen(d.rawRecLen(), n.fs.geo.blockSize)
	}
	return 0
}

// indexed says whether the directory has a hash tree.
func (n *inode) indexed() bool {
	return n.flag(flagIndex) && !n.flag(flagInlineData) && n.fs.sb.hasCompat(compatDirIndex)
}
