package vfstest

import (
	"context"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// A Case is a filesystem to put through the suite.
type Case struct {
	// Open opens the filesystem. It is called once for each part of the suite;
	// the suite closes what it answers.
	Open func(t testing.TB) vfs.FileSystem

	// Oracle is what the tree holds, from another source; nil where there is
	// none. Ignore names what it does not know.
	Oracle Tree
	Ignore Field

	// Device and OpenOn join the driver to the damage tests: the device of
	// the filesystem, and the way to open the filesystem on a device that
	// damages it. nil leaves the damage tests out.
	Device func(t testing.TB) block.Device
	OpenOn func(ctx context.Context, dev block.Device) (vfs.FileSystem, error)

	// DamageRounds is how many times the device is damaged; 0 is 40.
	DamageRounds int

	// MaxRead bounds the bytes that are read of one file; 0 is 16 MiB. Longer
	// files are checked at their start, at their end and where extents meet.
	MaxRead int64
}

// Run puts a filesystem through the suite.
func Run(t *testing.T, c Case) {
	if c.MaxRead == 0 {
		c.MaxRead = 16 << 20
	}
	if c.DamageRounds == 0 {
		c.DamageRounds = 40
	}
	first := c.Open(t)
	_, prefetches := first.(vfs.Prefetcher)
	if err := first.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, part := range []struct {
		name string
		test func(*testing.T, Case, vfs.FileSystem)
	}{
		{"Info", testInfo},
		{"Tree", testTree},
		{"Names", testNames},
		{"Cursors", testCursors},
		{"Attr", testAttr},
		{"Map", testMap},
		{"Read", testRead},
		{"Links", testLinks},
		{"Xattrs", testXattrs},
		{"Inodes", testInodes},
		{"Prefetch", testPrefetch},
		{"Cancel", testCancel},
		{"Concurrent", testConcurrent},
	} {
		if part.name == "Prefetch" && !prefetches {
			continue
		}
		t.Run(part.name, func(t *testing.T) {
			fsys := c.Open(t)
			part.test(t, c, fsys)
			if err := fsys.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	if c.Device != nil && c.OpenOn != nil {
		t.Run("Damage", func(t *testing.T) { testDamage(t, c) })
		t.Run("ReadErrors", func(t *testing.T) { testReadErrors(t, c) })
	}
}
