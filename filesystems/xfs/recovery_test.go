package xfs_test

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

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/xfs"
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

// makeXFS makes an empty filesystem of the given size in a sparse file.
func makeXFS(t testing.TB, size int64, options ...string) string {
	t.Helper()
	images.NeedTool(t, "mkfs.xfs", "xfs_io", "xfs_repair")
	path := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.xfs", append(append([]string{"-q", "-f"}, options...), path)...)
	return path
}

// A storm does random things to a tree: renames, truncations, clones,
// attributes, directories that grow, and, if it is not calm, removals, files
// unlinked while open and copies on write.
type storm struct {
	calm bool
	rng  *rand.Rand
	dirs []string
	all  []string
	open []*os.File
	n    int
}

func (s *storm) name() string {
	s.n++
	dir := s.dirs[s.rng.IntN(len(s.dirs))]
	return filepath.Join(dir, fmt.Sprintf("%d-%s", s.n, strings.Repeat("n", s.rng.IntN(120))))
}

func (s *storm) pick() string {
	if len(s.all) == 0 {
		return ""
	}
	return s.all[s.rng.IntN(len(s.all))]
}

func (s *storm) step() {
	r := s.rng
	what := r.IntN(16)
	if s.calm && (what == 7 || what >= 10 && what <= 12) {
		what = 0 // nothing is unlinked
	}
	switch what {
	case 0, 1, 2, 3:
		p := s.name()
		b := make([]byte, r.IntN(30000))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if os.WriteFile(p, b, 0o600+os.FileMode(r.IntN(64))) == nil {
			s.all = append(s.all, p)
		}
	case 4:
		if p := s.name(); os.Mkdir(p, 0o755) == nil {
			s.dirs = append(s.dirs, p)
		}
	case 5, 6:
		if p, q := s.pick(), s.name(); os.Rename(p, q) == nil {
			s.all = append(s.all, q)
		}
	case 7:
		if p, q := s.pick(), s.pick(); p != q {
			os.Rename(p, q)
		}
	case 8:
		os.Truncate(s.pick(), int64(r.IntN(200000)))
	case 9:
		p, q := s.pick(), s.name()
		in, err := os.Open(p)
		if err != nil {
			return
		}
		defer in.Close()
		out, err := os.Create(q)
		if err != nil {
			return
		}
		defer out.Close()
		unix.IoctlFileClone(int(out.Fd()), int(in.Fd()))
		if !s.calm {
			out.WriteAt([]byte("changed"), int64(r.IntN(20000)))
		}
		s.all = append(s.all, q)
	case 10, 11:
		os.Remove(s.pick())
	case 12:
		p := s.pick()
		if f, err := os.Open(p); err == nil && len(s.open) < 20 && !s.calm {
			s.open = append(s.open, f)
			os.Remove(p)
		} else if err == nil {
			f.Close()
		}
	case 13:
		size := []int{3, 40, 300, 3000, 20000}[r.IntN(5)]
		unix.Setxattr(s.pick(), fmt.Sprintf("user.attribute-%d", r.IntN(20)), []byte(strings.Repeat("v", size)), 0)
	case 14:
		p := s.pick()
		if f, err := os.OpenFile(p, os.O_RDWR, 0); err == nil {
			unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(r.IntN(10000)), int64(1+r.IntN(20000)))
			if !s.calm {
				f.WriteAt([]byte("tail"), int64(r.IntN(100000)))
			}
			f.Close()
		}
	case 15:
		dir := s.dirs[r.IntN(len(s.dirs))]
		sub := filepath.Join(dir, fmt.Sprintf("many-%d", s.n))
		s.n++
		if os.Mkdir(sub, 0o755) != nil {
			return
		}
		count := r.IntN(400)
		for i := range count {
			os.WriteFile(filepath.Join(sub, fmt.Sprintf("entry-%d-%s", i, strings.Repeat("e", 40))), nil, 0o600)
		}
		for i := range count {
			if r.IntN(2) == 0 && !s.calm {
				os.Remove(filepath.Join(sub, fmt.Sprintf("entry-%d-%s", i, strings.Repeat("e", 40))))
			}
		}
		s.dirs = append(s.dirs, sub)
	}
}

// dirtyImage lets the kernel work on a filesystem and stops it in the middle.
func dirtyImage(t testing.TB, seed uint64, steps int, flush, calm bool, options ...string) string {
	t.Helper()
	images.NeedRoot(t)
	path := makeXFS(t, 300<<20, options...)
	mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
	s := &storm{calm: calm, rng: rand.New(rand.NewPCG(seed, 11)), dirs: []string{mnt}}
	for range steps / 4 {
		s.step()
	}
	unix.Sync()
	for i := range steps {
		s.step()
		if i%97 == 96 {
			if f, err := os.Open(s.pick()); err == nil {
				f.Sync()
				f.Close()
			}
		}
	}
	args := []string{"-x", "-c", "shutdown"}
	if flush {
		args[2] = "shutdown -f"
	}
	run(t, "xfs_io", append(args, mnt)...)
	for _, f := range s.open {
		f.Close()
	}
	images.Unmount(t, mnt)
	return path
}

func fileSum(t testing.TB, path string) [32]byte {
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
	return [32]byte(h.Sum(nil))
}

