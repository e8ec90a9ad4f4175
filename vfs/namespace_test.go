package vfs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func tree() *vfstest.Memory {
	m := vfstest.NewMemory()
	m.Add("/etc/passwd", vfstest.Text("root"))
	m.Add("/usr/bin/sh", vfstest.Text("#!"))
	m.Add("/bin", vfstest.Symlink("usr/bin"))
	m.Add("/abs", vfstest.Symlink("/etc/../usr/bin/"))
	m.Add("/file", vfstest.Symlink("etc/passwd"))
	m.Add("/fileslash", vfstest.Symlink("etc/passwd/"))
	m.Add("/up", vfstest.Symlink("../../../../etc"))
	m.Add("/loop", vfstest.Symlink("loop"))
	m.Add("/a", vfstest.Symlink("b/x"))
	m.Add("/b", vfstest.Symlink("a"))
	m.Add("/dangling", vfstest.Symlink("no/where"))
	m.Add("/empty", vfstest.Symlink(""))
	m.Dir("/mnt/deep")
	for i := range 45 {
		m.Add("/chain"+strings.Repeat("x", i), vfstest.Symlink("chain"+strings.Repeat("x", i+1)))
	}
	m.Dir("/chain" + strings.Repeat("x", 45))
	return m
}

func TestWalk(t *testing.T) {
	ns := vfs.NewNamespace(vfs.NewTree("sda1", tree()))
	for _, c := range []struct {
		path   string
		follow bool
		want   string // the path resolved
		err    error
	}{
		{"/", true, "/", nil},
		{"", true, "/", nil},
		{"//./..//", true, "/", nil},
		{"/etc/passwd", true, "/etc/passwd", nil},
		{"etc/passwd", true, "/etc/passwd", nil},
		{"/etc//./passwd", true, "/etc/passwd", nil},
		{"/etc/../../usr/bin", true, "/usr/bin", nil},
		{"/etc/", true, "/etc", nil},
		{"/etc/.", true, "/etc", nil},
		{"/etc/passwd/", true, "", syscall.ENOTDIR},
		{"/etc/passwd/.", true, "", syscall.ENOTDIR},
		{"/etc/passwd/..", true, "", syscall.ENOTDIR},
		{"/etc/passwd/x", true, "", syscall.ENOTDIR},
		{"/nope", true, "", syscall.ENOENT},
		{"/nope/x", true, "", syscall.ENOENT},
		{"/bin", true, "/usr/bin", nil},
		{"/bin", false, "/bin", nil},
		{"/bin/", false, "/usr/bin", nil},
		{"/bin/sh", false, "/usr/bin/sh", nil},
		{"/bin/..", true, "/usr", nil},
		{"/abs/sh", true, "/usr/bin/sh", nil},
		{"/abs", true, "/usr/bin", nil},
		{"/up/passwd", true, "/etc/passwd", nil},
		{"/file", true, "/etc/passwd", nil},
		{"/file", false, "/file", nil},
		{"/file/", false, "", syscall.ENOTDIR},
		{"/fileslash", true, "", syscall.ENOTDIR},
		{"/loop", true, "", syscall.ELOOP},
		{"/loop", false, "/loop", nil},
		{"/a", true, "", syscall.ELOOP},
		{"/dangling", true, "", syscall.ENOENT},
		{"/dangling", false, "/dangling", nil},
		{"/empty", true, "", syscall.ENOENT},
		{"/chainxxxxx", true, "/chain" + strings.Repeat("x", 45), nil},
		{"/chainxxxx", true, "", syscall.ELOOP},
		{"/" + strings.Repeat("n", 256), true, "", syscall.ENAMETOOLONG},
		{"/" + strings.Repeat("n", 255), true, "", syscall.ENOENT},
		{strings.Repeat("/etc/..", 20_000), true, "", syscall.ENAMETOOLONG},
	} {
		n, got, err := ns.Resolve(t.Context(), c.path, c.follow)
		if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("Resolve(%.40q, %t) = %q, %v, want %q, %v", c.path, c.follow, got, err, c.want, c.err)
			continue
		}
		if err == nil {
			if again, err := ns.Walk(t.Context(), got, false); again != n || err != nil {
				t.Errorf("Resolve(%q) and Resolve of its answer %q differ: %v", c.path, got, err)
			}
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ns.Walk(gone, "/etc", true); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func names(t *testing.T, ns *vfs.Namespace, n vfs.Node) []string {
	t.Helper()
	var list []string
	for e, err := range ns.Entries(t.Context(), n, vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e.Name)
	}
	return list
}

func TestAttach(t *testing.T) {
	root, other, third := vfs.NewTree("root", tree()), vfs.NewTree("other", tree()), vfs.NewTree("third", tree())
	ns := vfs.NewNamespace(root)
	plain, err := ns.Walk(t.Context(), "/mnt/deep", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Attach(t.Context(), "/bin/../../mnt/./deep", other); err != nil {
		t.Fatal(err)
	}
	top, real, err := ns.Resolve(t.Context(), "/mnt/deep", true)
	if err != nil || top.Tree != other || real != "/mnt/deep" {
		t.Errorf("what is attached: %+v, %q, %v", top, real, err)
	}
	if ns.Cross(plain) != top || ns.Cross(top) != top || ns.Cross(ns.Root()) != ns.Root() {
		t.Error("Cross does not answer the root of what is attached")
	}
	for path, want := range map[string]string{
		"/mnt/deep/etc/passwd":            "/mnt/deep/etc/passwd",
		"/mnt/deep/..":                    "/mnt",
		"/mnt/deep/abs":                   "/usr/bin", // absolute links begin at the namespace's root
		"/mnt/deep/bin":                   "/mnt/deep/usr/bin",
		"/mnt/deep/mnt/deep/../../../../": "/",
	} {
		if _, got, err := ns.Resolve(t.Context(), path, true); got != want || err != nil {
			t.Errorf("Resolve(%q) = %q, %v, want %q", path, got, err, want)
		}
	}
	// On top of what is attached, another; then at the root itself.
	if err := ns.Attach(t.Context(), "/mnt/deep", third); err != nil {
		t.Fatal(err)
	}
	if n, err := ns.Walk(t.Context(), "/mnt/deep", true); err != nil || n.Tree != third {
		t.Errorf("on top of what is attached: %+v, %v", n, err)
	}
	if err := ns.Attach(t.Context(), "/mnt", third); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("attached twice: %v", err)
	}
	for path, want := range map[string]error{"/etc/passwd": syscall.ENOTDIR, "/nope": syscall.ENOENT} {
		if err := ns.Attach(t.Context(), path, vfs.NewTree("x", tree())); !errors.Is(err, want) {
			t.Errorf("attach at %s: %v", path, err)
		}
	}
	var points []string
	for _, a := range ns.Attachments() {
		points = append(points, a.Path+" "+a.Tree.Name())
	}
	if !slices.Equal(points, []string{"/ root", "/mnt/deep other", "/mnt/deep third"}) || len(ns.Trees()) != 3 {
		t.Errorf("Attachments: %q", points)
	}
	if err := ns.Attach(t.Context(), "/", vfs.NewTree("cover", vfstest.NewMemory())); err != nil {
		t.Fatal(err)
	}
	if list := names(t, ns, ns.Root()); len(list) != 0 {
		t.Errorf("the covered root lists %q", list)
	}
}

func TestHide(t *testing.T) {
	m := tree()
	m.Add("/.guest/own", vfstest.Text("the guest's own"))
	ns := vfs.NewNamespace(vfs.NewTree("root", m))
	s := vfs.NewStatic("guest")
	s.Made("inspect.json", func(context.Context) ([]byte, error) { return []byte("{}"), nil })
	if err := ns.Hide(".guest", vfs.NewTree(".guest", s)); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(names(t, ns, ns.Root()), ".guest") {
		t.Error("what is hidden is listed")
	}
	if _, real, err := ns.Resolve(t.Context(), "/etc/../.guest/inspect.json", true); err != nil || real != "/.guest/inspect.json" {
		t.Errorf("what is hidden: %q, %v", real, err)
	}
	if _, err := ns.Walk(t.Context(), "/.guest/own", true); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("the guest's own is not covered: %v", err)
	}
	if _, err := ns.Walk(t.Context(), "/etc/.guest", true); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("hidden in another directory, too: %v", err)
	}
	// What covers the root shows it, too.
	if err := ns.Attach(t.Context(), "/", vfs.NewTree("cover", vfstest.NewMemory())); err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Walk(t.Context(), "/.guest/inspect.json", true); err != nil {
		t.Errorf("hidden in a covered root: %v", err)
	}
}

