package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// raw is the request handlers without a kernel.
func raw(t testing.TB, fs vfs.FileSystem, opt Options) *fileSystem {
	t.Helper()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	m := newFileSystem(namespace(t, fs, nil), "/mnt", opt.withDefaults())
	t.Cleanup(m.stop)
	return m
}

func (m *fileSystem) lookup(t testing.TB, dir uint64, name string) uint64 {
	t.Helper()
	var out fuse.EntryOut
	if st := m.Lookup(nil, &fuse.InHeader{NodeId: dir}, name, &out); !st.Ok() || out.NodeId == 0 {
		t.Fatalf("lookup %q: %v, node %d", name, st, out.NodeId)
	}
	return out.NodeId
}

type listed struct {
	fuse.DirEntry
	entry fuse.EntryOut
}

// readDirPlus is one request.
func (m *fileSystem) readDirPlus(t testing.TB, dir, off uint64, size int) []listed {
	t.Helper()
	buf := make([]byte, size)
	out := fuse.NewDirEntryList(buf, off)
	if st := m.ReadDirPlus(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Offset: off, Size: uint32(size)}, out); !st.Ok() {
		t.Fatalf("readdirplus at %d: %v", off, st)
	}
	entries, outs, err := fuse.ParseDirLookupEntries(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var list []listed
	for i := range entries {
		list = append(list, listed{entries[i], outs[i]})
	}
	return list
}

// readDir lists by plain READDIR from an offset on.
func (m *fileSystem) readDir(t testing.TB, dir, off uint64, size int) []fuse.DirEntry {
	t.Helper()
	var all []fuse.DirEntry
	for {
		out := fuse.NewDirEntryList(make([]byte, size), off)
		if st := m.ReadDir(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Offset: off, Size: uint32(size)}, out); !st.Ok() {
			t.Fatalf("readdir at %d: %v", off, st)
		}
		entries, err := fuse.ParseDirEntries(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return all
		}
		all = append(all, entries...)
		off = entries[len(entries)-1].Off
	}
}

// shuffled is a directory whose entries come in no order, some of them the same file.
func shuffled(n int) *vfstest.Memory {
	fs := vfstest.NewMemory()
	r := rand.New(rand.NewPCG(1, 2))
	fs.Dir("/d")
	for i := range n {
		fs.Add(fmt.Sprintf("/files/%d", i), vfstest.Spec{})
	}
	for _, i := range r.Perm(n) {
		fs.Link(fmt.Sprintf("/files/%d", i), fmt.Sprintf("/d/name-%d", i))
		if i%100 == 0 {
			fs.Link(fmt.Sprintf("/files/%d", i), fmt.Sprintf("/d/again-%d", i))
		}
	}
	return fs
}

// TestOffsets takes a listing up again at every offset, while what is kept of it is thrown away.
func TestOffsets(t *testing.T) {
	for _, size := range []int{windowSize, 300, 7} {
		m := raw(t, shuffled(1000), Options{})
		m.dirs.size = size
		dir := m.lookup(t, fuse.FUSE_ROOT_ID, "d")
		all := m.readDir(t, dir, 0, 4096)
		if len(all) != 1012 || all[0].Name != "." || all[1].Name != ".." {
			t.Fatalf("windows of %d: %d entries", size, len(all))
		}
		names := map[string]bool{}
		for i, e := range all {
			names[e.Name] = true
			if e.Off != uint64(i+1) {
				t.Fatalf("entry %d has the offset %d", i, e.Off)
			}
			if i > 2 && size >= 1012 && all[i-1].Ino > e.Ino {
				t.Fatalf("%q comes after a higher inode number", e.Name)
			}
		}
		if len(names) != len(all) {
			t.Errorf("windows of %d: %d names in %d entries", size, len(names), len(all))
		}
		for _, keep := range []int64{0, 64 << 10} {
			m.dirs.windows = block.NewCache[windowKey, *window](keep)
			m.dirs.cursors = block.NewCache[windowKey, vfs.Cursor](keep)
			r := rand.New(rand.NewPCG(3, 4))
			for range 200 {
				off := r.IntN(len(all) + 1)
				got := m.readDirPlus(t, dir, uint64(off), 700)
				if off == len(all) && len(got) == 0 {
					continue
				}
				if len(got) == 0 {
					t.Fatalf("nothing at offset %d", off)
				}
				for i, e := range got {
					if e.DirEntry != all[off+i] {
						t.Fatalf("at offset %d: %v, want %v", off+i, e.DirEntry, all[off+i])
					}
				}
			}
		}
		for _, off := range []uint64{1012, 1013, 1 << 20, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
			if got := m.readDirPlus(t, dir, off, 4096); len(got) != 0 {
				t.Errorf("windows of %d: %d entries at offset %d, past the end", size, len(got), off)
			}
		}
	}
}

