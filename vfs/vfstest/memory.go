package vfstest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// A Memory is a read-only FileSystem that a test puts together: every kind of
// file, extent and failure. Nothing may be added once it is in use. File data
// lies on its device in the order in which it was added, in blocks of 512.
type Memory struct {
	dev     *memoryDevice
	inodes  []*memoryInode // inode number i is inodes[i-memoryRoot]
	NameMax int            // 255 where not changed
}

const (
	memoryRoot  = 2
	memoryGen   = 7 // of every inode
	memoryBlock = 512
)

// A Spec is a file to add. The zero Mode is a regular file, 0644.
type Spec struct {
	Mode    uint32
	UID     uint32
	GID     uint32
	Rdev    uint32
	Mtime   vfs.Time
	Pieces  []Piece // the bytes of a regular file, one after the other
	Target  string  // of a symlink
	Xattrs  map[string]string
	Err     error // Inode answers it
	ListErr error // Entries ends with it
}

// A Piece is a part of a file that lies in one place.
type Piece struct {
	Kind vfs.ExtentKind
	Data string // Mapped, Inline, Encoded
	Len  int64  // Hole
	Err  error  // reading its bytes, len(Data) of them, fails
}

// Text is a Spec of a file with these bytes in one place.
func Text(s string) Spec { return Spec{Pieces: []Piece{{Kind: vfs.Mapped, Data: s}}} }

// Symlink is a Spec of a symlink.
func Symlink(target string) Spec {
	return Spec{Mode: syscall.S_IFLNK | 0o777, Target: target}
}

// NewMemory makes one with an empty root of mode 0755.
func NewMemory() *Memory {
	m := &Memory{dev: &memoryDevice{}, NameMax: 255}
	m.inode(Spec{Mode: syscall.S_IFDIR | 0o755})
	return m
}

type memoryInode struct {
	ino     vfs.Ino
	attr    vfs.Attr
	spec    Spec
	extents []vfs.Extent
	entries []vfs.Entry // of a directory, in the order they were added
	index   map[string]int
}

var (
	_ vfs.FileSystem = (*Memory)(nil)
	_ vfs.Inode      = (*memoryInode)(nil)
)

// Dir adds a directory of mode 0755 and those above it.
func (m *Memory) Dir(p string) { m.dir(p) }

func (m *Memory) dir(p string) *memoryInode {
	d := m.inodes[0]
	for part := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
		if part == "" {
			continue
		}
		if i, ok := d.index[part]; ok {
			d = m.inodes[d.entries[i].Ino.Num-memoryRoot]
			continue
		}
		sub := m.inode(Spec{Mode: syscall.S_IFDIR | 0o755})
		d.attr.Nlink++
		d.link(part, sub)
		d = sub
	}
	return d
}

// Add adds a file and the directories above it.
func (m *Memory) Add(p string, s Spec) {
	d := m.dir(path.Dir(p))
	d.link(p[strings.LastIndexByte(p, '/')+1:], m.inode(s))
}

// Link gives an existing file another name. A directory may get one, as on a
// damaged filesystem.
func (m *Memory) Link(existing, p string) {
	dir, base := path.Split(existing)
	d := m.dir(dir)
	f := m.inodes[d.entries[d.index[base]].Ino.Num-memoryRoot]
	f.attr.Nlink++
	m.dir(path.Dir(p)).link(path.Base(p), f)
}

// Entry adds a name that a filesystem should not have: "..", "a/b".
func (m *Memory) Entry(dir, name string, s Spec) { m.dir(dir).link(name, m.inode(s)) }

func (m *Memory) inode(s Spec) *memoryInode {
	if s.Mode == 0 {
		s.Mode = 0o644
	}
	if s.Mode&syscall.S_IFMT == 0 {
		s.Mode |= syscall.S_IFREG
	}
	f := &memoryInode{
		ino:   vfs.Ino{Num: uint64(len(m.inodes) + memoryRoot), Gen: memoryGen},
		spec:  s,
		index: map[string]int{},
		attr: vfs.Attr{Mode: s.Mode, Nlink: 1, UID: s.UID, GID: s.GID, Rdev: s.Rdev, Size: int64(len(s.Target)),
			Atime: s.Mtime, Mtime: s.Mtime, Ctime: s.Mtime, NoXattr: len(s.Xattrs) == 0},
	}
	if s.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		f.attr.Nlink = 2
	}
	for _, p := range s.Pieces {
		ext := vfs.Extent{Kind: p.Kind, Len: int64(len(p.Data))}
		switch {
		case p.Err != nil:
			ext.Kind = vfs.Encoded
			ext.Decode = func(context.Context, []byte, int64) (int, error) { return 0, p.Err }
		case p.Kind == vfs.Hole:
			ext.Len = p.Len
		case p.Kind == vfs.Mapped:
			ext.Dev, ext.Off = m.dev, m.dev.add(p.Data)
		case p.Kind == vfs.Inline:
			ext.Inline = []byte(p.Data)
		case p.Kind == vfs.Encoded:
			ext.Decode = func(_ context.Context, b []byte, off int64) (int, error) { return copy(b, p.Data[off:]), nil }
		}
		if ext.Kind != vfs.Hole {
			f.attr.Blocks += (ext.Len + memoryBlock - 1) / memoryBlock
		}
		f.attr.Size += ext.Len
		f.extents = append(f.extents, ext)
	}
	m.inodes = append(m.inodes, f)
	return f
}

