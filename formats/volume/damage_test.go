package volume_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
)

func readImage(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scanBytes scans a disk in memory. It fails the test where that takes long.
func scanBytes(t testing.TB, b []byte, sector int) ([]volume.Volume, []error) {
	t.Helper()
	start := time.Now()
	vols, warnings, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: blocktest.NewMemory(b), SectorSize: sector}}, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the scan took %v", took)
	}
	return vols, warnings
}

func hasWarning(t testing.TB, warnings []error, words ...string) {
	t.Helper()
	for _, w := range warnings {
		all := true
		for _, word := range words {
			all = all && strings.Contains(w.Error(), word)
		}
		if all {
			return
		}
	}
	t.Errorf("no warning with %q in %q", words, warnings)
}

const gptScript = "label: gpt\nsize=8MiB, type=U, name=one\nsize=16MiB, type=L, name=two\n"

// TestGPTDamage reads the backup where the primary is damaged, and says so.
func TestGPTDamage(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		t.Run(strconv.FormatInt(sector, 10), func(t *testing.T) {
			path := fdisk(t, 32*mib, gptScript, strconv.FormatInt(sector, 10))
			good := readImage(t, path)
			vols, warnings := scanBytes(t, bytes.Clone(good), 0)
			if len(warnings) > 0 {
				t.Errorf("warnings about an intact table: %v", warnings)
			}
			want := parts(t, vols)
			if len(want) != 2 || want[0].Start != mib || want[1].Label != "two" {
				t.Fatalf("an intact table reads as %+v", want)
			}
			backup := int64(len(good)) - sector
			for name, c := range map[string]struct {
				damage   func(b []byte)
				warning  []string
				unusable error
			}{
				"primary header": {func(b []byte) { b[sector+60] ^= 1 }, []string{"GPT header", "bad checksum", "backup"}, nil},
				"primary gone":   {func(b []byte) { clear(b[sector : 2*sector]) }, []string{"GPT header", "backup"}, nil},
				"primary entries": {func(b []byte) { b[2*sector+130] ^= 1 },
					[]string{"GPT partition entry array", "bad checksum", "backup"}, nil},
				"backup":            {func(b []byte) { clear(b[backup:]) }, nil, nil},
				"both headers":      {func(b []byte) { b[sector+60] ^= 1; clear(b[backup:]) }, nil, syscall.EBADMSG},
				"both entries":      {func(b []byte) { b[2*sector+130] ^= 1; clear(b[backup-16384 : backup]) }, nil, syscall.EBADMSG},
				"both gone":         {func(b []byte) { clear(b[sector : 2*sector]); clear(b[backup:]) }, nil, syscall.EUCLEAN},
				"no protective MBR": {func(b []byte) { clear(b[:512]) }, []string{"protective MBR"}, nil},
			} {
				b := bytes.Clone(good)
				c.damage(b)
				vols, warnings := scanBytes(t, b, 0)
				if c.unusable != nil {
					if len(vols) != 1 || vols[0].Name != "sda" || !errors.Is(vols[0].Err, c.unusable) || vols[0].Dev != nil {
						t.Errorf("%s: %+v, not one unusable disk with %v", name, vols, c.unusable)
					}
					continue
				}
				if c.warning != nil {
					hasWarning(t, warnings, c.warning...)
				} else if len(warnings) > 0 {
					t.Errorf("%s: warnings %v", name, warnings)
				}
				same(t, "the intact table ("+name+")", parts(t, vols), want)
			}
		})
	}
}

// TestGrown finds the backup of a disk that was made larger where the damaged primary says that it is.
func TestGrown(t *testing.T) {
	path := sfdisk(t, 32*mib, gptScript)
	want := bySfdisk(t, path)
	b := append(readImage(t, path), make([]byte, 8*mib)...)
	vols, warnings := scanBytes(t, bytes.Clone(b), 0)
	if len(warnings) > 0 {
		t.Errorf("warnings about a disk that was made larger: %v", warnings)
	}
	same(t, "sfdisk", parts(t, vols), want)
	b[2*512+130] ^= 1
	vols, warnings = scanBytes(t, b, 0)
	hasWarning(t, warnings, "GPT partition entry array", "backup")
	same(t, "sfdisk", parts(t, vols), want)
}

// TestTruncated shows of a truncated image what is there, and says what is not.
func TestTruncated(t *testing.T) {
	for label, script := range map[string]string{
		"gpt": "label: gpt\nsize=4MiB, type=L\nsize=4MiB, type=L\nsize=4MiB, type=L\n",
		"dos": "label: dos\nsize=4MiB\nsize=4MiB\nsize=4MiB\n",
	} {
		b := readImage(t, sfdisk(t, 32*mib, script))[:7*mib]
		vols, warnings := scanBytes(t, b, 0)
		if len(vols) != 3 {
			t.Fatalf("%s: %+v", label, vols)
		}
		if vols[0].Err != nil || vols[0].Dev.Size() != 4*mib {
			t.Errorf("%s: the whole partition: %+v", label, vols[0])
		}
		if vols[1].Err != nil || vols[1].Dev.Size() != 2*mib {
			t.Errorf("%s: the cut partition: %+v", label, vols[1])
		}
		hasWarning(t, warnings, "disk sda", "sda2", "beyond the end of the disk")
		if !errors.Is(vols[2].Err, syscall.EUCLEAN) || vols[2].Dev != nil {
			t.Errorf("%s: the partition beyond the end: %+v", label, vols[2])
		}
	}
}

