package xfs_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// A logWriter writes transactions of our own into the log of an image that the
// kernel left clean.
type logWriter struct {
	t          testing.TB
	path       string
	f          *os.File
	geo        *layout.Geometry
	off        int64 // of the log
	sectors    int64
	cycle      uint32
	head, prev int64
	size       uint32 // h_size
}

func (w *logWriter) read(off int64, n int) []byte {
	w.t.Helper()
	b := make([]byte, n)
	if _, err := w.f.ReadAt(b, off); err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *logWriter) write(off int64, b []byte) {
	w.t.Helper()
	if _, err := w.f.WriteAt(b, off); err != nil {
		w.t.Fatal(err)
	}
}

// openLog finds the last record by its LSN.
func openLog(t testing.TB, path string) *logWriter {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w := &logWriter{t: t, path: path, f: f, size: 32768}
	if w.geo, err = layout.NewGeometry(w.read(0, 512), 0); err != nil {
		t.Fatal(err)
	}
	w.off, _ = w.geo.Offset(w.geo.LogStart, uint64(w.geo.LogBlocks))
	w.sectors = int64(w.geo.LogBlocks) << w.geo.BlockLog / 512
	log := w.read(w.off, int(w.sectors*512))
	var last uint64
	for n := int64(0); n < w.sectors; n++ {
		h := log[n*512:]
		if binary.BigEndian.Uint32(h) != 0xFEEDbabe {
			continue
		}
		if lsn := binary.BigEndian.Uint64(h[16:]); lsn > last {
			last, w.prev = lsn, n
			size := binary.BigEndian.Uint32(h[320:])
			w.head = n + max(1, int64(size+32767)/32768) + int64(binary.BigEndian.Uint32(h[12:]))/512
		}
	}
	w.cycle = uint32(last >> 32)
	if w.head >= w.sectors {
		w.head -= w.sectors
		w.cycle++
	}
	return w
}

const tid = 0x1234

func op(flags byte, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, tid)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(append(b, 0x69, flags, 0, 0), data...)
}

// transaction is the operations of one with items of one region each.
func transaction(commit bool, items ...[]byte) (payload []byte, ops int) {
	header := binary.LittleEndian.AppendUint32(nil, 0x5452414e)
	header = binary.LittleEndian.AppendUint32(header, 40)
	header = binary.LittleEndian.AppendUint32(header, 0)
	header = binary.LittleEndian.AppendUint32(header, uint32(len(items)))
	payload = append(op(1, nil), op(0, header)...)
	for _, it := range items {
		payload = append(payload, op(0, it)...)
	}
	ops = 2 + len(items)
	if commit {
		payload = append(payload, op(2, nil)...)
		ops++
	}
	return payload, ops
}

// record writes a record at the head, which moves on. The tail is tail, or
// the record itself where that is 0.
func (w *logWriter) record(payload []byte, ops int, tail uint64) (at int64) {
	w.t.Helper()
	headers := max(1, (int(w.size)+32767)/32768)
	n := (len(payload) + 511) / 512
	b := make([]byte, (headers+n)*512)
	h, p := b[:headers*512], b[headers*512:]
	copy(p, payload)
	lsn := uint64(w.cycle)<<32 | uint64(w.head)
	if tail == 0 {
		tail = lsn
	}
	be := binary.BigEndian
	be.PutUint32(h[0:], 0xFEEDbabe)
	be.PutUint32(h[4:], w.cycle)
	be.PutUint32(h[8:], 2)
	be.PutUint32(h[12:], uint32(n*512))
	be.PutUint64(h[16:], lsn)
	be.PutUint64(h[24:], tail)
	be.PutUint32(h[36:], uint32(w.prev))
	be.PutUint32(h[40:], uint32(ops))
	be.PutUint32(h[300:], 1)
	copy(h[304:], w.geo.UUID[:])
	be.PutUint32(h[320:], w.size)
	for i := 1; i < headers; i++ {
		be.PutUint32(h[i*512:], w.cycle)
	}
	for i := range n {
		word := h[44+4*i:]
		if i >= 64 {
			word = h[i/64*512+4+4*(i%64):]
		}
		copy(word[:4], p[i*512:])
		be.PutUint32(p[i*512:], w.cycle)
	}
	at = w.head
	first := len(b)
	if left := int(w.sectors-w.head) * 512; left < first {
		first = left
		for i := first; i < len(b); i += 512 {
			be.PutUint32(b[i:], w.cycle+1)
		}
	}
	crc := ondisk.CRC32C(^uint32(0), h[:328])
	for i := 1; i < (n*512+32767)/32768; i++ {
		crc = ondisk.CRC32C(crc, h[i*512:i*512+260])
	}
	binary.LittleEndian.PutUint32(h[32:], ^ondisk.CRC32C(crc, p))
	w.write(w.off+w.head*512, b[:first])
	if first < len(b) {
		w.write(w.off, b[first:])
	}
	w.prev = w.head
	if w.head += int64(len(b)) / 512; w.head >= w.sectors {
		w.head -= w.sectors
		w.cycle++
	}
	return at
}