// checkReplay compares our replay of an image with the kernel's of a copy, and
// lets xfs_repair check ours.
func checkReplay(t *testing.T, path string, calm bool) {
	t.Helper()
	before := fileSum(t, path)
	ctx := context.Background()
	dev := device(t, path)
	fsys, err := xfs.Driver().Open(ctx, []block.Device{dev}, vfs.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close(ctx)
	if info := fsys.Info(); !info.Dirty || !info.Replayed {
		t.Errorf("it is not dirty: %+v", info)
	}
	got := vfstest.FromVFS(t, fsys, 0)
	if fileSum(t, path) != before {
		t.Fatal("the image changed")
	}

	kernel := images.Copy(t, path, t.TempDir())
	mnt := images.KernelMount(t, kernel, 0, 0, "xfs", "")
	want := vfstest.FromDir(t, mnt, 0)
	images.Unmount(t, mnt)
	report(t, vfstest.Differences(got, want, 0))
	// What is free differs by what recovery goes on to free; the inodes in use must not.
	ro := images.KernelMount(t, kernel, 0, 0, "xfs", "ro")
	var st unix.Statfs_t
	if err := unix.Statfs(ro, &st); err != nil {
		t.Fatal(err)
	}
	if u, err := fsys.Usage(ctx); err != nil || u.Files-u.FilesFree != st.Files-st.Ffree {
		t.Errorf("%d inodes in use, %v, the kernel has %d", u.Files-u.FilesFree, err, st.Files-st.Ffree)
	}

	ours := images.Copy(t, path, t.TempDir())
	writeOverlay(t, fsys, ours)
	checkRepair(t, ours, calm)
}

// writeOverlay writes what a filesystem's device shows into a copy of its
// image.
func writeOverlay(t *testing.T, fsys vfs.FileSystem, path string) {
	t.Helper()
	dev := fsys.Devices()[0]
	o, ok := dev.(*block.Overlay)
	if !ok {
		t.Fatal("the device is no overlay")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const part = 1 << 20
	b, old := make([]byte, part), make([]byte, part)
	for off := int64(0); off < o.Size(); off += part {
		run, err := o.Locate(context.Background(), off, min(part, o.Size()-off))
		if err != nil {
			t.Fatal(err)
		}
		if run.Kind != block.Opaque && run.Len == min(part, o.Size()-off) {
			continue
		}
		n := min(part, o.Size()-off)
		if err := block.ReadFull(context.Background(), o, b[:n], off); err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(old[:n], off); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if string(old[:n]) != string(b[:n]) {
			if _, err := f.WriteAt(b[:n], off); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkRepair lets xfs_repair check a filesystem whose log it ignores. What
// recovery ends with is not done in an overlay: counts in the superblock, the
// reservations of copies on write and, where a storm was not calm, inodes in
// the unlinked lists. All else must be right.
func checkRepair(t *testing.T, path string, calm bool) {
	t.Helper()
	out, err := exec.Command("xfs_repair", "-n", path).CombinedOutput()
	if err == nil {
		return
	}
	expected := []string{"sb_", "Cannot get host filesystem", "Repair may fail if there is", "the image and the host", "which may be resolved by first mounting",
		"ALERT: The filesystem has valuable metadata", "log which is being ignored", "the log to be replayed", "spurious inconsistencies", "to replay the log",
		"leftover CoW extent"}
	if !calm {
		expected = append(expected, "agi unlinked bucket", "disconnected inode", "Would clear next_unlinked", "nlinks from 0 to 1")
	}
lines:
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "Phase") || strings.HasPrefix(line, "        -") || strings.HasPrefix(line, "No modify") {
			continue
		}
		for _, e := range expected {
			if strings.Contains(line, e) {
				continue lines
			}
		}
		t.Errorf("xfs_repair: %s", line)
	}
}

// TestReplay compares the replay of logs that the kernel left dirty with the
// kernel's own.
func TestReplay(t *testing.T) {
	seeds := 4
	if os.Getenv("GUESTCTL_LONG") != "" {
		seeds = 60
	}
	options := [][]string{nil, {"-m", "rmapbt=1"}, {"-b", "size=1024"}, {"-i", "nrext64=1"}, {"-n", "size=16384"}, {"-l", "su=65536"}}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			calm := seed%3 == 1
			path := dirtyImage(t, uint64(seed), 300+seed%5*200, seed%2 == 0, calm, options[seed%len(options)]...)
			checkReplay(t, path, calm)
		})
	}
}

// TestReplayAroundTheEnd lets the kernel go round its log.
func TestReplayAroundTheEnd(t *testing.T) {
	images.NeedLong(t)
	images.NeedRoot(t)
	path := makeXFS(t, 400<<20)
	mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
	size := 0
	for round := 0; size < 150<<20; round++ {
		dir := filepath.Join(mnt, fmt.Sprintf("round-%d", round%3))
		os.RemoveAll(dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%s", i, strings.Repeat("n", 180))), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		unix.Sync()
		size += 2000 * (512 + 300)
	}
	run(t, "xfs_io", "-x", "-c", "shutdown -f", mnt)
	images.Unmount(t, mnt)
	if w := openLog(t, path); w.cycle < 2 {
		t.Fatalf("the log is in cycle %d", w.cycle)
	}
	checkReplay(t, path, false)
}
