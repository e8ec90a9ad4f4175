package btrfs_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// run runs a program.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// makeBtrfs makes an empty filesystem of the given size in a sparse file.
func makeBtrfs(t testing.TB, size int64, options ...string) string {
	t.Helper()
	images.NeedTool(t, "mkfs.btrfs", "btrfs", "losetup")
	path := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.btrfs", append(append([]string{"-q"}, options...), path)...)
	return path
}

// A storm does random things to a tree, and fsyncs some of them.
type storm struct {
	t    testing.TB
	rng  *rand.Rand
	dirs []string
	all  []string
	n    int
}

func (s *storm) name() string {
	s.n++
	dir := s.dirs[s.rng.IntN(len(s.dirs))]
	return filepath.Join(dir, fmt.Sprintf("%d-%s", s.n, strings.Repeat("n", s.rng.IntN(60))))
}

func (s *storm) pick() string {
	if len(s.all) == 0 {
		return ""
	}
	return s.all[s.rng.IntN(len(s.all))]
}

// fsync of a file or directory.
func (s *storm) fsync(p string) {
	if f, err := os.Open(p); err == nil {
		if err := f.Sync(); err != nil {
			s.t.Errorf("fsync %s: %v", p, err)
		}
		f.Close()
	}
}

func (s *storm) step() {
	r := s.rng
	switch r.IntN(18) {
	case 0, 1, 2:
		p := s.name()
		b := make([]byte, r.IntN(30000))
		for i := range b {
			b[i] = byte(r.Uint32() & uint32(r.IntN(256)))
		}
		if os.WriteFile(p, b, 0o600+os.FileMode(r.IntN(64))) == nil {
			s.all = append(s.all, p)
		}
	case 3:
		if p := s.name(); os.Mkdir(p, 0o755) == nil {
			s.dirs = append(s.dirs, p)
		}
	case 4, 5:
		if p, q := s.pick(), s.name(); os.Rename(p, q) == nil {
			s.all = append(s.all, q)
		}
	case 6:
		if p, q := s.pick(), s.pick(); p != q {
			os.Rename(p, q)
		}
	case 7:
		os.Truncate(s.pick(), int64(r.IntN(200000)))
	case 8:
		if p, q := s.pick(), s.name(); os.Link(p, q) == nil {
			s.all = append(s.all, q)
		}
	case 9, 10:
		os.Remove(s.pick())
	case 11:
		unix.Setxattr(s.pick(), fmt.Sprintf("user.attribute-%d", r.IntN(6)), []byte(strings.Repeat("v", []int{3, 40, 300, 3000}[r.IntN(4)])), 0)
	case 12:
		unix.Removexattr(s.pick(), fmt.Sprintf("user.attribute-%d", r.IntN(6)))
	case 13:
		if f, err := os.OpenFile(s.pick(), os.O_RDWR, 0); err == nil {
			mode := []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_KEEP_SIZE, 0, unix.FALLOC_FL_ZERO_RANGE}[r.IntN(4)]
			unix.Fallocate(int(f.Fd()), mode, int64(r.IntN(60000)), int64(1+r.IntN(60000)))
			f.Close()
		}
	case 14:
		if f, err := os.OpenFile(s.pick(), os.O_RDWR, 0); err == nil {
			f.WriteAt([]byte(strings.Repeat("changed", 1+r.IntN(2000))), int64(r.IntN(100000)))
			f.Close()
		}
	case 15:
		os.Chmod(s.pick(), 0o400+os.FileMode(r.IntN(64)))
	case 16:
		p, q := s.pick(), s.name()
		if in, err := os.Open(p); err == nil {
			if out, err := os.Create(q); err == nil {
				unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))
				out.Close()
				s.all = append(s.all, q)
			}
			in.Close()
		}
	case 17:
		if len(s.dirs) > 1 {
			// All that is in a directory, and the directory.
			dir := s.dirs[1+r.IntN(len(s.dirs)-1)]
			if r.IntN(3) == 0 {
				os.RemoveAll(dir)
			} else {
				os.Rename(dir, s.name())
			}
		}
	}
}

// mountLoop mounts an image to be written, with few commits.
func mountLoop(t testing.TB, path, options string) (dir string, unmount func()) {
	t.Helper()
	dir = images.KernelMount(t, path, 0, 0, "btrfs", strings.TrimSuffix("commit=3000,"+options, ","))
	return dir, func() { images.Unmount(t, dir) }
}