func TestLookup(t *testing.T) {
	m := tree()
	m.Entry("/evil", "a/b", vfstest.Text("x"))
	m.Entry("/dots", "..", vfstest.Text("x"))
	ns := vfs.NewNamespace(vfs.NewTree("root", m))
	root := ns.Root()
	if n, err := ns.Lookup(t.Context(), root, "."); n != root || err != nil {
		t.Errorf("Lookup(.): %v", err)
	}
	for _, name := range []string{"", "..", "nope"} {
		if _, err := ns.Lookup(t.Context(), root, name); err != syscall.ENOENT {
			t.Errorf("Lookup(%q): %v", name, err)
		}
	}
	for _, dir := range []string{"/evil", "/dots"} {
		n, err := ns.Walk(t.Context(), dir, true)
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range ns.Entries(t.Context(), n, vfs.Cursor{}) {
			if !errors.Is(err, syscall.EUCLEAN) {
				t.Errorf("%s lists %q, %v", dir, e.Name, err)
			}
		}
	}
	file, err := ns.Walk(t.Context(), "/etc/passwd", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Lookup(t.Context(), file, "x"); err != syscall.ENOTDIR {
		t.Errorf("Lookup in a file: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	root, other, stray := vfs.NewTree("root", tree()), vfs.NewTree("other", tree()), vfs.NewTree("stray", tree())
	ns := vfs.NewNamespace(root)
	if err := ns.Attach(t.Context(), "/mnt", other); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]vfs.Node{}
	check := func(n vfs.Node) {
		t.Helper()
		num := ns.Number(n)
		if num != ns.Number(n) {
			t.Errorf("the number of %+v changes", n)
		}
		if before, ok := seen[num]; ok && before != n {
			t.Errorf("%+v and %+v have the number %#x", before, n, num)
		}
		seen[num] = n
		if num < 2 {
			t.Errorf("%+v has the number %d", n, num)
		}
		if back, ok := ns.Node(num); !ok || back.Tree != n.Tree || back.Ino.Num != n.Ino.Num || back.Ino.Tree != n.Ino.Tree {
			t.Errorf("Node(%#x) = %+v, %t, want %+v", num, back, ok, n)
		}
	}
	for _, tr := range []*vfs.Tree{root, other, stray} {
		for _, ino := range []vfs.Ino{{Num: 2}, {Num: 12}, {Num: 1<<48 - 1}, {Num: 1 << 48}, {Num: 1<<64 - 1}, {Num: 0}, {Num: 1}, {Tree: 256, Num: 12}, {Tree: 257, Num: 12}} {
			check(vfs.Node{Tree: tr, Ino: ino})
		}
	}
	if ns.Number(vfs.Node{Tree: root, Ino: vfs.Ino{Num: 4711, Gen: 3}}) != 4711 {
		t.Error("an inode of the root's tree does not keep its number")
	}
	for _, num := range []uint64{0, 1, 1 << 48, 3<<48 | 5, 1<<63 | 1<<40, 1<<64 - 1} {
		if n, ok := ns.Node(num); ok {
			t.Errorf("Node(%#x), which none was given: %+v", num, n)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range uint64(500) {
				n := vfs.Node{Tree: other, Ino: vfs.Ino{Tree: i % 7, Num: i + 1<<50}}
				if back, ok := ns.Node(ns.Number(n)); !ok || back != n {
					t.Errorf("Node(Number(%+v)) = %+v, %t", n, back, ok)
				}
			}
		})
	}
	wg.Wait()
}

func TestTreeComparesGenerations(t *testing.T) {
	tr := vfs.NewTree("sda1", tree())
	f, err := tr.Inode(t.Context(), tr.FileSystem().Root())
	if err != nil {
		t.Fatal(err)
	}
	root := f.Ino()
	for range 2 { // the second time from the cache
		if _, err := tr.Inode(t.Context(), vfs.Ino{Num: root.Num}); err != nil {
			t.Errorf("without a generation: %v", err)
		}
		if _, err := tr.Inode(t.Context(), vfs.Ino{Num: root.Num, Gen: root.Gen + 1}); !errors.Is(err, syscall.ESTALE) {
			t.Errorf("of a wrong generation: %v", err)
		}
		var op *vfs.OpError
		if _, err := tr.Inode(t.Context(), vfs.Ino{Num: 1 << 40}); !errors.Is(err, syscall.ENOENT) || !errors.As(err, &op) || op.Volume != "sda1" {
			t.Errorf("of no inode: %v", err)
		}
	}
}

// TestNamespaceConcurrently attaches trees while others walk.
func TestNamespaceConcurrently(t *testing.T) {
	ns := vfs.NewNamespace(vfs.NewTree("root", tree()))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if _, err := ns.Walk(t.Context(), "/mnt/deep", true); err != nil && !errors.Is(err, syscall.ENOENT) {
					t.Error(err)
				}
				for range ns.Entries(t.Context(), ns.Root(), vfs.Cursor{}) {
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				m := vfstest.NewMemory()
				m.Dir("/deep")
				if err := ns.Attach(t.Context(), "/mnt", vfs.NewTree("more", m)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(ns.Trees()) != 81 {
		t.Errorf("%d trees", len(ns.Trees()))
	}
}
