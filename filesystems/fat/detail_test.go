package fat_test

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
	"time"
	"unicode/utf16"

	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

func openWith(t testing.TB, path, options string) vfs.FileSystem {
	t.Helper()
	d := fat.Driver()
	if strings.HasPrefix(string(openLayout(t, path).read(3, 8)), "EXFAT") {
		d = fat.ExDriver()
	}
	fs, err := d.Open(context.Background(), []block.Device{device(t, path)}, vfs.Options{Mount: options})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func listed(t testing.TB, f vfs.Inode) (names []string) {
	t.Helper()
	for e, err := range f.Entries(context.Background(), vfs.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	return names
}

func rootOf(t testing.TB, fs vfs.FileSystem) vfs.Inode {
	t.Helper()
	f, err := fs.Inode(context.Background(), fs.Root())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCodePages lets mdir decode the same short names.
func TestCodePages(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1")
	for _, name := range []string{"\x8e\x99\x9a\xe1    TXT", "\x05\x80      X  ", "NAME    \x9b  "} {
		l.inRoot(shortBytes(name, 0x20, 0, 0))
	}
	for _, cp := range []string{"437", "850", "852", "866", "1252"} {
		names := listed(t, rootOf(t, openWith(t, l.path, "codepage="+cp)))
		rc := filepath.Join(t.TempDir(), "mtoolsrc")
		if err := os.WriteFile(rc, []byte("default_codepage="+cp+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv("MTOOLSRC", rc)
		var theirs []string
		for line := range strings.Lines(strings.ToUpper(run(t, "mdir", "-b", "-i", l.path, "::/"))) {
			theirs = append(theirs, strings.TrimPrefix(strings.TrimSpace(line), "::/"))
		}
		ours := strings.Split(strings.ToUpper(strings.Join(names, "\n")), "\n")
		if !slices.Equal(ours, theirs) {
			t.Errorf("code page %s: %q, mdir says %q", cp, names, theirs)
		}
	}
	l = newFAT32(t, 40<<20, "-s", "1")
	l.inRoot(shortBytes("\x83e\x83X\x83g  TXT", 0x20, 0, 0)) // "tesuto" in katakana
	l.inRoot(shortBytes("\x05\xa6      TXT", 0x20, 0, 0))
	if got, want := listed(t, rootOf(t, openWith(t, l.path, "codepage=932"))), []string{"テスト.TXT", "螯.TXT"}; !slices.Equal(got, want) {
		t.Errorf("code page 932: %q, want %q", got, want)
	}
	lookup(t, openWith(t, l.path, "codepage=932"), "テスト.txt")
}

// TestCaseBits shows 8.3 names in the case that their entries say.
func TestCaseBits(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1")
	for i, bits := range []byte{0, 0x08, 0x10, 0x18} {
		e := shortBytes(fmt.Sprintf("NAME%d   EXT", i), 0x20, 0, 0)
		e[12] = bits
		l.inRoot(e)
	}
	l.checked()
	want := []string{"NAME0.EXT", "name1.EXT", "NAME2.ext", "name3.ext"}
	if got := listed(t, rootOf(t, openWith(t, l.path, ""))); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestTimes sets the fields by hand: two seconds and a day, tens of
// milliseconds, a zone of the mount and in exFAT of the entry.
func TestTimes(t *testing.T) {
	const date, clock = (2021-1980)<<9 | 3<<5 | 4, 5<<11 | 6<<5 | 7
	base := time.Date(2021, 3, 4, 5, 6, 14, 0, time.UTC).Unix()
	l := newFAT32(t, 40<<20, "-s", "1")
	e := shortBytes("TIMES      ", 0x20, 0, 0)
	e[13] = 199 // 1.99 s
	le.PutUint16(e[14:], clock)
	le.PutUint16(e[16:], date)
	le.PutUint16(e[18:], date)
	le.PutUint16(e[22:], clock)
	le.PutUint16(e[24:], date)
	l.inRoot(e)
	l.checked()
	a := lookup(t, openWith(t, l.path, ""), "times").Attr()
	if want := (vfs.Time{Sec: base + 1, Nsec: 990_000_000}); a.Btime != want {
		t.Errorf("created %v, want %v", a.Btime, want)
	}
	if a.Mtime.Sec != base || a.Mtime.Nsec != 0 || a.Atime.Sec != time.Date(2021, 3, 4, 0, 0, 0, 0, time.UTC).Unix() {
		t.Errorf("%+v", a)
	}
	for _, minutes := range []int64{60, -330, 0} {
		a := lookup(t, openWith(t, l.path, fmt.Sprintf("time_offset=%d", minutes)), "times").Attr()
		if a.Mtime.Sec != base-minutes*60 || a.Btime.Sec != base+1-minutes*60 {
			t.Errorf("%d minutes ahead: %+v", minutes, a)
		}
	}

	x := newExFAT(t, 8<<20, "-c", "4K")
	set := exFile{name: "TIMES", attr: 0x20}.bytes()
	for i, at := range []int{8, 12, 16} {
		le.PutUint32(set[at:], date<<16|clock)
		set[22+i] = []byte{0x80 | 4, 0x80 | 0x78, 0}[i] // an hour ahead, two behind, not said
	}
	set[20], set[21] = 150, 7
	sealSet(set)
	x.inRoot(set)
	x.checked()
	a = lookup(t, openWith(t, x.path, "time_offset=30"), "times").Attr()
	if want := (vfs.Time{Sec: base - 3600 + 1, Nsec: 500_000_000}); a.Btime != want {
		t.Errorf("exFAT: created %v, want %v", a.Btime, want)
	}
	if want := (vfs.Time{Sec: base + 2*3600, Nsec: 70_000_000}); a.Mtime != want {
		t.Errorf("exFAT: modified %v, want %v", a.Mtime, want)
	}
	if want := (vfs.Time{Sec: base - 30*60}); a.Atime != want {
		t.Errorf("exFAT: accessed %v, want %v", a.Atime, want)
	}
}

// TestFATCopies damages one FAT or the other: of mirrored ones the first
// decides, else the one that is said to be active.
func TestFATCopies(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1")
	data := bytes.Repeat([]byte("the contents "), 200)
	first := l.row(int64(len(data)+511) / 512)
	l.write(l.at(first), data)
	l.inRoot(shortBytes("FILE       ", 0x20, first, uint32(len(data))))
	l.checked()
	read := func() ([]byte, error) {
		f := lookup(t, openWith(t, l.path, ""), "file")
		b := make([]byte, f.Attr().Size)
		n, err := vfs.ReadAt(context.Background(), f, b, 0)
		return b[:n], err
	}
	good := l.read(l.fatOff, int(l.fatLen))
	zeros := make([]byte, len(good)-8)
	active := func(flags uint16) { l.write(40, le.AppendUint16(nil, flags)) }

	l.write(l.fatOff+l.fatLen+8, zeros) // the second
	if b, err := read(); err != nil || !bytes.Equal(b, data) {
		t.Errorf("mirrored, the second damaged: %d bytes, %v", len(b), err)
	}
	active(0x81)
	if _, err := fat.Driver().Open(context.Background(), []block.Device{device(t, l.path)}, vfs.Options{}); err == nil {
		if _, err := read(); err == nil {
			t.Error("the second is active and damaged, and nobody noticed")
		}
	}
	l.write(l.fatOff, good)
	l.write(l.fatOff+8, zeros)
	l.write(l.fatOff+l.fatLen, good)
	if b, err := read(); err != nil || !bytes.Equal(b, data) {
		t.Errorf("the second is active, the first damaged: %d bytes, %v", len(b), err)
	}
	active(0)
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("mirrored, the first damaged: %v", err)
	}
	active(0x82)
	if _, err := fat.Driver().Open(context.Background(), []block.Device{device(t, l.path)}, vfs.Options{}); err == nil || !strings.Contains(err.Error(), "FAT 2 of 2") {
		t.Errorf("an active FAT that is not there: %v", err)
	}
}

// TestLoops closes a chain at every cluster of it: no byte of a wrong one is
// shown.
func TestLoops(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1")
	const n = 12
	var data []byte
	for i := range n {
		data = append(data, bytes.Repeat([]byte{byte('a' + i)}, 512)...)
	}
	clusters := []uint32{10, 11, 12, 20, 21, 15, 16, 17, 30, 32, 34, 35}
	l.fill(data, clusters...)
	l.inRoot(shortBytes("FILE       ", 0x20, clusters[0], n*512))
	for end := 1; end < n; end++ {
		for back := range end {
			l.chain(clusters...)
			for i := range l.fats {
				l.write(l.fatOff+i*l.fatLen+int64(clusters[end-1])*4, le.AppendUint32(nil, clusters[back]))
			}
			f := lookup(t, openWith(t, l.path, ""), "file")
			b := make([]byte, n*512)
			got, err := vfs.ReadAt(context.Background(), f, b, 0)
			if err == nil || !strings.Contains(err.Error(), "comes back") || !bytes.Equal(b[:got], data[:got]) || got > end*512 {
				t.Errorf("cluster %d is followed by cluster %d: %d bytes, %v", end-1, back, got, err)
			}
		}
	}
}

// TestLabels reads labels of the root and of the boot sector, and what says
// that a volume is in use.
func TestLabels(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1", "-n", "IN BOOT")
	ctx := context.Background()
	info := func() (probed, opened vfs.Info) {
		probed, err := fat.Driver().Probe(ctx, device(t, l.path))
		if err != nil {
			t.Fatal(err)
		}
		return probed, openWith(t, l.path, "codepage=850").Info()
	}
	p, o := info()
	if p.Label != "IN BOOT" || o.Label != "IN BOOT" || o.Dirty {
		t.Errorf("%+v, %+v", p, o)
	}
	run(t, "mlabel", "-i", l.path, "::ROOT LABEL")
	if p, o := info(); p.Label != "ROOT LABEL" || o.Label != "ROOT LABEL" {
		t.Errorf("%q, %q", p.Label, o.Label)
	}
	l.write(l.at(2), shortBytes("\x9aMLAUT     ", 0x08, 0, 0))
	if _, o := info(); o.Label != "ÜMLAUT" {
		t.Errorf("%q", o.Label)
	}
	if names := listed(t, rootOf(t, openWith(t, l.path, ""))); len(names) != 0 {
		t.Errorf("the label is listed: %q", names)
	}
	for _, c := range []struct {
		name string
		off  int64
		b    []byte
	}{{"the boot sector", 65, []byte{1}}, {"the FAT", l.fatOff + 4, []byte{0xff, 0xff, 0xff, 0x07}}} {
		old := l.read(c.off, len(c.b))
		l.write(c.off, c.b)
		if _, o := info(); !o.Dirty {
			t.Errorf("%s says that it is in use", c.name)
		}
		l.write(c.off, old)
	}
	x := newExFAT(t, 8<<20, "-c", "4K", "-L", "ärger 日本")
	if i := openWith(t, x.path, "").Info(); i.Label != "ärger 日本" || i.Dirty {
		t.Errorf("exFAT: %+v", i)
	}
	x.write(106, []byte{2, 0})
	if i := openWith(t, x.path, "").Info(); !i.Dirty {
		t.Errorf("exFAT in use: %+v", i)
	}
}

// TestLongest has names of 255 units of every plane, and one that is longer
// than a name may be, which is no name.
func TestLongest(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "8")
	var want []string
	for i, name := range []string{strings.Repeat("x", 255), strings.Repeat("\U0001F600", 127) + "y", strings.Repeat("\uFFFD", 255), "\U00020000\U000E0001\U0010FFFD"} {
		want = append(want, name)
		l.inRoot(longBytes(utf16.Encode([]rune(name)), shortBytes(fmt.Sprintf("NAME%d      ", i), 0x20, 0, 0)))
	}
	l.checked()
	want = append(want, "TOOLONG")
	l.inRoot(longBytes(utf16.Encode([]rune(strings.Repeat("z", 256))), shortBytes("TOOLONG    ", 0x20, 0, 0)))
	fs := openWith(t, l.path, "")
	if got := listed(t, rootOf(t, fs)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for i, name := range want {
		alias := fmt.Sprintf("name%d", i)
		if i == 4 {
			alias = "toolong"
		}
		if lookup(t, fs, name).Ino() != lookup(t, fs, alias).Ino() {
			t.Errorf("%q is not its alias", name)
		}
	}
}

// TestDirectoriesThatAreNone follows entries that lead to ancestors, nowhere
// and beyond the volume.
func TestDirectoriesThatAreNone(t *testing.T) {
	l := newFAT32(t, 40<<20, "-s", "1")
	l.inRoot(shortBytes("ROOT       ", 0x10, 2, 0))
	l.inRoot(shortBytes("NOWHERE    ", 0x10, 0, 0))
	l.inRoot(shortBytes("BEYOND     ", 0x10, 0x0FFFFF0, 0))
	l.inRoot(shortBytes("FILE       ", 0x20, 0x0FFFFF0, 5))
	fs := openWith(t, l.path, "")
	ctx := context.Background()
	again := lookup(t, fs, "root")
	ino, err := again.Lookup(ctx, "root")
	if err != nil || ino != again.Ino() {
		t.Errorf("a directory in itself has the numbers %v and %v (%v): a walk would not end", ino, again.Ino(), err)
	}
	for _, name := range []string{"nowhere", "beyond", "file"} {
		ino, err := rootOf(t, fs).Lookup(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		var damage *ondisk.CorruptError
		if _, err := fs.Inode(ctx, ino); !errors.As(err, &damage) {
			t.Errorf("%s: %v, want damage", name, err)
		}
	}
}

// TestExFATTables damages what an exFAT volume holds once.
func TestExFATTables(t *testing.T) {
	fresh := func() *layout {
		l := newExFAT(t, 8<<20, "-c", "4K")
		l.inRoot(exFile{name: "FILE", attr: 0x20}.bytes())
		l.checked()
		return l
	}
	ctx := context.Background()
	entry := func(l *layout, kind byte) int64 {
		for at := l.at(l.root()); ; at += 32 {
			if b := l.read(at, 1); b[0] == kind {
				return at
			} else if b[0] == 0 {
				t.Fatalf("no entry of type %#x", kind)
			}
		}
	}
	refused := func(what string, l *layout, want string) {
		t.Helper()
		_, err := fat.ExDriver().Open(ctx, []block.Device{device(t, l.path)}, vfs.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}

	// A damaged up-case table is not used: names are folded by Unicode.
	l := fresh()
	up := entry(l, 0x82)
	at := l.at(le.Uint32(l.read(up+20, 4)))
	l.write(at+2*'F', []byte{'G', 0})
	lookup(t, openWith(t, l.path, ""), "file")
	// With its checksum right it is: F is folded to G, and f as before to F.
	var sum uint32
	for _, v := range l.read(at, int(le.Uint64(l.read(up+24, 8)))) {
		sum = (sum>>1 | sum<<31) + uint32(v)
	}
	l.write(up+4, le.AppendUint32(nil, sum))
	if _, err := rootOf(t, openWith(t, l.path, "")).Lookup(ctx, "file"); err != syscall.ENOENT {
		t.Errorf("the volume's own table is not used: %v", err)
	}
	lookup(t, openWith(t, l.path, ""), "Gile")

	// Another bit in the bitmap is another cluster in use.
	l = fresh()
	before, err := openWith(t, l.path, "").Usage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.row(5)
	after, err := openWith(t, l.path, "").Usage(ctx)
	if err != nil || before.Free-after.Free != 5 {
		t.Errorf("%d free, then %d, %v", before.Free, after.Free, err)
	}
	l.write(entry(l, 0x81)+24, le.AppendUint64(nil, 3))
	if _, err := openWith(t, l.path, "").Usage(ctx); err == nil || !strings.Contains(err.Error(), "allocation bitmap") {
		t.Errorf("a bitmap that is too short: %v", err)
	}
	l = fresh()
	l.write(entry(l, 0x81), []byte{0x01})
	refused("no bitmap", l, "no allocation bitmap")

	// The boot region: its backup is used, and nothing where that is damaged too.
	l = fresh()
	l.write(200, []byte("other boot code"))
	lookup(t, openWith(t, l.path, ""), "file")
	l.write(12*l.sector+200, []byte("damage"))
	refused("both boot regions damaged", l, "boot region")
	l = fresh()
	b := l.read(0, int(l.cluster*4))
	b[105] = 2 // revision 2.00
	if l.sector == 512 {
		sealBoot(b)
	}
	_, err = fat.ExDriver().Open(ctx, []block.Device{blocktest.NewMemory(append(b, make([]byte, 8<<20)...))}, vfs.Options{})
	if err == nil || !strings.Contains(err.Error(), "revision 2.00") {
		t.Errorf("revision 2: %v", err)
	}
}

// TestExFATSets damages single entry sets: the others are found by name, and
// what the damaged one would be is not said to be missing.
func TestExFATSets(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(set []byte) []byte
		want   string
	}{
		{"checksum", func(b []byte) []byte { b[2]++; return b }, "checksum"},
		{"name length", func(b []byte) []byte { b[32+3] = 200; sealSet(b); return b }, "a name of 200 units"},
		{"no stream", func(b []byte) []byte { b[32] = 0xC1; sealSet(b); return b }, "stream extension"},
		{"count", func(b []byte) []byte { b[1] = 30; sealSet(b); return b }, "30 secondary"},
		{"cut", func(b []byte) []byte { return b[:64] }, "before it ends"},
		{"unknown", func(b []byte) []byte { b[0] = 0x8A; return b[:32] }, "unknown critical type 0x8a"},
	} {
		l := newExFAT(t, 8<<20, "-c", "4K")
		l.inRoot(exFile{name: "BEFORE", attr: 0x20}.bytes())
		l.inRoot(c.change(exFile{name: "DAMAGED", attr: 0x20}.bytes()))
		l.inRoot([]byte{0xA0, 31: 0}) // a benign entry: the volume's GUID
		l.inRoot(exFile{name: "BEHIND", attr: 0x20}.bytes())
		fs := openWith(t, l.path, "")
		lookup(t, fs, "before")
		lookup(t, fs, "behind")
		_, err := rootOf(t, fs).Lookup(context.Background(), "damaged")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		seen := 0
		for _, err = range rootOf(t, fs).Entries(context.Background(), vfs.Cursor{}) {
			seen++
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || seen != 2 {
			t.Errorf("%s: listing gives %d entries and %v", c.name, seen, err)
		}
	}
}
