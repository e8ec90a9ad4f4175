package ntfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ntfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// A volume is an image in memory, to be damaged.
type volume []byte

// small makes an image of 3 MiB with clusters of 512 bytes that holds a little
// of everything: many runs, an attribute list, compressed units, a directory of
// several blocks, streams, links.
func small(t testing.TB) volume {
	t.Helper()
	img := format(t, 3<<20, "-c", "512")
	mounted(t, img, "compression", func(dir string) {
		for i := range 150 {
			write(t, filepath.Join(dir, "d", fmt.Sprintf("name number %d in a directory", i)), []byte("x"))
		}
		for i := range 300 {
			write(t, filepath.Join(dir, fmt.Sprintf("gap %d", i%2), fmt.Sprint(i)), noise(1, 1000))
		}
		if err := os.RemoveAll(filepath.Join(dir, "gap 0")); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "fragments"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(400) { // each a run, and a hole behind it
			if _, err := f.WriteAt(noise(uint64(i), 400), i*2048); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
		if err := os.RemoveAll(filepath.Join(dir, "gap 1")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "file"), noise(3, 3000))
		setxattr(t, filepath.Join(dir, "file"), "user.stream", []byte("stream"))
		if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "compressed"), 0o755); err != nil {
			t.Fatal(err)
		}
		setxattr(t, filepath.Join(dir, "compressed"), "system.ntfs_attrib", []byte{0, 8, 0, 0})
		write(t, filepath.Join(dir, "compressed", "text"), text(4, 50_000))
		write(t, filepath.Join(dir, "junction"), nil)
		setxattr(t, filepath.Join(dir, "junction"), "system.ntfs_reparse_data", windowsLink(`\??\C:\D`, false, false))
	})
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wofVolume is small with a file that WOF compresses.
func wofVolume(t testing.TB) volume {
	t.Helper()
	need(t, "wimlib-imagex")
	img := format(t, 3<<20, "-c", "512")
	plain := text(5, 100_000)
	packed := wimResource(t, "LZX", 32768, plain)
	mounted(t, img, "streams_interface=windows", func(dir string) {
		p := filepath.Join(dir, "file")
		write(t, p, nil)
		if err := os.Truncate(p, int64(len(plain))); err != nil {
			t.Fatal(err)
		}
		write(t, p+":WofCompressedData", packed)
		setxattr(t, p, "system.ntfs_reparse_data", wofReparse(2, 1))
	})
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v volume) mft() int { return int(le.Uint64(v[48:])) * int(v[13]) * int(le.Uint16(v[11:])) }

// place is where record num of an undamaged volume lies.
func (v volume) place(t testing.TB, num int) int {
	t.Helper()
	ext, err := lookup(t, open(t, v.device(), ""), "$MFT").Map(ctx, int64(num)*1024, 1024)
	if err != nil || ext.Kind != vfs.Mapped || ext.Len != 1024 {
		t.Fatalf("record %d: %+v, %v", num, ext, err)
	}
	return int(ext.Off)
}

// record is the record at a place.
func (v volume) record(place int) []byte { return v[place:][:1024] }

func (v volume) device() block.Device { return blocktest.NewMemory(v) }

func (v volume) clone() volume { return slices.Clone(v) }

// attribute finds an attribute in a record.
func attribute(t testing.TB, record []byte, typ uint32) []byte {
	t.Helper()
	for at := int(le.Uint16(record[20:])); at < 1000 && le.Uint32(record[at:]) != 0xFFFFFFFF && record[at+4] != 0; at += int(le.Uint32(record[at+4:])) {
		if le.Uint32(record[at:]) == typ {
			return record[at:]
		}
	}
	t.Fatalf("no attribute of type %#x", typ)
	return nil
}

// number is the record number of a path.
func (v volume) number(t testing.TB, path string) int {
	return int(lookup(t, open(t, v.device(), ""), path).Ino().Num)
}

