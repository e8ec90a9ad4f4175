package volume_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
)

// An lvmHost is lvm2's tools and what they say of the images.
type lvmHost struct {
	*images.LVM
	t testing.TB
}

func newLVM(t testing.TB, sizes ...int64) *lvmHost {
	t.Helper()
	return &lvmHost{images.NewLVM(t, sizes...), t}
}

// devices are the images as disks.
func (h *lvmHost) devices() []volume.Device {
	h.t.Helper()
	h.Detach()
	var devs []volume.Device
	for i, path := range h.Paths {
		devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(readImage(h.t, path))})
	}
	return devs
}

// A lvsRow is a segment, as lvs reports it.
type lvsRow struct {
	Name    string `json:"lv_name"`
	VG      string `json:"vg_name"`
	UUID    string `json:"lv_uuid"`
	Start   string `json:"seg_start"`
	Size    string `json:"seg_size"`
	Ranges  string `json:"seg_pe_ranges"`
	Stripes string `json:"stripes"`
	Chunk   string `json:"stripe_size"`
	Extent  string `json:"vg_extent_size"`
}

// byLVS puts together by lvs's report what each logical volume holds: an own reading of where extents are, from what the
// tool prints.
func (h *lvmHost) byLVS() map[string][]byte {
	h.t.Helper()
	starts := map[string]int64{}
	data := map[string][]byte{}
	var pvs struct {
		Report []struct{ PV []map[string]string }
	}
	if err := json.Unmarshal([]byte(h.Run("pvs --reportformat json --units b --nosuffix -o pv_name,pe_start")), &pvs); err != nil {
		h.t.Fatal(err)
	}
	for _, p := range pvs.Report[0].PV {
		starts[p["pv_name"]], _ = strconv.ParseInt(p["pe_start"], 10, 64)
		data[p["pv_name"]] = readImage(h.t, h.Paths[slices.Index(h.Loops, p["pv_name"])])
	}
	var lvs struct {
		Report []struct{ Seg []lvsRow }
	}
	out := h.Run("lvs --segments --reportformat json --units b --nosuffix -o lv_name,vg_name,lv_uuid,seg_start,seg_size,seg_pe_ranges,stripes,stripe_size,vg_extent_size")
	if err := json.Unmarshal([]byte(out), &lvs); err != nil {
		h.t.Fatal(err)
	}
	volumes := map[string][]byte{}
	for _, row := range lvs.Report[0].Seg {
		number := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n }
		size, start, extent, chunk := number(row.Size), number(row.Start), number(row.Extent), number(row.Chunk)
		body := volumes[row.UUID]
		if int64(len(body)) < start+size {
			body = append(body, make([]byte, start+size-int64(len(body)))...)
		}
		var stripes [][]byte
		for _, r := range strings.Fields(row.Ranges) {
			dev, span, _ := strings.Cut(r, ":")
			first, last, _ := strings.Cut(span, "-")
			stripes = append(stripes, data[dev][starts[dev]+number(first)*extent:starts[dev]+(number(last)+1)*extent])
		}
		if chunk == 0 {
			chunk = size
		}
		for at := int64(0); at < size; at += chunk {
			n := at / chunk
			copy(body[start+at:start+min(at+chunk, size)], stripes[n%int64(len(stripes))][n/int64(len(stripes))*chunk:])
		}
		volumes[row.UUID] = body
	}
	return volumes
}

