package volume_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/volume"
)

// labDevices are the disks of a case, without those left out.
func labDevices(c labCase, without ...int) []volume.Device {
	var devs []volume.Device
	for i, b := range c.disks {
		left := false
		for _, w := range without {
			left = left || w == i
		}
		if !left {
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(b)})
		}
	}
	return devs
}

// agrees says whether dev reads as the kernel read it.
func agrees(t testing.TB, dev block.Device, want labVolume) bool {
	t.Helper()
	if dev.Size() != want.size {
		t.Errorf("%s: %d bytes, the kernel has %d", want.name, dev.Size(), want.size)
		return false
	}
	sum := sha256.Sum256(contents(t, dev))
	return hex.EncodeToString(sum[:]) == want.sum
}

// TestMD compares arrays of every level and layout with what the kernel read from them, whole and with members missing.
func TestMD(t *testing.T) {
	cases := lab(t, "md")
	if len(cases) < 40 {
		t.Fatalf("%d cases: the test compares too little", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			name := "md_" + c.name
			vols, warnings := scanDevices(t, labDevices(c), volume.Options{})
			if strings.HasSuffix(c.name, "90") {
				name = "md" + strings.TrimPrefix(vols[1].Name, "md") // the minor number that it had
			}
			v := byName(vols, name)
			if v == nil || v.Err != nil {
				t.Fatalf("%+v", vols)
			}
			if c.name == "stale" {
				hasWarning(t, warnings, "sdb is left out", "old contents")
				hasWarning(t, warnings, "it is read although it lacks 1 of its 3 members")
			} else if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			if !agrees(t, v.Dev, c.volumes[0]) {
				t.Fatal("the kernel read other bytes")
			}
			b := contents(t, v.Dev)
			blocktest.Run(t, v.Dev, b)

			spare := map[byte]int{'1': len(c.disks) - 1, '4': 1, '5': 1, '6': 2}[c.name[1]]
			if c.name[0] != 'r' || strings.HasPrefix(c.name, "r10") {
				spare = 0
			}
			var missing [][]int
			for i := range c.disks {
				missing = append(missing, []int{i})
				if spare >= 2 {
					for j := range i {
						missing = append(missing, []int{j, i})
					}
				}
			}
			for _, m := range missing {
				vols, warnings := scanDevices(t, labDevices(c, m...), volume.Options{})
				v := byName(vols, name)
				if v == nil {
					t.Fatalf("without %v: %+v", m, vols)
				}
				ten := strings.HasPrefix(c.name, "r10") // one copy of each chunk is elsewhere
				if c.name == "stale" && m[0] == 1 {
					continue // the stale one
				}
				if len(m) <= spare || ten {
					if v.Err != nil || !bytes.Equal(contents(t, v.Dev), b) {
						t.Errorf("without %v: %v, or other bytes", m, v.Err)
					}
					hasWarning(t, warnings, name, "it is read although it lacks")
					continue
				}
				if v.Err == nil || !errors.Is(v.Err, syscall.EIO) || !strings.Contains(v.Err.Error(), fmt.Sprintf("lacks %d of its %d members", len(m), len(c.disks))) &&
					c.name != "stale" {
					t.Errorf("without %v: %v", m, v.Err)
				}
			}
		})
	}
}

