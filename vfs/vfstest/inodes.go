package vfstest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/vfs"
)

// testTree compares the whole tree with the Oracle.
func testTree(t *testing.T, c Case, fsys vfs.FileSystem) {
	tree, errs := snapshot(t.Context(), fsys, c.MaxRead)
	for p, err := range errs {
		t.Errorf("%s: %v", p, err)
	}
	if c.Oracle == nil {
		return
	}
	report(t, Differences(tree, c.Oracle, c.Ignore|InoNumber))
	compareHardLinks(t, tree, c.Oracle)
}

// report shows the first differences.
func report(t *testing.T, lines []string) {
	t.Helper()
	for i, line := range lines {
		if i == 40 {
			t.Errorf("and %d more differences", len(lines)-i)
			return
		}
		t.Error(line)
	}
}

// compareHardLinks checks that the same names share an inode in both trees.
func compareHardLinks(t *testing.T, got, want Tree) {
	first := map[uint64]string{} // of the oracle's number
	for p, w := range want {
		g, ok := got[p]
		if !ok || w.Nlink < 2 || w.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			continue
		}
		other, seen := first[w.Ino]
		if !seen {
			first[w.Ino] = p
		} else if got[other].Ino != g.Ino {
			t.Errorf("%q and %q are one file, but have the inodes %d and %d", other, p, got[other].Ino, g.Ino)
		}
	}
}

func testAttr(t *testing.T, _ Case, fsys vfs.FileSystem) {
	all := places(t, fsys)
	names := map[[2]uint64]int{}
	for _, at := range all {
		a := at.f.Attr()
		names[[2]uint64{at.f.Ino().Tree, at.f.Ino().Num}]++
		if a != at.f.Attr() {
			t.Errorf("%q: Attr changes", at.path)
		}
		switch a.Mode & syscall.S_IFMT {
		case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK, syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
		default:
			t.Errorf("%q has the mode %#o, which is no type", at.path, a.Mode)
		}
		if a.Mode&^uint32(syscall.S_IFMT|0o7777) != 0 {
			t.Errorf("%q has the mode %#o", at.path, a.Mode)
		}
		if a.Nlink == 0 || a.Size < 0 || a.Blocks < 0 {
			t.Errorf("%q: Attr contradicts itself: %+v", at.path, a)
		}
		for _, tm := range []vfs.Time{a.Atime, a.Mtime, a.Ctime, a.Btime} {
			if tm.Nsec >= 1e9 {
				t.Errorf("%q has a time of %d ns", at.path, tm.Nsec)
			}
		}
		for _, e := range at.entries {
			f, err := fsys.Inode(t.Context(), e.Ino)
			if err != nil {
				t.Fatalf("%q in %q: %v", e.Name, at.path, err)
			}
			if e.Type != 0 && e.Type != kind(f) {
				t.Errorf("%q in %q is listed as %#o and is %#o", e.Name, at.path, e.Type, kind(f))
			}
			if f.Ino().Num != e.Ino.Num || f.Ino().Tree != e.Ino.Tree {
				t.Errorf("%q in %q: Inode(%+v) says it is %+v", e.Name, at.path, e.Ino, f.Ino())
			}
		}
	}
	for _, at := range all {
		a := at.f.Attr()
		if n := names[[2]uint64{at.f.Ino().Tree, at.f.Ino().Num}]; !isDir(at.f) && n != int(a.Nlink) {
			t.Errorf("%q has %d links and %d names", at.path, a.Nlink, n)
		} else if isDir(at.f) && n != 1 {
			t.Errorf("the directory %q has %d names", at.path, n)
		}
	}
}

func testLinks(t *testing.T, _ Case, fsys vfs.FileSystem) {
	for _, at := range places(t, fsys) {
		target, err := at.f.Readlink(t.Context())
		if kind(at.f) != syscall.S_IFLNK {
			if !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%q: Readlink of what is no symlink: %q, %v, want EINVAL", at.path, target, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: Readlink: %v", at.path, err)
			continue
		}
		if strings.Contains(target, "\x00") {
			t.Errorf("%q: target %q holds a NUL", at.path, target)
		}
		if a := at.f.Attr(); a.Flags&vfs.FlagEncrypted == 0 && int64(len(target)) != a.Size {
			t.Errorf("%q: target of %d bytes, size %d", at.path, len(target), a.Size)
		}
	}
}

