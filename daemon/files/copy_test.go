package files

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func copyOut(t testing.TB, ns *vfs.Namespace, from, target string, opt CopyOptions) (problem, warned *problems) {
	t.Helper()
	problem, warned = &problems{}, &problems{}
	opt.Problem, opt.Warn = problem.add, warned.add
	if err := Copy(t.Context(), ns, from, target, opt); err != nil {
		t.Fatal(err)
	}
	return problem, warned
}

// TestCopy copies a whole tree as root and compares every attribute.
func TestCopy(t *testing.T) {
	images.NeedRoot(t)
	ns, _ := guest(t, hostTree(t))
	out := t.TempDir()
	p, w := copyOut(t, ns, "/", out, CopyOptions{})
	p.none(t)
	w.none(t)
	os.Remove(out + "/lost+found")
	// The folder of the user keeps its own attributes.
	got, want := vfstest.FromDir(t, out, 0), vfstest.FromVFS(t, ns.Root().Tree.FileSystem(), 1<<40)
	delete(got, "/")
	delete(want, "/")
	for _, line := range vfstest.Differences(got, want, notCarried|vfstest.InoNumber) {
		t.Error(line)
	}
	for name, most := range map[string]int64{"large/sparse": 1 << 20, "large/hole": 64 << 10} {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(out, name), &st); err != nil || st.Blocks*512 > most {
			t.Errorf("%s takes %d bytes, %v", name, st.Blocks*512, err)
		}
	}
	// A second time over what is there, and with the folder's own name.
	p, _ = copyOut(t, ns, "/names", out, CopyOptions{})
	p.none(t)
	p, _ = copyOut(t, ns, "/names", filepath.Join(out, "other"), CopyOptions{})
	p.none(t)
	a, b := vfstest.FromDir(t, filepath.Join(out, "names"), 0), vfstest.FromDir(t, filepath.Join(out, "other"), 0)
	for _, line := range vfstest.Differences(a, b, notCarried|vfstest.InoNumber|vfstest.Nlink) {
		t.Error(line)
	}
}

// TestCopyAgreesWithDebugfs compares with what debugfs's rdump copies.
func TestCopyAgreesWithDebugfs(t *testing.T) {
	images.NeedTool(t, "debugfs")
	ns, image := guest(t, hostTree(t))
	dumped, copied := t.TempDir(), t.TempDir()
	if out, err := exec.Command("debugfs", "-R", "rdump / "+dumped, image).CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, out)
	}
	copyOut(t, ns, "/", copied, CopyOptions{})
	got, want := vfstest.FromDir(t, copied, 0), vfstest.FromDir(t, dumped, 0)
	for _, tree := range []vfstest.Tree{got, want} {
		delete(tree, "/")
		for path, f := range tree { // rdump makes no devices, fifos and names with a line break, and loses set-id bits and symlinks' owners
			f.Mode &^= syscall.S_ISUID
			if f.Mode&syscall.S_IFMT == syscall.S_IFLNK {
				f.UID, f.GID = 0, 0
			}
			tree[path] = f
			if k := f.Mode & syscall.S_IFMT; k == syscall.S_IFCHR || k == syscall.S_IFBLK || k == syscall.S_IFIFO || strings.Contains(path, "\n") {
				delete(tree, path)
			}
		}
	}
	for _, line := range vfstest.Differences(got, want, notCarried|vfstest.InoNumber|vfstest.Nlink|vfstest.Xattrs|vfstest.Mtime) {
		t.Error(line)
	}
}

