package volume_test

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume"
)

// A headDisk is a large disk of zeros but for its first bytes.
type headDisk struct {
	head []byte
	size int64
}

func (d headDisk) Size() int64 { return d.size }

func (d headDisk) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), d.size)
	clear(p[:n])
	if off < int64(len(d.head)) {
		copy(p[:n], d.head[off:])
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (d headDisk) Locate(_ context.Context, off, n int64) (block.Run, error) {
	return block.Run{Kind: block.Opaque, Len: block.Clamp(off, n, d.size)}, nil
}

// sealGPT makes the checksums of the headers in b right, so that what is behind them is reached.
func sealGPT(b []byte) {
	for _, sector := range []int{512, 4096} {
		if len(b) < 2*sector || string(b[sector:sector+8]) != "EFI PART" {
			continue
		}
		h := b[sector : 2*sector]
		from := binary.LittleEndian.Uint64(h[72:]) * uint64(sector)
		n := uint64(binary.LittleEndian.Uint32(h[80:])) * uint64(binary.LittleEndian.Uint32(h[84:]))
		if from <= uint64(len(b)) && n <= uint64(len(b))-from {
			binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(b[from:from+n]))
		}
		if size := binary.LittleEndian.Uint32(h[12:]); size >= 92 && int(size) <= sector {
			clear(h[16:20])
			binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
		}
	}
}

// FuzzScan scans damaged tables: it must end, and every volume must lie inside the disk.
func FuzzScan(f *testing.F) {
	for _, script := range []string{gptScript, "label: dos\nstart=2,size=2\nstart=6,type=5\n5 : start=8,size=2\n6 : start=12,size=1\n"} {
		for _, sector := range []string{"512", "4096"} {
			if sector == "4096" && script != gptScript {
				continue
			}
			b := readImage(f, fdisk(f, 32*mib, script, sector))
			length := 4096
			if sector == "4096" {
				length = 12288
			}
			b = b[:length]
			for _, at := range []int{512, 4096} {
				if string(b[at:min(at+8, length)]) == "EFI PART" {
					binary.LittleEndian.PutUint32(b[at+80:], 8) // so few entries that all are mutated
				}
			}
			f.Add(b, int64(32*mib), true)
			f.Add(b, int64(4*mib), false)
		}
	}
	f.Fuzz(func(t *testing.T, head []byte, size int64, seal bool) {
		if len(head) > 64<<10 || size < 0 {
			return
		}
		if seal {
			sealGPT(head)
		}
		vols, _, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: headDisk{head, size}}}, volume.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(vols) == 0 {
			t.Error("a disk without a volume")
		}
		for _, v := range vols {
			if (v.Dev == nil) != (v.Err != nil) {
				t.Errorf("%s: device %v and error %v", v.Name, v.Dev, v.Err)
			}
			if v.Dev != nil && (v.Off < 0 || v.Dev.Size() < 0 || v.Off > size || v.Dev.Size() > size-v.Off) {
				t.Errorf("%s: %d bytes at %d of a disk of %d", v.Name, v.Dev.Size(), v.Off, size)
			}
		}
	})
}
