package xfs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/filesystems/xfs"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// metadata remembers which blocks were read.
type metadata struct {
	block.Device
	mu     sync.Mutex // guards blocks
	blocks map[int64]bool
}

func (m *metadata) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	m.mu.Lock()
	for at := off &^ 4095; at < off+int64(len(p)); at += 4096 {
		m.blocks[at] = true
	}
	m.mu.Unlock()
	return m.Device.ReadAt(ctx, p, off)
}

// Locate hides the data, so that only metadata is read.
func (m *metadata) Locate(_ context.Context, _, n int64) (block.Run, error) {
	return block.Run{Kind: block.Zero, Len: n}, nil
}

// walk reads a filesystem whole, within bounds.
func walk(ctx context.Context, fs vfs.FileSystem, ino vfs.Ino, depth int, budget *int) {
	f, err := fs.Inode(ctx, ino)
	if *budget--; err != nil || *budget < 0 || depth > 8 {
		return
	}
	f.Readlink(ctx)
	for x, err := range f.Xattrs(ctx) {
		if *budget--; err != nil || *budget < 0 {
			break
		}
		x.Read(ctx)
	}
	buf := make([]byte, 4096)
	for off := int64(0); off < min(f.Attr().Size, 16<<10); off += int64(len(buf)) {
		if _, err := vfs.ReadAt(ctx, f, buf, off); err != nil {
			break
		}
	}
	n := 0
	for e, err := range f.Entries(ctx, vfs.Cursor{}) {
		if err != nil || *budget < 0 {
			return
		}
		if n++; n%16 == 1 {
			f.Lookup(ctx, e.Name)
			f.Lookup(ctx, e.Name+"x")
		}
		walk(ctx, fs, e.Ino, depth+1, budget)
	}
}

// metadataBlocks lists the blocks of 4 KiB that hold metadata of an image.
func metadataBlocks(t testing.TB, dev block.Device, opt vfs.Options) []int64 {
	t.Helper()
	m := &metadata{Device: dev, blocks: map[int64]bool{}}
	ctx := context.Background()
	fs, err := xfs.Driver().Open(ctx, []block.Device{m}, opt)
	if err != nil {
		t.Fatal(err)
	}
	budget := 5000
	walk(ctx, fs, fs.Root(), 0, &budget)
	fs.Usage(ctx)
	var all []int64
	for off := range m.blocks {
		all = append(all, off)
	}
	slices.Sort(all)
	return all
}

// seal makes the checksums of a block of metadata right again, so that what
// lies behind them is reached. Headers of a group have a sector each.
func seal(headers *layout.Headers, b []byte) {
	if binary.BigEndian.Uint16(b) == layout.InodeMagic {
		for at := 0; at+512 <= len(b); at += 512 {
			if n := layout.Inode(b[at : at+512]); n.Magic() == layout.InodeMagic && n.Version() == 3 {
				n.Seal()
			}
		}
		return
	}
	h := headers.Of(b)
	if h != nil && h.Name != "superblock" {
		h.SealSum(b)
		return
	}
	for at := 0; at+512 <= len(b); at += 512 {
		if h := headers.Of(b[at : at+512]); h != nil {
			h.SealSum(b[at : at+512])
		}
	}
}

// FuzzVolume changes bytes in the metadata of whole filesystems that mkfs.xfs
// and the kernel wrote, makes the checksums right, then opens and walks them.
// An input is a list of changes, five bytes each: which block, where in it, and
// the new value.
func FuzzVolume(f *testing.F) {
	opt := vfs.Options{NoRecovery: true}
	headers := layout.NewHeaders()
	var bases []block.Device
	var blocks [][]int64
	for _, name := range []string{"few", "v4-few"} {
		dev := device(f, images.XFS(f, name).Path)
		bases = append(bases, dev)
		blocks = append(blocks, metadataBlocks(f, dev, opt))
	}
	for i := range 120 {
		f.Add(uint8(i), []byte{0, byte(i), 0, byte(i * 3), byte(i * 7)})
		f.Add(uint8(i), []byte{0, byte(i * 5), 0, 82, 0xff, 0, byte(i), 0, 57, 0xff})
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		base, list := bases[int(which)%len(bases)], blocks[int(which)%len(bases)]
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		o, err := block.NewOverlay(base, 512, 16<<20)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for n := 0; len(edits) >= 5 && n < 32; n, edits = n+1, edits[5:] {
			off := list[int(binary.BigEndian.Uint16(edits))%len(list)]
			if err := block.ReadFull(ctx, o, b, off); err != nil {
				t.Fatal(err)
			}
			b[int(binary.BigEndian.Uint16(edits[2:]))%len(b)] = edits[4]
			if which%2 == 0 {
				seal(headers, b)
			}
			if _, err := o.WriteAt(ctx, b, off); err != nil {
				t.Fatal(err)
			}
		}
		fs, err := xfs.Driver().Open(ctx, []block.Device{o}, opt)
		if err != nil {
			return
		}
		budget := 1500
		walk(ctx, fs, fs.Root(), 0, &budget)
		if u, err := fs.Usage(ctx); err == nil && (u.Free > u.Blocks || u.FilesFree > u.Files) {
			t.Errorf("%+v", u)
		}
		if ctx.Err() != nil {
			t.Error("it took too long")
		}
	})
}

