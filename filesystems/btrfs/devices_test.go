package btrfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// garbage is a device on which all but the superblock is damaged.
type garbage struct{ block.Device }

func (g garbage) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := g.Device.ReadAt(ctx, p, off)
	if off < 64<<10 || off >= 68<<10 {
		for at := 0; at < n; at += 512 { // in every sector
			p[at] ^= 0x5a
		}
	}
	return n, err
}

// TestDegraded leaves out, and damages, each device of an array in turn: where
// the profile allows the tree is the same.
func TestDegraded(t *testing.T) {
	for name, lost := range map[string]int{"raid1": 1, "raid1c3": 2, "raid1c4": 3, "raid10": 1, "raid5": 1, "raid6": 2} {
		t.Run(name, func(t *testing.T) {
			if name != "raid6" {
				images.NeedLong(t)
			}
			img, v := images.Btrfs(t, name)
			devs := devices(t, img.Path, v.Devices, v.Size)
			want := vfstest.FromVFS(t, open(t, devs, ""), maxFile)
			try := func(what string, devs []block.Device) {
				t.Helper()
				t.Log(what)
				report(t, vfstest.Differences(vfstest.FromVFS(t, open(t, devs, ""), maxFile), want, 0))
			}
			for i := range devs {
				try(fmt.Sprintf("device %d is missing", i), slices.Delete(slices.Clone(devs), i, i+1))
				// Files without checksums cannot be told to be damaged.
				damaged := slices.Clone(devs)
				damaged[i] = garbage{devs[i]}
				errs, got := 0, vfstest.FromVFS(t, open(t, damaged, ""), maxFile)
				for p, w := range want {
					if !strings.Contains(p, "/nocow/") && got[p].SHA256 != w.SHA256 {
						errs++
					}
				}
				if errs > 0 || len(got) != len(want) {
					t.Errorf("device %d is damaged: %d files differ, %d entries of %d", i, errs, len(got), len(want))
				}
			}
			for i := range devs {
				for j := range i {
					if lost >= 2 && (i+j == 1 || os.Getenv("GUESTCTL_LONG") != "") {
						few := slices.Delete(slices.Delete(slices.Clone(devs), i, i+1), j, j+1)
						try(fmt.Sprintf("devices %d and %d are missing", j, i), few)
					}
				}
			}
		})
	}
}

// TestMissing names the device without which bytes cannot be read.
func TestMissing(t *testing.T) {
	img, v := images.Btrfs(t, "jbod")
	devs := devices(t, img.Path, v.Devices, v.Size)
	want := vfstest.FromVFS(t, open(t, devs, ""), maxFile)
	for i := range devs {
		fsys := open(t, slices.Delete(slices.Clone(devs), i, i+1), "")
		missing, good := 0, 0
		for p, w := range want {
			if w.Mode&syscall.S_IFMT != syscall.S_IFREG || w.Size == 0 {
				continue
			}
			b := make([]byte, w.Size)
			_, err := vfs.ReadAt(t.Context(), find(t, fsys, p), b, 0)
			var m *btrfs.MissingError
			switch {
			case err == nil:
				good++
			case errors.As(err, &m) && errors.Is(err, syscall.ENXIO) && m.Device == uint64(i+1):
				missing++
			default:
				t.Fatalf("%s: %v", p, err)
			}
		}
		t.Logf("without device %d: %d files can be read, %d cannot", i+1, good, missing)
		if good == 0 {
			t.Errorf("without device %d no file can be read", i+1)
		}
	}
}