// TestBulk reads the inodes of a directory at once, in order, before the first reply.
func TestBulk(t *testing.T) {
	fs := &watched{FileSystem: shuffled(2500)}
	m := raw(t, fs, Options{})
	dir := m.lookup(t, fuse.FUSE_ROOT_ID, "d")
	list := m.readDirPlus(t, dir, 0, 32<<10)
	if fs.prefetches != 1 || len(fs.prefetched) != 2525 || fs.listed != 1 {
		t.Errorf("%d prefetches, the last of %d inodes, %d listings", fs.prefetches, len(fs.prefetched), fs.listed)
	}
	if !slices.IsSortedFunc(fs.prefetched, func(a, b vfs.Ino) int { return int(a.Num) - int(b.Num) }) {
		t.Error("inodes are not read in order")
	}
	for len(list) > 0 {
		list = m.readDirPlus(t, dir, list[len(list)-1].Off, 32<<10)
	}
	if fs.prefetches != 1 || fs.listed != 1 {
		t.Errorf("in the end %d prefetches, %d listings", fs.prefetches, fs.listed)
	}
}

// TestEntries gives with each name what a lookup gives.
func TestEntries(t *testing.T) {
	m := raw(t, sample(), Options{})
	for _, e := range m.readDirPlus(t, fuse.FUSE_ROOT_ID, 0, 32<<10)[2:] {
		var out fuse.EntryOut
		if st := m.Lookup(nil, &fuse.InHeader{NodeId: fuse.FUSE_ROOT_ID}, e.Name, &out); !st.Ok() || out != e.entry {
			t.Errorf("%q: %+v, looked up %+v, %v", e.Name, e.entry, out, st)
		}
		if e.Ino != e.entry.Ino || e.entry.Generation == 0 || e.entry.EntryValid != uint64(day/time.Second) || e.Mode != e.entry.Mode&syscall.S_IFMT {
			t.Errorf("%q: %+v", e.Name, e)
		}
	}
	dots := m.readDirPlus(t, m.lookup(t, m.lookup(t, fuse.FUSE_ROOT_ID, "deep"), "d"), 0, 4096)
	if want := m.readDirPlus(t, m.lookup(t, fuse.FUSE_ROOT_ID, "deep"), 0, 4096)[0].Ino; dots[1].Ino != want || dots[0].entry.NodeId != 0 {
		t.Errorf(".. has the number %d, want %d", dots[1].Ino, want)
	}
}