// sprinkle fills the images with bytes that say where they are, from off on, but for the metadata at their ends.
func (h *lvmHost) sprinkle(off int64) {
	h.t.Helper()
	for i, path := range h.Paths {
		b := readImage(h.t, path)
		for at := off; at+2*mib <= int64(len(b)); at += 512 {
			binary.BigEndian.PutUint64(b[at:], uint64(i)<<40|uint64(at))
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := f.WriteAt(b[off:], off); err != nil {
			h.t.Fatal(err)
		}
		f.Close()
	}
}

func scanDevices(t testing.TB, devs []volume.Device, opt volume.Options) ([]volume.Volume, []error) {
	t.Helper()
	vols, warnings, err := volume.Scan(context.Background(), devs, opt)
	if err != nil {
		t.Fatal(err)
	}
	return vols, warnings
}

func byName(vols []volume.Volume, name string) *volume.Volume {
	for i := range vols {
		if vols[i].Name == name {
			return &vols[i]
		}
	}
	return nil
}

// contents reads a device wholly.
func contents(t testing.TB, dev block.Device) []byte {
	t.Helper()
	b := make([]byte, dev.Size())
	if err := block.ReadFull(context.Background(), dev, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// lvmGroup is a group with linear and striped volumes over three disks, in several segments.
func lvmGroup(t testing.TB) *lvmHost {
	h := newLVM(t, 16*mib, 16*mib, 24*mib)
	h.Run("pvcreate -q $1")
	h.Run("pvcreate -q --metadatacopies 2 $2")
	h.Run("pvcreate -q --metadatacopies 0 $3")
	h.Run("vgcreate -q -s 64k vg-x $1 $2 $3")
	h.Run("lvcreate -qq -an -Zn -Wn -l 37 -n lin vg-x $2")
	h.Run("lvcreate -qq -an -Zn -Wn -i3 -I 16k -l 30 -n str vg-x")
	h.Run("lvcreate -qq -an -Zn -Wn -l 3 -n lv-one vg-x $1")
	h.Run("lvextend -qq -l +20 vg-x/lin $1")
	h.Run("lvextend -qq -i2 -I 4k -l +10 vg-x/str $1 $3")
	h.Run("lvcreate -qq -an -Zn -Wn -l 20 -n gone vg-x $1")
	h.Run("lvremove -qq -y vg-x/gone")
	h.Run("lvrename -qq vg-x/lv-one vg-x/lv-two")
	return h
}

// TestLVM compares with what lvm2's tools say of groups that they made.
func TestLVM(t *testing.T) {
	h := lvmGroup(t)
	h.sprinkle(2 * mib)
	want := h.byLVS()
	devs := h.devices()
	vols, warnings := scanDevices(t, devs, volume.Options{})
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	found := 0
	for _, v := range vols {
		if v.Type == volume.TypeDisk {
			if v.Holds != "lvm2" {
				t.Errorf("%s holds %q", v.Name, v.Holds)
			}
			continue
		}
		found++
		if v.Err != nil {
			t.Errorf("%s: %v", v.Name, v.Err)
			continue
		}
		blocktest.Run(t, v.Dev, want[v.UUID])
		if _, ok := v.Dev.(block.Writer); ok {
			t.Errorf("%s can be written", v.Name)
		}
	}
	if found != len(want) || found != 3 {
		t.Errorf("%d volumes, lvs has %d", found, len(want))
	}
	v := byName(vols, "vg--x-lv--two")
	if v == nil || v.Disk != "sda" || !slices.Contains(v.Aliases, "vg-x/lv-two") || !slices.Contains(v.Aliases, "mapper/vg--x-lv--two") {
		t.Errorf("%+v", v)
	}

	t.Run("missing", func(t *testing.T) {
		vols, _ := scanDevices(t, []volume.Device{devs[0], devs[2]}, volume.Options{})
		if v := byName(vols, "vg--x-lv--two"); v == nil || v.Err != nil {
			t.Errorf("the volume that needs only sda: %+v", v)
		}
		v := byName(vols, "vg--x-lin")
		if v == nil || v.Dev != nil || v.Err == nil || !strings.Contains(v.Err.Error(), "lacks 1 of the 3 physical volumes") || !errors.Is(v.Err, syscall.EIO) {
			t.Fatalf("%+v", v)
		}
		vols, warnings := scanDevices(t, []volume.Device{devs[0], devs[2]}, volume.Options{Partial: true})
		v = byName(vols, "vg--x-lin")
		if v == nil || v.Err != nil {
			t.Fatalf("%+v", v)
		}
		hasWarning(t, warnings, "lin is shown as asked", "lacks 1 of the 3")
		b := make([]byte, 4096)
		if err := block.ReadFull(context.Background(), v.Dev, b, 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("a read of what is missing: %v", err)
		}
		if err := block.ReadFull(context.Background(), v.Dev, b, 37*64<<10); err != nil || !bytes.Equal(b, want[v.UUID][37*64<<10:][:4096]) {
			t.Errorf("a read of what is there: %v", err)
		}
		// Without metadata of its own the third disk says nothing alone.
		vols, _ = scanDevices(t, devs[2:], volume.Options{})
		if len(vols) != 1 || vols[0].Holds != "lvm2" {
			t.Errorf("%+v", vols)
		}
	})
	t.Run("copies", func(t *testing.T) {
		twice := append(slices.Clone(devs), volume.Device{Name: "sdd", Dev: devs[0].Dev})
		vols, _ := scanDevices(t, twice, volume.Options{})
		if v := byName(vols, "sdd"); v == nil || v.Err == nil || !strings.Contains(v.Err.Error(), "same physical volume UUID") {
			t.Errorf("%+v", v)
		}
		if v := byName(vols, "vg--x-lin"); v == nil || v.Err != nil {
			t.Errorf("%+v", v)
		}
	})
}

// TestLVMNames tells two groups of one name apart.
func TestLVMNames(t *testing.T) {
	var devs []volume.Device
	for i := range 2 {
		h := newLVM(t, 8*mib)
		h.Run("pvcreate -q $1")
		h.Run("vgcreate -q -s 64k debian-vg $1")
		h.Run("lvcreate -qq -an -Zn -Wn -l 3 -n root debian-vg")
		d := h.devices()[0]
		d.Name = volume.DiskName(i)
		devs = append(devs, d)
	}
	vols, warnings := scanDevices(t, devs, volume.Options{})
	var names []string
	for _, v := range vols {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "sda debian--vg-root sdb debian--vg-root~2" {
		t.Errorf("volumes %s", got)
	}
	hasWarning(t, warnings, "two volumes are called", "debian--vg-root~2")
}

// area is where a device's nth metadata area is, its size, and where its text is from there.
func mdaOf(b []byte, n int) (off, size int64) {
	for i := 0; ; i += 16 { // data areas
		if binary.LittleEndian.Uint64(b[512+32+40+i:]) == 0 {
			at := 512 + 32 + 40 + i + 16 + 16*n
			return int64(binary.LittleEndian.Uint64(b[at:])), int64(binary.LittleEndian.Uint64(b[at+8:]))
		}
	}
}

func lvmChecksum(b []byte) uint32 {
	const initial uint32 = 0xf597a6cf
	return ^crc32.Update(^initial, crc32.IEEETable, b)
}

// TestLVMDamage uses the other copy, and says what is damaged where there is none.
func TestLVMDamage(t *testing.T) {
	h := newLVM(t, 8*mib)
	h.Run("pvcreate -q --metadatacopies 2 $1")
	h.Run("vgcreate -q -s 64k vg $1")
	h.Run("lvcreate -qq -an -Zn -Wn -l 3 -n lv vg")
	good := readImage(t, h.Paths[0])
	h.Detach()
	first, _ := mdaOf(good, 0)
	second, _ := mdaOf(good, 1)
	if string(good[first+5:first+9]) != "LVM2" || string(good[second+5:second+9]) != "LVM2" {
		t.Fatalf("areas at %d and %d", first, second)
	}
	text := func(b []byte, area int64) int64 { return area + int64(binary.LittleEndian.Uint64(b[area+40:])) }
	for name, c := range map[string]struct {
		damage  func(b []byte)
		warning []string
		err     error
	}{
		"first header": {func(b []byte) { b[first+30] ^= 1 }, []string{"mda_header", "another copy"}, nil},
		"first text":   {func(b []byte) { b[text(b, first)+10] ^= 1 }, []string{"LVM2 metadata", "bad checksum", "another copy"}, nil},
		"second":       {func(b []byte) { clear(b[second : second+512]) }, []string{"mda_header", "no magic"}, nil},
		"both":         {func(b []byte) { b[first+30] ^= 1; b[second+30] ^= 1 }, nil, syscall.EBADMSG},
		"label":        {func(b []byte) { b[512+60] ^= 1 }, []string{"LVM2 label", "bad checksum"}, nil},
	} {
		b := bytes.Clone(good)
		c.damage(b)
		vols, warnings := scanBytes(t, b, 0)
		if c.warning != nil {
			hasWarning(t, warnings, c.warning...)
		}
		v := byName(vols, "vg-lv")
		switch {
		case c.err != nil:
			if len(vols) != 1 || !errors.Is(vols[0].Err, c.err) {
				t.Errorf("%s: %+v", name, vols)
			}
		case name != "label" && (v == nil || v.Err != nil):
			t.Errorf("%s: %+v", name, vols)
		}
	}
}

// TestLVMRing reads metadata that goes round the end of its ring buffer.
func TestLVMRing(t *testing.T) {
	h := newLVM(t, 8*mib)
	h.Run("pvcreate -q --metadatasize 36k --dataalignment 4k $1")
	h.Run("vgcreate -q -s 64k vg $1")
	h.Run("lvcreate -qq -an -Zn -Wn -l 3 -n lv vg")
	wrapped := 0
	for i := range 24 {
		h.Run(fmt.Sprintf("lvcreate -qq -an -Zn -Wn -l 1 -n other%d vg", i))
		b := readImage(t, h.Paths[0])
		off, size := mdaOf(b, 0)
		at, n := int64(binary.LittleEndian.Uint64(b[off+40:])), int64(binary.LittleEndian.Uint64(b[off+48:]))
		if at+n > size {
			wrapped++
		}
		vols, warnings := scanBytes(t, b, 0)
		if len(warnings) > 0 || byName(vols, fmt.Sprintf("vg-other%d", i)) == nil || len(vols) != i+3 {
			t.Errorf("after change %d: %d volumes, warnings %v", i, len(vols), warnings)
		}
	}
	if wrapped == 0 {
		t.Error("no text went round the end: the test shows nothing")
	}
}

// TestLVMExtentSizes reads groups with the default extents of 4 MiB and with large ones.
func TestLVMExtentSizes(t *testing.T) {
	for _, c := range []struct {
		option string
		size   int64
	}{{"", 4 * mib}, {"-s 32m", 32 * mib}, {"-s 64m", 64 * mib}} {
		h := newLVM(t, 200*mib)
		h.Run("vgcreate -q " + c.option + " vg $1")
		h.Run("lvcreate -qq -an -Zn -Wn -l 2 -n lv vg")
		h.sprinkle(2 * mib)
		want := h.byLVS()
		vols, warnings := scanDevices(t, h.devices(), volume.Options{})
		v := byName(vols, "vg-lv")
		if len(warnings) > 0 || v == nil || v.Err != nil || v.Dev.Size() != 2*c.size {
			t.Fatalf("%s: %+v, warnings %v", c.option, v, warnings)
		}
		if !bytes.Equal(contents(t, v.Dev), want[v.UUID]) {
			t.Errorf("%s: other bytes than lvs says", c.option)
		}
	}
}

// putText replaces the metadata of the one area of b and makes its checksums right.
func putText(b []byte, text string) {
	off, size := mdaOf(b, 0)
	if int64(len(text)) > size-512 {
		return
	}
	h := b[off : off+512]
	copy(b[off+512:], text)
	binary.LittleEndian.PutUint64(h[40:], 512)
	binary.LittleEndian.PutUint64(h[48:], uint64(len(text)))
	binary.LittleEndian.PutUint32(h[56:], lvmChecksum([]byte(text)))
	binary.LittleEndian.PutUint32(h, lvmChecksum(h[4:]))
}

// getText is the metadata of the one area of b.
func getText(b []byte) string {
	off, size := mdaOf(b, 0)
	at, n := int64(binary.LittleEndian.Uint64(b[off+40:])), int64(binary.LittleEndian.Uint64(b[off+48:]))
	first := min(n, size-at)
	return string(b[off+at:off+at+first]) + string(b[off+512:off+512+n-first])
}

// TestLVMHostile gives a named error for metadata that nobody writes.
func TestLVMHostile(t *testing.T) {
	h := newLVM(t, 8*mib)
	h.Run("pvcreate -q $1")
	h.Run("vgcreate -q -s 64k vg $1")
	h.Run("lvcreate -qq -an -Zn -Wn -l 3 -n lv vg")
	good := readImage(t, h.Paths[0])
	h.Detach()
	text := strings.TrimRight(getText(good), "\x00")
	swap := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the metadata has no %q:\n%s", old, text)
		}
		return strings.Replace(text, old, new, 1)
	}
	deep := strings.Repeat("a {\n", 5000)
	for name, c := range map[string]struct{ text, says string }{
		"of itself":       {swap(`"pv0", 0`, `"lv", 0`), "made of itself"},
		"beyond":          {swap(`"pv0", 0`, `"pv0", 999999999999`), "bytes at"},
		"huge":            {swap("extent_count = 3", "extent_count = 9223372036854775807"), "segment of"},
		"extent size":     {swap("extent_size = 128", "extent_size = 9223372036854775807"), "extents of"},
		"no extents":      {swap("extent_size = 128", "extent_size = 0"), "extents of"},
		"unknown kind":    {swap(`"striped"`, `"vdo"`), `type "vdo"`},
		"many stripes":    {swap(`"pv0", 0`, `"pv0", 0, "pv0", 1`), "stripes"},
		"deep":            {deep, "nest deeper"},
		"endless list":    {"vg { seqno = 1\n a = [[[[[[[[[[[[", "too long or deep"},
		"no end":          {swap(`"striped"`, `"striped`), "line"},
		"negative extent": {swap(`"pv0", 0`, `"pv0", -1`), "no list"},
		"none":            {"contents = \"x\"\n", "no volume group"},
	} {
		b := bytes.Clone(good)
		putText(b, c.text)
		vols, warnings := scanBytes(t, b, 0)
		said := fmt.Sprint(warnings)
		for _, v := range vols {
			said += fmt.Sprint(v.Err)
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
	for _, vgName := range []string{"..", "a/b", "\x1b[2J"} {
		b := bytes.Clone(good)
		putText(b, strings.Replace(text, "vg {", vgName+" {", 1))
		vols, _ := scanBytes(t, b, 0)
		for _, v := range vols {
			if strings.ContainsAny(v.Name, "/\x1b") || v.Name == ".." {
				t.Errorf("a volume called %q", v.Name)
			}
		}
	}
}

// FuzzLVM scans damaged metadata with right checksums: it must end.
func FuzzLVM(f *testing.F) {
	// Of a group with mirrors and RAID, which device-mapper read.
	c := labCaseOf(f, "lvmmirror", "mirrors")
	good := c.disks[0]
	off, _ := mdaOf(good, 0)
	head := bytes.Clone(good[:off+512+8192])
	text := getText(good)
	f.Add([]byte(text), true)
	f.Add(head[512:1024], false)
	f.Fuzz(func(t *testing.T, in []byte, isText bool) {
		if len(in) > 8192 {
			return
		}
		b := bytes.Clone(head)
		if isText {
			putText(b, string(in))
		} else if len(in) <= 512 {
			copy(b[512:], in)
			binary.LittleEndian.PutUint32(b[512+16:], lvmChecksum(b[512+20:1024]))
		}
		vols, _, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: headDisk{b, 8 * mib}}}, volume.Options{})
		if err != nil || len(vols) == 0 {
			t.Fatal(len(vols), err)
		}
		for _, v := range vols {
			if (v.Dev == nil) != (v.Err != nil) {
				t.Errorf("%s: device %v and error %v", v.Name, v.Dev, v.Err)
			}
			if v.Dev != nil && v.Dev.Size() > 0 {
				p := make([]byte, min(4096, v.Dev.Size()))
				v.Dev.ReadAt(context.Background(), p, 0)
				v.Dev.ReadAt(context.Background(), p, v.Dev.Size()-int64(len(p)))
			}
		}
	})
}
