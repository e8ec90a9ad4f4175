package mount

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// same compares what is mounted with what the filesystem says, in this process and in another.
func same(t *testing.T, dir string, fs vfs.FileSystem, ignore vfstest.Field) {
	t.Helper()
	want := vfstest.FromVFS(t, fs, 1<<30)
	for range 2 { // from us, and from the kernel's caches
		for _, line := range vfstest.Differences(vfstest.FromDir(t, dir, 0), want, ignore) {
			t.Error(line)
		}
	}
}

func TestTree(t *testing.T) {
	fs := sample()
	s := mounted(t, namespace(t, fs, nil), Options{})
	same(t, s.Dir(), fs, 0)

	var m manifest.Manifest
	if err := json.Unmarshal([]byte(output(t, childCommand(t, "walk", s.Dir()))), &m); err != nil {
		t.Fatal(err)
	}
	if want := len(vfstest.FromVFS(t, fs, 0)); len(m) != want {
		t.Errorf("another process sees %d entries, want %d", len(m), want)
	}
}

func TestMountTable(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{FSName: "/images/a,b.qcow2", Subtype: "guestmount", Extra: []string{"noexec"}})
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, " "+s.Dir()+" ") {
			continue
		}
		for _, want := range []string{"ro,nosuid,nodev,noexec", "fuse.guestmount", "/images/a,b.qcow2"} {
			if !strings.Contains(line, want) {
				t.Errorf("mountinfo has no %q: %s", want, line)
			}
		}
		return
	}
	t.Error("not in mountinfo")
}

// TestSecondLook counts requests: what the kernel was told once it does not ask for again.
func TestSecondLook(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	look := func() {
		output(t, exec.Command("find", s.Dir(), "-printf", "%s %m %l\n"))
		output(t, exec.Command("cat", filepath.Join(s.Dir(), "big"), filepath.Join(s.Dir(), "holes")))
		if _, err := os.Lstat(filepath.Join(s.Dir(), "absent")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("absent: %v", err)
		}
	}
	look()
	before := s.Stats()
	look()
	after := s.Stats()
	if after != before {
		t.Errorf("a second look made requests: %+v, then %+v", before, after)
	}
}