// TestOverlap warns of partitions over each other and shows both.
func TestOverlap(t *testing.T) {
	b := readImage(t, sfdisk(t, 32*mib, "label: dos\nstart=2048, size=20480\nstart=32768, size=2048\n"))
	binary.LittleEndian.PutUint32(b[446+16+8:], 10240)
	vols, warnings := scanBytes(t, b, 0)
	if len(parts(t, vols)) != 2 {
		t.Errorf("%+v", vols)
	}
	hasWarning(t, warnings, "sda2", "overlaps sda1")
}

// An mbrEntry is an entry for a table made by hand.
type mbrEntry struct {
	kind           byte
	start, sectors uint32
}

func putRecord(b []byte, sector uint32, entries ...mbrEntry) {
	r := b[int(sector)*512:][:512]
	for i, e := range entries {
		at := r[446+16*i:]
		at[4] = e.kind
		binary.LittleEndian.PutUint32(at[8:], e.start)
		binary.LittleEndian.PutUint32(at[12:], e.sectors)
	}
	r[510], r[511] = 0x55, 0xAA
	if sector == 0 {
		binary.LittleEndian.PutUint32(r[440:], 0x11223344)
	}
}

// byPartx is what libblkid reads: sectors of each partition by number, without extended ones.
func byPartx(t testing.TB, b []byte) []part {
	t.Helper()
	images.NeedTool(t, "partx")
	path := t.TempDir() + "/disk.img"
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("partx", "--raw", "--noheadings", "-o", "NR,START,SECTORS,TYPE,UUID", path).Output()
	if err != nil {
		t.Fatalf("partx: %v", err)
	}
	var list []part
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if f[3] == "0x5" || f[3] == "0xf" || f[3] == "0x85" {
			continue
		}
		n, _ := strconv.Atoi(f[0])
		start, _ := strconv.ParseInt(f[1], 10, 64)
		size, _ := strconv.ParseInt(f[2], 10, 64)
		list = append(list, part{Number: n, Start: start * 512, Size: size * 512, Kind: "0x" + strings.Repeat("0", 4-len(f[3])) + f[3][2:], UUID: f[4]})
	}
	return list
}

// TestEBR compares chains made by hand with what libblkid reads from them.
func TestEBR(t *testing.T) {
	ext := mbrEntry{5, 1000, 20000}
	for name, c := range map[string]struct {
		make    func(b []byte)
		warning []string
	}{
		"all four slots": {func(b []byte) {
			putRecord(b, 0, mbrEntry{0x83, 100, 800}, ext)
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{0x83, 200, 100}, mbrEntry{0x07, 400, 100}, mbrEntry{0x82, 600, 100})
		}, nil},
		"slots three and four outside": {func(b []byte) {
			putRecord(b, 0, ext)
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 5000, 1000}, mbrEntry{0x83, 30000, 100}, mbrEntry{0x83, 600, 100})
			putRecord(b, 6000, mbrEntry{0x83, 10, 100}, mbrEntry{}, mbrEntry{0x83, 900, 200}, mbrEntry{0x83, 200, 50})
		}, nil},
		"extended first": {func(b []byte) {
			putRecord(b, 0, mbrEntry{0xf, 1000, 20000})
			putRecord(b, 1000, mbrEntry{5, 5000, 1000}, mbrEntry{0x83, 10, 100})
			putRecord(b, 6000, mbrEntry{0x85, 7000, 500}, mbrEntry{0x83, 10, 100})
			putRecord(b, 8000, mbrEntry{0x83, 10, 100})
		}, nil},
		"two links in one record": {func(b []byte) {
			putRecord(b, 0, ext)
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 5000, 1000}, mbrEntry{5, 7000, 1000})
			putRecord(b, 6000, mbrEntry{0x83, 10, 100})
			putRecord(b, 8000, mbrEntry{0x83, 10, 100})
		}, nil},
		"not signed": {func(b []byte) {
			putRecord(b, 0, ext)
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 5000, 1000})
		}, []string{"EBR", "from number 6 on"}},
		"empty link": {func(b []byte) {
			putRecord(b, 0, ext)
			putRecord(b, 1000, mbrEntry{}, mbrEntry{5, 5000, 1000})
			putRecord(b, 6000, mbrEntry{0x83, 10, 100})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := make([]byte, 32*mib)
			c.make(b)
			vols, warnings := scanBytes(t, b, 0)
			same(t, "libblkid", parts(t, vols), byPartx(t, b))
			if c.warning != nil {
				hasWarning(t, warnings, c.warning...)
			} else if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

// TestEBRHostile ends at every chain.
func TestEBRHostile(t *testing.T) {
	for name, c := range map[string]struct {
		make    func(b []byte)
		volumes int
		warning []string
	}{
		"to itself": {func(b []byte) {
			putRecord(b, 0, mbrEntry{5, 1000, 20000})
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 0, 1000})
		}, 1, []string{"EBR", "comes back"}},
		"round of two": {func(b []byte) {
			putRecord(b, 0, mbrEntry{5, 1000, 20000})
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 5000, 1000})
			putRecord(b, 6000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 0, 1000})
		}, 2, []string{"EBR", "comes back"}},
		"beyond the disk": {func(b []byte) {
			putRecord(b, 0, mbrEntry{5, 1000, 20000})
			putRecord(b, 1000, mbrEntry{0x83, 10, 100}, mbrEntry{5, 0xfffffff0, 1000})
		}, 1, []string{"EBR", "beyond the end"}},
		"the MBR itself": {func(b []byte) {
			putRecord(b, 0, mbrEntry{0x83, 100, 100}, mbrEntry{5, 0, 0xffffffff})
		}, 2, []string{"EBR", "comes back"}},
		"endless": {func(b []byte) {
			putRecord(b, 0, mbrEntry{5, 1000, 60000})
			for i := range uint32(400) {
				putRecord(b, 1000+i*20, mbrEntry{0x83, 1, 2}, mbrEntry{5, (i + 1) * 20, 20}, mbrEntry{0x83, 4, 2}, mbrEntry{0x83, 7, 2})
			}
		}, 256 * 3, []string{"EBR", "more than 256"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := make([]byte, 32*mib)
			c.make(b)
			vols, warnings := scanBytes(t, b, 0)
			if len(vols) != c.volumes {
				t.Errorf("%d volumes, not %d", len(vols), c.volumes)
			}
			hasWarning(t, warnings, c.warning...)
		})
	}
}

