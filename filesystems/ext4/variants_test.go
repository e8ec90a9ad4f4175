package ext4_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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

// device opens part of an image file; size 0 is to the end.
func device(t testing.TB, path string, off, size int64) block.Device {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if size == 0 {
		size = f.Size() - off
	}
	dev, err := block.Section(f, off, size)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func openOn(ctx context.Context, dev block.Device) (vfs.FileSystem, error) {
	return ext4.Driver().Open(ctx, []block.Device{dev}, vfs.Options{})
}

func open(t testing.TB, dev block.Device) vfs.FileSystem {
	t.Helper()
	fsys, err := openOn(context.Background(), dev)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// maxFile bounds what is hashed of one file.
const maxFile = 1 << 20

// shortVariants are the layouts that share least, for `make test`.
var shortVariants = map[string]bool{"ext2-rev0": true, "inline": true,
	"orphanfile": true, "hash-tea-unsigned": true, "eainode": true, "depth5": true}

// TestVariants compares the tree of every layout of an ext filesystem with the
// kernel's, where it mounts it.
func TestVariants(t *testing.T) {
	for _, v := range images.ExtVariants() {
		if v.Name == "encrypt" {
			continue // TestEncrypted
		}
		t.Run(v.Name, func(t *testing.T) {
			if !shortVariants[v.Name] {
				images.NeedLong(t)
			}
			img := images.Ext(t, v.Name)
			fsys := open(t, device(t, img.Path, 0, 0))
			got := vfstest.FromVFS(t, fsys, maxFile)
			if len(got) < 20 {
				t.Errorf("%d files only", len(got))
			}
			if !v.Kernel {
				return // TestSuite, and the comparison with debugfs in tests/differential
			}
			root := images.KernelRoot(t, img, "ext4")
			for _, line := range vfstest.Differences(got, vfstest.FromDir(t, root, maxFile), vfstest.Atime) {
				t.Error(line)
			}
			sameUsage(t, fsys, root)
		})
	}
}

// sameUsage compares Usage with the kernel's statfs.
func sameUsage(t *testing.T, fsys vfs.FileSystem, root string) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		t.Fatal(err)
	}
	want := vfs.Usage{BlockSize: int(st.Bsize), Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail, Files: st.Files, FilesFree: st.Ffree}
	if got, err := fsys.Usage(t.Context()); err != nil || got != want {
		t.Errorf("Usage is %+v, %v; the kernel says %+v", got, err, want)
	}
}

// TestSuite puts layouts that share little through the suite of package vfs.
func TestSuite(t *testing.T) {
	for i, name := range []string{"eainode", "depth5", "casefold", "ext4", "ext3-1k", "inline-1024", "bigalloc", "64k-inline"} {
		t.Run(name, func(t *testing.T) {
			if i >= 1 {
				images.NeedLong(t)
			}
			img := images.Ext(t, name)
			dev := func(t testing.TB) block.Device { return device(t, img.Path, 0, 0) }
			vfstest.Run(t, vfstest.Case{
				Open:   func(t testing.TB) vfs.FileSystem { return open(t, dev(t)) },
				Device: dev, OpenOn: openOn, DamageRounds: 8, MaxRead: maxFile,
			})
		})
	}
}

