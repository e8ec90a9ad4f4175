package ntfs_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/vfs"
)

// BenchmarkWalk lists a tree and reads every inode's attributes, as ls -lR
// does, from a filesystem that was just opened: the time and the allocations of
// one inode.
func BenchmarkWalk(b *testing.B) {
	const files = 20_000
	img := format(b, 96<<20)
	mounted(b, img, "", func(dir string) {
		run(b, "perl", "-e", `for my $d (1..200) { mkdir "$ARGV[0]/$d"; for my $i (1..$ARGV[1]/200) { open(my $f, ">", "$ARGV[0]/$d/a file $i") or die $!; print $f "contents" } }`, dir, fmt.Sprint(files))
	})
	dev := device(b, img)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		fs := open(b, dev, "")
		n = 0
		var visit func(ino vfs.Ino)
		visit = func(ino vfs.Ino) {
			d, err := fs.Inode(ctx, ino)
			if err != nil {
				b.Fatal(err)
			}
			var inos []vfs.Ino
			for e, err := range d.Entries(ctx, vfs.Cursor{}) {
				if err != nil {
					b.Fatal(err)
				}
				inos = append(inos, e.Ino)
			}
			fs.(vfs.Prefetcher).Prefetch(ctx, inos)
			for _, ino := range inos {
				f, err := fs.Inode(ctx, ino)
				if err != nil {
					b.Fatal(err)
				}
				n++
				if f.Attr().Mode&0o40000 != 0 {
					visit(ino)
				}
			}
		}
		visit(fs.Root())
	}
	if n != files+200 {
		b.Fatalf("%d inodes", n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/inode")
}

// BenchmarkCompressed reads a file that LZNT1 compresses, and one that WOF does.
func BenchmarkCompressed(b *testing.B) {
	need(b, "wimlib-imagex", "mkntfs", "ntfs-3g")
	plain := text(1, 8<<20)
	img := format(b, 64<<20)
	mounted(b, img, "compression,streams_interface=windows", func(dir string) {
		d := filepath.Join(dir, "compressed")
		write(b, filepath.Join(d, "x"), nil)
		setxattr(b, d, "system.ntfs_attrib", []byte{0, 8, 0, 0})
		write(b, filepath.Join(d, "LZNT1"), plain)
		for i, m := range []string{"XPRESS", "LZX"} {
			p := filepath.Join(dir, m)
			write(b, p, plain)
			write(b, p+":WofCompressedData", wimResource(b, m, []int{16384, 32768}[i], plain))
			setxattr(b, p, "system.ntfs_reparse_data", wofReparse(2, []uint32{3, 1}[i]))
		}
	})
	fs := open(b, device(b, img), "")
	for _, name := range []string{"compressed/LZNT1", "XPRESS", "LZX"} {
		b.Run(filepath.Base(name), func(b *testing.B) {
			f := lookup(b, fs, name)
			p := make([]byte, 1<<20)
			b.SetBytes(f.Attr().Size)
			b.ReportAllocs()
			for b.Loop() {
				for off := int64(0); off < f.Attr().Size; off += int64(len(p)) {
					if _, err := vfs.ReadAt(ctx, f, p, off); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
