package vfs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxLinks is how many symlinks one path may go through, as in Linux.
const maxLinks = 40

// maxPath bounds a path and what its symlinks expand to, in bytes.
const maxPath = 64 << 10

// A Node is a place in a Namespace. It is comparable; the generation of its Ino
// may be 0, so compare the Namespace's numbers instead.
type Node struct {
	Tree *Tree
	Ino  Ino
}

// A Namespace is several trees put together as one: the second and later ones
// cover directories of the former, as mounts do.
type Namespace struct {
	mu    sync.Mutex // held to attach; readers use state
	state atomic.Pointer[nsState]
	inos  inomap
}

// nsState is never changed: Attach makes a new one.
type nsState struct {
	root   Node // what is seen at /
	trees  []*Tree
	index  map[*Tree]int
	covers map[coverKey]Node // a covered directory -> the root on top of it
	hidden map[string]Node   // names in the root that Lookup finds and Entries leaves out
	points []Attachment
}

type coverKey struct {
	tree *Tree
	sub  uint64
	num  uint64
}

func keyOf(n Node) coverKey { return coverKey{n.Tree, n.Ino.Tree, n.Ino.Num} }

// An Attachment is a tree and where it is shown.
type Attachment struct {
	Path string // "/", "/boot/efi"
	Tree *Tree
}

// NewNamespace shows root's tree at /.
func NewNamespace(root *Tree) *Namespace {
	ns := &Namespace{}
	ns.state.Store(&nsState{
		root:   Node{root, root.root},
		trees:  []*Tree{root},
		index:  map[*Tree]int{root: 0},
		covers: map[coverKey]Node{},
		hidden: map[string]Node{},
		points: []Attachment{{"/", root}},
	})
	return ns
}

// Attach shows t at path, which must be a directory: it is covered.
func (ns *Namespace) Attach(ctx context.Context, path string, t *Tree) error {
	at, path, err := ns.Resolve(ctx, path, true)
	if err != nil {
		return fmt.Errorf("attach %s at %q: %w", t.name, path, err)
	}
	f, err := at.Tree.Inode(ctx, at.Ino)
	if err != nil {
		return err
	}
	if f.Attr().Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return fmt.Errorf("attach %s at %q: %w", t.name, path, syscall.ENOTDIR)
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	s := ns.state.Load().clone()
	if err := s.add(t); err != nil {
		return err
	}
	root := Node{t, t.root}
	// Another tree may have come on top since the walk.
	s.covers[keyOf(s.cross(at))] = root
	s.root = s.cross(s.root)
	s.points = append(s.points, Attachment{path, t})
	ns.state.Store(s)
	return nil
}

// Hide shows t as name in the root, found by Lookup but not listed, as ZFS
// does with .zfs. The guest's own entry of that name is covered.
func (ns *Namespace) Hide(name string, t *Tree) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	s := ns.state.Load().clone()
	if err := s.add(t); err != nil {
		return err
	}
	s.hidden[name] = Node{t, t.root}
	ns.state.Store(s)
	return nil
}

func (s *nsState) clone() *nsState {
	c := *s
	c.trees = slices.Clone(s.trees)
	c.index = maps.Clone(s.index)
	c.covers = maps.Clone(s.covers)
	c.hidden = maps.Clone(s.hidden)
	c.points = slices.Clone(s.points)
	return &c
}

func (s *nsState) add(t *Tree) error {
	if _, ok := s.index[t]; ok {
		return fmt.Errorf("attach %s twice: %w", t.name, syscall.EBUSY)
	}
	s.index[t] = len(s.trees)
	s.trees = append(s.trees, t)
	return nil
}

// Root is the node of /.
func (ns *Namespace) Root() Node { return ns.state.Load().root }

// Trees are all attached trees; the first is the root's.
func (ns *Namespace) Trees() []*Tree { return ns.state.Load().trees }

// Attachments says which tree is shown where, in the order they were attached.
// Hidden ones are left out.
func (ns *Namespace) Attachments() []Attachment { return ns.state.Load().points }

// Number is n's number, unique in the Namespace: an inode of the root's tree
// keeps the guest's own.
func (ns *Namespace) Number(n Node) uint64 {
	index, ok := ns.state.Load().index[n.Tree]
	if !ok {
		index = maxTrees // a tree that is not attached: never the root's numbers
	}
	return ns.inos.number(n, index)
}

// Node is the node with that number; false where none was given it.
func (ns *Namespace) Node(number uint64) (Node, bool) {
	return ns.inos.node(number, ns.state.Load().trees)
}

// Inode reads a node's inode.
func (ns *Namespace) Inode(ctx context.Context, n Node) (Inode, error) {
	return n.Tree.Inode(ctx, n.Ino)
}

// Cross is what is seen at n: the root of a tree that covers it, or n.
func (ns *Namespace) Cross(n Node) Node {
	s := ns.state.Load()
	if len(s.covers) == 0 {
		return n
	}
	return s.cross(n)
}

func (s *nsState) cross(n Node) Node {
	for {
		top, ok := s.covers[keyOf(n)]
		if !ok {
			return n
		}
		n = top
	}
}

// Fixed says whether name in dir belongs to the Namespace and not to the guest:
// what is hidden there, or a directory that another tree covers. It cannot be
// taken away or renamed.
func (ns *Namespace) Fixed(ctx context.Context, dir Node, name string) (bool, error) {
	s := ns.state.Load()
	if _, hidden := s.hidden[name]; hidden && keyOf(dir) == keyOf(s.root) {
		return true, nil
	}
	if len(s.covers) == 0 {
		return false, nil
	}
	f, err := dir.Tree.Inode(ctx, dir.Ino)
	if err != nil {
		return false, err
	}
	ino, err := f.Lookup(ctx, name)
	switch {
	case errors.Is(err, syscall.ENOENT):
		return false, nil
	case err != nil:
		return false, err
	}
	_, covered := s.covers[keyOf(Node{dir.Tree, ino})]
	return covered, nil
}

