package btrfs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

const (
	superAt  = 64 << 10
	nodeSize = 16 << 10
)

// metadata remembers which blocks were read.
type metadata struct {
	block.Device
	mu     sync.Mutex // guards blocks
	blocks map[int64]bool
}

func (m *metadata) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	m.mu.Lock()
	for at := off; at+nodeSize <= off+int64(len(p)); at += nodeSize {
		m.blocks[at] = true
	}
	m.mu.Unlock()
	return m.Device.ReadAt(ctx, p, off)
}

// walk reads a filesystem whole, within bounds.
func walk(ctx context.Context, fs vfs.FileSystem, ino vfs.Ino, depth int, budget *int, seen func(error)) {
	note := func(err error) {
		if err != nil && err != syscall.ENOTDIR && err != syscall.EINVAL && err != syscall.ENOENT {
			seen(err)
		}
	}
	f, err := fs.Inode(ctx, ino)
	if err != nil {
		seen(err)
	}
	if *budget--; err != nil || *budget < 0 || depth > 8 {
		return
	}
	_, err = f.Readlink(ctx)
	note(err)
	for x, err := range f.Xattrs(ctx) {
		note(err)
		if *budget--; err != nil || *budget < 0 {
			break
		}
		x.Read(ctx)
	}
	buf := make([]byte, 4096)
	for off := int64(0); off < min(f.Attr().Size, 16<<10) && f.Attr().Mode&syscall.S_IFMT == syscall.S_IFREG; off += int64(len(buf)) {
		if _, err := vfs.ReadAt(ctx, f, buf, off); err != nil {
			if off+int64(len(buf)) <= f.Attr().Size {
				note(err)
			}
			break
		}
	}
	n := 0
	for e, err := range f.Entries(ctx, vfs.Cursor{}) {
		note(err)
		if err != nil || *budget < 0 {
			return
		}
		if n++; n%16 == 1 {
			_, err := f.Lookup(ctx, e.Name)
			note(err)
			f.Lookup(ctx, e.Name+"x")
		}
		walk(ctx, fs, e.Ino, depth+1, budget, seen)
	}
}

func ignore(error) {}

// treeBlocks lists where the tree blocks of an image lie, which has one copy
// of each.
func treeBlocks(t testing.TB, dev block.Device, opt vfs.Options) []int64 {
	t.Helper()
	ctx := context.Background()
	m := &metadata{Device: dev, blocks: map[int64]bool{}}
	fs, err := btrfs.Driver().Open(ctx, []block.Device{m}, opt)
	if err != nil {
		t.Fatal(err)
	}
	budget := 5000
	walk(ctx, fs, fs.Root(), 0, &budget, ignore)
	fsid := make([]byte, 16)
	if err := block.ReadFull(ctx, dev, fsid, superAt+32); err != nil {
		t.Fatal(err)
	}
	var all []int64
	b := make([]byte, 48)
	for off := range m.blocks {
		if err := block.ReadFull(ctx, dev, b, off); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(b[32:48], fsid) {
			all = append(all, off)
		}
	}
	slices.Sort(all)
	return all
}

// seal makes the checksum of a tree block or superblock right again, so that
// what lies behind it is reached.
func seal(b []byte) {
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[32:], crc32.MakeTable(crc32.Castagnoli)))
}