func labCaseOf(t testing.TB, fixture, name string) labCase {
	t.Helper()
	for _, c := range lab(t, fixture) {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case %s in %s", name, fixture)
	return labCase{}
}

// TestMDReadErrors computes what a member cannot read, and passes on what cannot be computed.
func TestMDReadErrors(t *testing.T) {
	c := labCaseOf(t, "md", "r5-1.2")
	devs := labDevices(c)
	vols, _ := scanDevices(t, devs, volume.Options{})
	want := contents(t, byName(vols, "md_r5-1.2").Dev)
	var faulty []*blocktest.Faulty
	for i := range devs {
		f := blocktest.NewFaulty(devs[i].Dev)
		faulty = append(faulty, f)
		devs[i].Dev = f
	}
	vols, _ = scanDevices(t, devs, volume.Options{})
	dev := byName(vols, "md_r5-1.2").Dev
	faulty[1].FailAt(0, 2*mib, nil)
	if got := contents(t, dev); !bytes.Equal(got, want) {
		t.Error("other bytes where one member fails")
	}
	faulty[2].FailAt(1500<<10, 64<<10, nil)
	b := make([]byte, dev.Size())
	if err := block.ReadFull(context.Background(), dev, b, 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("two members fail: %v", err)
	}
}

// sealMD makes the checksum of the version 1 superblock at off right.
func sealMD(b []byte, off int) {
	s := b[off:]
	n := int(binary.LittleEndian.Uint32(s[220:]))
	if n > 1920 || len(s) < 256+2*n {
		return
	}
	clear(s[216:220])
	var sum uint64
	for i := 0; i+4 <= 256+2*n; i += 4 {
		sum += uint64(binary.LittleEndian.Uint32(s[i:]))
	}
	if n%2 == 1 {
		sum += uint64(binary.LittleEndian.Uint16(s[256+2*n-2:]))
	}
	binary.LittleEndian.PutUint32(s[216:], uint32(sum)+uint32(sum>>32))
}

// TestMDConstructed has what mdadm here does not make: a bad-block list, and what is refused by name.
func TestMDConstructed(t *testing.T) {
	c := labCaseOf(t, "md", "r5-1.2")
	for name, x := range map[string]struct {
		edit func(s []byte)
		says string
	}{
		"reshape":   {func(s []byte) { s[8] |= 4 }, "reshape"},
		"journal":   {func(s []byte) { s[9] |= 2 }, "journal"},
		"level":     {func(s []byte) { s[72] = 77 }, "raid77"},
		"layout":    {func(s []byte) { s[76] = 99 }, "layout 99"},
		"multipath": {func(s []byte) { binary.LittleEndian.PutUint32(s[72:], 0xfffffffc) }, "multipath"},
		"no chunk":  {func(s []byte) { clear(s[88:92]) }, "without a chunk size"},
		"beyond":    {func(s []byte) { binary.LittleEndian.PutUint64(s[128:], 1<<40) }, "data of sd"},
		"no disks":  {func(s []byte) { clear(s[92:96]) }, ""},
		"huge":      {func(s []byte) { binary.LittleEndian.PutUint64(s[80:], 1<<60) }, "sectors"},
		"checksum":  {func(s []byte) { s[216] ^= 1 }, "bad checksum"},
		"far":       {func(s []byte) { s[72] = 10; binary.LittleEndian.PutUint32(s[76:], 0xffff) }, "near and"},
	} {
		var devs []volume.Device
		for i, d := range c.disks {
			b := bytes.Clone(d)
			x.edit(b[4096:])
			if name != "checksum" {
				sealMD(b, 4096)
			}
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(b)})
		}
		vols, warnings := scanDevices(t, devs, volume.Options{})
		said := fmt.Sprint(warnings)
		for _, v := range vols {
			said += fmt.Sprint(v.Err)
		}
		if !strings.Contains(said, x.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
	// The first 64 KiB of the data of one member are listed as bad, and hold other bytes.
	whole, _ := scanDevices(t, labDevices(c), volume.Options{})
	want := contents(t, byName(whole, "md_r5-1.2").Dev)
	devs := labDevices(c)
	b := bytes.Clone(c.disks[0])
	s := b[4096:]
	data := binary.LittleEndian.Uint64(s[128:])
	copy(b[data*512:], bytes.Repeat([]byte{0xee}, 64<<10))
	s[8] |= 8
	binary.LittleEndian.PutUint16(s[186:], 8)
	binary.LittleEndian.PutUint32(s[188:], 8)
	list := b[8192:12288]
	for i := range list {
		list[i] = 0xff
	}
	binary.LittleEndian.PutUint64(list, data<<10|128)
	sealMD(b, 4096)
	devs[0].Dev = blocktest.NewMemory(b)
	vols, _ := scanDevices(t, devs, volume.Options{})
	if v := byName(vols, "md_r5-1.2"); v == nil || v.Err != nil || !bytes.Equal(contents(t, v.Dev), want) {
		t.Errorf("bad blocks: %+v", vols)
	}
}

// TestMDPartition tells a superblock 0.90 of the last partition from one of the disk.
func TestMDPartition(t *testing.T) {
	c := labCaseOf(t, "md", "r1-0.90")
	var devs []volume.Device
	for i, d := range c.disks {
		b := readImage(t, sfdisk(t, int64(mib+len(d)), "label: dos\nstart=2048, type=fd\n"))
		copy(b[mib:], d)
		devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(b)})
	}
	vols, warnings := scanDevices(t, devs, volume.Options{})
	v := byName(vols, vols[1].Name)
	if v == nil || !strings.HasPrefix(v.Name, "md12") || v.Err != nil || strings.Join(v.On, " ") != "sda1 sdb1" || len(warnings) > 0 || !agrees(t, v.Dev, c.volumes[0]) {
		t.Errorf("%+v, warnings %v", vols, warnings)
	}
}

