package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// TestFindRun compares the search by words with one by bits.
func TestFindRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		b, held := make([]byte, 64), make([]byte, 64)
		for i := range b {
			if r.IntN(3) > 0 {
				b[i] = byte(r.Uint32() & r.Uint32())
			} else if r.IntN(2) == 0 {
				b[i] = 0xFF
			}
			held[i] = byte(r.Uint32() & r.Uint32() & r.Uint32())
		}
		if r.IntN(3) == 0 {
			held = nil
		}
		from, end, want := uint64(r.IntN(512)), uint64(r.IntN(513)), uint64(1+r.IntN(90))
		at, n := findRun(b, held, from, end, want)
		wantAt, wantN := uint64(0), uint64(0)
		for i := from; i < end; i++ {
			k := uint64(0)
			for k < want && i+k < end && !hasBit(b, i+k) && (held == nil || !hasBit(held, i+k)) {
				k++
			}
			if k > wantN {
				wantAt, wantN = i, k
			}
		}
		if n != wantN || n > 0 && at != wantAt {
			t.Fatalf("from %d to %d, %d: %d at %d, expected %d at %d", from, end, want, n, at, wantN, wantAt)
		}
	}
}

// TestUnusedTable: of a table that was never written, what is on the disk does
// not become inodes.
func TestUnusedTable(t *testing.T) {
	images.NeedTool(t, "mke2fs")
	path := filepath.Join(t.TempDir(), "ext4.img")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xA5}, 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-E", "nodiscard,lazy_itable_init=1", path).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := openWritten(t, blocktest.NewMemory(b), &memorySidecar{})
	for i := range 20 {
		dir := w.create(w.Root(), fmt.Sprint("dir", i), 0o40755)
		w.create(dir, "file", 0o100644)
	}
	seen := 0
	for num := w.geo.firstIno; num <= w.geo.inodes; num++ {
		raw, err := w.homeInode(t.Context(), num)
		if err != nil || raw.links() == 0 {
			continue
		}
		seen++
		// Its neighbours in the block are in use, or zeros.
		perBlock := uint32(w.geo.blockSize / w.geo.inodeSize)
		for k := (num - 1) / perBlock * perBlock; k < (num-1)/perBlock*perBlock+perBlock; k++ {
			if n, err := w.homeInode(t.Context(), k+1); err != nil {
				t.Errorf("inode %d, beside %d: %v (%x)", k+1, num, err, n)
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d inodes are in use", seen)
	}
	w.fsck()
}

// TestFreedComesBack: on a full disk what was deleted can be used at once, not
// when the next commit happens to come.
func TestFreedComesBack(t *testing.T) {
	ctx := context.Background()
	w := mkfs(t, "8M", "-b", "1024", "-m", "0", "-J", "size=1")
	var names []string
	for i := 0; ; i++ {
		name := fmt.Sprint("f", i)
		ino := w.create(w.Root(), name, 0o100644)
		names = append(names, name)
		if _, err := vfs.WriteAt(ctx, w.FileSystem, ino, make([]byte, 200_000), 0, testTime); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names[:10] {
		w.unlink(w.Root(), name, false)
		dir := w.create(w.Root(), fmt.Sprint("d", i), 0o40755)
		for k := range 40 {
			w.create(dir, fmt.Sprintf("a name that takes some room in its directory %d", k), 0o100644)
		}
		w.write(w.create(dir, "data", 0o100644), 0, make([]byte, 150_000))
		ino := w.create(dir, "allocated", 0o100644)
		w.must(w.Fallocate(ctx, ino, 0, 10_000, 0, testTime))
	}
	w.fsck()
}

// TestSmallJournal: far more changes than the log holds, without a sync.
func TestSmallJournal(t *testing.T) {
	w := mkfs(t, "16M", "-b", "1024", "-N", "3000", "-J", "size=1")
	for d := range 6 {
		dir := w.create(w.Root(), fmt.Sprint("dir", d), 0o40755)
		for i := range 200 {
			w.write(w.create(dir, fmt.Sprintf("%d-%s", i, strings.Repeat("n", i)), 0o100644), int64(i%3)*5000, make([]byte, 3000))
		}
		if d%3 == 2 {
			for i := range 200 {
				w.unlink(dir, fmt.Sprintf("%d-%s", i, strings.Repeat("n", i)), false)
			}
			w.unlink(w.Root(), fmt.Sprint("dir", d), true)
		}
	}
	w.fsck()
}

// TestTornJournal: a log whose last transaction is damaged is not replayed to
// be written on, and nothing is written to find that out.
func TestTornJournal(t *testing.T) {
	w := mkfs(t, "16M")
	for i := range 20 {
		w.write(w.create(w.Root(), fmt.Sprint(i), 0o100644), 0, make([]byte, 9000))
	}
	w.must(w.Sync(context.Background()))
	image := newCopy(w)
	j, err := w.journalWriter(t.Context(), image)
	w.must(err)
	log, err := jbd2.Open(t.Context(), j, w.geo.blockSize, nil)
	w.must(err)
	if log.Clean() {
		t.Fatal("the log is empty")
	}
	_, err = j.WriteAt(t.Context(), []byte{0x5A}, int64(3*w.geo.blockSize+50))
	w.must(err)
	before := bytes.Clone(image.Bytes())
	_, err = open(t.Context(), []block.Device{image}, vfs.Options{Writable: true})
	if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "damaged journal") {
		t.Errorf("open: %v", err)
	}
	if !bytes.Equal(image.Bytes(), before) {
		t.Error("the image was written")
	}
}

// TestFlags: what chattr +i and +a keep from being done.
func TestFlags(t *testing.T) {
	ctx := context.Background()
	w := mkfs(t, "8M")
	fixed, grows := w.create(w.Root(), "fixed", 0o40755), w.create(w.Root(), "grows", 0o40755)
	file := w.create(w.Root(), "file", 0o100644)
	for _, dir := range []vfs.Ino{fixed, grows} {
		w.create(dir, "in", 0o100644)
	}
	for ino, flag := range map[vfs.Ino]uint32{fixed: flagImmutable, grows: flagAppend, file: flagAppend} {
		w.must(w.do(func(x *tx) error {
			n, err := x.named(ctx, ino)
			if err == nil {
				n.raw.setFlags(n.raw.flags() | flag)
			}
			return err
		}))
	}
	for name, f := range map[string]func(x *tx) error{
		"create in +i": func(x *tx) error { _, err := x.Create(ctx, fixed, "x", vfs.New{Mode: 0o100644}); return err },
		"unlink in +i": func(x *tx) error { _, err := x.Unlink(ctx, fixed, "in", false); return err },
		"unlink in +a": func(x *tx) error { _, err := x.Unlink(ctx, grows, "in", false); return err },
		"rename from +a": func(x *tx) error {
			_, err := x.Rename(ctx, grows, "in", w.Root(), "out", 0)
			return err
		},
		"rename over in +a": func(x *tx) error {
			_, err := x.Rename(ctx, w.Root(), "lost+found", grows, "in", 0)
			return err
		},
		"remove +a": func(x *tx) error { _, err := x.Unlink(ctx, w.Root(), "file", false); return err },
	} {
		if err := w.do(f); err != syscall.EPERM {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.Truncate(ctx, file, 0, testTime); err != syscall.EPERM {
		t.Errorf("truncate +a: %v", err)
	}
	w.create(grows, "more", 0o100644)
	w.fsck()
}

// TestBlockMap: a file in a block map, with all its depths.
func TestBlockMap(t *testing.T) {
	images.NeedRoot(t)
	ctx := context.Background()
	w := mkfs(t, "10M", "-t", "ext3", "-b", "1024", "-O", "^large_file", "-J", "size=1")
	f := w.create(w.Root(), "deep", 0o100644)
	if w.sb.hasRoCompat(roLargeFile) {
		t.Fatal("the feature large_file is there already")
	}
	places := []int64{0, 11 << 10, 12 << 10, 267 << 10, 268 << 10, 65803 << 10, 65804 << 10, 65805<<10 - 3, 3 << 30, 16 << 30}
	mark := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 3000) }
	for i, at := range places {
		w.write(f, at, mark(i))
	}
	path := fsckCopy(t, w)
	folder := images.KernelMount(t, path, 0, 0, "ext3", "ro")
	k, err := os.Open(filepath.Join(folder, "deep"))
	w.must(err)
	defer k.Close()
	n, err := w.Inode(ctx, f)
	w.must(err)
	for i := len(places) - 1; i >= 0; i-- {
		ours, theirs := make([]byte, 3000), make([]byte, 3000)
		_, err := vfs.ReadAt(ctx, n, ours, places[i])
		w.must(err)
		_, err = k.ReadAt(theirs, places[i])
		w.must(err)
		if !bytes.Equal(ours, theirs) || !bytes.HasPrefix(ours, mark(i)[:900]) {
			t.Errorf("at %d we read %.9q..., the kernel %.9q...", places[i], ours, theirs)
		}
	}
	var st syscall.Stat_t
	w.must(syscall.Fstat(int(k.Fd()), &st))
	if a := n.Attr(); a.Blocks != st.Blocks || a.Size != st.Size {
		t.Errorf("%d blocks and %d bytes, the kernel says %d and %d", a.Blocks, a.Size, st.Blocks, st.Size)
	}
	if err := w.Truncate(ctx, f, 17<<30, testTime); err != syscall.EFBIG {
		t.Errorf("behind the end of what a map holds: %v", err)
	}
	if err := w.Fallocate(ctx, f, 0, 100, 0, testTime); err != syscall.EOPNOTSUPP {
		t.Errorf("fallocate: %v", err)
	}
	w.must(w.Fallocate(ctx, f, 10<<10, 65800<<10, vfs.FallocateKeepSize|vfs.FallocatePunchHole, testTime))
	fsckCopy(t, w)
	b := make([]byte, 100)
	n, err = w.Inode(ctx, f)
	w.must(err)
	if _, err := vfs.ReadAt(ctx, n, b, 267<<10); err != nil || !bytes.Equal(b, make([]byte, 100)) {
		t.Errorf("the hole reads %q, %v", b, err)
	}
	for _, size := range []int64{4 << 30, 65806 << 10, 270 << 10, 5 << 10, 0} {
		w.must(w.Truncate(ctx, f, size, testTime))
		if size == 270<<10 {
			fsckCopy(t, w)
		}
	}
	if n, err = w.Inode(ctx, f); err != nil || n.Attr().Blocks != 0 {
		t.Errorf("an empty file has %d blocks, %v", n.Attr().Blocks, err)
	}
	// Many blocks in the map, which one change does not free.
	w.write(f, 7000, bytes.Repeat([]byte("x"), 6<<20))
	w.unlink(w.Root(), "deep", false)
	w.fsck()
}

// TestBlockMapInExt4: a file that an older kernel made, on what is an ext4 now.
func TestBlockMapInExt4(t *testing.T) {
	images.NeedTool(t, "mke2fs", "tune2fs", "debugfs")
	path := filepath.Join(t.TempDir(), "old.img")
	tree := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(tree, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	old := bytes.Repeat([]byte("old"), 200_000)
	if err := os.WriteFile(filepath.Join(tree, "dir/file"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mke2fs", "-q", "-F", "-t", "ext3", "-d", tree, path, "16M"}, {"tune2fs", "-O", "extents,uninit_bg,dir_index,flex_bg", path}, {"e2fsck", "-fy", path}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); exitStatus(err) > 1 || exitStatus(err) < 0 {
			t.Fatalf("%s: %v: %s", args[0], err, out)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := openWritten(t, blocktest.NewMemory(b), &memorySidecar{})
	root, err := w.Inode(t.Context(), w.Root())
	w.must(err)
	dir, err := root.Lookup(t.Context(), "dir")
	w.must(err)
	d, err := w.Inode(t.Context(), dir)
	w.must(err)
	file, err := d.Lookup(t.Context(), "file")
	w.must(err)
	w.write(file, 550_000, bytes.Repeat([]byte("new"), 100_000))
	for i := range 300 {
		w.create(dir, fmt.Sprintf("a name of some length, %d", i), 0o100644)
	}
	if want := append(old[:550_000:550_000], bytes.Repeat([]byte("new"), 100_000)...); !bytes.Equal(w.read(file), want) {
		t.Error("the file reads differently")
	}
	fsckCopy(t, w)
	w.must(w.Truncate(context.Background(), file, 40_000, testTime))
	w.fsck()
}

// TestTerabytes: extents and i_blocks beyond 32 bits of sectors.
func TestTerabytes(t *testing.T) {
	images.NeedLong(t)
	images.NeedTool(t, "mke2fs", "e2fsck")
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "large.img")
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1", path, "4T").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, out)
	}
	file, err := raw.OpenFile(path, raw.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dev, err := file.Writer()
	if err != nil {
		t.Fatal(err)
	}
	fs, err := open(ctx, []block.Device{dev}, vfs.Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &written{FileSystem: fs.(*FileSystem), t: t, side: &memorySidecar{}}
	far := w.create(w.Root(), "far", 0o100644)
	w.write(far, 3<<40, []byte("far away"))
	f := w.create(w.Root(), "large", 0o100644)
	w.must(w.Fallocate(ctx, f, 0, 5<<39, 0, testTime))
	w.write(f, 5<<38, []byte("in the middle"))
	check := func() {
		t.Helper()
		if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
			t.Fatalf("e2fsck: %v: %s", err, out)
		}
	}
	w.must(w.Close(ctx))
	check()
	if fs, err = open(ctx, []block.Device{dev}, vfs.Options{Writable: true}); err != nil {
		t.Fatal(err)
	}
	w = &written{FileSystem: fs.(*FileSystem), t: t, side: &memorySidecar{}}
	if n, err := w.Inode(ctx, f); err != nil || n.Attr().Blocks < 5<<30 {
		t.Errorf("%d blocks, %v", n.Attr().Blocks, err)
	}
	w.unlink(w.Root(), "large", false)
	w.must(w.Close(ctx))
	check()
}

// TestNotWritten: what the writer does not keep right makes a filesystem
// read-only, by the feature's name, and nothing of it is written.
func TestNotWritten(t *testing.T) {
	for name, c := range map[string]struct{ options, want []string }{
		"quota":     {[]string{"-O", "quota"}, []string{"quota"}},
		"project":   {[]string{"-O", "quota,project", "-E", "quotatype=prjquota"}, []string{"quota", "project"}},
		"bigalloc":  {[]string{"-O", "bigalloc"}, []string{"bigalloc"}},
		"ea_inode":  {[]string{"-O", "ea_inode"}, []string{"ea_inode"}},
		"encrypt":   {[]string{"-O", "encrypt"}, []string{"encrypt"}},
		"verity":    {[]string{"-O", "verity"}, []string{"verity"}},
		"casefold":  {[]string{"-O", "casefold"}, []string{"casefold"}},
		"mmp":       {[]string{"-O", "mmp"}, []string{"mmp"}},
		"revision":  {[]string{"-t", "ext2", "-r", "0", "-O", "none", "-I", "128"}, []string{"revision 0"}},
		"no log":    {[]string{"-t", "ext2"}, []string{"without a journal"}},
		"no log, 4": {[]string{"-O", "^has_journal"}, []string{"without a journal"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := mkfsBytes(t, "8M", c.options...)
			dev := blocktest.NewMemory(bytes.Clone(b))
			_, err := open(t.Context(), []block.Device{dev}, vfs.Options{Writable: true})
			if !errors.Is(err, syscall.EOPNOTSUPP) {
				t.Fatalf("open: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("open: %v, which does not say %q", err, want)
				}
			}
			if !bytes.Equal(dev.Bytes(), b) {
				t.Error("the image was written")
			}
		})
	}
}
