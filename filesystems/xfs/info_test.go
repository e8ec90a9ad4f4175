package xfs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/filesystems/xfs"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// TestUsage compares with the statfs of the kernel's read-only mount.
func TestUsage(t *testing.T) {
	for _, v := range images.XFSVariants() {
		if !v.Kernel || v.Name == "names-100000" {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			needOrdinary(t, v.Name)
			img := images.XFS(t, v.Name)
			got, err := open(t, device(t, img.Path)).Usage(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var st unix.Statfs_t
			if err := unix.Statfs(images.KernelRoot(t, img, "xfs"), &st); err != nil {
				t.Fatal(err)
			}
			want := vfs.Usage{BlockSize: int(st.Bsize), Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail, Files: st.Files, FilesFree: st.Ffree}
			if got != want {
				t.Errorf("Usage is\n%+v, the kernel's\n%+v", got, want)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	images.NeedTool(t, "blkid")
	path := makeXFS(t, 300<<20, "-L", "a label", "-m", "rmapbt=1")
	fsys := open(t, device(t, path))
	info := fsys.Info()
	out, err := exec.Command("blkid", "-p", "-o", "export", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"UUID=" + info.UUID, "LABEL=" + strings.ReplaceAll(info.Label, " ", "\\ "), "TYPE=" + info.Type} {
		if !slices.Contains(strings.Split(string(out), "\n"), line) {
			t.Errorf("blkid does not say %q:\n%s", line, out)
		}
	}
	if info.Dirty || info.Replayed || info.Size != 300<<20 || info.BlockSize != 4096 {
		t.Errorf("%+v", info)
	}
	for _, f := range []string{"crc", "ftype", "sparse", "bigtime", "finobt", "rmapbt", "reflink", "inobtcount"} {
		if !slices.Contains(info.Features, f) {
			t.Errorf("%s is not among %v", f, info.Features)
		}
	}
	probed, err := xfs.Driver().Probe(context.Background(), device(t, path))
	if err != nil || probed.UUID != info.UUID || probed.Label != "a label" {
		t.Errorf("Probe: %+v, %v", probed, err)
	}
}

// TestFlags reads what chattr and project quotas leave in inodes.
func TestFlags(t *testing.T) {
	img := images.XFS(t, "few")
	fsys := open(t, device(t, img.Path))
	for name, want := range map[string]vfs.Flags{"a": vfs.FlagAppend, "d": vfs.FlagNoDump, "i": vfs.FlagImmutable, "A": 0, "project": 0} {
		f := walkTo(t, fsys, "flags", name)
		if got := f.Attr().Flags; got != want {
			t.Errorf("%s has the flags %#x, want %#x", name, got, want)
		}
		if p := f.Attr().Project; (p == 70000) != (name == "project") {
			t.Errorf("%s has the project %d", name, p)
		}
		if f.Attr().Btime.Sec == 0 {
			t.Errorf("%s has no birth time", name)
		}
	}
}

func walkTo(t testing.TB, fsys vfs.FileSystem, names ...string) vfs.Inode {
	t.Helper()
	ctx := context.Background()
	f, err := fsys.Inode(ctx, fsys.Root())
	for _, name := range names {
		if err != nil {
			break
		}
		var ino vfs.Ino
		if ino, err = f.Lookup(ctx, name); err == nil {
			f, err = fsys.Inode(ctx, ino)
		}
	}
	if err != nil {
		t.Fatalf("%v: %v", names, err)
	}
	return f
}

// TestASCIICI finds names under another case, and the exact one first.
func TestASCIICI(t *testing.T) {
	for _, name := range []string{"v4-ci", "ci"} {
		t.Run(name, func(t *testing.T) {
			needOrdinary(t, name)
			fsys := open(t, device(t, images.XFS(t, name).Path))
			if !fsys.Info().CaseInsensitive {
				t.Error("Info does not say that case does not matter")
			}
			want := walkTo(t, fsys, "small", "000", "file-00001.txt").Ino()
			if got := walkTo(t, fsys, "SMALL", "000", "FILE-00001.tXt").Ino(); got != want {
				t.Errorf("another case is %+v, want %+v", got, want)
			}
			dir := walkTo(t, fsys, "dirs", "4000")
			for e, err := range dir.Entries(context.Background(), vfs.Cursor{}) {
				if err != nil {
					t.Fatal(err)
				}
				upper := []byte(e.Name)
				for i, c := range upper {
					if c >= 'a' && c <= 'z' || c == 0xe9 {
						upper[i] -= 0x20
					}
				}
				ino, err := dir.Lookup(context.Background(), string(upper))
				if err != nil || ino.Num != e.Ino.Num {
					t.Fatalf("%q: %+v, %v, want %+v", upper, ino, err, e.Ino)
				}
			}
		})
	}
}

// superBytes is the start of a filesystem, its superblock to be changed.
func superBytes(t *testing.T, options ...string) ([]byte, block.Device) {
	t.Helper()
	dev := device(t, makeXFS(t, 300<<20, options...))
	b := make([]byte, 4096)
	if err := block.ReadFull(context.Background(), dev, b, 0); err != nil {
		t.Fatal(err)
	}
	return b, dev
}

// overSuper is a device with another superblock.
func overSuper(t *testing.T, dev block.Device, b []byte) block.Device {
	t.Helper()
	o, err := block.NewOverlay(dev, 512, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.WriteAt(context.Background(), b, 0); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestRefusals checks that what is not read is refused by its name.
func TestRefusals(t *testing.T) {
	v5, dev5 := superBytes(t)
	v4, dev4 := superBytes(t, "-m", "crc=0,finobt=0,reflink=0,rmapbt=0")
	set := func(at int, bit uint32) func(b []byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], binary.BigEndian.Uint32(b[at:])|bit) }
	}
	for _, c := range []struct {
		name   string
		v4     bool
		change func(b []byte)
		errno  error // nil: it is read
		says   string
	}{
		{"needsrepair", false, set(216, layout.IncompatNeedsRepair), syscall.EOPNOTSUPP, "needsrepair"},
		{"metadir", false, set(216, layout.IncompatMetadir), syscall.EOPNOTSUPP, "metadir"},
		{"zoned", false, set(216, layout.IncompatZoned), syscall.EOPNOTSUPP, "zoned"},
		{"unknown incompat", false, set(216, 1<<20), syscall.EOPNOTSUPP, "incompat_20"},
		{"unknown ro_compat", false, set(212, 1<<20), nil, ""},
		{"exchange and parent", false, set(216, layout.IncompatExchange|layout.IncompatParent), nil, ""},
		{"unknown log_incompat", false, set(220, 1<<7), nil, ""},
		{"in progress", false, func(b []byte) { b[126] = 1 }, syscall.EOPNOTSUPP, "sb_inprogress"},
		{"external log", false, func(b []byte) { clear(b[48:56]) }, syscall.EOPNOTSUPP, "a log on another device"},
		{"version 3", true, func(b []byte) { b[101] = b[101]&0xf0 | 3 }, syscall.EOPNOTSUPP, "version 3"},
		{"directories of version 1", true, func(b []byte) { b[100] &^= 0x20 }, syscall.EOPNOTSUPP, "version 1 of directories"},
		{"block size", true, func(b []byte) { b[120] = 13 }, syscall.EUCLEAN, "sb_blocklog"},
		{"groups", true, func(b []byte) { b[84] = 0xff }, syscall.EUCLEAN, "sb_agblocks"},
		{"root", true, func(b []byte) { b[56] = 0xff }, syscall.EUCLEAN, "sb_rootino"},
		{"log", true, func(b []byte) { b[48] = 0x7f }, syscall.EUCLEAN, "the log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, dev := slices.Clone(v5), dev5
			if c.v4 {
				b, dev = slices.Clone(v4), dev4
			}
			c.change(b)
			if !c.v4 {
				layout.NewHeaders().Of(b[:512]).SealSum(b[:512])
			}
			fsys, err := openOn(context.Background(), overSuper(t, dev, b))
			if c.errno == nil {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := fsys.Inode(context.Background(), fsys.Root()); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v with %q", err, c.errno, c.says)
			}
			if _, err := xfs.Driver().Probe(context.Background(), overSuper(t, dev, b)); err != nil {
				t.Errorf("Probe: %v", err)
			}
		})
	}
	b := slices.Clone(v5)
	b[130] ^= 1
	if _, err := openOn(context.Background(), overSuper(t, dev5, b)); !errors.Is(err, syscall.EBADMSG) {
		t.Errorf("a changed superblock: %v, want EBADMSG", err)
	}
	b = slices.Clone(v5)
	clear(b[48:56])
	layout.NewHeaders().Of(b[:512]).SealSum(b[:512])
	if _, err := xfs.Driver().Open(context.Background(), []block.Device{overSuper(t, dev5, b)}, vfs.Options{NoRecovery: true}); err != nil {
		t.Errorf("an external log without recovery: %v", err)
	}
	if _, err := xfs.Driver().Probe(context.Background(), blocktest.NewMemory(make([]byte, 1<<20))); err == nil {
		t.Error("zeros are xfs")
	}
	if _, err := xfs.Driver().Open(context.Background(), []block.Device{dev5}, vfs.Options{Writable: true}); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("writable: %v", err)
	}
}

// TestRealtime refuses the contents of a realtime file by name.
func TestRealtime(t *testing.T) {
	w, inos := writtenImage(t)
	n := w.inode(inos["one"])
	binary.BigEndian.PutUint16(n[90:], n.Flags()|layout.FlagRealtime)
	n.Seal()
	w.write(w.geo.InoOffset(inos["one"]), n)
	f := walkTo(t, open(t, device(t, w.path)), "one")
	if _, err := f.Map(context.Background(), 0, 1); !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "realtime") {
		t.Errorf("%v", err)
	}
}
