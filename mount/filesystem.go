package mount

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/vfs"
)

// A fileSystem answers the kernel's requests.
type fileSystem struct {
	fuse.RawFileSystem // ENOSYS for what is not here: locks, which the kernel then keeps itself

	ns     *vfs.Namespace
	root   vfs.Node
	rootNo uint64 // root's number, which users see; the kernel calls it FUSE_ROOT_ID
	dir    string
	opt    Options
	xattrs bool // some inode may have extended attributes, and they are shown

	// live says that what is shown may change: nothing that latches is answered then.
	live     bool
	writable bool                      // changes are taken through this mount
	clients  map[*vfs.Tree]*vfs.Client // of all trees
	handles  *dirHandles
	told     *messenger // nil where nothing changes

	attrTTL, entryTTL, negativeTTL time.Duration

	ctx    context.Context // ends with the connection, not with a request
	cancel context.CancelFunc

	faults *faultLog
	trees  sync.Map // *vfs.Tree -> *treeFacts
	dirs   *listings
	places *places
	scout  *scout
	push   *pusher // nil where nothing is pushed

	reads, lists, lookups atomic.Int64
}

// Stats count what was asked and done since the mount.
type Stats struct {
	Lookups int64 // LOOKUP requests
	Lists   int64 // READDIR and READDIRPLUS requests
	Reads   int64 // READ requests
	Stores  int64 // files pushed into the page cache
	Stored  int64 // bytes of them
}

func (m *fileSystem) stats() Stats {
	s := Stats{Lookups: m.lookups.Load(), Lists: m.lists.Load(), Reads: m.reads.Load()}
	if m.push != nil {
		s.Stores, s.Stored = m.push.stores.Load(), m.push.stored.Load()
	}
	return s
}

