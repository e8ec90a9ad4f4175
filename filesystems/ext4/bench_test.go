package ext4_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// counted counts the reads of a device.
type counted struct {
	block.Device
	reads, bytes int64
}

func (c *counted) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += int64(len(p))
	return c.Device.ReadAt(ctx, p, off)
}

// walkAll lists the tree as a mount does for find: a directory's entries, the
// prefetch of their inodes, and each inode's attributes.
func walkAll(t testing.TB, fsys vfs.FileSystem) (files, dirs int) {
	ctx := context.Background()
	pending := []vfs.Ino{fsys.Root()}
	var inos []vfs.Ino
	for len(pending) > 0 {
		dir, err := fsys.Inode(ctx, pending[len(pending)-1])
		if err != nil {
			t.Fatal(err)
		}
		pending = pending[:len(pending)-1]
		dirs++
		inos = inos[:0]
		for e, err := range dir.Entries(ctx, vfs.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			inos = append(inos, e.Ino)
		}
		fsys.(vfs.Prefetcher).Prefetch(ctx, inos)
		for _, ino := range inos {
			f, err := fsys.Inode(ctx, ino)
			if err != nil {
				t.Fatal(err)
			}
			if files++; f.Attr().Mode&syscall.S_IFMT == syscall.S_IFDIR {
				pending = append(pending, ino)
			}
		}
	}
	return files, dirs
}

// benchWalk measures open and a first walk of the tree, the image in the page
// cache, and a second walk.
func benchWalk(b *testing.B, dev block.Device) {
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			open(b, dev)
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		var c *counted
		var files, dirs int
		for b.Loop() {
			c = &counted{Device: dev}
			files, dirs = walkAll(b, open(b, c))
		}
		b.ReportMetric(float64(c.reads), "reads/op")
		b.ReportMetric(float64(c.bytes)/1e6, "MB/op")
		b.ReportMetric(float64(files), "files")
		b.ReportMetric(float64(dirs), "dirs")
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		fsys := open(b, dev)
		for b.Loop() {
			walkAll(b, fsys)
		}
	})
}

// BenchmarkWalkDebian walks a Debian root.
func BenchmarkWalkDebian(b *testing.B) {
	img := images.Debian(b)
	benchWalk(b, device(b, img.Path, img.RootOffset, img.RootSize))
}

// BenchmarkWalkLarge walks the disk of the benchmarks: 70,000 files and more.
func BenchmarkWalkLarge(b *testing.B) {
	img := images.Bench(b)
	benchWalk(b, device(b, img.Path, img.RootOffset, img.RootSize))
}