func TestMirror(t *testing.T) {
	v := small(t)
	want := vfstest.FromVFS(t, open(t, v.device(), ""), maxRead)
	for _, c := range []struct {
		name   string
		damage func(b []byte)
	}{
		{"zeros", func(b []byte) { clear(b) }},
		{"torn", func(b []byte) { b[510] ^= 1; b[1024+510] ^= 1; b[3*1024+510] ^= 1 }},
		{"runs", func(b []byte) { a := attribute(t, b, 0x80); a[int(le.Uint16(a[32:]))] = 0xFF }},
		{"no attributes", func(b []byte) { le.PutUint16(b[20:], 5000) }},
	} {
		d := v.clone()
		c.damage(d[d.mft():][:4096])
		got := vfstest.FromVFS(t, open(t, d.device(), ""), maxRead)
		for _, line := range vfstest.Differences(got, want, 0) {
			t.Errorf("%s: %s", c.name, line)
		}
		info, err := ntfs.Driver().Probe(ctx, d.device())
		if err != nil || info.Type != "ntfs" {
			t.Errorf("%s: Probe: %+v, %v", c.name, info, err)
		}
	}
	// Both copies: the error says so.
	d := v.clone()
	clear(d[d.mft():][:4096])
	clear(d[int(le.Uint64(d[56:]))*512:][:4096])
	_, err := ntfs.Driver().Open(ctx, []block.Device{d.device()}, vfs.Options{})
	if !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), "$MFTMirr") {
		t.Errorf("without both: %v", err)
	}
}

func TestBootSector(t *testing.T) {
	v := small(t)
	refuse := func(name string, change func(b []byte), want ...string) {
		t.Helper()
		d := v.clone()
		change(d)
		_, err := ntfs.Driver().Open(ctx, []block.Device{d.device()}, vfs.Options{})
		if err == nil {
			t.Errorf("%s: it opens", name)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", name, err, w)
			}
		}
	}
	backup := fmt.Sprint("backup of it lies at byte ", len(v)-512)
	refuse("sector", func(b []byte) { b[11] = 7 }, "NTFS boot sector at byte 0", backup)
	refuse("cluster", func(b []byte) { b[13] = 3 }, "a cluster", backup)
	refuse("huge cluster", func(b []byte) { b[13] = 0x81 }, "sectors per cluster", backup)
	refuse("record", func(b []byte) { b[64] = 0x80 }, "MFT record", backup)
	refuse("index", func(b []byte) { b[68] = 0 }, "index block", backup)
	refuse("mft", func(b []byte) { le.PutUint64(b[48:], 1<<63) }, "$MFT at cluster", backup)
	refuse("size", func(b []byte) { le.PutUint64(b[40:], 1<<62) }, "sectors", backup)
	refuse("signature", func(b []byte) { b[510] = 0 }, "signature", backup)
	wiped := v.clone()
	clear(wiped[:512])
	var not *ondisk.NotThisError
	for _, b := range []volume{wiped, nil, make(volume, 100), make(volume, 4096)} {
		if _, err := ntfs.Driver().Probe(ctx, b.device()); !errors.As(err, &not) {
			t.Errorf("Probe of %d bytes that are none: %v", len(b), err)
		}
	}
	// A volume with a damaged boot sector is still recognised as one.
	d := v.clone()
	d[13] = 3
	if info, err := ntfs.Driver().Probe(ctx, d.device()); err != nil || info.Type != "ntfs" {
		t.Errorf("Probe of a damaged one: %+v, %v", info, err)
	}
	if _, err := ntfs.Driver().Open(ctx, []block.Device{v.device()}, vfs.Options{Writable: true}); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("writable: %v", err)
	}
	if _, err := ntfs.Driver().Open(ctx, []block.Device{v.device()}, vfs.Options{Mount: "uid=x"}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("uid=x: %v", err)
	}
}