// TestDamagedDirectory lists what can be read and then says that there is more.
func TestDamagedDirectory(t *testing.T) {
	fs := vfstest.NewMemory()
	damage := &ondisk.CorruptError{Struct: "directory block", Detail: "bad rec_len"}
	fs.Dir("/ok")
	fs.Entry("/", "bad", vfstest.Spec{Mode: syscall.S_IFDIR | 0o755, ListErr: damage})
	for i := range 10 {
		fs.Add(fmt.Sprintf("/bad/%d", i), vfstest.Spec{})
	}
	fs.Add("/bad/lost", vfstest.Spec{Err: damage})
	var log strings.Builder
	m := raw(t, fs, Options{Log: textLog(&log)})
	dir := m.lookup(t, fuse.FUSE_ROOT_ID, "bad")
	list := m.readDirPlus(t, dir, 0, 32<<10)
	if len(list) != 13 {
		t.Fatalf("%d entries", len(list))
	}
	for _, e := range list[2:] {
		if (e.entry.NodeId == 0) != (e.Name == "lost") {
			t.Errorf("%q: %+v", e.Name, e.entry)
		}
	}
	for range 3 {
		out := fuse.NewDirEntryList(make([]byte, 4096), 13)
		if st := m.ReadDirPlus(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Offset: 13}, out); st != fuse.Status(syscall.EUCLEAN) {
			t.Errorf("after the last entry: %v", st)
		}
	}
	if got := log.String(); strings.Count(got, "bad rec_len") != 1 || !strings.Contains(got, "sda1") {
		t.Errorf("the log: %s", got)
	}
}

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0}, {syscall.ENOENT, syscall.ENOENT}, {fmt.Errorf("open: %w", syscall.EROFS), syscall.EROFS},
		{&ondisk.CorruptError{Struct: "x"}, syscall.EUCLEAN}, {&ondisk.UnsupportedError{What: "x"}, syscall.EOPNOTSUPP},
		{&vfs.OpError{Err: &ondisk.CorruptError{Struct: "x"}}, syscall.EUCLEAN},
		{errors.New("what"), syscall.EIO}, {context.Canceled, syscall.EINTR}, {context.DeadlineExceeded, syscall.ETIMEDOUT},
		{syscall.ENOSYS, syscall.EOPNOTSUPP}, {syscall.Errno(0), syscall.EIO}, {syscall.Errno(512), syscall.EIO}, {syscall.Errno(524), syscall.EIO},
	} {
		m := raw(t, vfstest.NewMemory(), Options{})
		if got := m.status(c.err); got != fuse.Status(c.want) {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestFaultLog(t *testing.T) {
	var log strings.Builder
	l := newFaultLog(textLog(&log))
	for i := range 3 * maxFaults {
		l.log(fmt.Sprintf("fault %d", i%(2*maxFaults)))
	}
	if n := strings.Count(log.String(), "\n"); n != maxFaults+1 {
		t.Errorf("%d lines, want %d", n, maxFaults+1)
	}
}

func TestReadErrors(t *testing.T) {
	fs := vfstest.NewMemory()
	fs.Add("/half", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Mapped, Data: pattern("good", 8192)}, {Data: pattern("bad", 8192), Err: syscall.EIO}}})
	m := raw(t, fs, Options{})
	id := m.lookup(t, fuse.FUSE_ROOT_ID, "half")
	buf := make([]byte, 16384)
	read := func(off uint64, n uint32) (fuse.ReadResult, fuse.Status) {
		return m.Read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: id}, Offset: off, Size: n}, buf[:n])
	}
	if _, st := read(0, 16384); st != fuse.EIO {
		t.Errorf("a request with a bad half: %v; a short answer would be the end of the file", st)
	}
	if r, st := read(4096, 4096); !st.Ok() || r.Size() != 4096 || string(buf[:4096]) != pattern("good", 8192)[4096:] {
		t.Errorf("the good half: %v", st)
	}
	for _, off := range []uint64{16384, 1 << 40, 1 << 63, 1<<64 - 1} {
		if r, st := read(off, 4096); !st.Ok() || r.Size() != 0 {
			t.Errorf("at %d: %v", off, st)
		}
	}
	if _, st := m.Read(nil, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: 99999}, Size: 1}, buf); st != fuse.Status(syscall.ENOENT) {
		t.Errorf("no such node: %v", st)
	}
}

func TestXattrSizes(t *testing.T) {
	fs := vfstest.NewMemory()
	many := map[string]string{}
	for i := range 700 {
		many[fmt.Sprintf("user.%0100d", i)] = ""
	}
	fs.Add("/many", vfstest.Spec{Xattrs: many})
	fs.Add("/large", vfstest.Spec{Xattrs: map[string]string{"user.stream": strings.Repeat("x", 64<<10+1)}})
	fs.Add("/trusted", vfstest.Spec{Xattrs: map[string]string{"trusted.a": "1", "user.b": "2"}})
	m := raw(t, fs, Options{})
	in := func(name string, uid uint32) *fuse.InHeader {
		return &fuse.InHeader{NodeId: m.lookup(t, fuse.FUSE_ROOT_ID, name), Caller: fuse.Caller{Owner: fuse.Owner{Uid: uid}}}
	}
	buf := make([]byte, 64<<10)
	if _, st := m.ListXAttr(nil, in("many", 0), buf); st != fuse.Status(syscall.E2BIG) {
		t.Errorf("a list of 75,000 bytes: %v", st)
	}
	if _, st := m.GetXAttr(nil, in("large", 0), "user.stream", nil); st != fuse.Status(syscall.E2BIG) {
		t.Errorf("a value above 64 KiB: %v", st)
	}
	for uid, want := range map[uint32]string{0: "trusted.a\x00user.b\x00", 1000: "user.b\x00"} {
		if n, st := m.ListXAttr(nil, in("trusted", uid), buf); !st.Ok() || string(buf[:n]) != want {
			t.Errorf("user %d sees %q, %v", uid, buf[:n], st)
		}
	}
}

