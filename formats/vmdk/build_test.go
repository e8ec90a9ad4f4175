package vmdk_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/formattest"
)

// What QEMU cannot write is built here from the published layout; QEMU reads
// all of it, and so is the oracle still.

// builder appends sectors.
type builder struct{ b []byte }

func (w *builder) at() int { return len(w.b) / sector }

func (w *builder) add(p []byte) int {
	at := w.at()
	w.b = append(w.b, p...)
	for len(w.b)%sector != 0 {
		w.b = append(w.b, 0)
	}
	return at
}

// cowd is an ESX Server sparse extent with the grains of disk that are not
// zero. They are written in the order of a running machine: any.
func cowd(disk []byte, grain int) []byte {
	const gtes = 4096
	grains := (len(disk) + grain - 1) / grain
	tables := (grains + gtes - 1) / gtes
	w := &builder{b: make([]byte, 2048)}
	le := binary.LittleEndian
	copy(w.b, "COWD")
	for off, v := range map[int]int{4: 1, 8: 3, 12: len(disk) / sector, 16: grain / sector, 20: 4, 24: tables} {
		le.PutUint32(w.b[off:], uint32(v))
	}
	gd := w.add(make([]byte, tables*4)) * sector
	for t := range tables {
		var gt int
		for i := min(grains, (t+1)*gtes) - 1; i >= t*gtes; i-- {
			part := disk[i*grain : min(len(disk), (i+1)*grain)]
			if len(strings.Trim(string(part), "\x00")) == 0 {
				continue
			}
			if gt == 0 {
				gt = w.add(make([]byte, gtes*4))
				le.PutUint32(w.b[gd+t*4:], uint32(gt))
			}
			at := w.add(append(append([]byte(nil), part...), make([]byte, grain-len(part))...))
			le.PutUint32(w.b[gt*sector+(i-t*gtes)*4:], uint32(at))
		}
	}
	return w.b
}

// seSparse is an seSparse extent of disk: zero grains, unmapped ones,
// allocated ones and holes.
func seSparse(disk []byte) []byte {
	const grain, gtes = 4096, 4096
	le := binary.LittleEndian
	grains := (len(disk) + grain - 1) / grain
	tables := (grains + gtes - 1) / gtes
	b := make([]byte, 8*sector)
	put := func(off int, v uint64) { le.PutUint64(b[off:], v) }
	gdAt, gtAt := 8, 16
	grainsAt := gtAt + tables*64
	for off, v := range map[int]uint64{
		0: 0xcafebabe, 8: 0x200000001, 16: uint64(len(disk) / sector), 24: 8, 32: 64,
		80: 1, 88: 1, 128: uint64(gdAt), 136: 8, 144: uint64(gtAt), 152: uint64(tables * 64), 192: uint64(grainsAt),
	} {
		put(off, v)
	}
	put(512, 0xcafecafe)
	b = slices.Concat(b, make([]byte, (grainsAt-8)*sector))
	next := 0
	for i := range grains {
		t := i / gtes
		put(gdAt*sector+t*8, 0x1000_0000_0000_0000|uint64(t))
		entry := gtAt*sector + t*64*sector + i%gtes*8
		part := disk[i*grain : min(len(disk), (i+1)*grain)]
		if len(strings.Trim(string(part), "\x00")) == 0 {
			put(entry, []uint64{0, 0x1000_0000_0000_0000, 0x2000_0000_0000_0000}[i%3])
			continue
		}
		n := uint64(next)
		put(entry, 0x3000_0000_0000_0000|n&0xfff<<48|n>>12)
		b = slices.Grow(b, grain)
		b = b[:len(b)+grain]
		clear(b[copy(b[len(b)-grain:], part)+len(b)-grain:])
		next++
	}
	return b
}

// text is a descriptor.
func text(createType, lines string) []byte {
	return []byte("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"" + createType + "\"\n\n# Extent description\n" + lines + "\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n")
}

func TestCOWD(t *testing.T) {
	for _, grain := range []int{sector, 65536} {
		dir := t.TempDir()
		want := formattest.Content(8, 2<<20+5*sector)
		formattest.Write(t, dir, "disk-delta.vmdk", cowd(want, grain))
		path := formattest.Write(t, dir, "disk.vmdk", text("vmfsSparse", fmt.Sprintf("RW %d VMFSSPARSE \"disk-delta.vmdk\"", len(want)/sector)))
		formattest.Agree(t, path, "vmdk")
	}
}

func TestSESparse(t *testing.T) {
	dir := t.TempDir()
	want := formattest.Content(9, 17<<20+sector)
	formattest.Write(t, dir, "disk-sesparse.vmdk", seSparse(want))
	path := formattest.Write(t, dir, "disk.vmdk", text("seSparse", fmt.Sprintf("RW %d SESPARSE \"disk-sesparse.vmdk\"", len(want)/sector)))
	formattest.Agree(t, path, "vmdk")
}

