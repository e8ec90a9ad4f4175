package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// model is what a test expects of a filesystem.
type model struct {
	files map[string][]byte // by path
	links map[string]string // symlinks
	dirs  map[string]vfs.Ino
	inos  map[string]vfs.Ino
}

func newModel(w *written) *model {
	return &model{map[string][]byte{}, map[string]string{}, map[string]vfs.Ino{"": w.Root()}, map[string]vfs.Ino{}}
}

func anyKey[V any](r *rand.Rand, m map[string]V) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys[r.IntN(len(keys))]
}

// step makes a random operation on both.
func (m *model) step(w *written, r *rand.Rand, i int) error {
	ctx := context.Background()
	dir := anyKey(r, m.dirs)
	name := fmt.Sprintf("%d-%s", i, strings.Repeat("n", r.IntN(80)))
	path := dir + "/" + name
	k := r.IntN(22)
	if len(m.files) == 0 {
		k = 0
	}
	switch {
	case k < 5:
		return w.do(func(x *tx) error {
			ino, err := x.Create(ctx, m.dirs[dir], name, vfs.New{Mode: 0o100644})
			if err == nil {
				m.files[path], m.inos[path] = []byte{}, ino
			}
			return err
		})
	case k == 5 && len(m.dirs) < 12:
		return w.do(func(x *tx) error {
			ino, err := x.Create(ctx, m.dirs[dir], name, vfs.New{Mode: 0o40755})
			if err == nil {
				m.dirs[path] = ino
			}
			return err
		})
	case k == 6:
		target := strings.Repeat("t/", 1+r.IntN(90))
		return w.do(func(x *tx) error {
			_, err := x.Create(ctx, m.dirs[dir], name, vfs.New{Mode: 0o120777, Target: target})
			if err == nil {
				m.links[path] = target
			}
			return err
		})
	case k < 12: // anywhere
		f := anyKey(r, m.files)
		b := m.files[f]
		off := r.IntN(len(b) + 1 + r.IntN(40_000))
		p := bytes.Repeat([]byte{byte(i)}, 1+r.IntN(30_000))
		n, err := vfs.WriteAt(ctx, w.FileSystem, m.inos[f], p, int64(off), testTime)
		if n > 0 {
			if need := off + n; need > len(b) {
				b = append(b, make([]byte, need-len(b))...)
			}
			copy(b[off:], p[:n])
			m.files[f] = b
		}
		return err
	case k == 12:
		f := anyKey(r, m.files)
		size := r.IntN(len(m.files[f]) + 20_000)
		err := w.Truncate(ctx, m.inos[f], int64(size), testTime)
		if err == nil {
			b := m.files[f]
			m.files[f] = append(b[:min(size, len(b))], make([]byte, max(0, size-len(b)))...)
		}
		return err
	case k < 15:
		f := anyKey(r, m.files)
		in, base := filepath.Split(f)
		var gone vfs.Ino
		if err := w.do(func(x *tx) (err error) {
			gone, err = x.Unlink(ctx, m.dirs[strings.TrimSuffix(in, "/")], base, false)
			return err
		}); err != nil {
			return err
		}
		delete(m.files, f)
		return w.Evict(ctx, gone, testTime)
	case k < 18: // to a new name, or over another file
		f := anyKey(r, m.files)
		if r.IntN(2) == 0 {
			path = anyKey(r, m.files)
		}
		if path == f {
			return nil
		}
		in, base := filepath.Split(f)
		to, toBase := filepath.Split(path)
		var gone vfs.Ino
		if err := w.do(func(x *tx) (err error) {
			gone, err = x.Rename(ctx, m.dirs[strings.TrimSuffix(in, "/")], base, m.dirs[strings.TrimSuffix(to, "/")], toBase, 0)
			return err
		}); err != nil {
			return err
		}
		m.files[path], m.inos[path] = m.files[f], m.inos[f]
		delete(m.files, f)
		if gone != (vfs.Ino{}) {
			return w.Evict(ctx, gone, testTime)
		}
		return nil
	case k == 18:
		f := anyKey(r, m.files)
		return w.do(func(x *tx) error {
			return x.SetXattr(ctx, m.inos[f], fmt.Sprintf("user.a%d", r.IntN(6)), bytes.Repeat([]byte{'v'}, r.IntN(120)), 0)
		})
	}
	if k >= 20 {
		f := anyKey(r, m.files)
		b := m.files[f]
		off, n := r.IntN(len(b)+9000), 1+r.IntN(60_000)
		mode := [...]vfs.Fallocation{0, vfs.FallocateKeepSize, vfs.FallocateKeepSize | vfs.FallocatePunchHole, vfs.FallocateZeroRange,
			vfs.FallocateZeroRange | vfs.FallocateKeepSize}[r.IntN(5)]
		err := w.Fallocate(ctx, m.inos[f], int64(off), int64(n), mode, testTime)
		if err == syscall.EOPNOTSUPP && !w.sb.hasIncompat(incompatExtents) && mode&vfs.FallocatePunchHole == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if mode&vfs.FallocateKeepSize == 0 && off+n > len(b) {
			b = append(b, make([]byte, off+n-len(b))...)
		}
		if mode&(vfs.FallocatePunchHole|vfs.FallocateZeroRange) != 0 && off < len(b) {
			clear(b[off:min(len(b), off+n)])
		}
		m.files[f] = b
		return nil
	}
	return w.Sync(ctx)
}