// find walks to a path.
func find(t testing.TB, fsys vfs.FileSystem, path string) vfs.Inode {
	t.Helper()
	f, err := fsys.Inode(t.Context(), fsys.Root())
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if name == "" {
			continue
		}
		var ino vfs.Ino
		if ino, err = f.Lookup(t.Context(), name); err == nil {
			f, err = fsys.Inode(t.Context(), ino)
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

// loops attaches image files, until the test is done.
func loops(t testing.TB, paths ...string) []string {
	t.Helper()
	var all []string
	for _, p := range paths {
		out, err := exec.Command("losetup", "--find", "--show", p).Output()
		if err != nil {
			t.Fatalf("losetup: %v", err)
		}
		l := strings.TrimSpace(string(out))
		all = append(all, l)
		t.Cleanup(func() {
			_ = exec.Command("btrfs", "device", "scan", "--forget", l).Run()
			run(t, "losetup", "--detach", l)
		})
	}
	return all
}

func mountAt(t testing.TB, options string, dev string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, "mount", "-t", "btrfs", "-o", options, dev, dir)
	t.Cleanup(func() { images.Unmount(t, dir) })
	return dir
}

// TestSeed reads a filesystem that grew out of a seed, and what is missing
// without the seed.
func TestSeed(t *testing.T) {
	images.NeedRoot(t)
	images.NeedTool(t, "btrfstune")
	seed, sprout := makeBtrfs(t, 256<<20), filepath.Join(t.TempDir(), "sprout")
	dir, unmount := mountLoop(t, seed, "")
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(i * i >> 7)
	}
	for name, b := range map[string][]byte{"seeded": random, "small": []byte("small")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	run(t, "btrfstune", "-f", "-S", "1", seed)
	if err := os.WriteFile(sprout, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sprout, 256<<20); err != nil {
		t.Fatal(err)
	}
	l := loops(t, seed, sprout)
	dir = mountAt(t, "ro", l[0])
	run(t, "btrfs", "device", "add", "-f", l[1], dir)
	run(t, "mount", "-o", "remount,rw", dir)
	if err := os.WriteFile(filepath.Join(dir, "grown"), random[:1<<20], 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "sync", "-f", dir)
	want := vfstest.FromDir(t, dir, 0)
	images.Unmount(t, dir)
	a, b := devices(t, seed, 1, 0)[0], devices(t, sprout, 1, 0)[0]
	for _, devs := range [][]block.Device{{a, b}, {b, a}} {
		report(t, vfstest.Differences(vfstest.FromVFS(t, open(t, devs, ""), maxFile), want, vfstest.Atime))
	}
	alone := vfstest.FromVFS(t, open(t, []block.Device{a}, ""), maxFile)
	if _, ok := alone["/grown"]; ok || alone["/seeded"].SHA256 != want["/seeded"].SHA256 {
		t.Errorf("the seed by itself is not as it was: %+v", alone)
	}
	fsys, err := openOn(t.Context(), b)
	var m *btrfs.MissingError
	if err == nil {
		_, err = vfs.ReadAt(t.Context(), find(t, fsys, "/seeded"), make([]byte, 100), 0)
	}
	if !errors.As(err, &m) {
		t.Errorf("without the seed: %v", err)
	}
}

// TestStale reads an array of which one device missed the last changes.
func TestStale(t *testing.T) {
	images.NeedRoot(t)
	paths := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, p := range paths {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(p, 256<<20); err != nil {
			t.Fatal(err)
		}
	}
	images.NeedTool(t, "mkfs.btrfs", "btrfs", "losetup")
	run(t, "mkfs.btrfs", "-q", "-m", "raid1", "-d", "raid1", paths[0], paths[1])
	write := func(dir string, round byte) {
		for i := range 200 {
			p := filepath.Join(dir, fmt.Sprintf("file-%d", i))
			if err := os.WriteFile(p, bytes.Repeat([]byte{round, byte(i)}, 3000), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("both", func(t *testing.T) {
		l := loops(t, paths...)
		dir := mountAt(t, "device="+l[0]+",device="+l[1], l[0])
		write(dir, 1)
	})
	var want vfstest.Tree
	t.Run("degraded", func(t *testing.T) {
		l := loops(t, paths[1])
		dir := mountAt(t, "degraded", l[0])
		write(dir, 2)
		run(t, "sync", "-f", dir)
		want = vfstest.FromDir(t, dir, 0)
	})
	a, b := devices(t, paths[0], 1, 0)[0], devices(t, paths[1], 1, 0)[0]
	for _, devs := range [][]block.Device{{a, b}, {b, a}, {b}} {
		report(t, vfstest.Differences(vfstest.FromVFS(t, open(t, devs, ""), maxFile), want, vfstest.Atime))
	}
}