func testXattrs(t *testing.T, _ Case, fsys vfs.FileSystem) {
	any := false
	for _, at := range places(t, fsys) {
		seen := map[string]bool{}
		for x, err := range at.f.Xattrs(t.Context()) {
			if err != nil {
				t.Errorf("%q: Xattrs: %v", at.path, err)
				break
			}
			if x.Name == "" || strings.Contains(x.Name, "\x00") || seen[x.Name] {
				t.Errorf("%q lists the xattr %q (again: %t)", at.path, x.Name, seen[x.Name])
			}
			seen[x.Name] = true
			value, err := x.Read(t.Context())
			if err != nil || int64(len(value)) != x.Size {
				t.Errorf("%q: xattr %q: %d bytes, %v; its size is %d", at.path, x.Name, len(value), err, x.Size)
			}
			first := bytes.Clone(value)
			clear(value) // the bytes are the caller's
			if again, err := x.Read(t.Context()); err != nil || !bytes.Equal(again, first) {
				t.Errorf("%q: xattr %q: read a second time: %q, %v, want %q", at.path, x.Name, again, err, first)
			}
		}
		if len(seen) > 0 {
			any = true
			if at.f.Attr().NoXattr {
				t.Errorf("%q says that it has no xattrs and has %v", at.path, seen)
			}
		}
		for range at.f.Xattrs(t.Context()) {
			break
		}
	}
	if any && !fsys.Info().HasXattrs {
		t.Error("Info says that no inode has xattrs, and some do")
	}
}

// testInodes asks for inodes by number: without a generation, with a wrong one,
// and for numbers that none has.
func testInodes(t *testing.T, _ Case, fsys vfs.FileSystem) {
	ctx := t.Context()
	for _, at := range places(t, fsys) {
		ino := at.f.Ino()
		again, err := fsys.Inode(ctx, vfs.Ino{Tree: ino.Tree, Num: ino.Num})
		if err != nil || again.Ino() != ino || again.Attr() != at.f.Attr() {
			t.Errorf("%q: Inode without a generation: %v", at.path, err)
		}
		if _, err := fsys.Inode(ctx, ino); err != nil {
			t.Errorf("%q: Inode(%+v), its own: %v", at.path, ino, err)
		}
		wrong := ino
		wrong.Gen ^= 0x5a5a5a5a
		if _, err := fsys.Inode(ctx, wrong); ino.Gen != 0 && wrong.Gen != 0 && !stale(err) {
			t.Errorf("%q: Inode of a wrong generation: %v, want ESTALE", at.path, err)
		}
	}
	for _, num := range []uint64{0, 1 << 31, 1 << 32, 1 << 48, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		if f, err := fsys.Inode(ctx, vfs.Ino{Num: num}); err == nil && f.Ino().Num != num {
			t.Errorf("Inode(%d) is inode %d", num, f.Ino().Num)
		} else if err == nil && num == 0 {
			t.Errorf("Inode of the zero Ino: %+v, want an error", f.Attr())
		} else if err != nil && !stale(err) && !errors.Is(err, syscall.EUCLEAN) {
			t.Errorf("Inode(%d): %v, want ENOENT", num, err)
		}
	}
}

func stale(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESTALE)
}

func testPrefetch(t *testing.T, c Case, fsys vfs.FileSystem) {
	var inos []vfs.Ino
	for _, at := range places(t, fsys) {
		inos = append(inos, at.f.Ino())
	}
	fresh := c.Open(t)
	defer fresh.Close(context.Background())
	// The suite asks only drivers that have it.
	p := fresh.(vfs.Prefetcher)
	p.Prefetch(t.Context(), nil)
	p.Prefetch(t.Context(), append(inos, vfs.Ino{}, vfs.Ino{Num: 1<<64 - 1}, vfs.Ino{Num: 1 << 32}, inos[0]))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.Prefetch(gone, inos)
	compareSnapshots(t, "after Prefetch", fresh, fsys, c.MaxRead)
}

func compareSnapshots(t *testing.T, when string, got, want vfs.FileSystem, maxFile int64) {
	t.Helper()
	w, _ := snapshot(t.Context(), want, maxFile)
	g, errs := snapshot(t.Context(), got, maxFile)
	for p, err := range errs {
		t.Errorf("%s: %s: %v", when, p, err)
	}
	report(t, Differences(g, w, 0))
}

// testCancel checks that a cancelled call leaves nothing behind that a later
// one would see.
func testCancel(t *testing.T, c Case, fsys vfs.FileSystem) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, errs := snapshot(gone, fsys, c.MaxRead)
	for p, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: %v, want context.Canceled", p, err)
		}
	}
	fresh := c.Open(t)
	defer fresh.Close(context.Background())
	compareSnapshots(t, "after a cancelled walk", fsys, fresh, c.MaxRead)
}

// testConcurrent reads the whole tree by several goroutines at once.
func testConcurrent(t *testing.T, c Case, fsys vfs.FileSystem) {
	const readers = 8
	trees := make([]Tree, readers)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			tree, errs := snapshot(t.Context(), fsys, min(c.MaxRead, 1<<20))
			for p, err := range errs {
				t.Errorf("reader %d: %s: %v", i, p, err)
			}
			trees[i] = tree
		})
	}
	wg.Wait()
	for i := 1; i < readers; i++ {
		report(t, Differences(trees[i], trees[0], 0))
	}
}
