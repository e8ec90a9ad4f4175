package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestExtract copies by way of an archive, and finds what Copy makes.
func TestExtract(t *testing.T) {
	images.NeedRoot(t)
	tree := hostTree(t)
	if err := syscall.Mknod(filepath.Join(tree, "a-socket"), syscall.S_IFSOCK|0o751, 0); err != nil {
		t.Fatal(err)
	}
	ns, _ := guest(t, tree)
	for _, from := range []string{"/", "/names", "/large/sparse", "/a-socket"} {
		direct, by := t.TempDir(), t.TempDir()
		p, w := copyOut(t, ns, from, direct, CopyOptions{})
		p.none(t)
		w.none(t)
		p, w = &problems{}, &problems{}
		var b bytes.Buffer
		if err := Tar(t.Context(), ns, from, &b, TarOptions{Copy: true, Problem: p.add, Warn: w.add}); err != nil {
			t.Fatal(err)
		}
		top, err := Resolve(t.Context(), ns, from, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := Extract(t.Context(), &b, top, by, CopyOptions{Problem: p.add, Warn: w.add}); err != nil {
			t.Fatal(err)
		}
		p.none(t)
		w.none(t)
		// Before anything reads the copies.
		_ = filepath.Walk(direct, func(path string, info os.FileInfo, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(direct, path)
			var a, b syscall.Stat_t
			if err := errors.Join(syscall.Lstat(path, &a), syscall.Lstat(filepath.Join(by, rel), &b)); err != nil {
				t.Fatal(err)
			}
			if rel != "." && !info.IsDir() && a.Atim != b.Atim {
				t.Errorf("%s: accessed %v, not %v", rel, b.Atim, a.Atim)
			}
			if info.Mode().IsRegular() && b.Blocks > a.Blocks+8 {
				t.Errorf("%s takes %d blocks, not %d", rel, b.Blocks, a.Blocks)
			}
			return nil
		})
		got, want := vfstest.FromDir(t, by, 0), vfstest.FromDir(t, direct, 0)
		delete(got, "/") // the test's own folders
		delete(want, "/")
		if len(want) == 0 {
			t.Fatal("nothing was copied")
		}
		for _, line := range vfstest.Differences(got, want, vfstest.InoNumber|vfstest.Atime|vfstest.Ctime|vfstest.Blocks) {
			t.Errorf("%s: %s", from, line)
		}
	}
}

// A hostile archive writes nothing outside the target, and ends with an error or
// a problem, not with a panic.
func TestExtractHostile(t *testing.T) {
	folder := vfs.Attr{Mode: syscall.S_IFDIR | 0o755}
	top := &Entry{Path: "/", Attr: folder, Inode: archived{attr: folder}}
	for name, members := range map[string][]tar.Header{
		"climbs":           {{Name: "./../../evil", Typeflag: tarRegular}},
		"by a folder":      {{Name: "./d/", Typeflag: tarDir, Mode: 0o755}, {Name: "./d/../../evil", Typeflag: tarRegular}},
		"by a symlink":     {{Name: "./l", Typeflag: tarSymlink, Linkname: "OUT"}, {Name: "./l/evil", Typeflag: tarRegular}},
		"links outside":    {{Name: "./evil-link", Typeflag: tarHardLink, Linkname: "./../secret"}},
		"links the user's": {{Name: "./evil-link", Typeflag: tarHardLink, Linkname: "./own"}},
		"a map":            {{Name: "./f", Typeflag: tarRegular, Size: 512, PAXRecords: map[string]string{paxSize: "-1"}}},
		"no map":           {{Name: "./f", Typeflag: tarRegular, Size: 0, PAXRecords: map[string]string{paxSize: "10"}}},
		"an odd type":      {{Name: "./f", Typeflag: 'Z'}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			for path, text := range map[string]string{"secret": "s", "out/own": "o"} {
				if err := errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range members {
				h.Linkname = strings.ReplaceAll(h.Linkname, "OUT", dir)
				if h.Size > 0 {
					h.Format = tar.FormatPAX
				}
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(make([]byte, h.Size)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			p, warned := &problems{}, &problems{}
			err := Extract(t.Context(), &b, top, out, CopyOptions{Problem: p.add, Warn: warned.add})
			if err == nil && len(p.list) == 0 {
				t.Error("nothing is said of it")
			}
			for _, at := range []string{dir, filepath.Dir(dir), out} {
				found, _ := filepath.Glob(filepath.Join(at, "evil*"))
				if len(found) > 0 {
					t.Errorf("it made %v", found)
				}
			}
		})
	}
}
