package ntfs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// counting is a device that counts its reads.
type counting struct {
	block.Device
	reads atomic.Int64
}

func (c *counting) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	return c.Device.ReadAt(ctx, p, off)
}

// TestLargeDirectory looks cold names up in a directory of 100,000: each costs
// a read for each level of the tree, and one for the record.
func TestLargeDirectory(t *testing.T) {
	const files = 100_000
	img := format(t, 256<<20)
	mounted(t, img, "", func(dir string) {
		run(t, "perl", "-e", `mkdir "$ARGV[0]/d"; for my $i (1..$ARGV[1]) { open(my $f, ">", sprintf("%s/d/a name of some length %06d", $ARGV[0], $i)) or die $! }`, dir, fmt.Sprint(files))
	})
	dev := &counting{Device: device(t, img)}
	fs := open(t, dev, "")
	d := lookup(t, fs, "d")
	upcase := dev.reads.Load() // $UpCase is read by the lookup above, once
	worst, total := int64(0), int64(0)
	for i := 1; i <= files; i += 9973 {
		before := dev.reads.Load()
		if _, err := d.Lookup(ctx, fmt.Sprintf("a name of some length %06d", i)); err != nil {
			t.Fatal(err)
		}
		n := dev.reads.Load() - before
		worst, total = max(worst, n), total+n
	}
	for _, name := range []string{"a name of some length 1000000", "zzz", "A name of some length 000500"} {
		before := dev.reads.Load()
		if _, err := d.Lookup(ctx, name); err != syscall.ENOENT {
			t.Fatalf("%q: %v", name, err)
		}
		worst = max(worst, dev.reads.Load()-before)
	}
	if worst > 4 || total == 0 {
		t.Errorf("a lookup takes up to %d reads, %d in all", worst, total)
	}
	if upcase > 24 {
		t.Errorf("opening and the first lookup take %d reads", upcase)
	}
	before := dev.reads.Load()
	seen := map[string]bool{}
	var inos []vfs.Ino
	for e, err := range d.Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Name] = true
		inos = append(inos, e.Ino)
	}
	if len(seen) != files || len(inos) != files {
		t.Errorf("listed %d names, %d of them different, want %d", len(inos), len(seen), files)
	}
	if n := dev.reads.Load() - before; n > d.Attr().Size/(64<<10) {
		t.Errorf("the listing of %d bytes takes %d reads", d.Attr().Size, n)
	}
	before = dev.reads.Load()
	for len(inos) > 0 {
		batch := inos[:min(1000, len(inos))]
		inos = inos[len(batch):]
		fs.(vfs.Prefetcher).Prefetch(ctx, batch)
		for _, ino := range batch {
			if _, err := fs.Inode(ctx, ino); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := dev.reads.Load() - before; n > files/400 {
		t.Errorf("the records of all files take %d reads", n)
	}
}

// TestFragmented fills a volume with small files, deletes every other one and
// writes one large file into the gaps: its runs need an attribute list. So does
// $MFT itself, which grows between the files.
func TestFragmented(t *testing.T) {
	img := format(t, 24<<20, "-c", "512")
	mounted(t, img, "", func(dir string) {
		if err := os.Mkdir(filepath.Join(dir, "fill"), 0o755); err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			err := os.WriteFile(filepath.Join(dir, "fill", fmt.Sprintf("%05d", n)), noise(uint64(n), 1100), 0o644)
			if err != nil {
				break
			}
		}
		for i := 0; i < n; i += 2 {
			if err := os.Remove(filepath.Join(dir, "fill", fmt.Sprintf("%05d", i))); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, "fragmented"), noise(1, 4<<20))
		f, err := os.Create(filepath.Join(dir, "fragmented and sparse"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(300) {
			if _, err := f.WriteAt(noise(uint64(i), 700), i*16000); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		for i := 1; i < n; i += 4 {
			os.Remove(filepath.Join(dir, "fill", fmt.Sprintf("%05d", i)))
		}
	})
	fs := open(t, device(t, img), "")
	f := lookup(t, fs, "fragmented")
	extents := 0
	for off := int64(0); off < f.Attr().Size; extents++ {
		ext, err := f.Map(ctx, off, f.Attr().Size-off)
		if err != nil {
			t.Fatal(err)
		}
		off += ext.Len
	}
	if extents < 600 {
		t.Errorf("the file has %d extents, want 600 or more", extents)
	}
	info := run(t, "ntfsinfo", "-F", "/fragmented", "-v", img)
	if !strings.Contains(info, "$ATTRIBUTE_LIST") {
		t.Error("the file has no attribute list")
	}
	if info = run(t, "ntfsinfo", "-i", "0", "-v", img); strings.Count(info, "VCN") < 4 {
		t.Log("$MFT is in one piece")
	}
	join(t, img, oracle(t, img), hostOnly, false)
}

// TestHuge reads a sparse file of 5 GiB, and the hard links of a file that are
// too many for its record.
func TestHuge(t *testing.T) {
	const size = 5<<30 + 123
	img := format(t, 32<<20)
	mounted(t, img, "", func(dir string) {
		f, err := os.Create(filepath.Join(dir, "huge"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, off := range []int64{0, 4<<30 - 100, size - 1000} {
			if _, err := f.WriteAt(noise(uint64(off), 1000), off); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, "linked"), []byte("many names"))
		for i := range 500 {
			if err := os.Link(filepath.Join(dir, "linked"), filepath.Join(dir, fmt.Sprintf("a long name of a hard link, in which the number is %d", i))); err != nil {
				t.Fatal(err)
			}
		}
	})
	join(t, img, oracle(t, img), hostOnly, false)
	f := lookup(t, open(t, device(t, img), ""), "huge")
	if f.Attr().Size != size {
		t.Fatalf("size %d", f.Attr().Size)
	}
	for _, off := range []int64{0, 4<<30 - 100, size - 1000} {
		b := make([]byte, 1000)
		if _, err := vfs.ReadAt(ctx, f, b, off); err != nil || string(b) != string(noise(uint64(off), 1000)) {
			t.Errorf("at %d: other bytes, %v", off, err)
		}
	}
	if off, err := vfs.SeekData(ctx, f, 1<<20); err != nil || off > 4<<30-100 || off < 4<<30-(128<<10) {
		t.Errorf("SEEK_DATA: %d, %v", off, err)
	}
}
