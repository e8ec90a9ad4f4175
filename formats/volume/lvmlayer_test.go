package volume_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/formats/volume/lvm2/pdata"
	"github.com/guestctl/guestctl/tests/images"
)

// superblocks are the places of 4 KiB in a disk that begin metadata with that magic.
func superblocks(b []byte, magic uint64) []int {
	var list []int
	for at := 0; at+4096 <= len(b); at += 4096 {
		if binary.LittleEndian.Uint64(b[at+32:]) == magic && binary.LittleEndian.Uint64(b[at+8:]) == 0 {
			list = append(list, at)
		}
	}
	return list
}

const (
	thinMagic  = 27022010
	cacheMagic = 0o6142003
)

// thinMetadata is the metadata device of the pool of a case, of 2 MiB.
func thinMetadata(t testing.TB, name string) []byte {
	t.Helper()
	for _, d := range labCaseOf(t, "lvm", name).disks {
		for _, at := range superblocks(d, thinMagic) {
			if binary.LittleEndian.Uint64(d[at+320:]) != 0 && at+2*mib <= len(d) {
				return bytes.Clone(d[at : at+2*mib])
			}
		}
	}
	t.Fatal("no metadata of a thin pool")
	return nil
}

// TestThinDump compares the mapping with what thin_dump says.
func TestThinDump(t *testing.T) {
	images.NeedTool(t, "thin_dump")
	for _, name := range []string{"thin", "deep"} {
		meta := thinMetadata(t, name)
		path := filepath.Join(t.TempDir(), "meta")
		if err := os.WriteFile(path, meta, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("thin_dump", path).Output()
		if err != nil {
			t.Fatalf("thin_dump: %v", err)
		}
		// The data device says which block is read: its number in every eight bytes.
		const blockSize = 64 << 10
		data := make([]byte, 512*blockSize)
		for at := 0; at < len(data); at += 8 {
			binary.LittleEndian.PutUint64(data[at:], uint64(at/blockSize)+1)
		}
		pool, err := pdata.OpenPool(context.Background(), blocktest.NewMemory(meta), blocktest.NewMemory(data))
		if err != nil {
			t.Fatal(err)
		}
		mappings := 0
		want := map[int]uint64{}
		var dev block.Device
		compare := func() {
			for b := 0; dev != nil && b < 320; b++ {
				var p [8]byte
				if err := block.ReadFull(context.Background(), dev, p[:], int64(b)*blockSize+8); err != nil {
					t.Fatal(err)
				}
				if got := binary.LittleEndian.Uint64(p[:]); got != want[b] {
					t.Errorf("%s: block %d is at %d, not %d", name, b, int64(got)-1, int64(want[b])-1)
				}
			}
			clear(want)
		}
		device := regexp.MustCompile(`<device dev_id="(\d+)"`)
		single := regexp.MustCompile(`<single_mapping origin_block="(\d+)" data_block="(\d+)"`)
		ranged := regexp.MustCompile(`<range_mapping origin_begin="(\d+)" data_begin="(\d+)" length="(\d+)"`)
		number := func(s string) int { n, _ := strconv.Atoi(s); return n }
		for line := range strings.Lines(string(out)) {
			if m := device.FindStringSubmatch(line); m != nil {
				compare()
				if dev, err = pool.Device(context.Background(), uint64(number(m[1])), 320*blockSize, nil); err != nil {
					t.Fatal(err)
				}
			} else if m := single.FindStringSubmatch(line); m != nil {
				want[number(m[1])] = uint64(number(m[2])) + 1
				mappings++
			} else if m := ranged.FindStringSubmatch(line); m != nil {
				for i := range number(m[3]) {
					want[number(m[1])+i] = uint64(number(m[2])+i) + 1
					mappings++
				}
			}
		}
		compare()
		if mappings < 20 {
			t.Errorf("%s: %d mappings: the test compares too little", name, mappings)
		}
		if _, err := pool.Device(context.Background(), 999, blockSize, nil); !errors.Is(err, pdata.ErrNoDevice) {
			t.Errorf("a device that is not there: %v", err)
		}
	}
}

// sealNode makes the checksum of a metadata block right.
func sealNode(b []byte, salt uint32) {
	binary.LittleEndian.PutUint32(b, ondisk.CRC32C(^uint32(0), b[4:4096])^salt)
}

const nodeSalt = 121107

// TestThinHostile gives a named error for trees that nobody writes.
func TestThinHostile(t *testing.T) {
	good := thinMetadata(t, "deep")
	ctx := context.Background()
	data := blocktest.NewMemory(make([]byte, 20*mib))
	root := int(binary.LittleEndian.Uint64(good[320:])) * 4096
	read := func(b []byte) error {
		pool, err := pdata.OpenPool(ctx, blocktest.NewMemory(b), data)
		if err != nil {
			return err
		}
		for id := range uint64(4) {
			dev, err := pool.Device(ctx, id, 20*mib, nil)
			if errors.Is(err, pdata.ErrNoDevice) {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := dev.ReadAt(ctx, make([]byte, 20*mib), 0); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(bytes.Clone(good)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	put32 := func(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
	put64 := func(b []byte, at int, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	for name, c := range map[string]struct {
		damage func(b, node []byte)
		says   string
	}{
		"superblock":  {func(b, _ []byte) { b[100] ^= 1 }, "thin pool superblock"},
		"version":     {func(b, _ []byte) { b[40] = 9; sealNode(b, 160774) }, "version 9"},
		"block size":  {func(b, _ []byte) { put32(b, 336, 7); sealNode(b, 160774) }, "blocks of 7 sectors"},
		"root beyond": {func(b, _ []byte) { put64(b, 320, 1<<50); sealNode(b, 160774) }, "beyond the metadata"},
		"checksum":    {func(_, n []byte) { n[50] ^= 1 }, "bad checksum"},
		"number":      {func(_, n []byte) { put64(n, 8, 5); sealNode(n, nodeSalt) }, "it says that it is block 5"},
		"entries":     {func(_, n []byte) { put32(n, 16, 4000); sealNode(n, nodeSalt) }, "entries"},
		"value size":  {func(_, n []byte) { put32(n, 24, 1<<31); sealNode(n, nodeSalt) }, "entries"},
		"max":         {func(_, n []byte) { put32(n, 20, 1<<31); sealNode(n, nodeSalt) }, "entries"},
		"flags":       {func(_, n []byte) { put32(n, 4, 3); sealNode(n, nodeSalt) }, "flags"},
		"loop": {func(_, n []byte) {
			put32(n, 4, 1)
			max := int(binary.LittleEndian.Uint32(n[20:]))
			put64(n, 32, 0)
			put64(n, 32+8*max, uint64(root/4096))
			sealNode(n, nodeSalt)
		}, "deeper than"},
	} {
		b := bytes.Clone(good)
		c.damage(b, b[root:root+4096])
		if err := read(b); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzThin reads a pool whose nodes are damaged and have right checksums.
func FuzzThin(f *testing.F) {
	meta := thinMetadata(f, "deep")
	f.Add(uint16(320), []byte{1, 2, 3})
	root := uint16(binary.LittleEndian.Uint64(meta[320:]))
	f.Add(root*4096, meta[int(root)*4096:][:64])
	f.Fuzz(func(t *testing.T, at uint16, change []byte) {
		if len(change) > 4096 {
			return
		}
		b := bytes.Clone(meta[:64<<10])
		copy(b[at:], change)
		sealNode(b, 160774)
		for n := 1; n < 16; n++ {
			sealNode(b[n*4096:], nodeSalt)
		}
		ctx := context.Background()
		pool, err := pdata.OpenPool(ctx, blocktest.NewMemory(b), block.Zeros(20*mib))
		if err != nil {
			return
		}
		for id := range uint64(4) {
			if dev, err := pool.Device(ctx, id, 20*mib, nil); err == nil {
				p := make([]byte, 4096)
				for off := int64(0); off < 20*mib; off += 2 * mib {
					dev.ReadAt(ctx, p, off)
					dev.Locate(ctx, off, mib)
				}
			}
		}
	})
}

// storeOf is where the exception store of a case's snapshot is in its disk.
func storeOf(t testing.TB, d []byte) int {
	t.Helper()
	for at := 0; at+4096 <= len(d); at += 4096 {
		if string(d[at:at+4]) == "SnAp" {
			return at
		}
	}
	return -1
}

// TestSnapshotHostile gives a named error for exception stores that nobody writes.
func TestSnapshotHostile(t *testing.T) {
	c := labCaseOf(t, "lvm", "snaps")
	for name, x := range map[string]struct {
		damage func(b []byte)
		says   string
	}{
		"invalid": {func(b []byte) { b[4] = 0 }, "ran out of space"},
		"version": {func(b []byte) { b[8] = 9 }, "version 9"},
		"chunk":   {func(b []byte) { b[12] = 7 }, "chunks of 7 sectors"},
		"magic":   {func(b []byte) { b[0] = 'x' }, "no magic"},
		"beyond":  {func(b []byte) { n := int(b[12]) * 512; binary.LittleEndian.PutUint64(b[n+8:], 1<<40) }, "exception store"},
		"to all": {func(b []byte) {
			n := int(b[12]) * 512
			for i := 0; i < n; i++ {
				b[n+i] = 0xff
			}
		}, "exception store"},
	} {
		var devs []volume.Device
		found := false
		for i, d := range c.disks {
			b := bytes.Clone(d)
			if at := storeOf(t, b); at >= 0 && !found {
				x.damage(b[at:])
				found = true
			}
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(b)})
		}
		vols, _ := scanDevices(t, devs, volume.Options{})
		said := ""
		for _, v := range vols {
			said += fmt.Sprint(v.Err)
		}
		if !strings.Contains(said, x.says) {
			t.Errorf("%s: %s", name, said)
		}
		if v := byName(vols, "snaps-orig"); v == nil || v.Err != nil {
			t.Errorf("%s: the origin: %+v", name, v)
		}
	}
}

// TestCacheDirty shows that the fixture has blocks that only the cache has, without which TestLVMKinds shows little.
func TestCacheDirty(t *testing.T) {
	c := labCaseOf(t, "lvmcache", "caches")
	for _, word := range []string{"dirt0 ", "dirt8 ", "dirt40 "} {
		if slow, fast := bytes.Count(c.disks[0], []byte(word)), bytes.Count(c.disks[1], []byte(word)); slow != 0 || fast == 0 {
			t.Errorf("%q is %d times on the slow disk and %d times on the fast one", word, slow, fast)
		}
	}
}

// TestCacheHostile gives a named error for cache metadata that nobody writes.
func TestCacheHostile(t *testing.T) {
	c := labCaseOf(t, "lvmcache", "caches")
	for name, x := range map[string]struct {
		damage func(b []byte)
		says   string
	}{
		"checksum": {func(b []byte) { b[100] ^= 1 }, "bad checksum"},
		"version":  {func(b []byte) { b[40] = 9; sealNode(b, 9031977) }, "version 9"},
		"blocks":   {func(b []byte) { binary.LittleEndian.PutUint32(b[240:], 1<<30); sealNode(b, 9031977) }, "blocks of"},
		"size":     {func(b []byte) { binary.LittleEndian.PutUint32(b[232:], 1); sealNode(b, 9031977) }, "blocks of 1 sectors"},
		"root":     {func(b []byte) { binary.LittleEndian.PutUint64(b[192:], 1<<60); sealNode(b, 9031977) }, "beyond the metadata"},
	} {
		var devs []volume.Device
		for i, d := range c.disks {
			b := bytes.Clone(d)
			for _, at := range superblocks(b, cacheMagic) {
				x.damage(b[at : at+4096])
			}
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: blocktest.NewMemory(b)})
		}
		vols, _ := scanDevices(t, devs, volume.Options{})
		for _, lv := range []string{"caches-pooled", "caches-single"} {
			if v := byName(vols, lv); v == nil || v.Err == nil || !strings.Contains(v.Err.Error(), x.says) {
				t.Errorf("%s: %s: %+v", name, lv, v)
			}
		}
	}
}
