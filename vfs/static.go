package vfs

import (
	"context"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/formats/block"
)

// A Static is a read-only FileSystem made of directories and files that no
// disk holds: the root of a view with one folder per filesystem, and the
// .guest folder. It is put together first and shown then: nothing may be added
// once it is part of a Namespace.
type Static struct {
	name  string
	nodes []*staticNode // inode number i is nodes[i-staticFirst]
}

// staticFirst is the root's inode number; 0 and 1 have meanings elsewhere.
const staticFirst = 2

type staticNode struct {
	ino    Ino
	attr   Attr
	names  []string // sorted, directories
	inos   []Ino
	dev    block.Device // files that are a device
	make   func(ctx context.Context) ([]byte, error)
	mu     sync.Mutex // held while made is made, so that it is made once
	made   []byte
	isMade bool
}

var (
	_ FileSystem = (*Static)(nil)
	_ Inode      = (*staticNode)(nil)
)

// NewStatic makes a Static with an empty root. name is what Info calls its type.
func NewStatic(name string) *Static {
	s := &Static{name: name}
	s.add(syscall.S_IFDIR|0o555, 0)
	return s
}

func (s *Static) add(mode uint32, size int64) *staticNode {
	now := time.Now()
	t := Time{now.Unix(), uint32(now.Nanosecond())}
	n := &staticNode{
		ino:  Ino{Num: uint64(len(s.nodes) + staticFirst)},
		attr: Attr{Mode: mode, Nlink: 1, Size: size, Atime: t, Mtime: t, Ctime: t, Btime: t, NoXattr: true},
	}
	s.nodes = append(s.nodes, n)
	return n
}

// Dir makes the directory at name and those above it: "a/b".
func (s *Static) Dir(name string) { s.dir(name) }

func (s *Static) dir(name string) *staticNode {
	d := s.nodes[0]
	for _, part := range strings.Split(strings.Trim(name, "/"), "/") {
		if part == "" {
			continue
		}
		if i, ok := slices.BinarySearch(d.names, part); ok {
			d = s.nodes[d.inos[i].Num-staticFirst]
			continue
		}
		sub := s.add(syscall.S_IFDIR|0o555, 0)
		d.link(part, sub.ino)
		d = sub
	}
	return d
}

// link puts ino under name; a later one takes the place of an earlier one.
func (n *staticNode) link(name string, ino Ino) {
	i, ok := slices.BinarySearch(n.names, name)
	if ok {
		n.inos[i] = ino
		return
	}
	n.names = slices.Insert(n.names, i, name)
	n.inos = slices.Insert(n.inos, i, ino)
}

// File makes a file whose bytes are dev's.
func (s *Static) File(name string, dev block.Device) {
	f := s.add(syscall.S_IFREG|0o444, dev.Size())
	f.dev = dev
	f.attr.Blocks = (dev.Size() + 511) / 512
	s.dir(path.Dir("/"+name)).link(path.Base(name), f.ino)
}

// Made is a file whose bytes make gives when it is first looked at. An error
// is not kept.
func (s *Static) Made(name string, make func(ctx context.Context) ([]byte, error)) {
	f := s.add(syscall.S_IFREG|0o444, 0)
	f.make = make
	s.dir(path.Dir("/"+name)).link(path.Base(name), f.ino)
}

// Info describes it; there is nothing behind it.
func (s *Static) Info() Info {
	return Info{Type: s.name, BlockSize: 4096, NameMax: 255, ReadOnly: true}
}

// Root is the directory everything is in.
func (s *Static) Root() Ino { return Ino{Num: staticFirst} }

// Devices are those of the files.
func (s *Static) Devices() []block.Device {
	var devs []block.Device
	for _, n := range s.nodes {
		if n.dev != nil {
			devs = append(devs, n.dev)
		}
	}
	return devs
}

// Inode gives a node, and makes its bytes where it has a maker.
func (s *Static) Inode(ctx context.Context, ino Ino) (Inode, error) {
	if ino.Num < staticFirst || ino.Num-staticFirst >= uint64(len(s.nodes)) {
		return nil, syscall.ENOENT
	}
	n := s.nodes[ino.Num-staticFirst]
	if n.make == nil {
		return n, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.isMade {
		b, err := n.make(ctx)
		if err != nil {
			return nil, err
		}
		n.made, n.isMade = b, true
		n.attr.Size = int64(len(b))
		n.attr.Blocks = (n.attr.Size + 511) / 512
	}
	return n, nil
}

// Usage is that of an empty filesystem.
func (s *Static) Usage(context.Context) (Usage, error) {
	return Usage{BlockSize: 4096, Files: uint64(len(s.nodes))}, nil
}

// Begin refuses: a Static is read-only.
func (s *Static) Begin(context.Context, Op) (Tx, error) { return nil, syscall.EROFS }

// Sync has nothing to do.
func (s *Static) Sync(context.Context) error { return nil }

// Close has nothing to do.
func (s *Static) Close(context.Context) error { return nil }

func (n *staticNode) Ino() Ino   { return n.ino }
func (n *staticNode) Attr() Attr { return n.attr }

func (n *staticNode) Lookup(_ context.Context, name string) (Ino, error) {
	if n.attr.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return Ino{}, syscall.ENOTDIR
	}
	if i, ok := slices.BinarySearch(n.names, name); ok {
		return n.inos[i], nil
	}
	return Ino{}, syscall.ENOENT
}

func (n *staticNode) Entries(_ context.Context, after Cursor) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if n.attr.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			yield(Entry{}, syscall.ENOTDIR)
			return
		}
		for i := min(after.Off, uint64(len(n.names))); i < uint64(len(n.names)); i++ {
			if !yield(Entry{Name: n.names[i], Ino: n.inos[i], Next: Cursor{Off: i + 1}}, nil) {
				return
			}
		}
	}
}

func (n *staticNode) Map(_ context.Context, off, length int64) (Extent, error) {
	size := n.attr.Size
	length = block.Clamp(off, length, size)
	if length == 0 {
		return Extent{}, syscall.EINVAL
	}
	if n.dev != nil {
		return Extent{Kind: Mapped, Len: length, Dev: n.dev, Off: off}, nil
	}
	return Extent{Kind: Inline, Len: length, Inline: n.made[off : off+length]}, nil
}

func (n *staticNode) Readlink(context.Context) (string, error) { return "", syscall.EINVAL }

func (n *staticNode) Xattrs(context.Context) iter.Seq2[Xattr, error] {
	return func(func(Xattr, error) bool) {}
}