func (w *logWriter) lsn() uint64 { return uint64(w.cycle)<<32 | uint64(w.head) }

// inode is the bytes of an inode on the disk.
func (w *logWriter) inode(num uint64) layout.Inode {
	return layout.Inode(w.read(w.geo.InoOffset(num), w.geo.InodeSize))
}

// buffer is a buffer item that logs all of b, and its format and regions.
func bufferItem(blkno int64, b []byte, kind uint16, flags uint16) [][]byte {
	bits := len(b) / 128
	words := (bits + 31) / 32
	f := binary.LittleEndian.AppendUint16(nil, 0x123c)
	var regions [][]byte
	for at := 0; at < len(b) && flags&2 == 0; at += 4096 {
		regions = append(regions, b[at:min(at+4096, len(b))])
	}
	f = binary.LittleEndian.AppendUint16(f, uint16(1+len(regions)))
	f = binary.LittleEndian.AppendUint16(f, kind<<11|flags)
	f = binary.LittleEndian.AppendUint16(f, uint16(len(b)/512))
	f = binary.LittleEndian.AppendUint64(f, uint64(blkno))
	f = binary.LittleEndian.AppendUint32(f, uint32(words))
	for i := range words {
		m := uint32(0)
		for bit := range 32 {
			if i*32+bit < bits && flags&2 == 0 {
				m |= 1 << bit
			}
		}
		f = binary.LittleEndian.AppendUint32(f, m)
	}
	return append([][]byte{f}, regions...)
}

// owned logs the cluster of an inode with another owner of the file.
func (w *logWriter) owned(num uint64, uid uint32) [][]byte {
	off := w.geo.InoOffset(num)
	size := int64(w.geo.ClusterBlocks) << w.geo.BlockLog
	start := off / size * size
	b := w.read(start, int(size))
	n := layout.Inode(b[off-start : off-start+int64(w.geo.InodeSize)])
	binary.BigEndian.PutUint32(n[8:], uid)
	binary.BigEndian.PutUint64(n[112:], w.lsn())
	n.Seal()
	return bufferItem(start/512, b, 8, 0)
}

func mapIntent(id, ino uint64, x editedExtent, flags uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, 0x1244)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint32(b, 1)
	for _, v := range []uint64{id, ino, x.start, x.blk} {
		b = le.AppendUint64(b, v)
	}
	return le.AppendUint32(le.AppendUint32(b, uint32(x.len)), flags)
}

func doneItem(kind uint16, id uint64) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, kind)
	b = le.AppendUint16(b, 1)
	return le.AppendUint64(le.AppendUint32(b, 0), id)
}

type editedExtent struct{ blk, start, len uint64 }

// extent is extent i of a file with a list of them.
func (w *logWriter) extent(num uint64, i int) editedExtent {
	r := layout.BmapRecord(w.inode(num).DataFork()[i*16:])
	return editedExtent{r.Offset(), r.Start(), r.Count()}
}

// writtenImage makes an image with a few files, unmounted cleanly.
func writtenImage(t testing.TB, options ...string) (w *logWriter, inos map[string]uint64) {
	t.Helper()
	images.NeedRoot(t)
	path := makeXFS(t, 300<<20, options...)
	mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
	inos = map[string]uint64{}
	for i, name := range []string{"one", "two", "three"} {
		p := filepath.Join(mnt, name)
		if err := os.WriteFile(p, []byte(strings.Repeat(fmt.Sprintf("%s %d\n", name, i), 8000)), 0o644); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			t.Fatal(err)
		}
		inos[name] = st.Ino
	}
	images.Unmount(t, mnt)
	return openLog(t, path), inos
}