// TestLargeDirectory lists 100,000 names, rewinds, and goes back to places that telldir(3) gave.
func TestLargeDirectory(t *testing.T) {
	const n = 100_000
	fs := vfstest.NewMemory()
	for i := range n {
		fs.Add(fmt.Sprintf("/d/name-%d", i*7919%n), vfstest.Spec{})
	}
	s := mounted(t, namespace(t, fs, nil), Options{})
	fd, err := unix.Open(filepath.Join(s.Dir(), "d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	type entry struct {
		name string
		off  int64
	}
	buf := make([]byte, 64<<10)
	next := func() (list []entry) {
		k, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		for b := buf[:k]; len(b) > 0; {
			// struct linux_dirent64, getdents64(2).
			size := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := strings.Cut(string(b[19:size]), "\x00")
			list = append(list, entry{name, int64(binary.NativeEndian.Uint64(b[8:]))})
			b = b[size:]
		}
		return list
	}
	var all []entry
	for list := next(); len(list) > 0; list = next() {
		all = append(all, list...)
	}
	names := map[string]bool{}
	for _, e := range all {
		names[e.name] = true
	}
	if len(all) != n+2 || len(names) != n+2 {
		t.Fatalf("%d entries, %d names", len(all), len(names))
	}
	for _, i := range []int{0, 1, 2, 99, 50_000, n, 12_345, n + 1} {
		if _, err := unix.Seek(fd, all[i].off, unix.SEEK_SET); err != nil {
			t.Fatal(err)
		}
		list := next()
		if i == n+1 {
			if len(list) != 0 {
				t.Errorf("%d entries after the last", len(list))
			}
		} else if len(list) == 0 || list[0] != all[i+1] {
			t.Errorf("after entry %d comes %v, want %v", i, list[:min(1, len(list))], all[i+1])
		}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		t.Fatal(err)
	}
	if list := next(); len(list) == 0 || list[0] != all[0] {
		t.Error("rewinding does not")
	}
	if out := output(t, exec.Command("find", s.Dir()+"/d", "-type", "f", "-printf", "x")); len(out) != n {
		t.Errorf("find sees %d files", len(out))
	}
}

func TestNames(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	for n, want := range map[int]syscall.Errno{255: 0, 256: unix.ENAMETOOLONG, 1023: unix.ENAMETOOLONG, 2000: unix.ENAMETOOLONG, 254: unix.ENOENT} {
		var st unix.Stat_t
		err := unix.Lstat(filepath.Join(s.Dir(), strings.Repeat("n", n)), &st)
		if got := syscall.Errno(0); errors.As(err, &got) && got != want || err == nil && want != 0 {
			t.Errorf("a name of %d bytes: %v, want %v", n, got, want)
		}
	}
}

func TestStatx(t *testing.T) {
	born := vfs.NewStatic("view")
	born.Dir("d")
	s := mounted(t, namespace(t, sample(), map[string]vfs.FileSystem{"/etc": born}), Options{})
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, filepath.Join(s.Dir(), "etc/d"), 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err != nil {
		t.Fatal(err)
	}
	if x.Mask&unix.STATX_BTIME == 0 || time.Since(time.Unix(x.Btime.Sec, 0)) > time.Hour || x.Btime != x.Mtime {
		t.Errorf("birth time: mask %#x, %v, modified %v", x.Mask, x.Btime, x.Mtime)
	}
	if err := unix.Statx(unix.AT_FDCWD, filepath.Join(s.Dir(), "dev/wide"), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err != nil {
		t.Fatal(err)
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		t.Errorf("a filesystem without birth times says %v", x.Btime)
	}
	if x.Rdev_major != 0xabc || x.Rdev_minor != 0x12345 {
		t.Errorf("device %#x:%#x", x.Rdev_major, x.Rdev_minor)
	}
}

func TestSeekHole(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	fd, err := unix.Open(filepath.Join(s.Dir(), "holes"), unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const hole1, data1, hole2, data2 = 0, 1 << 20, 1<<20 + 70_000, 1<<20 + 70_000 + 123_456
	const hole3, end = data2 + 50_006, data2 + 50_011
	for _, c := range []struct {
		whence   int
		off, at  int64
		wantsErr error
	}{
		{unix.SEEK_DATA, 0, data1, nil}, {unix.SEEK_DATA, data1 + 5, data1 + 5, nil}, {unix.SEEK_DATA, hole2, data2, nil},
		{unix.SEEK_HOLE, 0, hole1, nil}, {unix.SEEK_HOLE, data1, hole2, nil}, {unix.SEEK_HOLE, data2, hole3, nil},
		{unix.SEEK_HOLE, end - 1, end - 1, nil}, {unix.SEEK_DATA, hole3, 0, unix.ENXIO}, {unix.SEEK_HOLE, end, 0, unix.ENXIO},
	} {
		at, err := unix.Seek(fd, c.off, c.whence)
		if err != c.wantsErr || err == nil && at != c.at {
			t.Errorf("seek %d from %d: %d, %v; want %d, %v", c.whence, c.off, at, err, c.at, c.wantsErr)
		}
	}
}

func TestXattrs(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	file := filepath.Join(s.Dir(), "xattrs")
	if n, err := unix.Getxattr(file, "user.long", nil); n != 4000 || err != nil {
		t.Errorf("the size of user.long: %d, %v", n, err)
	}
	if _, err := unix.Getxattr(file, "user.long", make([]byte, 3999)); err != unix.ERANGE {
		t.Errorf("a buffer too small: %v", err)
	}
	buf := make([]byte, 4000)
	if n, err := unix.Getxattr(file, "user.long", buf); n != 4000 || err != nil || string(buf) != pattern("long", 4000) {
		t.Errorf("user.long: %d, %v", n, err)
	}
	if _, err := unix.Getxattr(file, "user.none", buf); err != unix.ENODATA {
		t.Errorf("user.none: %v", err)
	}
	if n, err := unix.Getxattr(file, "user.empty", buf); n != 0 || err != nil {
		t.Errorf("user.empty: %d, %v", n, err)
	}
	if _, err := unix.Listxattr(file, make([]byte, 3)); err != unix.ERANGE {
		t.Errorf("a list too small: %v", err)
	}
	if n, err := unix.Listxattr(filepath.Join(s.Dir(), "etc/hostname"), buf); n != 0 || err != nil {
		t.Errorf("a file without any: %d, %v", n, err)
	}

	none := mounted(t, namespace(t, sample(), nil), Options{NoXattr: true})
	if _, err := unix.Getxattr(filepath.Join(none.Dir(), "xattrs"), "user.a", buf); err != unix.ENOTSUP {
		t.Errorf("with noxattr: %v", err)
	}
}

func TestWriting(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{})
	at := func(name string) string { return filepath.Join(s.Dir(), name) }
	for what, err := range map[string]error{
		"create": func() error { _, err := os.Create(at("new")); return err }(),
		"open":   func() error { _, err := os.OpenFile(at("etc/hostname"), os.O_WRONLY, 0); return err }(),
		"mkdir":  os.Mkdir(at("new"), 0o755), "unlink": os.Remove(at("link")), "rename": os.Rename(at("link"), at("l2")),
		"link": os.Link(at("big"), at("b2")), "symlink": os.Symlink("x", at("new")), "chmod": os.Chmod(at("big"), 0o600),
		"truncate": os.Truncate(at("big"), 1), "setxattr": unix.Setxattr(at("big"), "user.x", nil, 0),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTrees mounts three filesystems as one: numbers are unique, and each keeps its own size.
func TestTrees(t *testing.T) {
	root, boot, view := sample(), sample(), vfs.NewStatic("view")
	root.Dir("/boot")
	boot.Dir("/efi")
	view.File("disk", memory(pattern("disk", 100_000)))
	ns := namespace(t, root, map[string]vfs.FileSystem{"/boot": boot})
	if err := ns.Attach(t.Context(), "/boot/efi", vfs.NewTree("sda3", view)); err != nil {
		t.Fatal(err)
	}
	s := mounted(t, ns, Options{})
	seen := map[uint64]string{}
	err := filepath.WalkDir(s.Dir(), func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if other, ok := seen[st.Ino]; ok && !strings.Contains(p, "/run") {
			t.Errorf("%s and %s have the number %d", p, other, st.Ino)
		}
		seen[st.Ino] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var a, b unix.Statfs_t
	if err := errors.Join(unix.Statfs(s.Dir(), &a), unix.Statfs(filepath.Join(s.Dir(), "boot/efi"), &b)); err != nil {
		t.Fatal(err)
	}
	if a.Bsize != 512 || b.Bsize != 4096 || a.Blocks == b.Blocks {
		t.Errorf("statfs: %+v, %+v", a, b)
	}
	got, err := os.ReadFile(filepath.Join(s.Dir(), "boot/efi/disk"))
	if err != nil || string(got) != pattern("disk", 100_000) {
		t.Errorf("disk: %d bytes, %v", len(got), err)
	}
}

// TestMade lists files that are made at their first look, which makes none.
func TestMade(t *testing.T) {
	hidden := vfs.NewStatic("guest")
	var made atomic.Int32
	hidden.Made("inspect.json", func(context.Context) ([]byte, error) { made.Add(1); return []byte("{}\n"), nil })
	hidden.Made("broken.json", func(context.Context) ([]byte, error) { return nil, errors.New("no system found") })
	ns := namespace(t, sample(), nil)
	if err := ns.Hide(".guest", vfs.NewTree("guest", hidden)); err != nil {
		t.Fatal(err)
	}
	s := mounted(t, ns, Options{})
	if out := output(t, exec.Command("ls", "-a", s.Dir())); strings.Contains(out, ".guest") {
		t.Errorf("listed: %s", out)
	}
	if out := output(t, exec.Command("ls", filepath.Join(s.Dir(), ".guest"))); out != "broken.json\ninspect.json\n" || made.Load() != 0 {
		t.Errorf("ls made %d files and said %q", made.Load(), out)
	}
	if b, err := os.ReadFile(filepath.Join(s.Dir(), ".guest/inspect.json")); string(b) != "{}\n" || err != nil || made.Load() != 1 {
		t.Errorf("%q, %v, made %d times", b, err, made.Load())
	}
	if _, err := os.ReadFile(filepath.Join(s.Dir(), ".guest/broken.json")); !errors.Is(err, unix.EIO) {
		t.Errorf("broken: %v", err)
	}
}

func TestRebaseLinks(t *testing.T) {
	s := mounted(t, namespace(t, sample(), nil), Options{RebaseLinks: true})
	if b, err := os.ReadFile(filepath.Join(s.Dir(), "absolute")); string(b) != "guest\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	st, err := os.Lstat(filepath.Join(s.Dir(), "absolute"))
	if err != nil || st.Size() != int64(len(s.Dir()+"/etc/hostname")) {
		t.Errorf("size %d, %v", st.Size(), err)
	}
	if target, err := os.Readlink(filepath.Join(s.Dir(), "link")); target != "etc/hostname" || err != nil {
		t.Errorf("a relative link became %q, %v", target, err)
	}
}

// TestFileHandles opens by handle after the kernel has dropped what it knew, as an NFS server does.
func TestFileHandles(t *testing.T) {
	images.NeedRoot(t)
	s := mounted(t, namespace(t, sample(), nil), Options{})
	file := filepath.Join(s.Dir(), "deep/d/d/d")
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(s.Dir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	// Two is dentries and inodes; pages stay.
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0); err != nil {
		t.Skip(err)
	}
	fd, err := unix.OpenByHandleAt(root, handle, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st, want unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Stat(file, &want)); err != nil || st.Ino != want.Ino {
		t.Errorf("inode %d, want %d: %v", st.Ino, want.Ino, err)
	}
}

// TestParallel reads the same tree with eight readers at once.
func TestParallel(t *testing.T) {
	fs := sample()
	for i := range 1000 {
		fs.Add(fmt.Sprintf("/many/%d/f%d", i%20, i), vfstest.Text(pattern(fmt.Sprint(i), i*7%5000)))
	}
	s := mounted(t, namespace(t, fs, nil), Options{})
	want := vfstest.FromVFS(t, fs, 1<<30)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, line := range vfstest.Differences(vfstest.FromDir(t, s.Dir(), 0), want, 0) {
				t.Error(line)
			}
		})
	}
	wg.Wait()
}
