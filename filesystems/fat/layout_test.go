package fat_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/guestctl/guestctl/tests/images"
)

var le = binary.LittleEndian

// A layout writes into a volume that mkfs.fat or mkfs.exfat made what no tool
// writes, or none in a bearable time. The checkers read it before the driver
// does.
type layout struct {
	t       testing.TB
	path    string
	f       *os.File
	ex      bool
	sector  int64
	cluster int64
	fatOff  int64
	fatLen  int64
	fats    int64
	heap    int64
	count   uint32 // clusters
	next    uint32 // the lowest cluster that nothing has yet
	rootEnd int64  // bytes of the root that are in use
	bitmap  int64  // exFAT: where it is
}

func (l *layout) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *layout) read(off int64, n int) []byte {
	b := make([]byte, n)
	_, err := l.f.ReadAt(b, off)
	l.check(err)
	return b
}

func (l *layout) write(off int64, b []byte) {
	_, err := l.f.WriteAt(b, off)
	l.check(err)
}

// at is where data cluster c lies.
func (l *layout) at(c uint32) int64 { return l.heap + int64(c-2)*l.cluster }

// sparse makes a file of that size without contents.
func sparse(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func openLayout(t testing.TB, path string) *layout {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &layout{t: t, path: path, f: f}
}

// newFAT32 is an empty FAT32 volume.
func newFAT32(t testing.TB, size int64, args ...string) *layout {
	t.Helper()
	images.NeedTool(t, "mkfs.fat", "fsck.fat", "mdir")
	path := sparse(t, size)
	run(t, "mkfs.fat", append(append([]string{"-F", "32"}, args...), path)...)
	l := openLayout(t, path)
	b := l.read(0, 512)
	l.sector = int64(le.Uint16(b[11:]))
	l.cluster = l.sector * int64(b[13])
	l.fatOff = int64(le.Uint16(b[14:])) * l.sector
	l.fats, l.fatLen = int64(b[16]), int64(le.Uint32(b[36:]))*l.sector
	l.heap = l.fatOff + l.fats*l.fatLen
	l.count = uint32((size - l.heap) / l.cluster)
	l.next = 3
	return l
}

// newExFAT is an empty exFAT volume.
func newExFAT(t testing.TB, size int64, args ...string) *layout {
	t.Helper()
	images.NeedTool(t, "mkfs.exfat", "fsck.exfat")
	path := sparse(t, size)
	run(t, "mkfs.exfat", append(args, path)...)
	l := openLayout(t, path)
	l.ex = true
	b := l.read(0, 512)
	l.sector = 1 << b[108]
	l.cluster = l.sector << b[109]
	l.fatOff, l.fatLen = int64(le.Uint32(b[80:]))*l.sector, int64(le.Uint32(b[84:]))*l.sector
	l.fats = 1
	l.heap = int64(le.Uint32(b[88:])) * l.sector
	l.count = le.Uint32(b[92:])
	root := le.Uint32(b[96:])
	for e := l.read(l.at(root), int(l.cluster)); e[l.rootEnd] != 0; l.rootEnd += 32 {
		if e[l.rootEnd] == 0x81 {
			l.bitmap = l.at(le.Uint32(e[l.rootEnd+20:]))
		}
	}
	l.next = root + 1
	return l
}

func (l *layout) root() uint32 {
	if l.ex {
		return le.Uint32(l.read(96, 4))
	}
	return 2
}

// chain takes clusters for a file, in that order.
func (l *layout) chain(clusters ...uint32) {
	for i, c := range clusters {
		next := uint32(0xFFFFFFFF)
		if i+1 < len(clusters) {
			next = clusters[i+1]
		} else if !l.ex {
			next = 0x0FFFFFFF
		}
		for n := range l.fats {
			l.write(l.fatOff+n*l.fatLen+int64(c)*4, le.AppendUint32(nil, next))
		}
	}
	l.take(clusters...)
}

// take marks clusters as in use where that is not the FAT's part.
func (l *layout) take(clusters ...uint32) {
	if l.ex {
		for _, c := range clusters {
			at := l.bitmap + int64(c-2)/8
			b := l.read(at, 1)
			b[0] |= 1 << ((c - 2) % 8)
			l.write(at, b)
		}
		return
	}
	info := l.read(l.sector, 512)
	le.PutUint32(info[488:], le.Uint32(info[488:])-uint32(len(clusters)))
	le.PutUint32(info[492:], 0xFFFFFFFF)
	l.write(l.sector, info)
}

// row takes n clusters side by side and answers the first.
func (l *layout) row(n int64) uint32 {
	first := l.next
	l.next += uint32(n)
	if l.next > l.count+2 {
		l.t.Fatalf("%d clusters of %d", l.next-2, l.count)
	}
	if l.ex { // NoFatChain
		bits := l.read(l.bitmap, int(l.count+7)/8)
		for c := first; c < l.next; c++ {
			bits[(c-2)/8] |= 1 << ((c - 2) % 8)
		}
		l.write(l.bitmap, bits)
		return first
	}
	var entries []byte
	for c := first; c < l.next; c++ {
		v := c + 1
		if v == l.next {
			v = 0x0FFFFFFF
		}
		entries = le.AppendUint32(entries, v)
	}
	for i := range l.fats {
		l.write(l.fatOff+i*l.fatLen+int64(first)*4, entries)
	}
	l.take(make([]uint32, n)...)
	return first
}

// fill writes b into the clusters, one after the other.
func (l *layout) fill(b []byte, clusters ...uint32) {
	for _, c := range clusters {
		n := min(int64(len(b)), l.cluster)
		l.write(l.at(c), b[:n])
		b = b[n:]
	}
}

// inRoot appends entries to the root, which must not outgrow its cluster.
func (l *layout) inRoot(entries []byte) {
	if l.rootEnd+int64(len(entries)) > l.cluster {
		l.t.Fatal("the root is full")
	}
	l.write(l.at(l.root())+l.rootEnd, entries)
	l.rootEnd += int64(len(entries))
}

// shortBytes is a FAT entry of an 8.3 name in 11 bytes, dated 2020-01-01.
func shortBytes(name string, attr uint8, first, size uint32) []byte {
	e := make([]byte, 32)
	copy(e, name)
	e[11] = attr
	le.PutUint16(e[24:], 40<<9|1<<5|1)
	le.PutUint16(e[20:], uint16(first>>16))
	le.PutUint16(e[26:], uint16(first))
	le.PutUint32(e[28:], size)
	return e
}

// longBytes is a name's entries before short, and short itself.
func longBytes(units []uint16, short []byte) []byte {
	var sum uint8
	for _, b := range short[:11] {
		sum = sum>>1 | sum<<7
		sum += b
	}
	parts := (len(units) + 12) / 13
	var out []byte
	for p := parts; p > 0; p-- {
		e := make([]byte, 32)
		e[0], e[11], e[13] = byte(p), 0x0F, sum
		if p == parts {
			e[0] |= 0x40
		}
		for i := range 13 {
			u := uint16(0xFFFF)
			if at := (p-1)*13 + i; at < len(units) {
				u = units[at]
			} else if at == len(units) {
				u = 0
			}
			off := 1 + 2*i
			if i >= 5 {
				off = 14 + 2*(i-5)
			}
			if i >= 11 {
				off = 28 + 2*(i-11)
			}
			le.PutUint16(e[off:], u)
		}
		out = append(out, e...)
	}
	return append(out, short...)
}

// An exFile is what an entry set says.
type exFile struct {
	name        string // without letters beyond ASCII, since its hash needs the up-case table
	attr        uint16
	first       uint32
	size, valid uint64
	row         bool // NoFatChain
}

func (f exFile) bytes() []byte {
	units := utf16.Encode([]rune(f.name))
	names := (len(units) + 14) / 15
	b := make([]byte, (2+names)*32)
	b[0], b[1] = 0x85, byte(1+names)
	le.PutUint16(b[4:], f.attr)
	for _, at := range []int{8, 12, 16} {
		le.PutUint32(b[at:], (40<<9|1<<5|1)<<16)
	}
	s := b[32:]
	s[0], s[1], s[3] = 0xC0, 1, byte(len(units))
	if f.row {
		s[1] |= 2
	}
	var hash uint16
	for _, u := range utf16.Encode([]rune(strings.ToUpper(f.name))) {
		hash = (hash>>1 | hash<<15) + u&0xFF
		hash = (hash>>1 | hash<<15) + u>>8
	}
	le.PutUint16(s[4:], hash)
	le.PutUint64(s[8:], f.valid)
	le.PutUint32(s[20:], f.first)
	le.PutUint64(s[24:], f.size)
	for i, u := range units {
		e := b[64+i/15*32:]
		e[0] = 0xC1
		le.PutUint16(e[2+i%15*2:], u)
	}
	sealSet(b)
	return b
}

// sealSet makes an entry set's checksum right.
func sealSet(b []byte) {
	var sum uint16
	for i, v := range b {
		if i != 2 && i != 3 {
			sum = (sum>>1 | sum<<15) + uint16(v)
		}
	}
	le.PutUint16(b[2:], sum)
}

// checked lets the checker of the format read the volume.
func (l *layout) checked() {
	l.t.Helper()
	if l.ex {
		run(l.t, "fsck.exfat", "-n", l.path)
	} else {
		run(l.t, "fsck.fat", "-n", l.path)
	}
}

// manyName is the name of file i of a large directory.
func manyName(i int) string { return fmt.Sprintf("a file with number %06d", i) }

// manyFAT is a directory of n empty files with long names and aliases.
func (l *layout) manyFAT(n int) (entries []byte) {
	for i := range n {
		short := shortBytes(fmt.Sprintf("F%07d   ", i), 0x20, 0, 0)
		entries = append(entries, longBytes(utf16.Encode([]rune(manyName(i))), short)...)
	}
	size := int64(len(entries)) + 64
	first := l.row((size + l.cluster - 1) / l.cluster)
	dots := append(shortBytes(".          ", 0x10, first, 0), shortBytes("..         ", 0x10, 0, 0)...)
	l.write(l.at(first), append(dots, entries...))
	l.inRoot(shortBytes("MANY       ", 0x10, first, 0))
	return entries
}

// manyExFAT is the same in exFAT.
func (l *layout) manyExFAT(n int) {
	var entries []byte
	for i := range n {
		entries = append(entries, exFile{name: manyName(i), attr: 0x20}.bytes()...)
	}
	clusters := (int64(len(entries)) + l.cluster - 1) / l.cluster
	first := l.row(clusters)
	l.write(l.at(first), entries)
	size := uint64(clusters * l.cluster)
	l.inRoot(exFile{name: "MANY", attr: 0x10, first: first, size: size, valid: size, row: true}.bytes())
}

// marker is what stands at the start of a piece of a large file.
func marker(off int64) []byte { return fmt.Appendf(bytes.Repeat([]byte{'.'}, 8), "at byte %d", off) }