// TestStack puts volumes together that lie upon each other over two disks: a logical volume in a LUKS container on a RAID
// 1 on partitions.
func TestStack(t *testing.T) {
	h := newLVM(t, 8*mib)
	h.Run("pvcreate -q $1")
	h.Run("vgcreate -q -s 64k vg $1")
	h.Run("lvcreate -qq -an -Zn -Wn -l 60 -n lv vg")
	h.sprinkle(mib)
	want := h.byLVS()
	h.Detach()
	b := readImage(t, h.Paths[0])
	path := encrypted(t, b, quick...)
	inner := readImage(t, path)

	// The members of a RAID 1 of the lab are made larger, as mdadm --grow would: 1.2 says how large the data is.
	c := labCaseOf(t, "md", "r1-1.2")
	var devs []volume.Device
	for i, d := range c.disks {
		s := d[4096:]
		data := int(binary.LittleEndian.Uint64(s[128:])) * 512
		m := append(bytes.Clone(d[:data]), inner...)
		binary.LittleEndian.PutUint64(m[4096+80:], uint64(len(inner)/512))
		binary.LittleEndian.PutUint64(m[4096+136:], uint64(len(inner)/512))
		sealMD(m, 4096)
		disk := readImage(t, sfdisk(t, int64(2*mib+len(m)), fmt.Sprintf("label: gpt\nstart=2048, size=%d, type=R\n", len(m)/512)))
		copy(disk[mib:], m)
		devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(disk)})
	}
	for _, some := range [][]volume.Device{devs, devs[1:]} {
		vols, _ := scanDevices(t, some, volume.Options{Keys: keys(t, "all:key:"+passphrase)})
		v := byName(vols, "vg-lv")
		if v == nil || v.Err != nil || !bytes.Equal(contents(t, v.Dev), want[v.UUID]) {
			t.Fatalf("%+v", vols)
		}
		var names []string
		for _, v := range vols {
			names = append(names, v.Name)
		}
		if got := strings.Join(names, " "); len(some) == 2 && got != "sda1 md_r1-1.2 cryptmdr112 vg-lv sdb1" {
			t.Errorf("volumes %s", got)
		}
	}
}

// FuzzMD scans damaged superblocks with right checksums.
func FuzzMD(f *testing.F) {
	for _, c := range lab(f, "md") {
		if !slices.Contains([]string{"r5-1.2", "r10-f2", "r6-ddf-N-continue", "r0-alternate"}, c.name) {
			continue
		}
		f.Add(c.disks[0][4096:4096+256+64], c.disks[1][4096:4096+256+64], true)
	}
	f.Fuzz(func(t *testing.T, one, two []byte, seal bool) {
		if len(one) > 4096 || len(two) > 4096 || len(one) < 256 || len(two) < 256 {
			return
		}
		var devs []volume.Device
		for i, s := range [][]byte{one, two} {
			b := make([]byte, 8192)
			copy(b[4096:], s)
			if seal {
				sealMD(b, 4096)
			}
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: headDisk{b, 8 * mib}})
		}
		vols, _, err := volume.Scan(context.Background(), devs, volume.Options{Partial: true})
		if err != nil || len(vols) == 0 {
			t.Fatal(len(vols), err)
		}
		for _, v := range vols {
			if v.Dev == nil || v.Dev.Size() <= 0 {
				continue
			}
			p := make([]byte, min(4096, v.Dev.Size()))
			v.Dev.ReadAt(context.Background(), p, 0)
			v.Dev.ReadAt(context.Background(), p, v.Dev.Size()-int64(len(p)))
			v.Dev.Locate(context.Background(), v.Dev.Size()/2, 1)
		}
	})
}
