package vfstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/vfs"
)

// A place is an inode and where it was found.
type place struct {
	path    string
	f       vfs.Inode
	entries []vfs.Entry // of a directory
}

// places lists every inode of the tree once for each of its names.
func places(t *testing.T, fsys vfs.FileSystem) []place {
	t.Helper()
	ctx := context.Background()
	var all []place
	var visit func(p string, ino vfs.Ino)
	visit = func(p string, ino vfs.Ino) {
		f, err := fsys.Inode(ctx, ino)
		if err != nil {
			t.Fatalf("%q: Inode(%+v): %v", p, ino, err)
		}
		at := place{path: p, f: f}
		if isDir(f) {
			at.entries = list(t, p, f, vfs.Cursor{})
		}
		all = append(all, at)
		for _, e := range at.entries {
			visit(strings.TrimSuffix(p, "/")+"/"+e.Name, e.Ino)
		}
	}
	visit("/", fsys.Root())
	return all
}

func kind(f vfs.Inode) uint32 { return f.Attr().Mode & syscall.S_IFMT }
func isDir(f vfs.Inode) bool  { return kind(f) == syscall.S_IFDIR }

func list(t *testing.T, p string, f vfs.Inode, after vfs.Cursor) []vfs.Entry {
	t.Helper()
	var all []vfs.Entry
	for e, err := range f.Entries(context.Background(), after) {
		if err != nil {
			t.Fatalf("%q: Entries(%+v): %v", p, after, err)
		}
		all = append(all, e)
	}
	return all
}

func testInfo(t *testing.T, _ Case, fsys vfs.FileSystem) {
	info := fsys.Info()
	if info.Type == "" || info.NameMax <= 0 || info.BlockSize <= 0 || info.Size < 0 {
		t.Errorf("Info lacks something: %+v", info)
	}
	root, err := fsys.Inode(t.Context(), fsys.Root())
	if err != nil {
		t.Fatalf("the root: %v", err)
	}
	if !isDir(root) {
		t.Errorf("the root has the mode %#o", root.Attr().Mode)
	}
	u, err := fsys.Usage(t.Context())
	if err != nil {
		t.Fatalf("Usage: %v", err)
	}
	if u.BlockSize <= 0 || u.Free > u.Blocks || u.Available > u.Free || u.FilesFree > u.Files {
		t.Errorf("Usage contradicts itself: %+v", u)
	}
	if info.ReadOnly {
		if _, err := fsys.Begin(t.Context(), vfs.Op{Name: "test"}); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Begin on a read-only filesystem: %v, want EROFS", err)
		}
	}
	if err := fsys.Sync(t.Context()); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

// testNames compares each listing with a lookup of each name, and asks for
// names that are not there.
func testNames(t *testing.T, _ Case, fsys vfs.FileSystem) {
	ctx := t.Context()
	max := fsys.Info().NameMax
	for _, at := range places(t, fsys) {
		if !isDir(at.f) {
			if _, err := at.f.Lookup(ctx, "x"); !errors.Is(err, syscall.ENOTDIR) {
				t.Errorf("%q: Lookup in what is no directory: %v, want ENOTDIR", at.path, err)
			}
			for e, err := range at.f.Entries(ctx, vfs.Cursor{}) {
				if !errors.Is(err, syscall.ENOTDIR) {
					t.Errorf("%q: Entries of what is no directory: %+v, %v, want ENOTDIR", at.path, e, err)
				}
				break
			}
			continue
		}
		seen := map[string]bool{}
		for _, e := range at.entries {
			switch {
			case e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00"):
				t.Errorf("%q lists the name %q", at.path, e.Name)
			case len(e.Name) > max:
				t.Errorf("%q lists %q, longer than NameMax %d", at.path, e.Name, max)
			case seen[e.Name]:
				t.Errorf("%q lists %q twice", at.path, e.Name)
			}
			seen[e.Name] = true
			ino, err := at.f.Lookup(ctx, e.Name)
			if err != nil || ino.Num != e.Ino.Num || ino.Tree != e.Ino.Tree {
				t.Errorf("%q: Lookup(%q) = %+v, %v, but it is listed as %+v", at.path, e.Name, ino, err, e.Ino)
			}
		}
		missing := []string{"no such name", strings.Repeat("x", max), "\xff\xfe not UTF-8", "a\nb"}
		if len(at.entries) > 0 {
			first, last := at.entries[0].Name, at.entries[len(at.entries)-1].Name
			missing = append(missing, first+"\x01", last[:len(last)-1], "\x01"+last)
		}
		for _, name := range missing {
			if seen[name] || name == "" || len(name) > max || name == "." {
				continue
			}
			if _, err := at.f.Lookup(ctx, name); !errors.Is(err, syscall.ENOENT) && !fsys.Info().CaseInsensitive {
				t.Errorf("%q: Lookup(%q): %v, want ENOENT", at.path, name, err)
			}
		}
	}
}

// testCursors takes each listing up again after each of its entries, or after
// a sample of them where there are many.
func testCursors(t *testing.T, _ Case, fsys vfs.FileSystem) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, at := range places(t, fsys) {
		if !isDir(at.f) {
			continue
		}
		n := len(at.entries)
		var from []int
		for i := range n {
			if n <= 300 || i < 3 || i >= n-3 || rnd.IntN(n) < 40 {
				from = append(from, i)
			}
		}
		for _, i := range from {
			rest := list(t, at.path, at.f, at.entries[i].Next)
			if !slices.Equal(rest, at.entries[i+1:]) {
				t.Errorf("%q: taken up after entry %d of %d (%q): %s", at.path, i, n, at.entries[i].Name, firstDifference(rest, at.entries[i+1:]))
			}
		}
		// A listing that its reader leaves early ends, and starts anew.
		for range at.f.Entries(t.Context(), vfs.Cursor{}) {
			break
		}
		if again := list(t, at.path, at.f, vfs.Cursor{}); !slices.Equal(again, at.entries) {
			t.Errorf("%q: listed a second time: %s", at.path, firstDifference(again, at.entries))
		}
		// A cursor that no listing gave must end, whatever it answers.
		for _, off := range []uint64{1, 3, 11, 1 << 31, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			count := 0
			for range at.f.Entries(t.Context(), vfs.Cursor{Off: off}) {
				if count++; count > n+16 {
					t.Errorf("%q: cursor %#x lists more than the directory holds", at.path, off)
					break
				}
			}
		}
	}
}

func firstDifference(got, want []vfs.Entry) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("entry %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d entries, want %d", len(got), len(want))
}
