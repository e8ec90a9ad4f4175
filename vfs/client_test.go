package vfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// writableTree is a Tree of an ext4 filesystem in memory.
func writableTree(t *testing.T) *vfs.Tree {
	t.Helper()
	images.NeedTool(t, "mke2fs", "e2fsck")
	path := filepath.Join(t.TempDir(), "ext4.img")
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", path, "32M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dev := blocktest.NewMemory(b)
	fs, err := ext4.Driver().Open(t.Context(), []block.Device{dev}, vfs.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(path, dev.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
			t.Errorf("e2fsck: %v: %s", err, out)
		}
	})
	return vfs.NewTree("sda1", fs)
}

var (
	aFile = vfs.New{Mode: syscall.S_IFREG | 0o644}
	aDir  = vfs.New{Mode: syscall.S_IFDIR | 0o755}
)

// TestClient: an inode without a name is kept as long as somebody uses it, and freed then.
func TestClient(t *testing.T) {
	ctx, tree := t.Context(), writableTree(t)
	root := tree.FileSystem().Root()
	var told []vfs.Event
	a, b := tree.Client(nil), tree.Client(func(e vfs.Event) { told = append(told, e) })
	ino, err := a.Create(ctx, root, "f", aFile, true)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.WriteAt(ctx, ino, []byte("hello"), 10_000); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if err := b.Open(ctx, ino, false, false); err != nil {
		t.Fatal(err)
	}
	if err := a.Unlink(ctx, root, "f", false); err != nil {
		t.Fatal(err)
	}
	want := []vfs.Event{{Ino: root, Name: "f"}, {Ino: ino, Contents: true}, {Ino: root, Name: "f"}, {Ino: ino}}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("the other client is told %v, want %v", told, want)
	}
	read := func() (string, error) {
		f, err := tree.Inode(ctx, ino)
		if err != nil {
			return "", err
		}
		buf := make([]byte, 20)
		n, err := vfs.ReadAt(ctx, f, buf, 9_998)
		if err == io.EOF {
			err = nil
		}
		return string(buf[:n]), err
	}
	a.Release(ctx, ino)
	if s, err := read(); s != "\x00\x00hello" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	b.Release(ctx, ino)
	if _, err := read(); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("after the last use: %v", err)
	}
	// What a client leaves open ends with it.
	if ino, err = a.CreateUnnamed(ctx, root, aFile); err != nil {
		t.Fatal(err)
	}
	if s, err := read(); s != "" || err != nil {
		t.Errorf("without a name: %q, %v", s, err)
	}
	a.Close(ctx)
	if _, err := read(); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
		t.Errorf("after Close: %v", err)
	}
	b.Close(ctx)
}

// TestClientOfReadOnly changes nothing.
func TestClientOfReadOnly(t *testing.T) {
	ctx := t.Context()
	s := vfs.NewStatic("s")
	c := vfs.NewTree("s", s).Client(nil)
	defer c.Close(ctx)
	_, err := c.Create(ctx, s.Root(), "f", aFile, false)
	_, werr := c.WriteAt(ctx, s.Root(), []byte("x"), 0)
	for _, err := range []error{err, werr, c.Unlink(ctx, s.Root(), "f", false), c.Truncate(ctx, s.Root(), 0), c.Open(ctx, s.Root(), true, false),
		c.SetXattr(ctx, s.Root(), "user.a", nil, 0), c.Rename(ctx, s.Root(), "a", s.Root(), "b", 0)} {
		if err != syscall.EROFS {
			t.Errorf("%v, want EROFS", err)
		}
	}
	if err := errors.Join(c.Open(ctx, s.Root(), false, false), c.Sync(ctx)); err != nil {
		t.Error(err)
	}
	c.Release(ctx, s.Root())
}

// TestLocks: directories are changed and listed from many sides, in every order, and nobody waits for ever or sees half
// of a change: every file always has one name.
func TestLocks(t *testing.T) {
	ctx, tree := t.Context(), writableTree(t)
	c := tree.Client(nil)
	defer c.Close(ctx)
	root := tree.FileSystem().Root()
	var dirs []vfs.Ino
	for i := range 4 {
		parent := root
		if i > 0 {
			parent = dirs[i-1] // each in the one before: ancestors and descendants
		}
		d, err := c.Create(ctx, parent, "d", aDir, false)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, d)
	}
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(w, 1))
			name, at := fmt.Sprintf("file%d", w), r.IntN(len(dirs))
			ino, err := c.Create(ctx, dirs[at], name, aFile, false)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 150 {
				to := r.IntN(len(dirs))
				if err := c.Rename(ctx, dirs[at], name, dirs[to], name, 0); err != nil {
					t.Error(err)
					return
				}
				at = to
				if _, err := c.WriteAt(ctx, ino, bytes.Repeat([]byte{byte(i)}, 100), int64(i)*100); err != nil {
					t.Error(err)
					return
				}
				f, err := tree.Inode(ctx, dirs[at])
				if err != nil {
					t.Error(err)
					return
				}
				seen := 0
				for e, err := range f.Entries(ctx, vfs.Cursor{}) {
					if err != nil {
						t.Error(err)
						return
					}
					if e.Name == name {
						seen++
					}
				}
				if seen != 1 {
					t.Errorf("%s is listed %d times", name, seen)
				}
			}
			f, err := tree.Inode(ctx, ino)
			if err != nil || f.Attr().Size != 15_000 || f.Attr().Nlink != 1 {
				t.Errorf("%v, %v", f, err)
			}
		})
	}
	wg.Wait()
	// A copy within the tree, larger than what is copied at once.
	from, err := c.Create(ctx, root, "from", aFile, false)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcde"), 200_000)
	if _, err := c.WriteAt(ctx, from, data, 5); err != nil {
		t.Fatal(err)
	}
	to, err := c.Create(ctx, dirs[3], "to", aFile, false)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tree.Inode(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.CopyRange(ctx, f, 5, to, 77, 1<<40); n != int64(len(data)) || err != nil {
		t.Errorf("copied %d of %d, %v", n, len(data), err)
	}
	if f, err = tree.Inode(ctx, to); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data)+77)
	if n, err := vfs.ReadAt(ctx, f, got, 0); n != len(got) || err != nil || !bytes.Equal(got[77:], data) {
		t.Errorf("read %d, %v", n, err)
	}
}