func newFileSystem(ns *vfs.Namespace, dir string, opt Options) *fileSystem {
	m := &fileSystem{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		ns:            ns,
		root:          ns.Cross(ns.Root()),
		dir:           dir,
		opt:           opt,
		attrTTL:       timeout(opt.AttrTimeout),
		entryTTL:      timeout(opt.EntryTimeout),
		negativeTTL:   timeout(opt.NegativeTimeout),
		faults:        newFaultLog(opt.Log),
		places:        newPlaces(),
		clients:       make(map[*vfs.Tree]*vfs.Client),
		handles:       newDirHandles(),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.rootNo = ns.Number(m.root)
	m.dirs = newListings(m)
	m.scout = newScout(m)
	readOnly := true
	for _, t := range ns.Trees() {
		info := t.FileSystem().Info()
		m.xattrs = m.xattrs || info.HasXattrs || t.Writable() && !info.NoACLs
		readOnly = readOnly && info.ReadOnly
		m.live = m.live || t.Writable()
	}
	m.xattrs = m.xattrs && !opt.NoXattr
	m.writable = m.live && opt.Writable
	m.join()
	if readOnly && !opt.NoPush {
		m.push = newPusher(m)
	}
	return m
}

// join makes the mount a client of every tree.
func (m *fileSystem) join() {
	if m.live {
		m.told = newMessenger(m)
	}
	for _, t := range m.ns.Trees() {
		m.clients[t] = t.Client(func(e vfs.Event) { m.told.add(t, e) })
	}
}

// start is called when the kernel is connected, before the first request is served.
func (m *fileSystem) start(conn kernel) {
	m.scout.start()
	if m.told != nil {
		m.told.start(conn)
	}
	if m.push != nil {
		m.push.start(conn)
	}
}

// stop is called after the last request was served, and waits for what runs in the background.
func (m *fileSystem) stop() {
	m.cancel()
	m.scout.wait()
	if m.push != nil {
		m.push.wait()
	}
	if m.told != nil {
		m.told.wait()
	}
	for _, c := range m.clients {
		c.Close(context.Background())
	}
}

func (m *fileSystem) String() string { return m.opt.Subtype }

// treeFacts are what is asked about a tree again and again.
type treeFacts struct {
	blockSize uint32
	nameMax   uint32
	made      bool // files are made when they are looked at: a vfs.Static
}

func (m *fileSystem) facts(t *vfs.Tree) *treeFacts {
	if f, ok := m.trees.Load(t); ok {
		return f.(*treeFacts)
	}
	info := t.FileSystem().Info()
	_, made := t.FileSystem().(*vfs.Static)
	f := &treeFacts{blockSize: 4096, nameMax: uint32(info.NameMax), made: made}
	if b := info.BlockSize; b >= 512 && b <= 1<<20 && b&(b-1) == 0 {
		f.blockSize = uint32(b)
	}
	m.trees.Store(t, f)
	return f
}

// number is n's number as users see it, and id as the kernel names it in requests.
func (m *fileSystem) number(n vfs.Node) (number, id uint64) {
	number = m.ns.Number(n)
	if number == m.rootNo {
		return number, fuse.FUSE_ROOT_ID
	}
	return number, number
}

// node is what the kernel means by id.
func (m *fileSystem) node(id uint64) (vfs.Node, error) {
	if id == fuse.FUSE_ROOT_ID {
		return m.root, nil
	}
	n, ok := m.ns.Node(id)
	if !ok {
		return vfs.Node{}, syscall.ESTALE
	}
	return n, nil
}

func (m *fileSystem) inode(id uint64) (vfs.Node, vfs.Inode, error) {
	n, err := m.node(id)
	if err != nil {
		return n, nil, err
	}
	f, err := m.ns.Inode(m.ctx, n)
	return n, f, err
}

// glance is the inode of a node that is listed: the kernel keeps what it is told, so that keeping it here too would only
// cost. Directories are asked again soon, for what they hold.
func (m *fileSystem) glance(n vfs.Node, typ uint32) (vfs.Inode, error) {
	if typ == syscall.S_IFDIR {
		return m.ns.Inode(m.ctx, n)
	}
	return n.Tree.FileSystem().Inode(m.ctx, vfs.Ino{Tree: n.Ino.Tree, Num: n.Ino.Num})
}

// Lookup finds a name. That there is none is kept by the kernel too. "." and ".." come from the kernel's file handles,
// for NFS servers and open_by_handle_at(2).
func (m *fileSystem) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	m.lookups.Add(1)
	dir, err := m.node(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	var n vfs.Node
	switch name {
	case ".":
		n = dir
	case "..":
		parent, ok := m.places.get(in.NodeId)
		if !ok {
			return fuse.Status(syscall.ESTALE)
		}
		n, err = m.node(parent.dir)
	default:
		n, err = m.ns.Lookup(m.ctx, dir, name)
	}
	if err == nil {
		var f vfs.Inode
		if f, err = m.ns.Inode(m.ctx, n); err == nil {
			id, a := m.fillEntry(n, f, out)
			if name != "." && name != ".." && a.Mode&syscall.S_IFMT == syscall.S_IFDIR {
				m.places.put(id, place{dir: in.NodeId})
			}
			return fuse.OK
		}
	}
	if errnoOf(err) == syscall.ENOENT && m.negativeTTL > 0 {
		out.NodeId = 0
		out.SetEntryTimeout(m.negativeTTL)
		return fuse.OK
	}
	return m.status(err)
}

// Forget has nothing to do: node ids are computed, or kept by the Namespace.
func (m *fileSystem) Forget(uint64, uint64) {}

// Access is asked where the kernel checks nothing itself. The caller acts as root inside the guest, and root executes
// what someone may execute.
func (m *fileSystem) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	const execute, write = 1, 2
	if in.Mask&write != 0 {
		if n, err := m.node(in.NodeId); err != nil || !m.writable || !n.Tree.Writable() {
			return fuse.EROFS
		}
	}
	if in.Mask&execute == 0 {
		return fuse.OK
	}
	_, f, err := m.inode(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	if mode := f.Attr().Mode; mode&syscall.S_IFMT != syscall.S_IFDIR && mode&0o111 == 0 {
		return fuse.EACCES
	}
	return fuse.OK
}

// StatFs is of the filesystem that the node is in.
func (m *fileSystem) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	n, err := m.node(in.NodeId)
	if err != nil {
		return m.status(err)
	}
	u, err := n.Tree.FileSystem().Usage(m.ctx)
	if err != nil {
		return m.status(&vfs.OpError{Op: "measure the filesystem of inode", Volume: n.Tree.Name(), Ino: n.Ino, Err: err})
	}
	facts := m.facts(n.Tree)
	out.Blocks, out.Bfree, out.Bavail = u.Blocks, u.Free, u.Available
	out.Files, out.Ffree = u.Files, u.FilesFree
	out.Bsize, out.Frsize = facts.blockSize, facts.blockSize
	if u.BlockSize > 0 {
		out.Bsize, out.Frsize = uint32(u.BlockSize), uint32(u.BlockSize)
	}
	out.NameLen = facts.nameMax
	return fuse.OK
}