// replays compares our replay with the kernel's of a copy, and gives ours.
func (w *logWriter) replays(ignore vfstest.Field) (vfs.Info, vfstest.Tree) {
	t := w.t
	t.Helper()
	fsys := open(t, device(t, w.path))
	got := vfstest.FromVFS(t, fsys, 0)
	copied := images.Copy(t, w.path, t.TempDir())
	mnt := images.KernelMount(t, copied, 0, 0, "xfs", "")
	want := vfstest.FromDir(t, mnt, 0)
	images.Unmount(t, mnt)
	for _, line := range vfstest.Differences(got, want, ignore) {
		t.Error(line)
	}
	return fsys.Info(), got
}

func flatten(items ...[][]byte) (regions [][]byte) {
	for _, it := range items {
		regions = append(regions, it...)
	}
	return regions
}

// TestWrittenRecords writes transactions of our own and compares what becomes
// of them with the kernel.
func TestWrittenRecords(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(w *logWriter, ino uint64)
		uid   uint32
		dirty bool
	}{
		{"whole", func(w *logWriter, ino uint64) {
			p, n := transaction(true, w.owned(ino, 42)...)
			w.record(p, n, 0)
		}, 42, true},
		{"large records", func(w *logWriter, ino uint64) {
			w.size = 262144
			p, n := transaction(true, flatten(w.owned(ino, 43), w.owned(ino, 43), w.owned(ino, 43))...)
			w.record(p, n, 0)
		}, 43, true},
		{"torn", func(w *logWriter, ino uint64) {
			p, n := transaction(true, w.owned(ino, 42)...)
			at := w.record(p, n, 0)
			w.write(w.off+at*512+9000, make([]byte, 512))
		}, 0, false},
		{"half written", func(w *logWriter, ino uint64) {
			p, n := transaction(true, w.owned(ino, 42)...)
			at := w.record(p, n, 0)
			w.write(w.off+at*512+8192, make([]byte, len(p)-8192+512))
		}, 0, false},
		{"not committed", func(w *logWriter, ino uint64) {
			p, n := transaction(false, w.owned(ino, 42)...)
			w.record(p, n, 0)
		}, 0, true},
		{"over two records", func(w *logWriter, ino uint64) {
			tail := w.lsn()
			p, n := transaction(false, w.owned(ino, 44)...)
			w.record(p, n, 0)
			w.record(op(2, nil), 1, tail)
		}, 44, true},
		{"the second of two is torn", func(w *logWriter, ino uint64) {
			tail := w.lsn()
			p, n := transaction(true, w.owned(ino, 45)...)
			w.record(p, n, 0)
			p, n = transaction(true, w.owned(ino, 46)...)
			at := w.record(p, n, tail)
			w.write(w.off+at*512+2000, []byte("torn"))
		}, 45, true},
		{"the first of three was never written", func(w *logWriter, ino uint64) {
			tail := w.lsn()
			p, n := transaction(true, w.owned(ino, 47)...)
			w.record(p, n, 0)
			at := w.record(p, n, tail)
			w.write(w.off+at*512, make([]byte, 512+(len(p)+511)/512*512))
			w.record(p, n, tail)
		}, 47, true},
		{"cancelled", func(w *logWriter, ino uint64) {
			tail := w.lsn()
			it := w.owned(ino, 42)
			p, n := transaction(true, it...)
			w.record(p, n, 0)
			off := w.geo.InoOffset(ino)
			size := int64(w.geo.ClusterBlocks) << w.geo.BlockLog
			p, n = transaction(true, bufferItem(off/size*size/512, make([]byte, size), 8, 2)...)
			w.record(p, n, tail)
		}, 0, true},
		{"around the end", func(w *logWriter, ino uint64) {
			for w.sectors-w.head > 20 {
				p, n := transaction(true, bufferItem(2, w.read(1024, 512), 7, 0)...)
				if w.sectors-w.head > 400 {
					var items [][]byte
					for range 40 {
						items = append(items, bufferItem(2, w.read(1024, 512), 7, 0)...)
					}
					p, n = transaction(true, items...)
				}
				w.record(p, n, 0)
			}
			p, n := transaction(true, w.owned(ino, 48)...)
			w.record(p, n, 0)
			if w.head > w.sectors/2 {
				w.t.Fatal("the record does not go around the end")
			}
		}, 48, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, inos := writtenImage(t)
			c.write(w, inos["one"])
			info, tree := w.replays(0)
			if tree["/one"].UID != c.uid || info.Dirty != c.dirty {
				t.Errorf("the owner is %d, dirty %t, want %d, %t", tree["/one"].UID, info.Dirty, c.uid, c.dirty)
			}
		})
	}
}

