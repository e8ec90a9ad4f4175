package ext4

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// smallImage makes an image of 2 MiB by mke2fs, filled with a little of
// everything that mke2fs -d takes over.
func smallImage(t testing.TB, options ...string) []byte {
	t.Helper()
	images.NeedTool(t, "mke2fs")
	dir, tree := t.TempDir(), t.TempDir()
	for i := range 60 {
		name := filepath.Join(tree, fmt.Sprintf("file-%02d-%s", i, strings.Repeat("n", 20)))
		if err := os.WriteFile(name, []byte(strings.Repeat("contents", i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Mkdir(filepath.Join(tree, "dir"), 0o755),
		os.WriteFile(filepath.Join(tree, "dir", "large"), []byte(strings.Repeat("no hole ", 100<<7)), 0o644),
		os.Symlink("dir/large", filepath.Join(tree, "link")),
		os.Symlink(strings.Repeat("long/", 30), filepath.Join(tree, "slow")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "image")
	args := append([]string{"-q", "-F", "-b", "1024", "-N", "128", "-d", tree}, options...)
	if out, err := exec.Command("mke2fs", append(args, path, "2M")...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs %q: %v: %s", args, err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func memory(b []byte) block.Device { return blocktest.NewMemory(b) }

// openBytes opens an image in memory.
func openBytes(b []byte, log *slog.Logger) (*FileSystem, error) {
	fsys, err := Driver().Open(context.Background(), []block.Device{memory(b)}, vfs.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return fsys.(*FileSystem), nil
}

// readAllOf reads everything that a filesystem shows and gives the errors. It
// is bounded in time, in depth and in what it reads of one file.
func readAllOf(fsys *FileSystem) []error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var errs []error
	seen := map[uint64]bool{}
	buf := make([]byte, 4096)
	var visit func(ino vfs.Ino)
	visit = func(ino vfs.Ino) {
		if seen[ino.Num] {
			return
		}
		seen[ino.Num] = true
		f, err := fsys.Inode(ctx, ino)
		if err != nil {
			errs = append(errs, err)
			return
		}
		for x, err := range f.Xattrs(ctx) {
			if err == nil {
				_, err = x.Read(ctx)
			}
			if err != nil {
				errs = append(errs, err)
				break
			}
		}
		switch a := f.Attr(); a.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			for e, err := range f.Entries(ctx, vfs.Cursor{}) {
				if err == nil {
					_, err = f.Lookup(ctx, e.Name)
				}
				if err != nil {
					errs = append(errs, err)
					break
				}
				visit(e.Ino)
			}
		case syscall.S_IFLNK:
			if _, err := f.Readlink(ctx); err != nil {
				errs = append(errs, err)
			}
		case syscall.S_IFREG:
			for off, steps := int64(0), 0; off < a.Size && steps < 1000; steps++ {
				e, err := f.Map(ctx, off, a.Size-off)
				if err == nil && e.Kind == vfs.Mapped {
					err = block.ReadFull(ctx, e.Dev, buf[:min(e.Len, int64(len(buf)))], e.Off)
				}
				if err != nil {
					errs = append(errs, err)
					break
				}
				off += e.Len
			}
		}
	}
	visit(fsys.Root())
	if _, err := fsys.Usage(ctx); err != nil {
		errs = append(errs, err)
	}
	if ctx.Err() != nil {
		errs = append(errs, errors.New("it took too long"))
	}
	return errs
}

// lookup walks to a path.
func (fs *FileSystem) lookup(t testing.TB, path ...string) *inode {
	t.Helper()
	ino := fs.Root()
	for _, name := range path {
		dir, err := fs.iget(t.Context(), uint32(ino.Num))
		if err == nil {
			ino, err = dir.Lookup(t.Context(), name)
		}
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	n, err := fs.iget(t.Context(), uint32(ino.Num))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// put16 and put32 change the number at a place in an image.
func put16(b []byte, at int64, v uint16) { binary.LittleEndian.PutUint16(b[at:], v) }
func put32(b []byte, at int64, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

// TestDamage damages one structure each, without checksums, and looks for an
// error that names it.
func TestDamage(t *testing.T) {
	clean := smallImage(t, "-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal")
	fsys, err := openBytes(clean, nil)
	if err != nil {
		t.Fatal(err)
	}
	if errs := readAllOf(fsys); len(errs) > 0 {
		t.Fatal(errs)
	}
	large := fsys.lookup(t, "dir", "large")
	iblock := fsys.inodeOffset(t.Context(), large.num) + 0x28
	root := fsys.lookup(t)
	dirRun, err := root.runAt(t.Context(), 1)
	if err != nil || dirRun.hole() {
		t.Fatal(dirRun, err)
	}
	leaf := int64(dirRun.start << fsys.geo.blockBits)
	group0 := int64(fsys.descBlock(0) << fsys.geo.blockBits)
	for _, c := range []struct {
		name   string
		damage func(b []byte)
		want   string
	}{
		{"block size", func(b []byte) { put32(b, superOffset+0x18, 40) }, "s_log_block_size 40"},
		{"inodes a group", func(b []byte) { put32(b, superOffset+0x28, 0) }, "s_inodes_per_group 0"},
		{"blocks a group", func(b []byte) { put32(b, superOffset+0x20, 0) }, "clusters a group"},
		{"blocks", func(b []byte) { put32(b, superOffset+0x150, 0xFFFFFFFF) }, "s_blocks_count"},
		{"inode size", func(b []byte) { put16(b, superOffset+0x58, 384) }, "s_inode_size 384"},
		{"descriptor size", func(b []byte) { put16(b, superOffset+0xFE, 7) }, "s_desc_size 7"},
		{"unknown feature", func(b []byte) { put32(b, superOffset+0x60, 0x80000042) }, "FEATURE_I31 is not supported"},
		{"compression", func(b []byte) { put32(b, superOffset+0x60, 0x43) }, "feature compression is not supported"},
		{"magic", func(b []byte) { put16(b, superOffset+0x38, 0) }, "s_magic"},
		{"inode table", func(b []byte) { put32(b, group0+8, 0x7FFFFFFF) }, "descriptor of group 0"},
		{"block bitmap", func(b []byte) { put32(b, group0, 0) }, "block bitmap at block 0"},
		{"extent magic", func(b []byte) { put16(b, iblock, 0) }, "eh_magic"},
		{"extent entries", func(b []byte) { put16(b, iblock+2, 5) }, "eh_entries 5"},
		{"extent depth", func(b []byte) { put16(b, iblock+6, 6) }, "eh_depth 6"},
		{"extent loop", func(b []byte) {
			put16(b, iblock+2, 1)
			put16(b, iblock+6, 1)
			put32(b, iblock+12+4, uint32(large.fs.descBlock(0)))
			put16(b, iblock+12+8, 0)
		}, "eh_magic"},
		{"extent block", func(b []byte) { put32(b, iblock+12+8, 0x7FFFFFFF) }, "expected within"},
		{"rec_len 0", func(b []byte) { put16(b, leaf+4, 0) }, "rec_len 0"},
		{"rec_len odd", func(b []byte) { put16(b, leaf+4, 13) }, "rec_len 13"},
		{"rec_len long", func(b []byte) { put16(b, leaf+4, 2000) }, "rec_len 2000"},
		{"name_len", func(b []byte) { b[leaf+6] = 255 }, "too small for a name of 255"},
		{"entry's inode", func(b []byte) { put32(b, leaf, 0x7FFFFFFF) }, "inode 2147483647"},
		{"name", func(b []byte) { b[leaf+8] = '/' }, "name \"/"},
		{"i_size", func(b []byte) { put32(b, iblock-0x28+0x6C, 0x80000000) }, "i_size"},
		{"i_extra_isize", func(b []byte) { put16(b, iblock-0x28+0x80, 0xFFFC) }, "i_extra_isize"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append([]byte(nil), clean...)
			c.damage(b)
			var errs []error
			fsys, err := openBytes(b, nil)
			if err != nil {
				errs = []error{err}
			} else {
				errs = readAllOf(fsys)
			}
			err = errors.Join(errs...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nexpected %q in it", err, c.want)
			}
		})
	}
}

// TestExtentLoop makes an extent block that is its own child.
func TestExtentLoop(t *testing.T) {
	b := smallImage(t, "-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal")
	fsys, err := openBytes(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	large := fsys.lookup(t, "dir", "large")
	iblock := fsys.inodeOffset(t.Context(), large.num) + 0x28
	r, err := large.runAt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{iblock, int64(r.start << fsys.geo.blockBits)} {
		put16(b, at, extentMagic)
		put16(b, at+2, 1)
		put16(b, at+4, 4)
		put16(b, at+6, 2)
		put32(b, at+12, 0)
		put32(b, at+16, uint32(r.start))
		put16(b, at+20, 0)
	}
	if fsys, err = openBytes(b, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.lookup(t, "dir", "large").runAt(t.Context(), 0); !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "eh_depth 2, expected 1") {
		t.Errorf("the loop gave %v", err)
	}
}

// TestChecksums flips one bit each in structures that have a checksum.
func TestChecksums(t *testing.T) {
	clean := smallImage(t, "-t", "ext4", "-O", "metadata_csum,64bit,^resize_inode,^has_journal")
	fsys, err := openBytes(clean, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := fsys.lookup(t)
	dirRun, err := root.runAt(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	large := fsys.lookup(t, "dir", "large")
	for _, c := range []struct {
		name string
		at   int64
		open bool // the filesystem still opens
	}{
		{"superblock", superOffset + 0x78, false},
		{"group 0", int64(fsys.descBlock(0)<<fsys.geo.blockBits) + 0x0C, false},
		{"ext4 inode " + fmt.Sprint(large.num), fsys.inodeOffset(t.Context(), large.num) + 0x64, true},
		{"directory block of inode 2", int64(dirRun.start<<fsys.geo.blockBits) + 9, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append([]byte(nil), clean...)
			b[c.at] ^= 4
			fsys, err := openBytes(b, nil)
			if (err == nil) != c.open {
				t.Fatalf("open: %v", err)
			}
			if err == nil {
				errs := readAllOf(fsys)
				if err = errors.Join(errs...); len(errs) != 1 {
					t.Errorf("%d errors, expected one: %v", len(errs), err)
				}
			}
			if !errors.Is(err, syscall.EBADMSG) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%v\nexpected a bad checksum of %s", err, c.name)
			}
		})
	}
}

// TestTruncated opens an image that lacks its end.
func TestTruncated(t *testing.T) {
	clean := smallImage(t, "-t", "ext4")
	for cut := len(clean) - 1024; cut > 0; cut -= 37 << 10 {
		var warned strings.Builder
		fsys, err := openBytes(clean[:cut:cut], slog.New(slog.NewTextHandler(&warned, nil)))
		if err != nil {
			if cut > 1<<20 {
				t.Errorf("%d bytes: %v", cut, err)
			}
			continue
		}
		if !strings.Contains(warned.String(), "smaller than") {
			t.Errorf("%d bytes: no warning", cut)
		}
		for _, err := range readAllOf(fsys) {
			if !strings.Contains(err.Error(), "truncated") {
				t.Errorf("%d bytes: %v", cut, err)
			}
		}
	}
}

// TestBackups says where the backup superblock is, and does not use it.
func TestBackups(t *testing.T) {
	images.NeedTool(t, "mke2fs")
	path := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", path, "20M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[superOffset+0x78] ^= 1
	if _, err := openBytes(b, nil); !errors.Is(err, syscall.EBADMSG) || !strings.Contains(err.Error(), "block 8193") {
		t.Errorf("a bad checksum: %v", err)
	}
	put16(b, superOffset+0x38, 0)
	if _, err := openBytes(b, nil); !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "block 8193") {
		t.Errorf("no magic: %v", err)
	}
	if _, err := Driver().Probe(t.Context(), memory(b)); err == nil {
		t.Error("Probe recognised it")
	}
}