// TestMBRSectorSize finds by what is on the partitions that sectors have 4096 bytes.
func TestMBRSectorSize(t *testing.T) {
	for _, sector := range []string{"512", "4096"} {
		path := fdisk(t, 64*mib, "label: dos\nsize=8MiB\nsize=40MiB, type=5\n5 : size=8MiB\n6 : size=8MiB\n", sector)
		b := readImage(t, path)
		size, _ := strconv.Atoi(sector)
		known, _ := scanBytes(t, bytes.Clone(b), size)
		want := parts(t, known)
		if len(want) != 3 || want[0].Start != mib || want[0].Size != 8*mib {
			t.Fatalf("sectors of %s, as told: %+v", sector, want)
		}
		if sector == "512" {
			same(t, "sfdisk", want, bySfdisk(t, path))
		}
		fs := blank(t, 8*mib)
		run(t, "mke2fs", "-q", "-F", fs)
		copy(b[want[2].Start:], readImage(t, fs))
		found, warnings := scanBytes(t, b, 0)
		if len(warnings) > 0 {
			t.Errorf("sectors of %s: warnings %v", sector, warnings)
		}
		same(t, "the scan that is told "+sector, parts(t, found), want)
	}
}

// TestBootSectors takes no boot sector of a filesystem for a table, even where its code looks like entries.
func TestBootSectors(t *testing.T) {
	for _, kind := range []string{"12", "16", "32", "ntfs"} {
		var b []byte
		if kind == "ntfs" {
			b = make([]byte, 64*mib)
			copy(b, "\xeb\x52\x90NTFS    ")
			b[510], b[511] = 0x55, 0xAA
		} else {
			path := blank(t, 64*mib)
			run(t, "mkfs.fat", "-F", kind, path)
			b = readImage(t, path)
		}
		// Code with boot indicators that an MBR could have, but places that no partition has.
		for i := range 4 {
			copy(b[446+16*i:462+16*i], "\x80Press any key..")
		}
		vols, _ := scanBytes(t, b, 0)
		if len(vols) != 1 || vols[0].Type != volume.TypeDisk || vols[0].Err != nil {
			t.Errorf("%s: %+v", kind, vols)
		}
		// A table of its own in the same place, as on some USB sticks, is one.
		clear(b[446:510])
		putRecord(b, 0, mbrEntry{0x0c, 2048, 4096})
		if vols, _ := scanBytes(t, b, 0); len(vols) != 1 || vols[0].Name != "sda1" {
			t.Errorf("%s with a table: %+v", kind, vols)
		}
	}
}

// TestReadErrors passes on that a disk cannot be read.
func TestReadErrors(t *testing.T) {
	b := readImage(t, sfdisk(t, 32*mib, gptScript))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := volume.Scan(ctx, []volume.Device{{Name: "sda", Dev: blocktest.NewMemory(b)}}, volume.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled scan answers %v", err)
	}
}
