package xfs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// counted counts the reads of a device.
type counted struct {
	block.Device
	reads, bytes atomic.Int64
}

func (c *counted) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.Device.ReadAt(ctx, p, off)
}

// TestColdLookup counts what a name in a directory of 100,000 costs: its index
// from the root down, and one block of entries.
func TestColdLookup(t *testing.T) {
	img := images.XFS(t, "names-100000")
	dev := device(t, img.Path)
	names := map[string]vfs.Ino{}
	ctx := context.Background()
	dir := func(fsys vfs.FileSystem) vfs.Inode {
		root, err := fsys.Inode(ctx, fsys.Root())
		if err != nil {
			t.Fatal(err)
		}
		ino, err := root.Lookup(ctx, "names")
		if err != nil {
			t.Fatal(err)
		}
		d, err := fsys.Inode(ctx, ino)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	total := 0
	for e, err := range dir(open(t, dev)).Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if total++; total%9973 == 0 {
			names[e.Name] = e.Ino
		}
	}
	if total < 100_000 {
		t.Fatalf("%d names", total)
	}
	for name, want := range names {
		c := &counted{Device: dev}
		d := dir(open(t, c))
		before, bytes := c.reads.Load(), c.bytes.Load()
		got, err := d.Lookup(ctx, name)
		if err != nil || got.Num != want.Num {
			t.Fatalf("%q: %+v, %v", name, got, err)
		}
		// The map of the directory may be a tree: its blocks, two levels of the index, the entries.
		if n, size := c.reads.Load()-before, c.bytes.Load()-bytes; n > 8 || size > 64<<10 {
			t.Errorf("%q: %d reads of %d bytes", name, n, size)
		} else {
			t.Logf("%d reads, %d bytes", n, size)
		}
		before = c.reads.Load()
		if _, err := d.Lookup(ctx, "not-"+name); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("a name that is not there: %v", err)
		}
		if n := c.reads.Load() - before; n > 8 {
			t.Errorf("a name that is not there: %d reads", n)
		}
	}
}

// TestWalkReads counts the reads of a walk: inodes and directories come in few
// large reads.
func TestWalkReads(t *testing.T) {
	img := images.XFS(t, "names-100000")
	c := &counted{Device: device(t, img.Path)}
	fsys := open(t, c)
	ctx := context.Background()
	pending := []vfs.Ino{fsys.Root()}
	files := 0
	for len(pending) > 0 {
		dir, err := fsys.Inode(ctx, pending[0])
		if err != nil {
			t.Fatal(err)
		}
		pending = pending[1:]
		var inos []vfs.Ino
		for e, err := range dir.Entries(ctx, vfs.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			inos = append(inos, e.Ino)
		}
		for len(inos) > 0 {
			n := min(len(inos), 4096)
			fsys.(vfs.Prefetcher).Prefetch(ctx, inos[:n])
			for _, ino := range inos[:n] {
				f, err := fsys.Inode(ctx, ino)
				if err != nil {
					t.Fatal(err)
				}
				files++
				if f.Attr().Mode&syscall.S_IFMT == syscall.S_IFDIR {
					pending = append(pending, ino)
				}
			}
			inos = inos[n:]
		}
	}
	if reads := c.reads.Load(); reads > int64(files/100) {
		t.Errorf("%d reads for %d files", reads, files)
	} else {
		t.Logf("%d reads, %d bytes for %d files", reads, c.bytes.Load(), files)
	}
}
