package fat_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// counting is a device that counts its reads.
type counting struct {
	block.Device
	reads, bytes atomic.Int64
}

func (c *counting) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.Device.ReadAt(ctx, p, off)
}

func openOn(t testing.TB, d vfs.Driver, dev block.Device) vfs.FileSystem {
	t.Helper()
	fs, err := d.Open(context.Background(), []block.Device{dev}, options())
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// TestLargeDirectory looks names up in directories of 100,000. FAT has no index
// on the disk: the first name costs one pass over the directory, in few large
// reads, and the others none, whether they are there or not.
func TestLargeDirectory(t *testing.T) {
	const files = 100_000
	for _, c := range []struct {
		name   string
		driver vfs.Driver
		make   func(t *testing.T) *layout
	}{
		{"FAT32", fat.Driver(), func(t *testing.T) *layout {
			l := newFAT32(t, 320<<20, "-s", "8")
			l.manyFAT(files)
			if os.Getenv("GUESTCTL_LONG") != "" {
				l.checked() // in a minute: it looks for each name among all
			}
			if out := run(t, "mdir", "-b", "-i", l.path, "::/MANY"); strings.Count(out, "a file with number ") != files {
				t.Fatalf("mdir lists %d names", strings.Count(out, "\n"))
			}
			return l
		}},
		{"exFAT", fat.ExDriver(), func(t *testing.T) *layout {
			l := newExFAT(t, 64<<20, "-c", "4K")
			l.manyExFAT(files)
			l.checked()
			return l
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dev := &counting{Device: device(t, c.make(t).path)}
			fs := openOn(t, c.driver, dev)
			ctx := context.Background()
			d := lookup(t, fs, "many")
			before, bytes := dev.reads.Load(), dev.bytes.Load()
			if _, err := d.Lookup(ctx, manyName(77_777)); err != nil {
				t.Fatal(err)
			}
			n, size := dev.reads.Load()-before, dev.bytes.Load()-bytes
			t.Logf("the first name takes %d reads of %d bytes; the directory has %d", n, size, d.Attr().Size)
			if limit := d.Attr().Size/(512<<10) + 16; n > limit {
				t.Errorf("the first name takes %d reads, more than %d", n, limit)
			}
			if size > d.Attr().Size+(1<<20) {
				t.Errorf("the first name takes %d bytes of a directory of %d", size, d.Attr().Size)
			}
			before = dev.reads.Load()
			for i := 0; i < files; i += 997 {
				if _, err := d.Lookup(ctx, strings.ToUpper(manyName(i))); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Lookup(ctx, manyName(i)+"x"); err != syscall.ENOENT {
					t.Fatal(err)
				}
			}
			if n := dev.reads.Load() - before; n > 0 {
				t.Errorf("names in a directory that is known take %d reads", n)
			}
			fs = openOn(t, c.driver, dev)
			d = lookup(t, fs, "MANY")
			before = dev.reads.Load()
			seen := map[string]bool{}
			for e, err := range d.Entries(ctx, vfs.Cursor{}) {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := fs.Inode(ctx, e.Ino); err != nil {
					t.Fatalf("%q: %v", e.Name, err)
				}
				seen[e.Name] = true
			}
			if len(seen) != files {
				t.Errorf("%d names", len(seen))
			}
			if n := dev.reads.Load() - before; n > d.Attr().Size/(512<<10)+16 {
				t.Errorf("listing and every inode take %d reads", n)
			}
		})
	}
}

// TestHuge reads a file beyond 4 GiB, and in FAT the largest that fsck.fat takes,
// in images that take no room.
func TestHuge(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver vfs.Driver
		size   int64
		make   func(t *testing.T, size int64) (*layout, uint32)
	}{
		{"FAT32", fat.Driver(), 1<<32 - 4097, func(t *testing.T, size int64) (*layout, uint32) {
			l := newFAT32(t, 9<<30, "-s", "8")
			first := l.row((size + l.cluster - 1) / l.cluster)
			l.inRoot(shortBytes("HUGE       ", 0x20, first, uint32(size)))
			return l, first
		}},
		{"exFAT", fat.ExDriver(), 6<<30 + 123, func(t *testing.T, size int64) (*layout, uint32) {
			l := newExFAT(t, 9<<30, "-c", "32K")
			first := l.row((size + l.cluster - 1) / l.cluster)
			l.inRoot(exFile{name: "HUGE", attr: 0x20, first: first, size: uint64(size), valid: 5 << 30, row: true}.bytes())
			return l, first
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, first := c.make(t, c.size)
			offs := []int64{0, 4095, 1 << 31, 1<<32 - 4096, 4500 << 20}
			for _, off := range offs {
				if off < c.size {
					l.write(l.at(first)+off, marker(off))
				}
			}
			l.write(l.at(first)+5500<<20, []byte("beyond what is valid"))
			l.checked()
			st, err := os.Stat(l.path)
			if err != nil {
				t.Fatal(err)
			}
			if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 64<<20 {
				t.Errorf("the image takes %d bytes of disk", used)
			}
			dev := &counting{Device: device(t, l.path)}
			f := lookup(t, openOn(t, c.driver, dev), "huge")
			if f.Attr().Size != c.size {
				t.Errorf("%d bytes", f.Attr().Size)
			}
			ctx := context.Background()
			read := func(off int64, want []byte) {
				t.Helper()
				b := make([]byte, len(want))
				if n, err := vfs.ReadAt(ctx, f, b, off); n != len(b) || err != nil || !bytes.Equal(b, want) {
					t.Errorf("at %d: %q, %v, want %q", off, b[:n], err, want)
				}
			}
			for i := len(offs) - 1; i >= 0; i-- {
				if offs[i] < c.size {
					read(offs[i], marker(offs[i]))
				}
			}
			if c.size > 5500<<20 {
				read(5500<<20, make([]byte, 20))
				read(c.size-10, make([]byte, 10))
			}
			// The FAT is read once: what lies in a row is found without it.
			before := dev.reads.Load()
			for off := int64(1 << 30); off < 1<<30+100; off++ {
				if _, err := f.Map(ctx, off*40%c.size, 1); err != nil {
					t.Fatal(err)
				}
			}
			if n := dev.reads.Load() - before; n > 1 {
				t.Errorf("%d reads", n)
			}
			if ext, err := f.Map(ctx, 0, 1<<20); err != nil || ext.Len != 1<<20 {
				t.Errorf("%+v, %v", ext, err)
			}
		})
	}
}