// compare reads all files through fs and through a folder, where one is given.
func (m *model) compare(w *written, folder string) {
	w.t.Helper()
	for path, want := range m.files {
		if got := w.read(m.inos[path]); !bytes.Equal(got, want) {
			w.t.Errorf("%s has %d bytes, want %d, and they differ", path, len(got), len(want))
		}
	}
	if folder == "" {
		return
	}
	for path, want := range m.files {
		if got, err := os.ReadFile(folder + path); err != nil || !bytes.Equal(got, want) {
			w.t.Errorf("the kernel reads %s: %d bytes, want %d: %v", path, len(got), len(want), err)
		}
	}
	for path, want := range m.links {
		if got, err := os.Readlink(folder + path); err != nil || got != want {
			w.t.Errorf("the kernel reads link %s: %q, want %q: %v", path, got, want, err)
		}
	}
	n := 0
	w.must(filepath.Walk(folder, func(path string, _ os.FileInfo, err error) error {
		n++
		return err
	}))
	if want := len(m.files) + len(m.links) + len(m.dirs) + 1; n != want { // lost+found too
		w.t.Errorf("the kernel finds %d names, want %d", n, want)
	}
}

// TestWriteModel: after random operations the files are what a model says, for
// us and for the kernel, and e2fsck is silent.
func TestWriteModel(t *testing.T) {
	images.NeedRoot(t)
	for name, options := range layouts {
		if name == "64k" {
			continue // the kernel's pages are smaller
		}
		t.Run(name, func(t *testing.T) {
			if !shortLayouts[name] || name == "gdt csum" || name == "no type" || name == "1k" {
				images.NeedLong(t)
			}
			w := mkfs(t, "32M", options...)
			m, r := newModel(w), rand.New(rand.NewPCG(4, 5))
			for i := range 350 {
				if err := m.step(w, r, i); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			m.compare(w, "")
			path := w.fsck()
			folder := images.KernelMount(t, path, 0, int64(len(w.dev.Bytes())), "ext4", "ro")
			m.compare(w, folder)
		})
	}
}

// TestWriteFull: a disk that is full says ENOSPC, loses nothing, and has room
// again when something is deleted.
func TestWriteFull(t *testing.T) {
	for _, options := range [][]string{{"-b", "1024", "-N", "60", "-J", "size=1"}, {"-b", "1024", "-N", "2000", "-J", "size=1"}, {"-b", "1024", "-O", "^metadata_csum", "-N", "400", "-J", "size=1"}} {
		w := mkfs(t, "3M", append(options, "-m", "0")...)
		m, r := newModel(w), rand.New(rand.NewPCG(4, 5))
		full := 0
		fill := w.create(w.Root(), "fill", 0o100600)
		for off, err := int64(0), error(nil); err == nil && options[3] != "60"; off += 10_000 {
			_, err = vfs.WriteAt(context.Background(), w.FileSystem, fill, make([]byte, 10_000), off, testTime)
		}
		for i := range 600 {
			if i == 400 {
				w.unlink(w.Root(), "fill", false)
			}
			err := m.step(w, r, i)
			if errors.Is(err, syscall.ENOSPC) {
				full++
				_ = w.Sync(context.Background())
			} else if err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
		if full == 0 {
			t.Errorf("%v: the disk was never full", options)
		}
		m.compare(w, "")
		w.fsck()
	}
}

// TestWriteManyNames: directories grow to more levels of their index, and are
// emptied again.
func TestWriteManyNames(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []string
		names   int
		length  int // of names, at most
		levels  uint8
		long    bool
	}{
		{"two levels", []string{"-b", "1024", "-N", "20000"}, 4000, 40, 1, false},
		{"100,000", []string{"-b", "4096", "-N", "110000"}, 100_000, 40, 1, true},
		{"three levels", []string{"-b", "1024", "-N", "70000", "-O", "large_dir"}, 60_000, 240, 2, true},
		{"block map", []string{"-t", "ext3", "-b", "1024", "-N", "20000"}, 10_000, 40, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				images.NeedLong(t)
			}
			ctx := context.Background()
			size := "64M"
			if c.long {
				size = "128M"
			}
			w := mkfs(t, size, c.options...)
			dir := w.create(w.Root(), "many", 0o40755)
			name := func(i int) string { return fmt.Sprintf("name-%d-%0*d", i, i%c.length, 1) }
			for i := range c.names {
				w.create(dir, name(i), 0o100644)
			}
			d, err := w.Inode(ctx, dir)
			w.must(err)
			seen := 0
			for _, err := range d.Entries(ctx, vfs.Cursor{}) {
				w.must(err)
				seen++
			}
			if seen != c.names {
				t.Errorf("%d names are listed, want %d", seen, c.names)
			}
			for i := range c.names {
				if _, err := d.Lookup(ctx, name(i)); err != nil {
					t.Fatalf("%s: %v", name(i), err)
				}
			}
			if b, ok, err := d.(*inode).dirBlock(ctx, 0); err != nil || !ok || dxInfo(b[dxRootInfo:]).indirectLevels() != c.levels {
				t.Errorf("the index has not grown as it should: %d", dxInfo(b[dxRootInfo:]).indirectLevels())
			}
			w.must(w.Sync(ctx))
			fsckCopy(t, w)
			for i := range c.names {
				w.unlink(dir, name(i), false)
			}
			w.unlink(w.Root(), "many", true)
			w.fsck()
		})
	}
}