func (f *memoryInode) link(name string, to *memoryInode) {
	f.index[name] = len(f.entries)
	f.entries = append(f.entries, vfs.Entry{Name: name, Ino: to.ino, Type: to.attr.Mode & syscall.S_IFMT,
		Next: vfs.Cursor{Off: uint64(len(f.entries) + 1)}})
}

// Info is that of a filesystem "memory".
func (m *Memory) Info() vfs.Info {
	return vfs.Info{Type: "memory", Size: m.dev.Size(), BlockSize: memoryBlock, NameMax: m.NameMax, ReadOnly: true, HasXattrs: true}
}

// Root is the directory everything is in.
func (m *Memory) Root() vfs.Ino { return m.inodes[0].ino }

// Devices is the one that file data lies on.
func (m *Memory) Devices() []block.Device { return []block.Device{m.dev} }

// Inode gives an inode, or its Spec's error.
func (m *Memory) Inode(ctx context.Context, ino vfs.Ino) (vfs.Inode, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ino.Tree != 0 || ino.Num < memoryRoot || ino.Num-memoryRoot >= uint64(len(m.inodes)) {
		return nil, syscall.ENOENT
	}
	if ino.Gen != 0 && ino.Gen != memoryGen {
		return nil, syscall.ESTALE
	}
	f := m.inodes[ino.Num-memoryRoot]
	if f.spec.Err != nil {
		return nil, f.spec.Err
	}
	return f, nil
}

// Usage is that of a full filesystem.
func (m *Memory) Usage(context.Context) (vfs.Usage, error) {
	return vfs.Usage{BlockSize: memoryBlock, Blocks: uint64(m.dev.Size() / memoryBlock), Files: uint64(len(m.inodes))}, nil
}

// Begin refuses: a Memory is read-only.
func (m *Memory) Begin(context.Context, vfs.Op) (vfs.Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (m *Memory) Sync(context.Context) error { return nil }

// Close has nothing to do.
func (m *Memory) Close(context.Context) error { return nil }

func (f *memoryInode) Ino() vfs.Ino   { return f.ino }
func (f *memoryInode) Attr() vfs.Attr { return f.attr }

func (f *memoryInode) isDir() bool { return f.attr.Mode&syscall.S_IFMT == syscall.S_IFDIR }

func (f *memoryInode) Lookup(_ context.Context, name string) (vfs.Ino, error) {
	if !f.isDir() {
		return vfs.Ino{}, syscall.ENOTDIR
	}
	if i, ok := f.index[name]; ok {
		return f.entries[i].Ino, nil
	}
	return vfs.Ino{}, syscall.ENOENT
}

func (f *memoryInode) Entries(ctx context.Context, after vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) {
		if !f.isDir() {
			yield(vfs.Entry{}, syscall.ENOTDIR)
			return
		}
		for i := min(after.Off, uint64(len(f.entries))); i < uint64(len(f.entries)); i++ {
			if err := ctx.Err(); err != nil {
				yield(vfs.Entry{}, err)
				return
			}
			if !yield(f.entries[i], nil) {
				return
			}
		}
		if f.spec.ListErr != nil {
			yield(vfs.Entry{}, f.spec.ListErr)
		}
	}
}

func (f *memoryInode) Map(_ context.Context, off, n int64) (vfs.Extent, error) {
	start := int64(0)
	for _, ext := range f.extents {
		if in := off - start; in < ext.Len && in >= 0 {
			part := ext
			part.Len = min(ext.Len-in, n)
			switch ext.Kind {
			case vfs.Mapped:
				part.Off += in
			case vfs.Inline:
				part.Inline = ext.Inline[in : in+part.Len]
			case vfs.Encoded:
				part.Decode = func(ctx context.Context, p []byte, at int64) (int, error) { return ext.Decode(ctx, p, in+at) }
			}
			return part, nil
		}
		start += ext.Len
	}
	return vfs.Extent{}, fmt.Errorf("map %d of %d: %w", off, start, syscall.EINVAL)
}

func (f *memoryInode) Readlink(context.Context) (string, error) {
	if f.attr.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		return "", syscall.EINVAL
	}
	return f.spec.Target, nil
}

func (f *memoryInode) Xattrs(context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(yield func(vfs.Xattr, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(f.spec.Xattrs)) {
			value := f.spec.Xattrs[name]
			read := func(context.Context) ([]byte, error) { return []byte(value), nil }
			if !yield(vfs.Xattr{Name: name, Size: int64(len(value)), Read: read}, nil) {
				return
			}
		}
	}
}

// A memoryDevice is the bytes of all Mapped pieces.
type memoryDevice struct{ bytes []byte }

func (d *memoryDevice) add(data string) int64 {
	off := len(d.bytes)
	d.bytes = append(d.bytes, data...)
	d.bytes = append(d.bytes, make([]byte, -len(d.bytes)&(memoryBlock-1))...)
	return int64(off)
}

func (d *memoryDevice) Size() int64 { return int64(len(d.bytes)) }

func (d *memoryDevice) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := copy(p, d.bytes[min(max(off, 0), d.Size()):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *memoryDevice) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, d.Size()); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}
