package fat_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// small makes a FAT12 image of 256 KiB with clusters of 512 bytes that holds
// the files of the given names, 1,500 bytes each.
func small(t testing.TB, names ...string) []byte {
	t.Helper()
	images.NeedTool(t, "mkfs.fat", "mcopy")
	img := filepath.Join(t.TempDir(), "img")
	run(t, "mkfs.fat", "-F", "12", "-s", "1", "-C", img, "256")
	for _, n := range names {
		src := filepath.Join(t.TempDir(), "src")
		if err := os.WriteFile(src, []byte(strings.Repeat(n+"\n", 1500/(len(n)+1))), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "mcopy", "-i", img, src, "::/"+n)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openBytes(t testing.TB, b []byte) vfs.FileSystem {
	t.Helper()
	fs, err := fat.Driver().Open(context.Background(), []block.Device{blocktest.NewMemory(b)}, options())
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func lookup(t testing.TB, fs vfs.FileSystem, name string) vfs.Inode {
	t.Helper()
	ctx := context.Background()
	root, err := fs.Inode(ctx, fs.Root())
	if err != nil {
		t.Fatal(err)
	}
	ino, err := root.Lookup(ctx, name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	f, err := fs.Inode(ctx, ino)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return f
}

func TestLookupIgnoresCaseAndKnowsAliases(t *testing.T) {
	fs := openBytes(t, small(t, "A long name indeed.text", "short.txt"))
	want := lookup(t, fs, "A long name indeed.text").Ino()
	for _, n := range []string{"a LONG name INDEED.text", "ALONGN~1.TEX", "alongn~1.tex"} {
		if got := lookup(t, fs, n).Ino(); got != want {
			t.Errorf("%q is %v, want %v", n, got, want)
		}
	}
	root, _ := fs.Inode(context.Background(), fs.Root())
	for _, n := range []string{"A long name indeed", "\xff\xfe", "short.txt ", ""} {
		if _, err := root.Lookup(context.Background(), n); err != syscall.ENOENT {
			t.Errorf("%q: %v, want ENOENT", n, err)
		}
	}
}

// TestSurrogates changes a name's units on the disk, since mtools cannot write
// them: a pair beyond the first plane, and an unpaired one.
func TestSurrogates(t *testing.T) {
	b := small(t, "XYlong name of two entries")
	pattern := []byte("X\x00Y\x00l\x00")
	at := strings.Index(string(b), string(pattern))
	if at < 0 {
		t.Fatal("the name is not on the disk")
	}
	for _, c := range []struct {
		units [2]uint16
		name  string
	}{
		{[2]uint16{0xD834, 0xDD1E}, "\U0001D11Elong name of two entries"},
		{[2]uint16{0xD834, 'Y'}, "\xed\xa0\xb4Ylong name of two entries"},
	} {
		binary.LittleEndian.PutUint16(b[at:], c.units[0])
		binary.LittleEndian.PutUint16(b[at+2:], c.units[1])
		fs := openBytes(t, b)
		root, _ := fs.Inode(context.Background(), fs.Root())
		var got []string
		for e, err := range root.Entries(context.Background(), vfs.Cursor{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Name)
		}
		if len(got) != 1 || got[0] != c.name {
			t.Errorf("listed %q, want %q", got, c.name)
		}
		lookup(t, fs, c.name)
	}
}

// TestOrphanedLongName changes the short entry, as a system without long names
// does when it renames: the long name must be gone.
func TestOrphanedLongName(t *testing.T) {
	b := small(t, "A long name.txt")
	at := strings.Index(string(b), "ALONGN~1TXT")
	if at < 0 {
		t.Fatal("the name is not on the disk")
	}
	copy(b[at:], "RENAMED ")
	lookup(t, openBytes(t, b), "RENAMED.TXT")
	root, _ := openBytes(t, b).Inode(context.Background(), vfs.Ino{Num: 2})
	if _, err := root.Lookup(context.Background(), "A long name.txt"); err != syscall.ENOENT {
		t.Errorf("the orphan: %v, want ENOENT", err)
	}
}

// TestChains damages the FAT: the error names it, and what comes before the
// damage is read.
func TestChains(t *testing.T) {
	for _, c := range []struct {
		name string
		// next is what the file's second cluster is followed by, given its first.
		next func(first uint16) uint16
		want string
	}{
		{"loop", func(first uint16) uint16 { return first }, "comes back"},
		{"free", func(uint16) uint16 { return 0 }, "free"},
		{"bad", func(uint16) uint16 { return 0xFF7 }, "bad"},
		{"outside", func(uint16) uint16 { return 0xFF0 }, "outside"},
		{"short", func(uint16) uint16 { return 0xFFF }, "ends before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := small(t, "file")
			at := strings.Index(string(b), "FILE       ")
			first := binary.LittleEndian.Uint16(b[at+26:])
			second := int(first) + 1
			fatOff := int(binary.LittleEndian.Uint16(b[14:])) * 512
			pos := fatOff + second*3/2
			v := binary.LittleEndian.Uint16(b[pos:])
			if second&1 != 0 {
				v = v&0xF | c.next(first)<<4
			} else {
				v = v&0xF000 | c.next(first)
			}
			binary.LittleEndian.PutUint16(b[pos:], v)
			f := lookup(t, openBytes(t, b), "file")
			p := make([]byte, f.Attr().Size)
			n, err := vfs.ReadAt(context.Background(), f, p, 0)
			var damage *ondisk.CorruptError
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("read %d bytes with %v, want damage that says %q", n, err, c.want)
			}
			// A loop is certain only where the chain closes.
			if n > 0 && n < 1024 || string(p[:5]) != "file\n" && n > 0 {
				t.Errorf("read %d bytes %q", n, p[:min(n, 16)])
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	good := small(t)
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{"truncated", func(b []byte) []byte { return b[:100<<10] }, "truncated"},
		{"no clusters", func(b []byte) []byte { binary.LittleEndian.PutUint16(b[19:], 30); return b }, "damaged"},
	} {
		b := c.change(append([]byte(nil), good...))
		_, err := fat.Driver().Open(context.Background(), []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := fat.Driver().Open(context.Background(), []block.Device{blocktest.NewMemory(good)}, vfs.Options{Mount: "codepage=999"}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("codepage=999: %v", err)
	}
}

// walk reads a filesystem whole, within bounds.
func walk(ctx context.Context, fs vfs.FileSystem, ino vfs.Ino, depth int, budget *int) {
	f, err := fs.Inode(ctx, ino)
	if *budget--; err != nil || *budget < 0 || depth > 8 {
		return
	}
	buf := make([]byte, 4096)
	for off := int64(0); off < min(f.Attr().Size, 64<<10); off += int64(len(buf)) {
		if _, err := vfs.ReadAt(ctx, f, buf, off); err != nil {
			break
		}
	}
	for e, err := range f.Entries(ctx, vfs.Cursor{}) {
		if err != nil || *budget < 0 {
			return
		}
		if _, err := f.Lookup(ctx, e.Name); err != nil && err != syscall.ENOENT {
			return
		}
		walk(ctx, fs, e.Ino, depth+1, budget)
	}
}

// FuzzVolume changes bytes of whole volumes that mkfs.fat, mtools and
// mkfs.exfat wrote, then opens and walks them. An input is a list of changes,
// four bytes each: where, in three bytes from the end of the volume's metadata
// down, and the new value; that keeps inputs small enough to mutate fast.
func FuzzVolume(f *testing.F) {
	bases := [][]byte{small(f, "A long name.txt", "short", "ünïcödé with more than thirteen")}
	images.NeedTool(f, "mkfs.exfat")
	img := filepath.Join(f.TempDir(), "img")
	if err := os.WriteFile(img, make([]byte, 4<<20), 0o644); err != nil {
		f.Fatal(err)
	}
	run(f, "mkfs.exfat", "-c", "4096", "-b", "4096", img)
	b, err := os.ReadFile(img)
	if err != nil {
		f.Fatal(err)
	}
	bases = append(bases, b)
	f.Add(uint8(0), []byte{0, 0, 0, 0})
	f.Add(uint8(1), []byte{0, 0, 13, 1, 0, 2, 0, 0xFF})
	for c := range byte(128) {
		f.Add(c&1, []byte{0, 0, c, 0xFF, 0, 16, c, 0x40})
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		b := append([]byte(nil), bases[int(which)%len(bases)]...)
		for ; len(edits) >= 4; edits = edits[4:] {
			b[(int(edits[0])<<16|int(edits[1])<<8|int(edits[2]))%len(b)] = edits[3]
		}
		if which%2 == 1 {
			sealBoot(b)
		}
		dev := blocktest.NewMemory(b)
		ctx := context.Background()
		for _, d := range []vfs.Driver{fat.Driver(), fat.ExDriver()} {
			_, _ = d.Probe(ctx, dev)
			fs, err := d.Open(ctx, []block.Device{dev}, vfs.Options{})
			if err != nil {
				continue
			}
			budget := 200
			walk(ctx, fs, fs.Root(), 0, &budget)
			if u, err := fs.Usage(ctx); err == nil && u.Free > u.Blocks {
				t.Errorf("%d of %d blocks are free", u.Free, u.Blocks)
			}
		}
	})
}

// sealBoot makes the checksum of exFAT's main boot region right again, so that
// what lies behind it is reached.
func sealBoot(b []byte) {
	const sector = 512
	var sum uint32
	for i, v := range b[:11*sector] {
		if i != 106 && i != 107 && i != 112 {
			sum = (sum>>1 | sum<<31) + uint32(v)
		}
	}
	for i := 11 * sector; i < 12*sector; i += 4 {
		binary.LittleEndian.PutUint32(b[i:], sum)
	}
}

// TestManyRuns reads a file whose every cluster is a run of its own, forwards
// and back: more runs than are remembered.
func TestManyRuns(t *testing.T) {
	images.NeedTool(t, "mkfs.fat", "mcopy")
	img := filepath.Join(t.TempDir(), "img")
	run(t, "mkfs.fat", "-F", "16", "-s", "1", "-C", img, "16384")
	const clusters = 10000
	src := filepath.Join(t.TempDir(), "src")
	data := make([]byte, clusters*512)
	for i := range clusters {
		copy(data[i*512:], fmt.Sprintf("cluster %d", i))
	}
	if err := os.WriteFile(src, data, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "mcopy", "-i", img, src, "::/file")
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	// Cluster i of the file moves to 2*i past its first one: each FAT entry and
	// each cluster's bytes are written by hand.
	at := strings.Index(string(b), "FILE       ")
	first := int(binary.LittleEndian.Uint16(b[at+26:]))
	fatOff := int(binary.LittleEndian.Uint16(b[14:])) * 512
	fatLen := int(binary.LittleEndian.Uint16(b[22:])) * 512
	heap := fatOff + 2*fatLen + int(binary.LittleEndian.Uint16(b[17:]))*32
	for i := clusters - 1; i >= 0; i-- {
		c := first + 2*i
		copy(b[heap+(c-2)*512:][:512], data[i*512:][:512])
		next := uint16(c + 2)
		if i == clusters-1 {
			next = 0xFFFF
		}
		binary.LittleEndian.PutUint16(b[fatOff+2*c:], next)
	}
	f := lookup(t, openBytes(t, b), "file")
	p := make([]byte, 512)
	check := func(i int) {
		if _, err := vfs.ReadAt(context.Background(), f, p, int64(i)*512); err != nil {
			t.Fatalf("cluster %d: %v", i, err)
		}
		if want := fmt.Sprintf("cluster %d", i); string(p[:len(want)]) != want {
			t.Fatalf("cluster %d holds %q", i, p[:20])
		}
	}
	for i := range clusters {
		check(i)
	}
	for i := clusters - 1; i >= 0; i -= 7 {
		check(i)
	}
}