// TestScout has the next directories of a walk read before they are listed, and none where nobody walks.
func TestScout(t *testing.T) {
	fs := vfstest.NewMemory()
	for i := range 30 {
		fs.Add(fmt.Sprintf("/a/%02d/deep/file", i), vfstest.Text("x"))
	}
	m := raw(t, fs, Options{NoPush: true})
	m.start(nil)
	ready := func(id uint64) bool {
		for range 300 {
			if _, ok := m.dirs.windows.Peek(windowKey{id, 0}); ok {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	}
	a := m.readDirPlus(t, fuse.FUSE_ROOT_ID, 0, 4096)[2].entry.NodeId
	list := m.readDirPlus(t, a, 0, 32<<10)[2:]
	if len(list) != 30 {
		t.Fatalf("%d entries", len(list))
	}
	for i, want := range map[int]bool{0: true, scoutAhead - 1: true, scoutAhead: false} {
		if _, ok := m.dirs.windows.Peek(windowKey{list[i].entry.NodeId, 0}); ok != want && !(want && ready(list[i].entry.NodeId)) {
			t.Errorf("after /a, directory %d is read: %v", i, ok)
		}
	}
	m.readDirPlus(t, list[5].entry.NodeId, 0, 4096)
	if id := list[5+scoutAhead].entry.NodeId; !ready(id) {
		t.Errorf("after /a/05, the directories beside it are not read")
	}
	deep := m.lookup(t, list[5].entry.NodeId, "deep")
	if !ready(deep) {
		t.Error("after /a/05, what is below it is not read")
	}
}

// FuzzRequests sends whatever a kernel could to the handlers: none may panic, hang or answer what the kernel drops.
func FuzzRequests(f *testing.F) {
	fs, _ := small(50)
	m := raw(f, fs, Options{})
	m.start(&keeper{kept: map[uint64]string{}, known: func(uint64) bool { return false }})
	f.Add(uint8(0), uint64(1), uint64(0), uint32(4096), "d")
	f.Add(uint8(3), uint64(1)<<63, ^uint64(0), ^uint32(0), "..")
	f.Fuzz(func(t *testing.T, op uint8, id, off uint64, size uint32, name string) {
		in := fuse.InHeader{NodeId: id}
		buf := make([]byte, min(size, 1<<20))
		var st fuse.Status
		switch op % 10 {
		case 0:
			st = m.Lookup(nil, &in, name, &fuse.EntryOut{})
		case 1:
			st = m.GetAttr(nil, &fuse.GetAttrIn{InHeader: in}, &fuse.AttrOut{})
		case 2:
			st = m.Statx(nil, &fuse.StatxIn{InHeader: in}, &fuse.StatxOut{})
		case 3:
			_, st = m.Read(nil, &fuse.ReadIn{InHeader: in, Offset: off, Size: size}, buf)
		case 4:
			st = m.ReadDir(nil, &fuse.ReadIn{InHeader: in, Offset: off, Size: size}, fuse.NewDirEntryList(buf, off))
		case 5:
			st = m.ReadDirPlus(nil, &fuse.ReadIn{InHeader: in, Offset: off, Size: size}, fuse.NewDirEntryList(buf, off))
		case 6:
			st = m.Lseek(nil, &fuse.LseekIn{InHeader: in, Offset: off, Whence: size}, &fuse.LseekOut{})
		case 7:
			_, st = m.GetXAttr(nil, &in, name, buf)
		case 8:
			_, st = m.Readlink(nil, &in)
		case 9:
			st = m.StatFs(nil, &in, &fuse.StatfsOut{})
		}
		if st < 0 || st > maxErrno || st == fuse.ENOSYS {
			t.Errorf("operation %d: status %d", op%10, st)
		}
	})
}