// dirtyImage is a copy of an image that the kernel has mounted, made after an
// fsync.
func dirtyImage(t testing.TB, seed uint64, steps int, mount string, mkfs ...string) string {
	t.Helper()
	path := makeBtrfs(t, 256<<20, mkfs...)
	dir, unmount := mountLoop(t, path, mount)
	s := &storm{t: t, rng: rand.New(rand.NewPCG(seed, 11)), dirs: []string{dir}}
	for range 120 {
		s.step()
	}
	run(t, "sync", "-f", dir)
	for range steps {
		s.step()
		switch s.rng.IntN(6) {
		case 0, 1:
			s.fsync(s.pick())
		case 2:
			s.fsync(s.dirs[s.rng.IntN(len(s.dirs))])
		}
	}
	last := filepath.Join(dir, "last")
	if err := os.WriteFile(last, []byte("the last file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.fsync(last)
	dirty := images.Copy(t, path, t.TempDir())
	unmount()
	return dirty
}

func hashFile(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// sinceReplay takes the times that the kernel's replay gave to what it changed
// for those that we have.
func sinceReplay(got, want vfstest.Tree, start time.Time) {
	now := func(tm vfs.Time) bool { return tm.Sec >= start.Unix() }
	for p, w := range want {
		g := got[p]
		if now(w.Mtime) {
			w.Mtime = g.Mtime
		}
		if now(w.Ctime) {
			w.Ctime = g.Ctime
		}
		want[p] = w
	}
}

// TestReplay compares a dirty filesystem with what the kernel's own replay
// makes of a copy. The image stays as it was.
func TestReplay(t *testing.T) {
	images.NeedRoot(t)
	for i, c := range []struct {
		mount string
		mkfs  []string
	}{
		{"", nil}, {"compress-force=zstd:1", []string{"--mixed", "-n", "4096"}}, {"", []string{"-n", "4096"}}, {"", []string{"--csum", "xxhash"}},
		{"", []string{"-O", "^no-holes"}}, {"nodatacow", nil}, {"compress-force=lzo", nil},
	} {
		seeds := 8
		if os.Getenv("GUESTCTL_LONG") == "" {
			if seeds = 1; i >= 2 {
				continue
			}
		}
		for seed := range seeds {
			t.Run(fmt.Sprintf("%d-%s%s-%d", i, c.mount, strings.Join(c.mkfs, ""), seed), func(t *testing.T) {
				testReplay(t, dirtyImage(t, uint64(seed*100+i), 150, c.mount, c.mkfs...), "")
			})
		}
	}
}

// testLog writes a driver's log to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func testReplay(t *testing.T, dirty, options string) {
	hash := strings.HasPrefix(t.Name(), "TestReplay/") // once is enough for the short cases
	before := ""
	if hash {
		before = hashFile(t, dirty)
	}
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	fsys, err := btrfs.Driver().Open(t.Context(), devices(t, dirty, 1, 0), vfs.Options{Mount: options, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if info := fsys.Info(); !info.Dirty || !info.Replayed {
		t.Errorf("the image is not dirty: %+v", info)
	}
	got := vfstest.FromVFS(t, fsys, maxFile)
	if hash && hashFile(t, dirty) != before {
		t.Error("the image was changed")
	}
	time.Sleep(1100 * time.Millisecond) // the times of the replay are told from the others by the second
	start := time.Now()
	copied := images.Copy(t, dirty, t.TempDir())
	dir, unmount := mountLoop(t, copied, options)
	want := vfstest.FromDir(t, dir, 0)
	unmount()
	sinceReplay(got, want, start)
	if _, ok := got["/last"]; !ok {
		t.Error("the last file is missing")
	}
	t.Logf("%d entries", len(want))
	report(t, vfstest.Differences(got, want, vfstest.Atime))
}

// TestNoReplay shows the last commit where recovery is not wanted.
func TestNoReplay(t *testing.T) {
	images.NeedRoot(t)
	dirty := dirtyImage(t, 1, 20, "")
	for _, opt := range []vfs.Options{{NoRecovery: true}, {Mount: "rescue=nologreplay"}} {
		fsys, err := btrfs.Driver().Open(context.Background(), []block.Device{devices(t, dirty, 1, 0)[0]}, opt)
		if err != nil {
			t.Fatal(err)
		}
		if info := fsys.Info(); !info.Dirty || info.Replayed {
			t.Errorf("%+v", info)
		}
		if _, ok := vfstest.FromVFS(t, fsys, maxFile)["/last"]; ok {
			t.Error("the last file is there without the log")
		}
	}
}

// TestReplayCases replays what is hard to get right, each after its own sync:
// names that change hands, links, directories that come and go, extents that
// are cut. "sync FILE" is fsync.
func TestReplayCases(t *testing.T) {
	images.NeedRoot(t)
	for _, c := range []struct{ name, before, after string }{
		{"links", "mkdir d; echo foo >d/foo; echo bar >d/bar", "ln d/bar d/bar2; ln d/foo d/foo2; sync d/bar"},
		{"unlink", "mkdir d; for i in $(seq 40); do echo $i >d/$i; done", "rm d/3 d/17 d/40; sync d"},
		{"rename", "mkdir d e; echo 1 >d/a; echo 2 >d/b", "mv d/a d/c; sync d/c; mv d/b e/b; sync e/b"},
		{"over", "mkdir d; echo 1 >d/a; echo 2 >d/b", "mv d/a d/b; sync d/b"},
		{"again", "mkdir -p foo/x; echo 1 >foo/x/y", "mv foo foo2; mkdir foo; echo 2 >foo/z; sync foo foo/z"},
		{"replace", "mkdir d; echo old >d/foo; echo other >d/bar", "rm d/foo; echo new >d/foo; sync d/foo; rm d/bar; mkdir d/bar; sync d/bar"},
		{"swap", "mkdir d; echo 1 >d/a; echo 2 >d/b", "mv d/a d/t; mv d/b d/a; mv d/t d/b; sync d/a"},
		{"swap directories", "mkdir -p d/a d/b; echo 1 >d/a/x; echo 2 >d/b/y", "mv d/a d/t; mv d/b d/a; mv d/t d/b; sync d; sync d/a"},
		{"attributes", "echo 1 >f; for i in a b c; do setfattr -n user.$i -v $i f; done", "setfattr -x user.b f; setfattr -n user.c -v changed f; setfattr -n user.d -v d f; sync f"},
		{"holes", "head -c 1000000 /dev/urandom >f; cp f g", "fallocate -p -o 100000 -l 200000 f; fallocate -p -o 500000 -l 4096 f; sync f; truncate -s 300001 g; sync g; truncate -s 900000 g; sync g"},
		{"preallocated", "echo 1 >f; head -c 50000 /dev/zero >g", "fallocate -n -o 0 -l 1M f; sync f; fallocate -l 300000 g; printf x | dd of=g bs=1 seek=200000 conv=notrunc status=none; sync g"},
		{"many extents", "head -c 3000000 /dev/urandom >f", "for i in $(seq 0 60); do printf changed | dd of=f bs=1 seek=$((i * 49000)) conv=notrunc status=none; sync f; done"},
		{"grown", "printf short >f", "for i in $(seq 12); do head -c $((i * 700)) /dev/urandom >>f; sync f; done"},
		{"many links", "mkdir d; echo 1 >d/0; for i in $(seq 900); do ln d/0 d/$(printf %0100d $i); done", "rm d/*[05]; ln d/0*001 d/new; sync d/new"},
		{"tree", "mkdir d", "mkdir -p d/a/b/c; echo 1 >d/a/b/c/f; echo 2 >d/a/g; sync d/a/b/c/f; mkdir d/h; sync d/h; ln -s target d/a/s; sync d/a"},
		{"removed tree", "mkdir -p d/a/b d/c; for i in $(seq 30); do echo $i >d/a/b/$i; done; ln d/a/b/1 d/c/kept", "rm -r d/a; sync d"},
		{"special", "mkdir d", "mknod d/null c 1 3; mkfifo d/fifo; ln -s somewhere d/link; sync d; echo 1 >d/f; sync d/f"},
		{"reflink", "head -c 500000 /dev/urandom >f", "cp --reflink=always f g; sync g; printf x | dd of=g bs=1 seek=100000 conv=notrunc status=none; sync g; cp --reflink=always g h; sync h f"},
		{"moved directory", "mkdir -p d/a e; echo 1 >d/a/f", "mv d/a e/a; echo 2 >e/a/g; sync e/a/g; sync e"},
		{"large directory", "mkdir d; for i in $(seq 1500); do : >d/$i; done", "for i in $(seq 100); do rm d/$((i * 7)); done; for i in $(seq 50); do echo $i >d/new-$i; done; sync d; sync d/new-7"},
		{"subvolumes", "btrfs -q subvolume create s; btrfs -q subvolume create u; echo 1 >s/f; echo 2 >u/f", "echo 3 >>s/f; sync s/f; echo 4 >>u/f; mkdir u/d; echo 5 >u/d/g; sync u/f u/d/g; echo 6 >top; sync top"},
		{"modes", "echo 1 >f; mkdir d", "chmod 0600 f; chown 1000:1000 f; touch -d '2040-01-02 03:04:05.678 UTC' f; sync f; chmod 0700 d; sync d"},
		{"unlinked and fsynced", "mkdir d; echo 1 >d/a; ln d/a d/b", "rm d/a; sync d/b; echo 2 >d/a; ln d/a d/c; sync d/c; rm d/a; sync d/c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch c.name {
			case "replace", "subvolumes":
			default:
				images.NeedLong(t)
			}
			path := makeBtrfs(t, 256<<20)
			dir, unmount := mountLoop(t, path, "")
			script := "cd " + dir + "; " + c.before + "; sync -f .; " + c.after + "; echo last >last; sync last"
			run(t, "bash", "-ec", script)
			dirty := images.Copy(t, path, t.TempDir())
			unmount()
			testReplay(t, dirty, "")
		})
	}
}