// FuzzLog changes bytes of the records that the kernel left in a dirty log,
// makes their checksums right, and replays it.
func FuzzLog(f *testing.F) {
	path := dirtyImage(f, 5, 60, true, false)
	dev := device(f, path)
	w := openLog(f, path)
	type record struct {
		at, headers, size int64 // bytes of the log
	}
	var records []record
	log := w.read(w.off, int(w.sectors*512))
	for n := int64(0); n < w.sectors; n++ {
		if h := log[n*512:]; binary.BigEndian.Uint32(h) == 0xFEEDbabe {
			r := record{n * 512, max(1, int64(binary.BigEndian.Uint32(h[320:])+32767)/32768) * 512, int64(binary.BigEndian.Uint32(h[12:]))}
			if r.at+r.headers+r.size <= int64(len(log)) {
				records = append(records, r)
			}
		}
	}
	for i := range 200 {
		f.Add([]byte{byte(i), 2, byte(i * 11), byte(i), 0xff, byte(i), 0, 12, byte(i * 3), 3})
		f.Add([]byte{byte(i), 2, byte(i * 4), byte(i * 7), byte(i)})
	}
	f.Fuzz(func(t *testing.T, edits []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		o, err := block.NewOverlay(dev, 512, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; len(edits) >= 5 && n < 16; n, edits = n+1, edits[5:] {
			r := records[int(edits[0])%len(records)]
			b := make([]byte, r.headers+r.size)
			if err := block.ReadFull(ctx, o, b, w.off+r.at); err != nil {
				t.Fatal(err)
			}
			b[(int(edits[1])<<16|int(edits[2])<<8|int(edits[3]))%len(b)] = edits[4]
			clear(b[32:36])
			crc := ondisk.CRC32C(^uint32(0), b[:328])
			for i := int64(1); i < (r.size+32767)/32768 && i*512+260 < r.headers; i++ {
				crc = ondisk.CRC32C(crc, b[i*512:i*512+260])
			}
			binary.LittleEndian.PutUint32(b[32:], ^ondisk.CRC32C(crc, b[r.headers:]))
			if _, err := o.WriteAt(ctx, b, w.off+r.at); err != nil {
				t.Fatal(err)
			}
		}
		fs, err := xfs.Driver().Open(ctx, []block.Device{o}, vfs.Options{})
		if ctx.Err() != nil {
			t.Fatal("it took too long")
		}
		if err != nil {
			return
		}
		budget := 300
		walk(ctx, fs, fs.Root(), 0, &budget)
	})
}

// damaged changes bytes of an image and gives what the change leads to.
func damaged(t *testing.T, name string, sealed bool, change func(b []byte) bool) (seen []error) {
	t.Helper()
	ctx := context.Background()
	dev := device(t, images.XFS(t, name).Path)
	headers := layout.NewHeaders()
	o, err := block.NewOverlay(dev, 512, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, changed := make([]byte, 4096), 0
	for _, off := range metadataBlocks(t, dev, vfs.Options{NoRecovery: true}) {
		if err := block.ReadFull(ctx, dev, b, off); err != nil {
			t.Fatal(err)
		}
		if !change(b) {
			continue
		}
		changed++
		if sealed {
			seal(headers, b)
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
	var visit func(ino vfs.Ino, depth int)
	visit = func(ino vfs.Ino, depth int) {
		f, err := fs.Inode(ctx, ino)
		if err != nil {
			seen = append(seen, err)
			return
		}
		if _, err := f.Readlink(ctx); err != nil && err != syscall.EINVAL {
			seen = append(seen, err)
		}
		for x, err := range f.Xattrs(ctx) {
			if err == nil {
				_, err = x.Read(ctx)
			}
			if err != nil {
				seen = append(seen, err)
				break
			}
		}
		for e, err := range f.Entries(ctx, vfs.Cursor{}) {
			if err != nil {
				if err != syscall.ENOTDIR {
					seen = append(seen, err)
				}
				break
			}
			if _, err := f.Lookup(ctx, e.Name); err != nil {
				seen = append(seen, err)
			}
			if depth < 6 {
				visit(e.Ino, depth+1)
			}
		}
	}
	visit(fs.Root(), 0)
	return seen
}

// TestDamage damages one kind of structure at a time: the error must be about
// it, and of the right kind.
func TestDamage(t *testing.T) {
	is := func(magic uint32) func(b []byte) bool {
		return func(b []byte) bool { return binary.BigEndian.Uint32(b) == magic }
	}
	da := func(magic uint16) func(b []byte) bool {
		return func(b []byte) bool { return binary.BigEndian.Uint16(b[8:]) == magic }
	}
	for _, c := range []struct {
		name   string
		image  string
		sealed bool
		block  func(b []byte) bool
		at     int
		value  []byte
		want   error
		says   string
	}{
		{"checksum of a directory block", "few", false, is(layout.DirDataMagicCRC), 300, []byte{0xff, 0xff}, syscall.EBADMSG, "directory data block"},
		{"owner of a directory block", "few", true, is(layout.DirDataMagicCRC), 46, []byte{0x77, 0x77}, syscall.EUCLEAN, "it belongs to"},
		{"address of a directory block", "few", true, is(layout.DirBlockMagicCRC), 8, []byte{1}, syscall.EUCLEAN, "it says that it is at sector"},
		{"UUID of a directory block", "few", true, is(layout.DirBlockMagicCRC), 24, []byte{1, 2, 3}, syscall.EUCLEAN, "it belongs to the filesystem"},
		{"name in a directory block", "few", true, is(layout.DirDataMagicCRC), 64 + 8, []byte{0xff}, syscall.EUCLEAN, "directory block"},
		{"count in a leaf", "few", true, da(layout.DirLeaf1MagicCRC), 56, []byte{0xff, 0xff}, syscall.EUCLEAN, "directory index"},
		{"attribute leaf", "few", true, da(layout.AttrLeafMagicCRC), 84, []byte{0xff, 0xff}, syscall.EUCLEAN, "attribute block"},
		{"remote attribute", "few", true, is(layout.RemoteAttrMagic), 8, []byte{0xff}, syscall.EUCLEAN, "remote attribute value"},
		{"symlink", "few", true, is(layout.RemoteSymlinkMagic), 4, []byte{0xff}, syscall.EUCLEAN, "remote symlink"},
		{"inodes", "few", false, func(b []byte) bool { return binary.BigEndian.Uint16(b) == layout.InodeMagic }, 200, []byte{0xff}, syscall.EBADMSG, "xfs inode"},
		{"fork offset", "few", true, func(b []byte) bool { return binary.BigEndian.Uint16(b) == layout.InodeMagic && b[2] != 0 }, 82, []byte{0xff}, syscall.EUCLEAN, "di_forkoff"},
		{"directory block of version 4", "v4-few", false, is(layout.DirDataMagic), 16 + 8, []byte{0xff}, syscall.EUCLEAN, "directory block"},
		{"leaf of version 4", "v4-few", false, da(layout.DirLeaf1Magic), 12, []byte{0xff, 0xff}, syscall.EUCLEAN, "directory index"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := damaged(t, c.image, c.sealed, func(b []byte) bool {
				if !c.block(b) {
					return false
				}
				copy(b[c.at:], c.value)
				return true
			})
			for _, err := range seen {
				var damage *ondisk.CorruptError
				if errors.Is(err, c.want) && strings.Contains(err.Error(), c.says) && errors.As(err, &damage) && damage.Off > 0 {
					return
				}
			}
			t.Errorf("%v, want %v about %q", seen, c.want, c.says)
		})
	}
}

// TestTruncatedImage reads what is there of an image that was cut.
func TestTruncatedImage(t *testing.T) {
	dev := device(t, images.XFS(t, "few").Path)
	for _, size := range []int64{1 << 20, 100 << 20, 200 << 20} {
		part, err := block.Section(dev, 0, size)
		if err != nil {
			t.Fatal(err)
		}
		_, err = openOn(context.Background(), part)
		if err != nil && (!errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "truncated")) {
			t.Errorf("%d bytes: %v", size, err)
		}
		fs, err := xfs.Driver().Open(context.Background(), []block.Device{part}, vfs.Options{NoRecovery: true})
		if err != nil {
			t.Errorf("%d bytes without recovery: %v", size, err)
			continue
		}
		budget := 1000
		walk(context.Background(), fs, fs.Root(), 0, &budget)
	}
}