// TestTruncated reads an image whose end is missing: what is there is read, the
// rest is an error that says why.
func TestTruncated(t *testing.T) {
	v := small(t)
	failed := 0
	ino := lookup(t, open(t, v.device(), ""), "fragments").Ino()
	for cut := len(v); cut > len(v)/8; cut -= len(v) / 9 {
		fs, err := ntfs.Driver().Open(ctx, []block.Device{v[:cut].device()}, vfs.Options{})
		if err == nil {
			var f vfs.Inode
			if f, err = fs.Inode(ctx, ino); err == nil {
				_, err = vfs.ReadAt(ctx, f, make([]byte, 330_000), 0)
			}
		}
		if err != nil {
			failed++
			if !strings.Contains(err.Error(), "truncated") && !strings.Contains(err.Error(), "unexpected EOF") {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing failed")
	}
}

// TestDamagedRecords damages single structures: the error names them, and what
// is not damaged is read.
func TestDamagedRecords(t *testing.T) {
	v := small(t)
	number := v.number(t, "file")
	file, list, dir := v.place(t, number), v.place(t, v.number(t, "fragments")), v.place(t, v.number(t, "d"))
	for _, c := range []struct {
		name   string
		path   string
		change func(d volume)
		want   string
	}{
		{"torn", "file", func(d volume) { d.record(file)[1022] ^= 0x10 }, fmt.Sprintf("MFT record %d at byte %d", number, file)},
		{"magic", "file", func(d volume) { d.record(file)[0] = 'X' }, "magic"},
		{"used", "file", func(d volume) { le.PutUint32(d.record(file)[24:], 5000) }, "in use"},
		{"no end", "file", func(d volume) { le.PutUint32(d.record(file)[24:], uint32(le.Uint16(d.record(file)[20:]))+8) }, "without an end"},
		{"attribute length", "file", func(d volume) { le.PutUint32(attribute(t, d.record(file), 0x80)[4:], 0) }, "the attribute at"},
		{"attribute name", "file", func(d volume) { attribute(t, d.record(file), 0x80)[9] = 250 }, "its name at"},
		{"pairs", "file", func(d volume) { le.PutUint16(attribute(t, d.record(file), 0x80)[32:], 60000) }, "mapping pairs"},
		{"run beyond", "file", func(d volume) {
			a := attribute(t, d.record(file), 0x80)
			p := a[le.Uint16(a[32:]):]
			copy(p, []byte{0x31, p[1], 0xFF, 0xFF, 0x7F, 0})
		}, "of a volume of"},
		{"run negative", "file", func(d volume) {
			a := attribute(t, d.record(file), 0x80)
			copy(a[le.Uint16(a[32:]):], []byte{0x11, 6, 0x80, 0})
		}, "before the volume's start"},
		{"runs end", "file", func(d volume) {
			a := attribute(t, d.record(file), 0x80)
			copy(a[le.Uint16(a[32:]):], []byte{0})
		}, "runs end before"},
		{"sizes", "file", func(d volume) { le.PutUint64(attribute(t, d.record(file), 0x80)[48:], 1<<63) }, "valid bytes"},
		{"huge", "file", func(d volume) { le.PutUint64(attribute(t, d.record(file), 0x80)[48:], 1<<63-1) }, "valid bytes"},
		{"no standard information", "file", func(d volume) { le.PutUint32(attribute(t, d.record(file), 0x10), 0x11) }, "$STANDARD_INFORMATION"},
		{"file name", "file", func(d volume) { a := attribute(t, d.record(file), 0x30); a[24+64] = 255 }, "$FILE_NAME"},
		{"list too long", "fragments", func(d volume) {
			a := attribute(t, d.record(list), 0x20)
			if a[8] == 0 {
				t.Fatal("the attribute list is resident")
			}
			le.PutUint64(a[48:], 1<<30)
			le.PutUint64(a[56:], 1<<30)
		}, "attribute list of"},
		{"index root", "d/x", func(d volume) {
			a := attribute(t, d.record(dir), 0x90)
			le.PutUint32(a[le.Uint16(a[20:])+16:], 0xFFFFFFF8)
		}, "$INDEX_ROOT"},
		{"index block size", "d/x", func(d volume) { a := attribute(t, d.record(dir), 0x90); le.PutUint32(a[le.Uint16(a[20:])+8:], 3) }, "blocks of 3"},
		{"no index", "d/x", func(d volume) { le.PutUint32(attribute(t, d.record(dir), 0x90), 0x91) }, "$INDEX_ROOT"},
	} {
		d := v.clone()
		c.change(d)
		fs := open(t, d.device(), "")
		root, err := fs.Inode(ctx, fs.Root())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		name, below, _ := strings.Cut(c.path, "/")
		ino, err := root.Lookup(ctx, name)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f, err := fs.Inode(ctx, ino)
		if err == nil {
			if below != "" {
				_, err = f.Lookup(ctx, below)
			} else {
				_, err = vfs.ReadAt(ctx, f, make([]byte, 3000), 0)
			}
		}
		if !errors.Is(err, syscall.EUCLEAN) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want damage that says %q", c.name, err, c.want)
		}
		if got := contents(t, lookup(t, fs, "compressed/text")); !bytes.Equal(got, text(4, 50_000)) {
			t.Errorf("%s: another file is damaged too", c.name)
		}
	}
}

// TestDamage joins the damage tests of the suite with a volume that has a
// little of everything.
func TestDamage(t *testing.T) {
	img := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(img, small(t), 0o644); err != nil {
		t.Fatal(err)
	}
	join(t, img, oracle(t, img), hostOnly|vfstest.Target|vfstest.Size, true)
}

// TestEFS marks a file as encrypted: it is listed, and not read.
func TestEFS(t *testing.T) {
	v := small(t)
	a := attribute(t, v.record(v.place(t, v.number(t, "file"))), 0x80)
	le.PutUint16(a[12:], 0x4000)
	f := lookup(t, open(t, v.device(), ""), "file")
	n, err := vfs.ReadAt(ctx, f, make([]byte, 100), 0)
	if n != 0 || !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "EFS") || f.Attr().Flags&vfs.FlagEncrypted == 0 || f.Attr().Size != 3000 {
		t.Errorf("%d bytes, %v, %+v", n, err, f.Attr())
	}
}

