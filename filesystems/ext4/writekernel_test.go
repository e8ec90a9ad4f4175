package ext4

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
	"github.com/guestctl/guestctl/vfs"
)

// allFields are what the kernel and we must agree on after writing. Access
// times are not written.
const allFields = manifest.All

// kernelSees mounts the bytes with the kernel, which replays the journal where
// there is something in it, and compares the tree with ours.
func kernelSees(t *testing.T, b []byte, fs vfs.FileSystem) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel.img")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	want := manifestOf(t, fs)
	folder := images.KernelMount(t, path, 0, 0, "ext4", "")
	got, err := manifest.Walk(t.Context(), folder, manifest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if lines, total := manifest.Diff(want, got, allFields, 10); total > 0 {
		t.Errorf("the kernel reads %d things differently: %q", total, lines)
	}
	images.Unmount(t, folder)
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fsckBytes(t, after)
}

// TestKernelReplays: the kernel recovers a filesystem that we were killed in
// the middle of writing, and finds what we had.
func TestKernelReplays(t *testing.T) {
	needKernel(t)
	for name, options := range layouts {
		if name == "64k" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if name != "newer" {
				images.NeedLong(t)
			}
			w := mkfs(t, "32M", options...)
			if !w.sb.hasCompat(compatHasJournal) {
				t.Skip("the kernel replays no log beside the image: TestRedoReplays")
			}
			m, r := newModel(w), rand.New(rand.NewPCG(8, 9))
			for i := range 200 {
				if err := m.step(w, r, i); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			w.must(w.Sync(context.Background()))
			if _, geo, err := openSuper(t.Context(), w.dev); err != nil || geo == nil {
				t.Fatal(err)
			}
			kernelSees(t, w.dev.Bytes(), w)
		})
	}
}

// fastWork makes fast commits.
func fastWork(dir string) error {
	if err := step("echo first > first; sync -f .", "first")(dir); err != nil {
		return err
	}
	return step("echo more >> first; echo new > new", "new")(dir)
}

// TestWriteAfterKernel: a filesystem that the kernel was stopped in the middle
// of writing is recovered to the device: it shows what it shows when it is
// recovered in memory, and takes changes then.
func TestWriteAfterKernel(t *testing.T) {
	needKernel(t)
	var orphans []uint64
	for _, c := range []struct {
		name   string
		img    jbd2test.Image
		refuse bool
	}{
		{"4KiB", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "4096"}, Work: busy, Flush: true}, false},
		{"1KiB, small journal", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-J", "size=1"}, Work: busy}, false},
		{"no metadata_csum", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit"}, Work: busy}, false},
		{"orphans", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4"}, Work: leaveOpen(&orphans), Flush: true}, false},
		{"orphan file", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-O", "orphan_file"}, Work: leaveOpen(&orphans), Flush: true}, false},
		{"orphan file, 1KiB, no checksums", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", "orphan_file,^metadata_csum"}, Work: leaveOpen(&orphans), Flush: true}, false},
		{"ext3", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext3", "-b", "1024"}, Work: leaveOpen(&orphans), Flush: true}, false},
		{"fast commits", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-O", "fast_commit"}, Work: fastWork, Flush: false}, true},
		{"orphan file, empty", jbd2test.Image{Size: "64M", Mkfs: []string{"-t", "ext4", "-O", "orphan_file"}, Work: busy, Flush: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch c.name {
			case "orphan file", "fast commits":
			default:
				images.NeedLong(t)
			}
			b, err := os.ReadFile(c.img.Make(t))
			if err != nil {
				t.Fatal(err)
			}
			ro, err := open(t.Context(), []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := manifestOf(t, ro)
			dev := blocktest.NewMemory(append([]byte(nil), b...))
			fs, err := open(t.Context(), []block.Device{dev}, vfs.Options{Writable: true})
			if c.refuse {
				if !errors.Is(err, syscall.EOPNOTSUPP) {
					t.Errorf("open: %v", err)
				}
				if !bytes.Equal(dev.Bytes(), b) {
					t.Error("the image was changed, though it is not written")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w := &written{FileSystem: fs.(*FileSystem), t: t, dev: dev, side: &memorySidecar{}}
			if lines, total := manifest.Diff(want, manifestOf(t, w), allFields, 10); total > 0 {
				t.Errorf("%d things differ from the replay in memory: %q", total, lines)
			}
			dir := w.create(w.Root(), "ours", 0o40755)
			m, r := newModel(w), rand.New(rand.NewPCG(1, 9))
			m.dirs = map[string]vfs.Ino{"": dir}
			for i := range 150 {
				if err := m.step(w, r, i); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			w.must(w.Sync(context.Background()))
			kernelSees(t, w.dev.Bytes(), w)
			w.fsck()
		})
	}
}
