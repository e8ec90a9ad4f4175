package fat

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// formatted is an empty volume.
func formatted(f *testing.F, size int64, mkfs string, args ...string) []byte {
	f.Helper()
	images.NeedTool(f, mkfs)
	img := filepath.Join(f.TempDir(), "img")
	if err := os.WriteFile(img, make([]byte, size), 0o644); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(args, img)...).CombinedOutput(); err != nil {
		f.Fatalf("%s: %v: %s", mkfs, err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// patched is a device on which bytes are replaced.
type patched struct {
	block.Device
	at int64
	b  []byte
}

func (p *patched) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	n, err := p.Device.ReadAt(ctx, b, off)
	if from, to := max(off, p.at), min(off+int64(n), p.at+int64(len(p.b))); from < to {
		copy(b[from-off:to-off], p.b[from-p.at:])
	}
	return n, err
}

// tree lists a directory and looks up all that it lists.
func tree(t *testing.T, fs *FileSystem) {
	ctx := context.Background()
	root, err := fs.Inode(ctx, fs.Root())
	if err != nil {
		return
	}
	n := 0
	for e, err := range root.Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			break
		}
		if n++; n > 64 {
			break
		}
		_, openErr := fs.Inode(ctx, e.Ino)
		if openErr == syscall.ESTALE || openErr == syscall.ENOENT {
			t.Errorf("%q is listed and is not there", e.Name)
		}
		// Of several equal names the first is found.
		if _, err := root.Lookup(ctx, e.Name); err == syscall.ENOENT {
			t.Errorf("%q is listed and not found", e.Name)
		}
	}
}

// FuzzDirectory takes bytes for FAT12's root directory.
func FuzzDirectory(f *testing.F) {
	dev := blocktest.NewMemory(formatted(f, 64<<10, "mkfs.fat", "-F", "12", "-s", "1", "-r", "64"))
	ctx := context.Background()
	first, err := Driver().Open(ctx, []block.Device{dev}, vfs.Options{})
	if err != nil {
		f.Fatal(err)
	}
	root := first.(*FileSystem).root
	short := []byte("NAME    EXT\x20\x18\x64\x21\x08\x21\x50\x21\x50\x00\x00\x21\x08\x21\x50\x02\x00\x05\x00\x00\x00")
	f.Add(short)
	long := append([]byte("\x41a\x00b\x00c\x00d\x00e\x00\x0f\x00\x00f\x00g\x00h\x00i\x00\x3d\xd8\x00\xde\x00\x00k\x00\x00\x00"), short...)
	long[13] = shortChecksum(short[:11])
	f.Add(long)
	f.Add(append(append([]byte("\xe5"), long[1:]...), "VOLUME     \x08"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(int64(len(b)), root.len)]
		fs, err := Driver().Open(ctx, []block.Device{&patched{dev, root.off, b}}, vfs.Options{Mount: "codepage=932"})
		if err != nil {
			return
		}
		tree(t, fs.(*FileSystem))
	})
}

// FuzzExDirectory takes bytes for what stands in exFAT's root behind the
// volume's own entries. Checksums of sets are made right, so that what lies
// behind them is reached.
func FuzzExDirectory(f *testing.F) {
	dev := blocktest.NewMemory(formatted(f, 2<<20, "mkfs.exfat", "-c", "4096", "-b", "4096"))
	ctx := context.Background()
	first, err := ExDriver().Open(ctx, []block.Device{dev}, vfs.Options{})
	if err != nil {
		f.Fatal(err)
	}
	boot, _, err := readExBoot(ctx, dev)
	if err != nil {
		f.Fatal(err)
	}
	fs := first.(*FileSystem)
	at := fs.geo.offset(fs.root.chain.first)
	used := int64(0)
	for rec, err := range fs.root.records(ctx, fs, 0) {
		if err != nil {
			f.Fatal(err)
		}
		if rec.b[0] == exEnd {
			used = rec.at
			break
		}
	}
	set := make([]byte, 96)
	set[0], set[1], set[32], set[33], set[35], set[64], set[66] = exFile, 2, exStream, 3, 1, exFileName, 'n'
	f.Add(set)
	two := append([]byte(nil), set...)
	two[4], two[32+8], two[32+20], two[32+24] = attrDirectory, 0, 5, 0
	f.Add(append(two, set...))
	f.Add(append([]byte{0xA0, 31: 0}, set...))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append([]byte(nil), b[:min(len(b)/entrySize*entrySize, 3072)]...)
		for i := 0; i < len(b); i += entrySize {
			end := i + (int(b[i+1])+1)*entrySize
			if b[i] != exFile || end > len(b) {
				continue
			}
			sum := exSum(0, b[i:i+entrySize], true)
			le.PutUint16(b[i+2:], exSum(sum, b[i+entrySize:end], false))
		}
		changed, err := newExFAT(boot, fs.geo, &patched{dev, at + used, b}, vfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		changed.ex = fs.ex
		tree(t, changed)
	})
}

// FuzzUpcase expands an up-case table.
func FuzzUpcase(f *testing.F) {
	b := formatted(f, 2<<20, "mkfs.exfat", "-c", "4096", "-b", "4096")
	fs, err := ExDriver().Open(context.Background(), []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
	if err != nil {
		f.Fatal(err)
	}
	if fs.(*FileSystem).ex.upcase == nil {
		f.Fatal("no table")
	}
	f.Add([]byte{'A', 0, 'B', 0, 0xFF, 0xFF, 5, 0, 'C', 0})
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(expandUpcase(b)); n != 1<<16 {
			t.Fatalf("%d units", n)
		}
	})
}

// FuzzName writes units as a name and reads them back.
func FuzzName(f *testing.F) {
	f.Add([]byte("a\x00\x3d\xd8\x00\xde\x00\xd8b\x00\x00\xdc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var units []uint16
		for ; len(b) >= 2; b = b[2:] {
			units = append(units, le.Uint16(b))
		}
		name := decodeUnits(units)
		again, ok := encodeUnits(name)
		if !ok || len(again) != len(units) {
			t.Fatalf("%x is %q is %x", units, name, again)
		}
		for i := range units {
			if again[i] != units[i] {
				t.Fatalf("%x is %q is %x", units, name, again)
			}
		}
	})
}
