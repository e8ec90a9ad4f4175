package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// plant makes a small tree of every type that needs no root.
func plant(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(root, "a/b"), 0o755))
	must(os.WriteFile(filepath.Join(root, "a/file"), []byte("contents"), 0o640))
	must(os.Link(filepath.Join(root, "a/file"), filepath.Join(root, "z")))
	must(os.Symlink("a/file", filepath.Join(root, "link")))
	must(unix.Mkfifo(filepath.Join(root, "fifo"), 0o600))
	sparse, err := os.Create(filepath.Join(root, "sparse"))
	must(err)
	defer sparse.Close()
	must(sparse.Truncate(8 << 40))
	_, err = sparse.WriteAt([]byte("far away"), 4<<40+5)
	must(err)
	must(os.Chtimes(filepath.Join(root, "a/file"), time.Time{}, time.Unix(4e9, 123456789)))
	return root
}

func TestWalkSeesEveryChange(t *testing.T) {
	root := plant(t)
	base, err := manifest.Walk(t.Context(), root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(base) != 8 {
		t.Fatalf("%d entries, want 8", len(base))
	}
	same, err := manifest.Walk(t.Context(), root, manifest.Options{Workers: 8})
	if err != nil {
		t.Fatal(err)
	}
	if lines, n := manifest.Diff(base, same, manifest.All|manifest.Btime|manifest.Ino, 0); n != 0 {
		t.Errorf("a tree differs from itself: %s", strings.Join(lines, "\n"))
	}
	in := func(p string) string { return filepath.Join(root, p) }
	for _, c := range []struct {
		name   string
		change func() error
		want   string // in one of the lines
	}{
		{"contents", func() error {
			st, err := os.Stat(in("a/file"))
			if err != nil {
				return err
			}
			if err := os.WriteFile(in("a/file"), []byte("CONTENTS"), 0o640); err != nil {
				return err
			}
			return os.Chtimes(in("a/file"), time.Time{}, st.ModTime())
		}, `"a/file": SHA-256`},
		{"one byte in a hole", func() error {
			f, err := os.OpenFile(in("sparse"), os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{1}, 7<<40)
			return err
		}, `"sparse": SHA-256`},
		{"mode", func() error { return os.Chmod(in("a/b"), 0o700) }, `"a/b": mode is 0700, want 0755`},
		{"time", func() error { return os.Chtimes(in("a/b"), time.Time{}, time.Unix(5, 1)) }, `"a/b": mtime is 1970-01-01T00:00:05.000000001Z`},
		{"a hard link gone", func() error { return os.Remove(in("z")) }, `"z" is missing`},
		{"a copy in its place", func() error { return os.WriteFile(in("z"), []byte("CONTENTS"), 0o640) }, `"z": first name of the same file is z, want a/file`},
		{"a new name", func() error { return os.Symlink("x", in("new")) }, `"new" should not be there`},
		{"a link's target", func() error { return os.Rename(in("new"), in("link")) }, `"link": link target is "x", want "a/file"`},
		{"type", func() error {
			if err := os.Remove(in("fifo")); err != nil {
				return err
			}
			return os.WriteFile(in("fifo"), nil, 0o600)
		}, `"fifo": type is 0100000, want 010000`},
		{"size", func() error { return os.Truncate(in("sparse"), 1<<40) }, `"sparse": size is 1099511627776`},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		now, err := manifest.Walk(t.Context(), root, manifest.Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		lines, _ := manifest.Diff(base, now, manifest.All, 100)
		if !strings.Contains(strings.Join(lines, "\n"), c.want) {
			t.Errorf("after the change %q the differences lack %q: %q", c.name, c.want, lines)
		}
	}
}

func TestWalkSeesXattrs(t *testing.T) {
	root := plant(t)
	if err := unix.Setxattr(filepath.Join(root, "a/file"), "user.x", []byte("one"), 0); err != nil {
		images.Lack(t, "the temporary folder holds no xattrs: %v", err)
	}
	before, err := manifest.Walk(t.Context(), root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(root, "a/file"), "user.x", []byte("two"), 0); err != nil {
		t.Fatal(err)
	}
	after, err := manifest.Walk(t.Context(), root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines, n := manifest.Diff(before, after, manifest.Xattrs, 0)
	if n != 2 || !strings.Contains(lines[0], `xattrs is {"user.x"="two"}, want {"user.x"="one"}`) {
		t.Errorf("%d differences: %q", n, lines)
	}
}

func TestWalkDeeperThanPathMax(t *testing.T) {
	root := t.TempDir()
	// Relative steps, since no path this long can be passed.
	fd, err := unix.Open(root, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 250)
	const depth = 30
	for range depth {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	unix.Close(fd)
	m, err := manifest.Walk(t.Context(), root, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m) != depth+1 {
		t.Errorf("%d entries, want %d", len(m), depth+1)
	}
}

// TestWalkDebian is how long the largest comparison takes: two walks of it are most of a differential test.
func TestWalkDebian(t *testing.T) {
	img := images.Debian(t)
	dir := images.KernelRoot(t, img, "ext4")
	start := time.Now()
	m, err := manifest.Walk(t.Context(), dir, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d entries in %v", len(m), time.Since(start).Round(time.Millisecond))
	if len(m) < 70000 {
		t.Errorf("only %d entries", len(m))
	}
	found := map[string]bool{}
	for _, e := range m {
		for name := range e.Xattrs {
			found[name] = true
		}
		if e.Path == "srv/odd/times/t9" && e.Mtime.Year() != 2400 {
			t.Errorf("%s is of %v, not of 2400", e.Path, e.Mtime)
		}
	}
	for _, name := range []string{"user.comment", "user.empty", "trusted.overlay.opaque", "security.capability", "system.posix_acl_access", "system.posix_acl_default"} {
		if !found[name] {
			t.Errorf("no entry has the attribute %s", name)
		}
	}
}
