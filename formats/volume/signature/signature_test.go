package signature_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/volume/signature"
	"github.com/guestctl/guestctl/tests/images"
)

// volume is what a real tool made: its start from testdata, then zeros.
func volume(t testing.TB, name string, size int64) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) < size {
		b = append(b, make([]byte, size-int64(len(b)))...)
	}
	return b
}

func find(t testing.TB, b []byte) signature.Found {
	t.Helper()
	f, err := signature.Find(context.Background(), blocktest.NewMemory(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// notHere are identities that blkid knows and this package leaves out.
var notHere = map[string]string{"jfs": "UUID", "reiserfs": "UUID", "erofs": "UUID", "iso9660": "UUID LABEL", "lvm2": "UUID"}

// TestReal compares with what blkid said of the volumes of real tools.
func TestReal(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		size, err := strconv.ParseInt(field[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		want := signature.Found{Type: field[2], UUID: field[3], Label: field[4]}
		if want.UUID == "-" || strings.Contains(notHere[field[0]], "UUID") {
			want.UUID = ""
		}
		if want.Label == "-" || strings.Contains(notHere[field[0]], "LABEL") {
			want.Label = ""
		}
		if field[0] == "ntfs" {
			want.Label = "" // it is in the file $Volume
		}
		if got := find(t, volume(t, field[0], size)); got != want {
			t.Errorf("%s: %+v, blkid says %+v", field[0], got, want)
		}
		seen++
	}
	if seen < 15 {
		t.Errorf("only %d volumes are compared", seen)
	}
}

// blkid is the TYPE that the installed blkid finds.
func blkid(t testing.TB, b []byte) string {
	t.Helper()
	images.NeedTool(t, "blkid")
	path := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("blkid", "-p", "-o", "value", "-s", "TYPE", path).Output()
	return strings.TrimSpace(string(out))
}

// raid is a superblock of Linux's RAID of version 1, with its checksum (md_p.h).
func raid() []byte {
	b := make([]byte, 256)
	le := binary.LittleEndian
	le.PutUint32(b[0:], 0xa92b4efc)
	le.PutUint32(b[4:], 1)
	copy(b[16:32], "0123456789abcdef")
	sum := uint64(0)
	for i := 0; i < 256; i += 4 {
		sum += uint64(le.Uint32(b[i:]))
	}
	le.PutUint32(b[216:], uint32(sum)+uint32(sum>>32))
	return b
}

// TestMade names what the test makes by hand, and blkid the same.
func TestMade(t *testing.T) {
	const size = 16 << 20
	old := make([]byte, 4096) // version 0.90, little-endian: magic, 0, 90
	binary.LittleEndian.PutUint32(old[0:], 0xa92b4efc)
	binary.LittleEndian.PutUint32(old[8:], 90)
	atEnd := raid()
	binary.LittleEndian.PutUint64(atEnd[144:], size/512-16) // super_offset
	second := raid()
	binary.LittleEndian.PutUint64(second[144:], 8)
	for _, sb := range [][]byte{atEnd, second} {
		binary.LittleEndian.PutUint32(sb[216:], 0)
		sum := uint64(0)
		for i := 0; i < 256; i += 4 {
			sum += uint64(binary.LittleEndian.Uint32(sb[i:]))
		}
		binary.LittleEndian.PutUint32(sb[216:], uint32(sum)+uint32(sum>>32))
	}
	for _, c := range []struct {
		name, want string
		off        int
		b          []byte
	}{
		{"RAID 1.0", "linux_raid_member", size - 16*512, atEnd},
		{"RAID 1.1", "linux_raid_member", 0, raid()},
		{"RAID 1.2", "linux_raid_member", 4096, second},
		{"RAID 0.90", "linux_raid_member", size - 64<<10, old},
		{"nothing", "", 0, nil},
	} {
		b := volume(t, "ext4", size)
		if c.b == nil {
			clear(b)
		}
		copy(b[c.off:], c.b)
		if got := find(t, b); got.Type != c.want {
			t.Errorf("%s over an ext4: %+v", c.name, got)
		}
		if c.name == "RAID 1.0" || c.name == "RAID 0.90" || c.b == nil {
			// Where blkid looks at the end, it names the RAID before the filesystem too.
			if got := blkid(t, b); got != c.want {
				t.Errorf("%s: blkid says %q", c.name, got)
			}
		}
	}
	zfs := make([]byte, 128<<20)
	for i := range 8 {
		binary.LittleEndian.PutUint64(zfs[128<<10+i*1024:], 0x00bab10c)
	}
	if got := find(t, zfs); got.Type != "zfs_member" {
		t.Errorf("ZFS: %+v", got)
	}
}

// TestShort looks at volumes that end anywhere.
func TestShort(t *testing.T) {
	for _, name := range []string{"ext4", "fat32", "btrfs", "swap", "luks1"} {
		whole := volume(t, name, 68<<10)
		for _, size := range []int{0, 1, 511, 512, 513, 1023, 1080, 4096, 4097, 65535, 65600} {
			find(t, bytes.Clone(whole[:size]))
		}
	}
}

// TestIsContainer knows what may hold a copy of a filesystem's start.
func TestIsContainer(t *testing.T) {
	for name, want := range map[string]bool{"LVM2_member": true, "crypto_LUKS": true, "linux_raid_member": true, "BitLocker": true, "ext4": false, "vfat": false, "": false} {
		if got := signature.IsContainer(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// FuzzFind names any bytes without a panic.
func FuzzFind(f *testing.F) {
	for _, name := range []string{"ext4", "ntfs", "fat16", "fat32", "exfat", "lvm2", "squashfs"} {
		f.Add(volume(f, name, 4096)[:4096])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := signature.Find(context.Background(), blocktest.NewMemory(b))
		if err != nil {
			t.Fatal(err)
		}
		if found.Type == "" && found != (signature.Found{}) {
			t.Errorf("nothing, but %s", fmt.Sprint(found))
		}
	})
}