// TestEncrypted compares an encrypted tree with what the kernel shows of it
// without the key: names, sizes and symlinks.
func TestEncrypted(t *testing.T) {
	img := images.Ext(t, "encrypt")
	fsys := open(t, device(t, img.Path, 0, 0))
	root := images.KernelRoot(t, img, "ext4")
	encrypted := 0
	var visit func(dir string, f vfs.Inode)
	visit = func(dir string, f vfs.Inode) {
		want, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]vfs.Ino{}
		for e, err := range f.Entries(t.Context(), vfs.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			names[e.Name] = e.Ino
		}
		if len(names) != len(want) {
			t.Errorf("%s: %d names, the kernel has %d", dir, len(names), len(want))
		}
		for _, w := range want {
			path := filepath.Join(dir, w.Name())
			ino, err := f.Lookup(t.Context(), w.Name())
			if err != nil || ino != names[w.Name()] {
				t.Errorf("%s: Lookup is %+v, %v, but it is listed as %+v", path, ino, err, names[w.Name()])
				continue
			}
			child, err := fsys.Inode(t.Context(), ino)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			var st unix.Stat_t
			if err := unix.Lstat(path, &st); err != nil {
				t.Fatal(err)
			}
			a := child.Attr()
			if a.Mode != st.Mode || a.Size != st.Size || a.Blocks != st.Blocks || ino.Num != st.Ino {
				t.Errorf("%s: %+v, the kernel says %+v", path, a, st)
			}
			if a.Flags&vfs.FlagEncrypted == 0 {
				if w.IsDir() {
					visit(path, child)
				}
				continue
			}
			encrypted++
			switch {
			case w.IsDir():
				visit(path, child)
			case w.Type() == os.ModeSymlink:
				target, _ := os.Readlink(path)
				if got, err := child.Readlink(t.Context()); err != nil || got != target {
					t.Errorf("%s: target %q, %v; the kernel says %q", path, got, err, target)
				}
			case w.Type().IsRegular() && a.Size > 0:
				if _, err := child.Map(t.Context(), 0, 1); !errors.Is(err, syscall.ENOKEY) {
					t.Errorf("%s: Map: %v, expected ENOKEY", path, err)
				}
			}
		}
	}
	f, err := fsys.Inode(t.Context(), fsys.Root())
	if err != nil {
		t.Fatal(err)
	}
	visit(root, f)
	if encrypted < 5 {
		t.Errorf("%d encrypted files only", encrypted)
	}
}

// TestCasefold finds the names of a folding directory under other forms, with
// an index and without, and only there.
func TestCasefold(t *testing.T) {
	for _, name := range []string{"casefold", "casefold-strict"} {
		img := images.Ext(t, name)
		fsys := open(t, device(t, img.Path, 0, 0))
		if !fsys.Info().CaseInsensitive {
			t.Errorf("%s: not said to be case-insensitive", name)
		}
		dir := func(name string) vfs.Inode {
			root, err := fsys.Inode(t.Context(), fsys.Root())
			if err != nil {
				t.Fatal(err)
			}
			ino, err := root.Lookup(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := fsys.Inode(t.Context(), ino)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		for _, c := range []struct{ dir, stored, asked string }{
			{"small", "README", "readme"}, {"small", "Straße", "STRASSE"}, {"small", "ÄÖÜ", "a\u0308o\u0308u\u0308"},
			{"small", "ΣΊΣΥΦΟΣ", "σίσυφος"}, {"small", "ﬃligature", "FFILIGATURE"}, {"small", "emoji 😀 File", "EMOJI 😀 FILE"},
			{"large", "Große-Datei-Nummer-777-ÄÖÜ", "GROSSE-datei-nummer-777-äöü"}, {"large", "Große-Datei-Nummer-1-ÄÖÜ", "große-DATEI-nummer-1-äöÜ"},
		} {
			want, err := dir(c.dir).Lookup(t.Context(), c.stored)
			if err != nil {
				t.Errorf("%s: %s/%s: %v", name, c.dir, c.stored, err)
			}
			if got, err := dir(c.dir).Lookup(t.Context(), c.asked); err != nil || got != want {
				t.Errorf("%s: %s/%q is %+v, %v, but %q is %+v", name, c.dir, c.asked, got, err, c.stored, want)
			}
		}
		for _, c := range [][2]string{{"plain", "readme"}, {"small", "readme2"}, {"small", "\xff"}, {"large", "große"}} {
			if got, err := dir(c[0]).Lookup(t.Context(), c[1]); !errors.Is(err, syscall.ENOENT) {
				t.Errorf("%s: %s/%q is %+v, %v", name, c[0], c[1], got, err)
			}
		}
	}
}