// TestCopyAsAnybody copies without root.
func TestCopyAsAnybody(t *testing.T) {
	ns, _ := guest(t, hostTree(t))
	out := t.TempDir()
	p, w := &problems{}, &problems{}
	top, err := Resolve(t.Context(), ns, "/", true)
	if err != nil {
		t.Fatal(err)
	}
	root, err := openHostDir(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.close()
	c := &copier{ctx: t.Context(), ns: ns, opt: CopyOptions{Problem: p.add, Warn: w.add}, top: top, root: root, uid: 1000,
		names: map[uint64]string{}, stack: []*copyDir{{dir: root}}}
	dev, err := Resolve(t.Context(), ns, "/fifo", false)
	if err != nil {
		t.Fatal(err)
	}
	dev.Attr.Mode = syscall.S_IFBLK | 0o600
	if err := c.add(&item{Entry: dev}); err != nil {
		t.Fatal(err)
	}
	p.none(t)
	if len(w.list) != 1 || !strings.Contains(w.list[0].Error(), "only root") {
		t.Errorf("warnings: %v", w.list)
	}
	if _, err := os.Lstat(out + "/fifo"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device was made: %v", err)
	}
}

// TestCopyOfHostileNames lets an image try to write outside the target.
func TestCopyOfHostileNames(t *testing.T) {
	outside := t.TempDir()
	m := vfstest.NewMemory()
	m.Entry("/evil", "a", vfstest.Symlink(outside))
	m.Entry("/evil", "a", vfstest.Spec{Mode: syscall.S_IFDIR | 0o755}) // the same name again, a directory
	m.Add("/evil/b/link", vfstest.Symlink(outside+"/file"))
	m.Entry("/evil/b", "link", vfstest.Text("through a symlink"))
	m.Entry("/dots", "..", vfstest.Text("up"))
	m.Entry("/slash", "../../up", vfstest.Text("up"))
	m.Entry("/nul", "a\x00b", vfstest.Text("up"))
	m.Add("/good", vfstest.Text("good"))
	m.Add("/loop/in/file", vfstest.Text("x"))
	m.Link("/loop", "/loop/in/again")
	out := t.TempDir()
	// And somebody on the host prepared the target.
	if err := os.Symlink(outside, out+"/slash"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside+"/good", out+"/good"); err != nil {
		t.Fatal(err)
	}
	p, _ := copyOut(t, memory(m), "/", out, CopyOptions{})
	if len(p.list) < 5 {
		t.Errorf("problems: %v", p.list)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("written outside the target: %v, %v", left, err)
	}
	if b, err := os.ReadFile(out + "/good"); err != nil || string(b) != "good" {
		t.Errorf("good: %q, %v", b, err)
	}
	if b, err := os.ReadFile(out + "/evil/b/link"); err != nil || string(b) != "through a symlink" {
		t.Errorf("link: %q, %v", b, err)
	}
}

// TestCopyOfDamage checks that what can be read is copied and the rest told.
func TestCopyOfDamage(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/half", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: "first;"}, {Data: "lost", Err: syscall.EUCLEAN}}})
	big := strings.Repeat("0123456789abcdef", 1<<17)
	m.Add("/big", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: big}, {Data: "lost", Err: syscall.EIO}, {Kind: vfs.Hole, Len: 1 << 20}, {Kind: vfs.Mapped, Data: "end"}}})
	out := t.TempDir()
	p, _ := copyOut(t, memory(m), "/", out, CopyOptions{})
	if len(p.list) != 2 || !errors.Is(errors.Join(p.list...), syscall.EUCLEAN) || !errors.Is(errors.Join(p.list...), syscall.EIO) {
		t.Errorf("problems: %v", p.list)
	}
	for name, want := range map[string]string{"half": "first;\x00\x00\x00\x00", "big": big + strings.Repeat("\x00", 4+1<<20) + "end"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v, want %d, or others", name, len(b), err, len(want))
		}
	}
}

// TestCopyTargets checks where a copy goes.
func TestCopyTargets(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/passwd", vfstest.Text("root"))
	m.Add("/link", vfstest.Symlink("etc"))
	ns := memory(m)
	out := t.TempDir()
	if err := os.Mkdir(out+"/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, target, want string }{
		{"/etc/passwd", out + "/dir", "dir/passwd"},
		{"/etc/passwd", out + "/dir/", "dir/passwd"},
		{"/etc/passwd", out + "/name", "name"},
		{"/etc", out + "/dir", "dir/etc/passwd"},
		{"/etc", out + "/new", "new/passwd"},
		{"/etc", out + "/new2/", "new2/passwd"},
		{"/", out + "/dir", "dir/etc/passwd"},
		{"/link/", out + "/through", "through/passwd"},
	} {
		p, _ := copyOut(t, ns, c.from, c.target, CopyOptions{})
		p.none(t)
		if b, err := os.ReadFile(filepath.Join(out, c.want)); err != nil || string(b) != "root" {
			t.Errorf("%s to %s: %q, %v", c.from, c.target, b, err)
		}
	}
	copyOut(t, ns, "/link", out+"/alink", CopyOptions{})
	if to, err := os.Readlink(out + "/alink"); err != nil || to != "etc" {
		t.Errorf("the symlink leads to %q, %v", to, err)
	}
	for _, c := range []struct{ from, target string }{{"/etc", out + "/name"}, {"/etc/passwd", out + "/none/"}, {"/etc/passwd", out + "/none/x"}, {"/none", out}} {
		if err := Copy(t.Context(), ns, c.from, c.target, CopyOptions{Problem: func(error) {}, Warn: func(error) {}}); err == nil {
			t.Errorf("%s to %s: no error", c.from, c.target)
		}
	}
}
