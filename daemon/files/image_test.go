package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// hostTree makes a tree with one of everything and answers its folder.
func hostTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(1, 1))
	random := func(n int) []byte {
		b := make([]byte, n+8)
		for i := 0; i < n; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
		}
		return b[:n]
	}
	write := func(name string, b []byte) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	write("etc/passwd", []byte("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"))
	write("etc/empty", nil)
	for i := range 300 {
		write(fmt.Sprintf("small/%d/f%03d", i%7, i), random(rnd.IntN(9000)))
	}
	write("large/3M", random(3<<20+17))
	write("large/1M", random(1<<20))
	write("large/1M+1", random(1<<20+1))
	write("text/a.txt", []byte(strings.Repeat("the quick brown fox\njumps over the lazy dog\n", 1000)+"last line without end"))
	write("text/binary", append([]byte("quick\x00fox\n"), random(100)...))
	long := strings.Repeat("long name ", 25)
	write("names/"+long, []byte("long"))
	write("names/"+strings.Repeat("d", 120)+"/"+strings.Repeat("e", 120)+"/"+strings.Repeat("f", 120), []byte("deep"))
	write("names/caf\xc3\xa9", []byte("utf-8"))
	write("names/caf\xe9", []byte("latin-1"))
	write("names/back\\slash new\nline", []byte("odd"))
	write("names/-dash", []byte("dash"))

	// Data, a hole, data, a hole at the end.
	f, err := os.Create(filepath.Join(dir, "large/sparse"))
	must(err)
	_, err = f.WriteAt(random(100_000), 0)
	must(err)
	_, err = f.WriteAt(random(70_001), 9<<20+5)
	must(err)
	must(f.Truncate(40 << 20))
	must(f.Close())
	must(os.Truncate(filepath.Join(dir, "etc/empty"), 0))
	must(os.WriteFile(filepath.Join(dir, "large/hole"), nil, 0o600))
	must(os.Truncate(filepath.Join(dir, "large/hole"), 5<<20))
	must(os.WriteFile(filepath.Join(dir, "small/hole"), []byte("x"), 0o600))
	must(os.Truncate(filepath.Join(dir, "small/hole"), 30_000))

	must(os.Symlink("../etc/passwd", filepath.Join(dir, "names/link")))
	must(os.Symlink("/"+strings.Repeat("x/", 100)+"caf\xe9", filepath.Join(dir, "names/longlink")))
	must(os.Link(filepath.Join(dir, "etc/passwd"), filepath.Join(dir, "names/passwd")))
	must(os.Link(filepath.Join(dir, "names/caf\xe9"), filepath.Join(dir, "text/latin")))
	must(os.Mkdir(filepath.Join(dir, "readonly"), 0o755))
	write("readonly/in/file", []byte("x"))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	if os.Geteuid() == 0 {
		must(syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3))
		must(syscall.Mknod(filepath.Join(dir, "blk"), syscall.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
		must(os.Lchown(filepath.Join(dir, "text/a.txt"), 1000, 3_000_000))
		must(os.Lchown(filepath.Join(dir, "names/link"), 1000, 1000))
		must(os.Chmod(filepath.Join(dir, "text/a.txt"), 0o4711|os.ModeSetuid))
		must(unix.Lsetxattr(filepath.Join(dir, "text/a.txt"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
		must(unix.Lsetxattr(filepath.Join(dir, "etc"), "trusted.a=b%", []byte("of a directory\x00\n"), 0))
	}
	_ = unix.Lsetxattr(filepath.Join(dir, "text/binary"), "user.test", random(40), 0)
	tm := func(sec, nsec int64) []unix.Timespec {
		return []unix.Timespec{{Sec: sec, Nsec: nsec}, {Sec: sec, Nsec: nsec}}
	}
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "text/binary"), tm(1_600_000_000, 123_456_789), 0))
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "large/1M"), tm(-100, 250_000_000), 0))
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "names/link"), tm(1_500_000_000, 1), unix.AT_SYMLINK_NOFOLLOW))
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "readonly/in"), tm(1_400_000_000, 0), 0))
	must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "readonly"), tm(2_000_000_000, 999_999_999), 0))
	must(os.Chmod(filepath.Join(dir, "readonly/in"), 0o555))
	must(os.Chmod(filepath.Join(dir, "readonly"), 0o555))
	t.Cleanup(func() {
		os.Chmod(filepath.Join(dir, "readonly"), 0o755)
		os.Chmod(filepath.Join(dir, "readonly/in"), 0o755)
	})
	return dir
}

// guest makes an ext4 image of a folder, and opens it.
func guest(t testing.TB, dir string) (*vfs.Namespace, string) {
	t.Helper()
	images.NeedTool(t, "mke2fs")
	image := filepath.Join(t.TempDir(), "guest.img")
	// debugfs and mke2fs take a 1.47's -d sparse files as they are.
	out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-d", dir, image, "64M").CombinedOutput()
	if err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return openGuest(t, image), image
}

func openGuest(t testing.TB, image string) *vfs.Namespace {
	t.Helper()
	dev, err := raw.OpenFile(image, raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := ext4.Driver().Open(t.Context(), []block.Device{dev}, vfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fsys.Close(t.Context()); err != nil {
			t.Error(err)
		}
		dev.Close()
	})
	return vfs.NewNamespace(vfs.NewTree("sda", fsys))
}

func memory(m *vfstest.Memory) *vfs.Namespace { return vfs.NewNamespace(vfs.NewTree("memory", m)) }

// problems collects what an operation reports.
type problems struct{ list []error }

func (p *problems) add(err error) { p.list = append(p.list, err) }

func (p *problems) none(t testing.TB) {
	t.Helper()
	for _, err := range p.list {
		t.Errorf("problem: %v", err)
	}
}

// notCarried are the fields that no copy of a tree keeps.
const notCarried = vfstest.Atime | vfstest.Ctime | vfstest.DirSize | vfstest.Blocks | vfstest.LostFound

// compareTrees compares a folder of the host with a guest's tree.
func compareTrees(t testing.TB, dir string, ns *vfs.Namespace, ignore vfstest.Field) {
	t.Helper()
	got := vfstest.FromDir(t, dir, 0)
	want := vfstest.FromVFS(t, ns.Root().Tree.FileSystem(), 1<<40)
	root := want["/"]
	root.Nlink-- // lost+found
	want["/"] = root
	for _, line := range vfstest.Differences(got, want, ignore|notCarried|vfstest.InoNumber) {
		t.Error(line)
	}
}

// run runs a program with input and answers its output.
func run(t testing.TB, stdin []byte, name string, args ...string) string {
	t.Helper()
	images.NeedTool(t, name)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
	}
	if stderr.Len() > 0 {
		t.Errorf("%s says: %s", name, stderr.Bytes())
	}
	return out.String()
}