func TestVMFSFlat(t *testing.T) {
	dir := t.TempDir()
	want := formattest.Content(10, 2<<20+sector)
	formattest.Write(t, dir, "disk-flat.vmdk", want)
	path := formattest.Write(t, dir, "disk.vmdk", text("vmfs", fmt.Sprintf("RW %d VMFS \"disk-flat.vmdk\"", len(want)/sector)))
	formattest.Agree(t, path, "vmdk")
	// QEMU has no such type; the extents are the same.
	formattest.Write(t, dir, "disk.vmdk", text("vmfsThin", fmt.Sprintf("RW %d VMFS \"disk-flat.vmdk\"", len(want)/sector)))
	formattest.Run(t, formattest.Case{Path: path, Format: "vmdk", Want: want})
}

// TestThreeExtents is a disk split into three files and a stretch of zeros,
// of which one is flat from within its file.
func TestThreeExtents(t *testing.T) {
	dir := t.TempDir()
	a, b, c := formattest.Content(11, 1<<20), formattest.Content(12, 1<<20+sector), formattest.Content(13, 2<<20-sector)
	src := formattest.Write(t, dir, "src.raw", a)
	formattest.Do(t, dir, "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", src, "one.vmdk")
	formattest.Write(t, dir, "two.bin", append(make([]byte, 3*sector), b...))
	formattest.Write(t, dir, "three.vmdk", cowd(c, 4096))
	os.Remove(src)
	os.Remove(filepath.Join(dir, "one.vmdk"))
	lines := fmt.Sprintf("RW %d SPARSE \"one-s001.vmdk\"\nRW %d FLAT \"two.bin\" 3\nRW %d VMFSSPARSE \"three.vmdk\"", len(a)/sector, len(b)/sector, len(c)/sector)
	path := formattest.Write(t, dir, "disk.vmdk", text("twoGbMaxExtentSparse", lines))
	formattest.Agree(t, path, "vmdk")

	// QEMU passes over extents of zeros, and over read-only ones.
	lines += "\nRDONLY 70 ZERO\n"
	formattest.Write(t, dir, "disk.vmdk", text("custom", lines))
	all := append(append(append(append([]byte(nil), a...), b...), c...), make([]byte, 70*sector)...)
	formattest.Run(t, formattest.Case{Path: path, Format: "vmdk", Want: all})
}

// TestDescriptorQuirks has the ways in which programs write descriptors.
func TestDescriptorQuirks(t *testing.T) {
	dir := t.TempDir()
	want := formattest.Content(14, 1<<20)
	formattest.Write(t, dir, "disk-flat.vmdk", want)
	line := fmt.Sprintf("RW %d FLAT \"disk-flat.vmdk\" 0", len(want)/sector)
	for name, s := range map[string]string{
		"crlf":         strings.ReplaceAll(string(text("monolithicFlat", line)), "\n", "\r\n"),
		"blank first":  "\n  \r\n# a comment\n" + string(text("monolithicFlat", line)),
		"no signature": strings.TrimPrefix(string(text("monolithicFlat", line)), "# Disk DescriptorFile\n"),
		"spaces": "# Disk DescriptorFile\nversion = 1\nencoding = \"windows-1252\"\nCID = fffffffe\nparentCID = ffffffff\nisNativeSnapshot=\"no\"\ncreateType = monolithicFlat\n\t" +
			strings.ReplaceAll(line, " ", "\t") + "\n",
		"case":     strings.NewReplacer("createType", "createtype", "RW", "rw", "FLAT", "flat").Replace(string(text("MonolithicFlat", line))),
		"long":     string(text("monolithicFlat", line+"\nchangeTrackPath=\"x-ctk.vmdk\"")) + strings.Repeat("ddb.x = \"y\"\n", 3000),
		"Windows":  string(text("monolithicFlat", strings.Replace(line, "disk-flat", `C:\Machines\a b\disk-flat`, 1))),
		"relative": string(text("monolithicFlat", strings.Replace(line, "disk-flat", `.\disk-flat`, 1))),
		"no hint":  strings.Replace(string(text("monolithicFlat", line)), "ffffffff", "FFFFFFFF\nparentFileNameHint=\"gone.vmdk\"", 1),
	} {
		t.Run(name, func(t *testing.T) {
			path := formattest.Write(t, dir, "disk.vmdk", []byte(s))
			formattest.Run(t, formattest.Case{Path: path, Format: "vmdk", Want: want})
		})
	}
}

// TestRenamed opens an image whose own name in its descriptor is wrong.
func TestRenamed(t *testing.T) {
	dir := t.TempDir()
	formattest.Create(t, filepath.Join(dir, "a.vmdk"), "vmdk", "", 2<<20)
	formattest.IO(t, filepath.Join(dir, "a.vmdk"), "vmdk", "write -P 4 1M 100k")
	if err := os.Rename(filepath.Join(dir, "a.vmdk"), filepath.Join(dir, "b.vmdk")); err != nil {
		t.Fatal(err)
	}
	formattest.Agree(t, filepath.Join(dir, "b.vmdk"), "vmdk")
}