// TestSetAcrossClusters lays a directory into clusters of 512 bytes that are
// apart from each other, the volume's last one first: sets of 19 entries lie in
// two and in three of them.
func TestSetAcrossClusters(t *testing.T) {
	l := newExFAT(t, 8<<20, "-c", "512")
	var want []string
	var entries []byte
	for i := range 40 {
		name := fmt.Sprintf("%03d", i) + strings.Repeat("n", 252-i%3*40)
		want = append(want, name)
		entries = append(entries, exFile{name: name, attr: 0x20}.bytes()...)
	}
	n := (len(entries) + 511) / 512
	clusters := []uint32{l.count + 1}
	for i := range n - 1 {
		clusters = append(clusters, l.next+uint32(n-i)*3)
	}
	l.chain(clusters...)
	l.fill(entries, clusters...)
	size := uint64(n) * 512
	l.inRoot(exFile{name: "DIR", attr: 0x10, first: clusters[0], size: size, valid: size}.bytes())
	// fsck.exfat 1.2.0 comes to no end where a set lies in three clusters.
	fs := openOn(t, fat.ExDriver(), device(t, l.path))
	d := lookup(t, fs, "dir")
	ctx := context.Background()
	i := 0
	for e, err := range d.Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if i >= len(want) || e.Name != want[i] {
			t.Fatalf("name %d is %q", i, e.Name)
		}
		if _, err := fs.Inode(ctx, e.Ino); err != nil {
			t.Errorf("%q: %v", e.Name, err)
		}
		if ino, err := d.Lookup(ctx, e.Name); err != nil || ino != e.Ino {
			t.Errorf("%q: %v, %v", e.Name, ino, err)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d names of %d", i, len(want))
	}
}