// TestWrittenIntents leaves intents in the log that the kernel finishes.
func TestWrittenIntents(t *testing.T) {
	const doMap, doUnmap = 1, 2
	t.Run("unmap", func(t *testing.T) {
		w, inos := writtenImage(t)
		x := w.extent(inos["one"], 0)
		p, n := transaction(true, mapIntent(7, inos["one"], editedExtent{x.blk + 2, x.start + 2, 3}, doUnmap))
		w.record(p, n, 0)
		_, tree := w.replays(0)
		if tree["/one"].Blocks == 0 {
			t.Error("no blocks are left")
		}
	})
	t.Run("unmap and map elsewhere", func(t *testing.T) {
		w, inos := writtenImage(t)
		x := w.extent(inos["two"], 0)
		moved := editedExtent{x.blk + 4, x.start + 4, 2}
		p, n := transaction(true, mapIntent(6, inos["two"], editedExtent{x.blk + 8, x.start + 8, 2}, doUnmap), mapIntent(7, inos["two"], moved, doUnmap),
			mapIntent(8, inos["two"], editedExtent{x.blk + 8, moved.start, 2}, doMap))
		w.record(p, n, 0)
		w.replays(0)
	})
	t.Run("unwritten", func(t *testing.T) {
		w, inos := writtenImage(t)
		x := w.extent(inos["two"], 0)
		moved := editedExtent{x.blk + 1, x.start + 1, 1}
		p, n := transaction(true, mapIntent(7, inos["two"], moved, doUnmap), mapIntent(8, inos["two"], moved, doMap|1<<30))
		w.record(p, n, 0)
		w.replays(0)
	})
	t.Run("done", func(t *testing.T) {
		w, inos := writtenImage(t)
		tail := w.lsn()
		x := w.extent(inos["one"], 0)
		p, n := transaction(true, mapIntent(7, inos["one"], x, doUnmap))
		w.record(p, n, 0)
		p, n = transaction(true, doneItem(0x1245, 7))
		w.record(p, n, tail)
		_, tree := w.replays(0)
		if tree["/one"].Blocks == 0 {
			t.Error("an intent that was done was done again")
		}
	})
	for _, flags := range []uint64{0, 2, 2 | 4} {
		t.Run(fmt.Sprintf("exchange %#x", flags), func(t *testing.T) {
			w, inos := writtenImage(t)
			// The feature exchange.
			sb := w.read(0, 512)
			binary.BigEndian.PutUint32(sb[216:], binary.BigEndian.Uint32(sb[216:])|layout.IncompatExchange)
			layout.NewHeaders().Of(sb).SealSum(sb)
			w.write(0, sb)
			one, two := w.inode(inos["one"]), w.inode(inos["two"])
			le := binary.LittleEndian
			b := le.AppendUint16(nil, 0x1248)
			b = le.AppendUint32(le.AppendUint16(b, 1), 0)
			for _, v := range []uint64{9, inos["one"], inos["two"]} {
				b = le.AppendUint64(b, v)
			}
			b = le.AppendUint32(le.AppendUint32(b, one.Generation()), two.Generation())
			blocks, from := uint64(5), uint64(2)
			if flags&2 != 0 {
				blocks, from = max(w.extent(inos["one"], 0).len, w.extent(inos["two"], 0).len), 0
			}
			for _, v := range []uint64{from, from, blocks, flags, two.Size(), one.Size()} {
				b = le.AppendUint64(b, v)
			}
			p, n := transaction(true, b)
			w.record(p, n, 0)
			info, _ := w.replays(vfstest.Ctime)
			if !info.Replayed {
				t.Error("nothing was replayed")
			}
		})
	}
}

