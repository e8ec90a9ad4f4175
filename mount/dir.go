package mount

import (
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// The first offsets of a directory are "." and ".."; then comes entry 0 of window 0.
const firstEntry = 2

// ReadDir lists names.
func (m *fileSystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return m.list(in, func(_ vfs.Node, e fuse.DirEntry, _ int) bool {
		return out.AddDirEntry(e)
	}, func(dir vfs.Node, e fuse.DirEntry, ino vfs.Ino, _ int) bool {
		e.Ino, _ = m.number(m.ns.Cross(vfs.Node{Tree: dir.Tree, Ino: ino}))
		return out.AddDirEntry(e)
	}, nil)
}

// ReadDirPlus lists names with all that a lookup of each would tell.
func (m *fileSystem) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	var known []placed
	if in.Offset == 0 && !m.live {
		m.scout.wasListed(in.NodeId)
	}
	defer func() { m.places.putAll(known) }()
	return m.list(in, func(_ vfs.Node, e fuse.DirEntry, _ int) bool {
		return out.AddDirLookupEntry(e) != nil
	}, func(dir vfs.Node, e fuse.DirEntry, ino vfs.Ino, index int) bool {
		n := m.ns.Cross(vfs.Node{Tree: dir.Tree, Ino: ino})
		number, id := m.number(n)
		e.Ino = number
		if m.facts(n.Tree).made && e.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			// The kernel takes an entry without a node as one it has to look up: listing .guest makes nothing.
			return out.AddDirLookupEntry(e) != nil
		}
		f, err := m.glance(n, e.Mode)
		if err != nil {
			// The name is there. What is wrong with it shows when it is looked up.
			return out.AddDirLookupEntry(e) != nil
		}
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		_, a := m.fillEntry(n, f, entry)
		out.FixMode(a.Mode)
		switch a.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			known = append(known, placed{id, place{in.NodeId, uint32(index + 1)}})
		case syscall.S_IFREG:
			if m.push != nil && a.Size > 0 && a.Size <= pushFile {
				known = append(known, placed{id, place{in.NodeId, uint32(index + 1)}})
			}
		}
		return true
	}, m.dirs.prefetch)
}

// list gives the entries from in.Offset on to add, until it answers that no more fit.
func (m *fileSystem) list(in *fuse.ReadIn,
	addDot func(dir vfs.Node, e fuse.DirEntry, index int) bool,
	add func(dir vfs.Node, e fuse.DirEntry, ino vfs.Ino, index int) bool,
	prepare func(dir vfs.Node, w *window, from int),
) fuse.Status {
	m.lists.Add(1)
	dir, err := m.node(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	off := in.Offset
	for ; off < firstEntry; off++ {
		e := fuse.DirEntry{Name: "..."[:off+1], Mode: syscall.S_IFDIR, Off: off + 1}
		e.Ino = m.ns.Number(dir)
		if off == 1 {
			e.Ino = m.parentNumber(in.NodeId, e.Ino)
		}
		if !addDot(dir, e, 0) {
			return fuse.OK
		}
	}
	added := in.Offset < firstEntry
	for {
		index := off - firstEntry
		w, err := m.window(in, dir, index/uint64(m.dirs.size))
		if w == nil {
			if err == nil || added {
				return fuse.OK // past the end
			}
			return m.status(err)
		}
		at := int(index % uint64(m.dirs.size))
		if prepare != nil && at < len(w.entries) {
			prepare(dir, w, at)
		}
		for ; at < len(w.entries); at++ {
			e := &w.entries[at]
			if !m.stillThere(dir, w, at) {
				off++
				continue
			}
			entry := fuse.DirEntry{Name: w.name(at), Mode: uint32(e.typ) << 12, Off: off + 1}
			if !add(dir, entry, e.ino, int(off-firstEntry)) {
				return fuse.OK
			}
			added = true
			off++
		}
		switch {
		case err != nil && !added:
			return m.status(err)
		case err != nil || w.last || added:
			return fuse.OK
		}
	}
}

// window is window k of the listing that a request goes on with.
func (m *fileSystem) window(in *fuse.ReadIn, dir vfs.Node, k uint64) (*window, error) {
	if !m.live {
		return m.dirs.window(in.NodeId, dir, k)
	}
	return m.handles.get(in.Fh).window(m, dir, k, in.Offset == 0)
}

// parentNumber is the number of a directory's parent, where it is remembered; else the directory's own.
func (m *fileSystem) parentNumber(id, own uint64) uint64 {
	if id == fuse.FUSE_ROOT_ID {
		return own
	}
	p, ok := m.places.get(id)
	if !ok {
		return own
	}
	n, err := m.node(p.dir)
	if err != nil {
		return own
	}
	return m.ns.Number(n)
}

// listable says whether the kernel takes a name in a listing: one it does not take would spoil the whole reply,
// fs/fuse/readdir.c.
func listable(name string) bool {
	return name != "" && len(name) <= 1024 && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