// damaged changes the blocks of an image that change says and gives what that
// leads to.
func damaged(t *testing.T, sealed bool, change func(b []byte) bool) (seen []error) {
	t.Helper()
	ctx := t.Context()
	img, _ := images.Btrfs(t, "single")
	dev := devices(t, img.Path, 1, 0)[0]
	o, err := block.NewOverlay(dev, 4096, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, changed := make([]byte, nodeSize), 0
	for _, off := range treeBlocks(t, dev, vfs.Options{}) {
		if err := block.ReadFull(ctx, dev, b, off); err != nil {
			t.Fatal(err)
		}
		if !change(b) {
			continue
		}
		changed++
		if sealed {
			seal(b)
		}
		if _, err := o.WriteAt(ctx, b, off); err != nil {
			t.Fatal(err)
		}
	}
	if changed == 0 {
		t.Fatal("there is nothing of that kind in the image")
	}
	fs, err := openOn(ctx, o)
	if err != nil {
		return []error{err}
	}
	budget := 2000
	walk(ctx, fs, fs.Root(), 0, &budget, func(err error) { seen = append(seen, err) })
	return seen
}

// TestDamage damages one kind of structure at a time: the error must be about
// it, and of the right kind.
func TestDamage(t *testing.T) {
	owner := func(b []byte) uint64 { return binary.LittleEndian.Uint64(b[88:]) }
	level := func(b []byte) byte { return b[100] }
	leaf := func(id uint64) func(b []byte) bool {
		return func(b []byte) bool { return owner(b) == id && level(b) == 0 }
	}
	above := func(id uint64) func(b []byte) bool {
		return func(b []byte) bool { return owner(b) == id && level(b) > 0 }
	}
	// item changes the first item of a type in every leaf of the files.
	item := func(typ byte, change func(data []byte)) func(b []byte) bool {
		return func(b []byte) bool {
			if owner(b) != 5 || level(b) != 0 {
				return false
			}
			for i := range int(binary.LittleEndian.Uint32(b[96:])) {
				h := b[101+i*25:]
				if h[8] == typ && binary.LittleEndian.Uint64(h) >= 256 {
					off, size := binary.LittleEndian.Uint32(h[17:]), binary.LittleEndian.Uint32(h[21:])
					change(b[101+off : 101+off+size])
					return true
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		name   string
		sealed bool
		change func(b []byte) bool
		want   error
		says   string
	}{
		{"checksum of a leaf", false, func(b []byte) bool { b[5000] ^= 1; return leaf(5)(b) }, syscall.EBADMSG, "crc32c stored"},
		{"checksum of the chunk tree", false, func(b []byte) bool { b[5000] ^= 1; return leaf(3)(b) }, syscall.EBADMSG, "chunk tree"},
		{"address", true, func(b []byte) bool { b[48] ^= 1; return leaf(5)(b) }, syscall.EUCLEAN, "it says that it is at"},
		{"filesystem", true, func(b []byte) bool { b[33] ^= 1; return leaf(5)(b) }, syscall.EUCLEAN, "it belongs to the filesystem"},
		{"generation", true, func(b []byte) bool { b[80] ^= 0x40; return leaf(5)(b) }, syscall.EUCLEAN, "generation"},
		{"owner", true, func(b []byte) bool { ok := leaf(5)(b); b[88] = 7; return ok }, syscall.EUCLEAN, "a block of tree 7 in tree 5"},
		{"level", true, func(b []byte) bool { ok := leaf(5)(b); b[100] = 200; return ok }, syscall.EUCLEAN, "level"},
		{"level of a node", true, func(b []byte) bool { ok := above(5)(b); b[100]++; return ok }, syscall.EUCLEAN, "level"},
		{"count", true, func(b []byte) bool { ok := leaf(5)(b); b[99] = 0xff; return ok }, syscall.EUCLEAN, "entries"},
		{"order of keys", true, func(b []byte) bool { ok := leaf(5)(b); b[101+25+7] = 0xff; return ok }, syscall.EUCLEAN, "not above"},
		{"first key", true, func(b []byte) bool { ok := above(5)(b); b[101+33+9]++; return ok }, syscall.EUCLEAN, "pointer"},
		{"item range", true, func(b []byte) bool { ok := leaf(5)(b); b[101+20] = 0xff; return ok }, syscall.EUCLEAN, "expected to end"},
		{"a loop", true, func(b []byte) bool {
			if !above(5)(b) {
				return false
			}
			for i := range int(binary.LittleEndian.Uint32(b[96:])) {
				copy(b[101+i*33+17:], b[48:56])
			}
			return true
		}, syscall.EUCLEAN, "level"},
		{"inode mode", true, item(1, func(d []byte) { d[53] = 0xf0 }), syscall.EUCLEAN, "mode"},
		{"entry", true, item(96, func(d []byte) { d[27], d[28] = 0xff, 0xff }), syscall.EUCLEAN, "an entry that does not fit"},
		{"name", true, item(96, func(d []byte) { d[30] = '/' }), syscall.EUCLEAN, "the name"},
		{"attribute", true, item(24, func(d []byte) { d[27], d[28] = 0xff, 0xff }), syscall.EUCLEAN, "an attribute"},
		{"extent type", true, item(108, func(d []byte) { d[20] = 9 }), syscall.EUCLEAN, "type 9"},
		{"extent encryption", true, item(108, func(d []byte) { d[17] = 1 }), syscall.EOPNOTSUPP, "encryption"},
		{"extent compression", true, item(108, func(d []byte) { d[16] = 9 }), syscall.EOPNOTSUPP, "compression 9"},
		{"checksums", true, func(b []byte) bool {
			if !leaf(7)(b) {
				return false
			}
			for i := len(b) - 2000; i < len(b); i++ {
				b[i] ^= 0x77
			}
			return true
		}, syscall.EBADMSG, "btrfs data"},
		{"chunk stripes", true, func(b []byte) bool {
			if !leaf(3)(b) {
				return false
			}
			h := b[101+25:]
			b[101+binary.LittleEndian.Uint32(h[17:])+45] = 0xff
			return true
		}, syscall.EUCLEAN, "btrfs chunk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range damaged(t, c.sealed, c.change) {
				if errors.Is(err, c.want) && strings.Contains(err.Error(), c.says) {
					t.Log(err)
					return
				}
				t.Log("not:", err)
			}
			t.Errorf("no error that is %v and says %q", c.want, c.says)
		})
	}
}

// patched is an image whose superblock was changed.
func patched(t testing.TB, change func(sb []byte), at ...int64) block.Device {
	t.Helper()
	img, _ := images.Btrfs(t, "few")
	o, err := block.NewOverlay(devices(t, img.Path, 1, 0)[0], 4096, 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	if at == nil {
		at = []int64{superAt, 64 << 20}
	}
	b := make([]byte, 4096)
	for _, off := range at {
		if err := block.ReadFull(t.Context(), o, b, off); err != nil {
			t.Fatal(err)
		}
		change(b)
		if _, err := o.WriteAt(t.Context(), b, off); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// TestFeatures refuses by name what is not read.
func TestFeatures(t *testing.T) {
	for bit, name := range map[int]string{12: "zoned", 13: "extent_tree_v2", 14: "raid_stripe_tree", 17: "remap_tree", 40: "incompat_40"} {
		dev := patched(t, func(sb []byte) { sb[188+bit/8] |= 1 << (bit % 8); seal(sb) })
		_, err := openOn(t.Context(), dev)
		if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), name) {
			t.Errorf("bit %d: %v, expected %q", bit, err, name)
		}
		if info, err := btrfs.Driver().Probe(t.Context(), dev); err != nil || !slices.Contains(info.Features, name) {
			t.Errorf("bit %d: probe %+v, %v", bit, info, err)
		}
	}
	for typ, name := range map[byte]string{4: "checksum type 4"} {
		_, err := openOn(t.Context(), patched(t, func(sb []byte) { sb[196] = typ; seal(sb) }))
		if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, expected %q", err, name)
		}
	}
	// A feature that only a writer must know.
	if _, err := openOn(t.Context(), patched(t, func(sb []byte) { sb[187] = 0x80; seal(sb) })); err != nil {
		t.Errorf("an unknown compat_ro bit: %v", err)
	}
	img, _ := images.Btrfs(t, "few")
	if _, err := btrfs.Driver().Open(t.Context(), devices(t, img.Path, 1, 0), vfs.Options{Writable: true}); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("writing: %v", err)
	}
}

// TestSuperCopies reads the copy where the first superblock is damaged.
func TestSuperCopies(t *testing.T) {
	if _, err := openOn(t.Context(), patched(t, func(sb []byte) { sb[100] ^= 1 }, superAt)); err != nil {
		t.Errorf("with a good copy: %v", err)
	}
	_, err := openOn(t.Context(), patched(t, func(sb []byte) { sb[100] ^= 1 }))
	if !errors.Is(err, syscall.EBADMSG) || !strings.Contains(err.Error(), "superblock") {
		t.Errorf("without one: %v", err)
	}
	_, err = openOn(t.Context(), patched(t, func(sb []byte) { copy(sb[160:], []byte{0xff, 0xff, 0, 0}); seal(sb) }))
	if !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "sys_chunk_array_size") {
		t.Errorf("a wild array of chunks: %v", err)
	}
	// The root of the last transaction is gone: an older one is there.
	broken := func(sb []byte) { binary.LittleEndian.PutUint64(sb[80:], math.MaxInt64&^4095); seal(sb) }
	if _, err = openOn(t.Context(), patched(t, broken)); !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "usebackuproot") {
		t.Errorf("no root: %v", err)
	}
	dev := patched(t, broken)
	fs, err := btrfs.Driver().Open(t.Context(), []block.Device{dev}, vfs.Options{Mount: "usebackuproot"})
	if err != nil {
		t.Fatalf("with an older root: %v", err)
	}
	if root, err := fs.Inode(t.Context(), fs.Root()); err != nil || root.Attr().Nlink != 1 {
		t.Errorf("the older root: %v", err)
	}
}