// TestATTRI shows that an attribute that was to be changed is as it was.
func TestATTRI(t *testing.T) {
	w, inos := writtenImage(t)
	le := binary.LittleEndian
	b := le.AppendUint16(nil, 0x1246)
	b = le.AppendUint32(le.AppendUint16(b, 3), 0)
	b = le.AppendUint64(le.AppendUint64(b, 5), inos["one"])
	for _, v := range []uint32{1, 8, 4, 0} {
		b = le.AppendUint32(b, v)
	}
	p, n := transaction(true, b, []byte("newattr\x00"), []byte("new!"))
	w.record(p, n, 0)
	fsys := open(t, device(t, w.path))
	tree := vfstest.FromVFS(t, fsys, 0)
	if len(tree["/one"].Xattrs) != 0 || tree["/one"].Mode&syscall.S_IFMT != syscall.S_IFREG {
		t.Errorf("%+v", tree["/one"])
	}
}

// TestBigEndian replays what a machine of the other byte order left, which
// Linux refuses here.
func TestBigEndian(t *testing.T) {
	w, inos := writtenImage(t)
	ino := inos["one"]
	be := binary.BigEndian
	n := w.inode(ino)
	be.PutUint32(n[8:], 77) // di_uid
	off := w.geo.InoOffset(ino)
	size := int64(w.geo.ClusterBlocks) << w.geo.BlockLog
	f := be.AppendUint16(nil, 0x123b)
	f = be.AppendUint16(f, 2)
	f = be.AppendUint32(f, 1) // the fields alone
	f = be.AppendUint64(f, 0)
	f = be.AppendUint64(f, ino)
	f = append(f, make([]byte, 16)...)
	f = be.AppendUint64(f, uint64(off/size*size/512))
	f = be.AppendUint32(f, uint32(size/512))
	f = be.AppendUint32(f, uint32(off%size))
	header := be.AppendUint32(be.AppendUint32(be.AppendUint32(be.AppendUint32(nil, 0x5452414e), 40), 0), 1)
	payload := slices.Concat(op(1, nil), op(0, header), op(0, f), op(0, n[:layout.InodeHeader3]), op(2, nil))
	at := w.record(payload, 5, 0)
	// The format, and the checksum with it.
	b := w.read(w.off+at*512, 512+(len(payload)+511)/512*512)
	be.PutUint32(b[300:], 2)
	clear(b[32:36])
	binary.LittleEndian.PutUint32(b[32:], ^ondisk.CRC32C(ondisk.CRC32C(^uint32(0), b[:328]), b[512:]))
	w.write(w.off+at*512, b)
	f1 := walkTo(t, open(t, device(t, w.path)), "one")
	want := w.inode(ino)
	if a := f1.Attr(); a.UID != 77 || a.Size != int64(want.Size()) || a.Mode != uint32(want.Mode()) || a.Mtime.Sec < 1e9 {
		t.Errorf("%+v", a)
	}
}

// TestHiddenAttributes shows neither parent pointers nor attributes that were
// not completed.
func TestHiddenAttributes(t *testing.T) {
	images.NeedRoot(t)
	images.NeedTool(t, "setfattr")
	path := makeXFS(t, 300<<20)
	mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
	inos := map[string]uint64{}
	for _, name := range []string{"shown", "parent", "incomplete"} {
		p := filepath.Join(mnt, name)
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "setfattr", "-n", "user.x", "-v", "y", p)
		var st unix.Stat_t
		if err := unix.Stat(p, &st); err != nil {
			t.Fatal(err)
		}
		inos[name] = st.Ino
	}
	images.Unmount(t, mnt)
	w := openLog(t, path)
	for name, flag := range map[string]byte{"parent": layout.AttrParent, "incomplete": layout.AttrIncomplete} {
		n := w.inode(inos[name])
		n.AttrFork()[layout.ShortAttrsHeader+2] |= flag
		n.Seal()
		w.write(w.geo.InoOffset(inos[name]), n)
	}
	fsys := open(t, device(t, path))
	for name, want := range map[string]int{"shown": 1, "parent": 0, "incomplete": 0} {
		got := 0
		for _, err := range walkTo(t, fsys, name).Xattrs(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != want {
			t.Errorf("%s has %d attributes, want %d", name, got, want)
		}
	}
}
