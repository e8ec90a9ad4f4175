package btrfs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// TestSuite puts the driver through the contract of vfs, on those layouts that
// differ in what it asks.
func TestSuite(t *testing.T) {
	for i, name := range []string{"few", "snapshots", "node4k", "lzo", "sector64k"} {
		t.Run(name, func(t *testing.T) {
			if i >= 1 {
				images.NeedLong(t)
			}
			img, v := images.Btrfs(t, name)
			dev := devices(t, img.Path, 1, 0)
			c := vfstest.Case{
				Open:   func(t testing.TB) vfs.FileSystem { return open(t, dev, "") },
				Device: func(testing.TB) block.Device { return dev[0] }, OpenOn: openOn, DamageRounds: 10, MaxRead: 1 << 20,
			}
			if v.Kernel && name != "snapshots" {
				c.Oracle = vfstest.FromDir(t, images.KernelRoot(t, img, "btrfs"), c.MaxRead)
			}
			vfstest.Run(t, c)
		})
	}
}

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

// TestColdLookup counts what a name in a directory of 100,000 costs: the blocks
// from the root of the tree down.
func TestColdLookup(t *testing.T) {
	img, _ := images.Btrfs(t, "names-100000")
	dev := devices(t, img.Path, 1, 0)
	ctx := context.Background()
	names := map[string]vfs.Ino{}
	total := 0
	for e, err := range find(t, open(t, dev, ""), "/names").Entries(ctx, vfs.Cursor{}) {
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
		c := &counted{Device: dev[0]}
		d := find(t, open(t, []block.Device{c}, ""), "/names")
		before, bytes := c.reads.Load(), c.bytes.Load()
		got, err := d.Lookup(ctx, name)
		if err != nil || got.Num != want.Num {
			t.Fatalf("%q: %+v, %v", name, got, err)
		}
		if n, size := c.reads.Load()-before, c.bytes.Load()-bytes; n > 3 || size > 3*16<<10 {
			t.Errorf("%q: %d reads of %d bytes", name, n, size)
		} else {
			t.Logf("%d reads, %d bytes", n, size)
		}
		if _, err := d.Lookup(ctx, "not-"+name); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("a name that is not there: %v", err)
		}
	}
}