// Lookup finds name in dir. "." is dir itself; ".." is not known here and
// ENOENT: Walk keeps the path. ENAMETOOLONG where the filesystem could not have the name.
func (ns *Namespace) Lookup(ctx context.Context, dir Node, name string) (Node, error) {
	s := ns.state.Load()
	switch name {
	case ".":
		return dir, nil
	case "", "..":
		return Node{}, syscall.ENOENT
	}
	if len(s.hidden) > 0 && keyOf(dir) == keyOf(s.root) {
		if n, ok := s.hidden[name]; ok {
			return n, nil
		}
	}
	if len(name) > dir.Tree.nameMax {
		return Node{}, syscall.ENAMETOOLONG
	}
	f, err := dir.Tree.Inode(ctx, dir.Ino)
	if err != nil {
		return Node{}, err
	}
	ino, err := f.Lookup(ctx, name)
	if err != nil {
		if err == syscall.ENOENT || err == syscall.ENOTDIR {
			return Node{}, err
		}
		return Node{}, &OpError{Op: fmt.Sprintf("look up %q in directory", name), Volume: dir.Tree.name, Ino: dir.Ino, Err: err}
	}
	return s.cross(Node{dir.Tree, ino}), nil
}

// Entries lists dir from after the cursor on. What an attached tree covers is
// listed with the covered directory's own number and type; Cross it.
func (ns *Namespace) Entries(ctx context.Context, dir Node, after Cursor) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f, err := dir.Tree.Inode(ctx, dir.Ino)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		s := ns.state.Load()
		atRoot := len(s.hidden) > 0 && keyOf(dir) == keyOf(s.root)
		for e, err := range f.Entries(ctx, after) {
			if err != nil {
				yield(Entry{}, &OpError{Op: "list directory", Volume: dir.Tree.name, Ino: dir.Ino, Err: err})
				return
			}
			if err := validName(e.Name); err != nil {
				yield(Entry{}, &OpError{Op: "list directory", Volume: dir.Tree.name, Ino: dir.Ino, Err: err})
				return
			}
			if _, hidden := s.hidden[e.Name]; atRoot && hidden {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// validName refuses the names with which a damaged or hostile directory could
// lead a caller somewhere else, as the kernel's verify_dirent_name does.
func validName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return &ondisk.CorruptError{Struct: "directory entry", Detail: fmt.Sprintf("the name %q", name)}
	}
	return nil
}

// Walk resolves path from the root: "/etc/../usr/bin". Symlinks are resolved
// inside the namespace, absolute ones from its root; the last one only where
// follow is set. It never leaves the root.
func (ns *Namespace) Walk(ctx context.Context, path string, follow bool) (Node, error) {
	n, _, err := ns.Resolve(ctx, path, follow)
	return n, err
}

// Resolve is Walk that also answers the path without symlinks, "." and "..".
func (ns *Namespace) Resolve(ctx context.Context, path string, follow bool) (Node, string, error) {
	type step struct {
		node Node
		name string
	}
	if len(path) > maxPath {
		return Node{}, "", syscall.ENAMETOOLONG
	}
	stack := []step{{ns.Root(), ""}}
	todo := strings.Split(path, "/")
	links := 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		here := stack[len(stack)-1].node
		if err := ctx.Err(); err != nil {
			return Node{}, "", err
		}
		switch name {
		case "", ".":
			// A trailing slash or dot asks for a directory.
			if len(todo) == 0 && len(path) > 0 {
				if f, err := ns.Inode(ctx, here); err != nil {
					return Node{}, "", err
				} else if f.Attr().Mode&syscall.S_IFMT != syscall.S_IFDIR {
					return Node{}, "", syscall.ENOTDIR
				}
			}
			continue
		case "..":
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		n, err := ns.Lookup(ctx, here, name)
		if err != nil {
			return Node{}, "", err
		}
		f, err := ns.Inode(ctx, n)
		if err != nil {
			return Node{}, "", err
		}
		last := len(todo) == 0
		if f.Attr().Mode&syscall.S_IFMT == syscall.S_IFLNK && (!last || follow) {
			if links++; links > maxLinks {
				return Node{}, "", syscall.ELOOP
			}
			target, err := f.Readlink(ctx)
			if err != nil {
				return Node{}, "", &OpError{Op: "read symlink", Volume: n.Tree.name, Ino: n.Ino, Err: err}
			}
			if len(target)+len(todo) > maxPath {
				return Node{}, "", syscall.ENAMETOOLONG
			}
			if target == "" {
				return Node{}, "", syscall.ENOENT
			}
			if strings.HasPrefix(target, "/") {
				stack = stack[:1]
			}
			todo = append(strings.Split(target, "/"), todo...)
			continue
		}
		if !last && f.Attr().Mode&syscall.S_IFMT != syscall.S_IFDIR {
			return Node{}, "", syscall.ENOTDIR
		}
		stack = append(stack, step{n, name})
	}
	var b strings.Builder
	for _, st := range stack[1:] {
		b.WriteByte('/')
		b.WriteString(st.name)
	}
	if b.Len() == 0 {
		b.WriteByte('/')
	}
	return stack[len(stack)-1].node, b.String(), nil
}
