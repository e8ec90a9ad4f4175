package btrfs_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// walkAll lists the tree as a mount does for find: a directory's entries, the
// prefetch of their inodes, and each inode's attributes. With data it reads the
// files too.
func walkAll(t testing.TB, fsys vfs.FileSystem, data bool) (files int, bytes int64) {
	ctx := context.Background()
	pending := []vfs.Ino{fsys.Root()}
	var inos []vfs.Ino
	buf := make([]byte, 1<<20)
	for len(pending) > 0 {
		dir, err := fsys.Inode(ctx, pending[len(pending)-1])
		if err != nil {
			t.Fatal(err)
		}
		pending = pending[:len(pending)-1]
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
			a := f.Attr()
			if files++; a.Mode&syscall.S_IFMT == syscall.S_IFDIR {
				pending = append(pending, ino)
			}
			if !data || a.Mode&syscall.S_IFMT != syscall.S_IFREG {
				continue
			}
			for off := int64(0); off < a.Size; off += int64(len(buf)) {
				n, err := vfs.ReadAt(ctx, f, buf, off)
				if err != nil && err != io.EOF {
					t.Fatal(err)
				}
				bytes += int64(n)
			}
		}
	}
	return files, bytes
}

// BenchmarkFedora walks and reads 20,000 small files, as Fedora lays them out,
// and lets the kernel do the same.
func BenchmarkFedora(b *testing.B) {
	img, _ := images.Btrfs(b, "fedora")
	dev := devices(b, img.Path, 1, 0)
	for name, data := range map[string]bool{"find": false, "tar": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var reads int64
			for b.Loop() {
				c := &counted{Device: dev[0]}
				files, _ := walkAll(b, open(b, []block.Device{c}, "subvol=root"), data)
				if files < 20_000 {
					b.Fatal(files)
				}
				reads = c.reads.Load()
			}
			b.ReportMetric(float64(reads), "reads/op")
		})
		b.Run(name+"-kernel", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				dir := images.KernelMount(b, img.Path, 0, 0, "btrfs", "ro,subvol=root")
				b.StartTimer()
				kernelWalk(b, dir, data)
				b.StopTimer()
				images.Unmount(b, dir)
				b.StartTimer()
			}
		})
	}
}

func kernelWalk(t testing.TB, dir string, data bool) {
	buf := make([]byte, 1<<20)
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil || !data || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return err
		}
		f, err := unix.Open(p, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer unix.Close(f)
		for {
			if n, err := unix.Read(f, buf); n == 0 || err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRead reads large files: compressed, and plain with checksums.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct{ image, path string }{
		{"zstd", "/compressible/text"}, {"lzo", "/compressible/text"}, {"zlib", "/compressible/text"},
		{"default", "/nocow/file"}, {"default", "/shared-1"}, {"sha256", "/few/random"}, {"xxhash", "/few/random"}, {"blake2", "/few/random"},
	} {
		b.Run(c.image+filepath.Base(c.path), func(b *testing.B) {
			img, _ := images.Btrfs(b, c.image)
			f := find(b, open(b, devices(b, img.Path, 1, 0), ""), c.path)
			buf := make([]byte, 1<<20)
			b.SetBytes(f.Attr().Size)
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < f.Attr().Size; off += int64(len(buf)) {
					if _, err := vfs.ReadAt(context.Background(), f, buf, off); err != nil && err != io.EOF {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