// TestIndexLoop makes the children of each index block point to the block
// itself.
func TestIndexLoop(t *testing.T) {
	v := small(t)
	changed := 0
	for at := 0; at+4096 <= len(v); at += 512 {
		b := v[at:][:4096]
		if string(b[:4]) != "INDX" || b[24+12]&1 == 0 {
			continue
		}
		for e := b[24+le.Uint32(b[24:]):]; e[12]&2 == 0; e = e[le.Uint16(e[8:]):] {
			if e[12]&1 != 0 {
				copy(e[le.Uint16(e[8:])-8:], b[16:24])
				changed++
			}
		}
	}
	if changed == 0 {
		t.Fatal("no index block has children")
	}
	fs := open(t, v.device(), "ignore_case")
	d := lookup(t, fs, "d")
	for i := range 60 {
		name := fmt.Sprintf("name number %d in a directory", i)
		if _, err := d.Lookup(ctx, name); err != nil && err != syscall.ENOENT && !errors.Is(err, syscall.EUCLEAN) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := d.Lookup(ctx, "zz"); err != syscall.ENOENT && !errors.Is(err, syscall.EUCLEAN) {
		t.Error(err)
	}
}

// TestState reports how the volume was left.
func TestState(t *testing.T) {
	img := format(t, 16<<20, "-L", "état")
	info := func(want ...string) vfs.Info {
		t.Helper()
		in := open(t, inMemory(t, img), "").Info()
		for _, f := range []string{"dirty", "hibernated", "log-unclean", "fast-startup"} {
			if slices.Contains(in.Features, f) != slices.Contains(want, f) {
				t.Errorf("features %q, want %q", in.Features, want)
			}
		}
		if in.Dirty != (len(want) > 0) {
			t.Errorf("Dirty is %t with %q", in.Dirty, in.Features)
		}
		return in
	}
	in := info()
	blkid := run(t, "blkid", "-p", "-o", "export", img)
	if !strings.Contains(blkid, "UUID="+in.UUID+"\n") || in.Label != "état" || !slices.Contains(in.Features, "ntfs-3.1") {
		t.Errorf("%+v, blkid says %s", in, blkid)
	}
	p, err := ntfs.Driver().Probe(ctx, inMemory(t, img))
	if err != nil || p.Label != in.Label || p.UUID != in.UUID || p.Size != in.Size {
		t.Errorf("Probe: %+v, %v", p, err)
	}
	run(t, "ntfsfix", img)
	info("dirty")
	run(t, "ntfsfix", "-d", img)
	info()
	mounted(t, img, "", func(dir string) {
		write(t, filepath.Join(dir, "hiberfil.sys"), append([]byte("HIBR"), make([]byte, 5000)...))
	})
	info("hibernated")
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	fs := open(t, blocktest.NewMemory(b), "")
	ext, err := lookup(t, fs, "$LogFile").Map(ctx, 0, 8192)
	if err != nil || ext.Kind != vfs.Mapped {
		t.Fatalf("%+v, %v", ext, err)
	}
	for _, c := range []struct {
		major, client, flags uint16
		want                 []string
	}{
		{1, 0, 0, []string{"log-unclean", "hibernated"}}, {1, 0, 2, []string{"hibernated"}}, {1, 0xFFFF, 0, []string{"hibernated"}},
		{2, 0, 2, []string{"fast-startup", "hibernated"}},
	} {
		copy(b[ext.Off:], restartPage(c.major, c.client, c.flags))
		if err := os.WriteFile(img, b, 0o644); err != nil {
			t.Fatal(err)
		}
		info(c.want...)
	}
	b[ext.Off+510] ^= 1
	if err := os.WriteFile(img, b, 0o644); err != nil {
		t.Fatal(err)
	}
	info("log-unclean", "hibernated")
}

// restartPage is a restart page of $LogFile (LFS_RESTART_PAGE_HEADER and
// LFS_RESTART_AREA) of 4 KiB.
func restartPage(major, client, flags uint16) []byte {
	b := make([]byte, 4096)
	copy(b, "RSTR")
	le.PutUint16(b[4:], 30) // update sequence array
	le.PutUint16(b[6:], 9)
	le.PutUint32(b[16:], 4096)
	le.PutUint32(b[20:], 4096)
	le.PutUint16(b[24:], 48)
	le.PutUint16(b[26:], 1)
	le.PutUint16(b[28:], major)
	le.PutUint64(b[48:], 1000)
	le.PutUint16(b[48+12:], client)
	le.PutUint16(b[48+14:], flags)
	le.PutUint16(b[30:], 1)
	for i := 512; i <= 4096; i += 512 {
		le.PutUint16(b[i-2:], 1)
	}
	return b
}

func TestIgnoreCase(t *testing.T) {
	img := format(t, 16<<20)
	mounted(t, img, "", func(dir string) {
		for _, n := range []string{"Ünï/File", "both", "BOTH", "Both"} {
			write(t, filepath.Join(dir, n), []byte(n))
		}
	})
	for _, option := range []string{"", "ignore_case"} {
		fs := open(t, device(t, img), option)
		if fs.Info().CaseInsensitive != (option != "") {
			t.Error("Info")
		}
		root, _ := fs.Inode(ctx, fs.Root())
		for name, want := range map[string]string{"ünÏ/fILE": "Ünï/File", "both": "both", "BOTH": "BOTH", "Both": "Both", "bOTH": "?"} {
			if option == "" && name != want {
				first, _, _ := strings.Cut(name, "/")
				if _, err := root.Lookup(ctx, first); err != syscall.ENOENT {
					t.Errorf("%q without the option: %v", name, err)
				}
				continue
			}
			if got := string(contents(t, lookup(t, fs, name))); got != want && want != "?" {
				t.Errorf("%q is %q, want %q", name, got, want)
			}
		}
	}
}

// TestSurrogates looks up a name with an unpaired surrogate, and its twin.
func TestSurrogates(t *testing.T) {
	v := small(t)
	old, lone := utf16le("name number 7 in"), utf16le("name number 7 in")
	le.PutUint16(lone[2*4:], 0xD834)
	if n := bytes.Count(v, old); n < 2 {
		t.Fatalf("the name is %d times on the disk", n)
	}
	v = bytes.ReplaceAll(v, old, lone)
	d := lookup(t, open(t, v.device(), ""), "d")
	found := false
	for e, err := range d.Entries(ctx, vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || e.Name == "name\xed\xa0\xb4number 7 in a directory"
	}
	if !found {
		t.Error("the name is not listed")
	}
	if _, err := d.Lookup(ctx, "name\xed\xb0\xb4number 7 in a directory"); err != syscall.ENOENT {
		t.Error(err)
	}
	if _, err := d.Lookup(ctx, "name\xffnumber"); err != syscall.ENOENT {
		t.Error(err)
	}
}

// walk reads a filesystem whole, within bounds.
func walk(ctx context.Context, fs vfs.FileSystem, ino vfs.Ino, depth int, budget *int) {
	f, err := fs.Inode(ctx, ino)
	if *budget--; err != nil || *budget < 0 || depth > 6 {
		return
	}
	buf := make([]byte, 8192)
	for off := int64(0); off < min(f.Attr().Size, 64<<10); off += int64(len(buf)) {
		if _, err := vfs.ReadAt(ctx, f, buf, off); err != nil {
			break
		}
	}
	for x, err := range f.Xattrs(ctx) {
		if err != nil {
			break
		}
		if x.Size < 64<<10 {
			x.Read(ctx)
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

// FuzzVolume changes bytes of whole volumes that mkntfs and ntfs-3g wrote, then
// opens and walks them. An input is a list of changes, four bytes each: where,
// in three bytes from the start of what the driver reads as metadata, and the
// new value. Fixups are left right, so that what lies behind them is reached.
func FuzzVolume(f *testing.F) {
	bases := []volume{small(f), wofVolume(f)}
	for c := range byte(64) {
		f.Add(c&1, []byte{0, c * 4, c, 0xFF, 0, c * 4, 64 + c, 0x40})
	}
	f.Add(uint8(0), []byte{0x10, 0, 24, 0, 0x11, 1, 64, 7})
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		b := bases[int(which)%len(bases)].clone()
		start := b.mft()
		for ; len(edits) >= 4; edits = edits[4:] {
			at := start + (int(edits[0])<<16|int(edits[1])<<8|int(edits[2]))%(len(b)-start)
			if edits[0] == 0xFF {
				at = int(edits[2]) // the boot sector
			}
			if at%512 < 510 {
				b[at] = edits[3]
			}
		}
		fs, err := ntfs.Driver().Open(ctx, []block.Device{b.device()}, vfs.Options{Mount: "ignore_case,permissions,show_sys_files"})
		if err != nil {
			return
		}
		budget := 150
		walk(ctx, fs, fs.Root(), 0, &budget)
		if u, err := fs.Usage(ctx); err == nil && u.Free > u.Blocks {
			t.Errorf("%d of %d blocks are free", u.Free, u.Blocks)
		}
	})
}