// fsckCopy has e2fsck replay and check a copy of the open filesystem.
func fsckCopy(t *testing.T, w *written) string {
	t.Helper()
	w.must(w.Sync(context.Background()))
	again := openWritten(t, newCopy(w), &memorySidecar{bytes.Clone(w.side.b)})
	return again.fsck()
}

// TestWriteConcurrent: eight writers, each in its own directory, and readers.
func TestWriteConcurrent(t *testing.T) {
	ctx := context.Background()
	w := mkfs(t, "64M")
	w.must(w.Sync(ctx))
	dirs := make([]vfs.Ino, 8)
	for i := range dirs {
		dirs[i] = w.create(w.Root(), fmt.Sprint(i), 0o40755)
	}
	var wg sync.WaitGroup
	for i, dir := range dirs {
		wg.Go(func() {
			for k := range 60 {
				ino := w.create(dir, fmt.Sprint(k), 0o100644)
				w.write(ino, 0, bytes.Repeat([]byte{byte(i)}, 5000*(k%4)))
				if k%3 == 0 {
					w.must(w.Sync(ctx))
				}
				if k%4 == 1 {
					w.unlink(dir, fmt.Sprint(k), false)
				} else if got := w.read(ino); !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 5000*(k%4))) {
					t.Errorf("file %d of writer %d reads differently", k, i)
				}
			}
		})
	}
	wg.Wait()
	w.fsck()
}
