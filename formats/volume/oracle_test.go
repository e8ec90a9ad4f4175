package volume_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	diskfs "github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
)

// sfdisk makes an image of that size with the partitions of an sfdisk script.
func sfdisk(t testing.TB, size int64, script string, args ...string) string {
	t.Helper()
	images.NeedTool(t, "sfdisk")
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", append(append([]string{"-q"}, args...), path)...)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	return path
}

// fdisk is sfdisk with sectors of another size, which sfdisk cannot have in a file.
func fdisk(t testing.TB, size int64, script, sector string) string {
	t.Helper()
	if sector == "512" {
		return sfdisk(t, size, script)
	}
	images.NeedTool(t, "fdisk")
	path := blank(t, size)
	if err := os.WriteFile(path+".sfdisk", []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("fdisk", "-b", sector, path)
	cmd.Stdin = strings.NewReader("I\n" + path + ".sfdisk\nw\n")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "altered") {
		t.Fatalf("fdisk: %v: %s", err, out)
	}
	return path
}

// run runs a program that must succeed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	images.NeedTool(t, name)
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// scan scans one disk of a file.
func scan(t testing.TB, path string, sector int) ([]volume.Volume, []error) {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	vols, warnings, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: f, SectorSize: sector}}, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return vols, warnings
}

// part is what an oracle says of a partition, in bytes.
type part struct {
	Number            int
	Start, Size       int64
	Kind, UUID, Label string
}

func parts(t testing.TB, vols []volume.Volume) []part {
	t.Helper()
	var list []part
	for _, v := range vols {
		if v.Err != nil {
			t.Errorf("%s: %v", v.Name, v.Err)
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(v.Name, "sda"))
		if err != nil || v.Disk != "sda" {
			t.Errorf("a partition of sda is called %q on disk %q", v.Name, v.Disk)
		}
		list = append(list, part{n, v.Off, v.Dev.Size(), v.Kind, v.UUID, v.Label})
	}
	return list
}

// bySfdisk is what sfdisk -J says, without extended partitions.
func bySfdisk(t testing.TB, path string) []part {
	t.Helper()
	var dump struct {
		Table struct {
			Label, ID  string
			SectorSize int64 `json:"sectorsize"`
			Partitions []struct {
				Node             string
				Start, Size      int64
				Type, UUID, Name string
			}
		} `json:"partitiontable"`
	}
	out := run(t, "sfdisk", "-J", path)
	if err := json.Unmarshal([]byte(out), &dump); err != nil {
		t.Fatalf("sfdisk -J: %v: %s", err, out)
	}
	var list []part
	for _, p := range dump.Table.Partitions {
		n, err := strconv.Atoi(strings.TrimLeft(strings.TrimPrefix(p.Node, path), "p"))
		if err != nil {
			t.Fatal(err)
		}
		have := part{n, p.Start * dump.Table.SectorSize, p.Size * dump.Table.SectorSize, p.Type, strings.ToLower(p.UUID), p.Name}
		if dump.Table.Label == "dos" {
			if p.Type == "5" || p.Type == "f" || p.Type == "85" {
				continue
			}
			have.Kind = fmt.Sprintf("0x%02s", p.Type)
			have.UUID = fmt.Sprintf("%s-%02x", strings.TrimPrefix(dump.Table.ID, "0x"), n)
		}
		list = append(list, have)
	}
	return list
}

func same(t testing.TB, oracle string, got, want []part) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s shows no partition: the test compares nothing", oracle)
	}
	if len(got) != len(want) {
		t.Fatalf("%d partitions, %s has %d\n got %+v\nwant %+v", len(got), oracle, len(want), got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("partition %d: %+v, %s has %+v", i, got[i], oracle, want[i])
		}
	}
}

const mib = 1 << 20

// TestOracle compares with what sfdisk, and for GPT sgdisk and go-diskfs, read from tables that sfdisk made.
func TestOracle(t *testing.T) {
	many := "label: gpt\ntable-length: 256\n"
	for i := range 200 {
		many += fmt.Sprintf("size=1MiB, name=\"part %d\"\n", i+1)
	}
	logicals := "label: dos\nlabel-id: 0x1234abcd\nsize=2MiB, type=83\ntype=f\n"
	for range 54 {
		logicals += "size=1MiB, type=83\n"
	}
	for name, c := range map[string]struct {
		size   int64
		script string
	}{
		"gpt":                {64 * mib, "label: gpt\nsize=8MiB, type=U, name=\"EFI System\"\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\nsize=20MiB, type=L, name=\"Würzburg 🍷 root\"\n"},
		"gpt numbers":        {64 * mib, "label: gpt\n3 : size=8MiB, type=L\n1 : size=8MiB, type=S\n128 : size=4MiB, type=L, name=last\n"},
		"gpt 256 entries":    {256 * mib, many},
		"dos primaries":      {64 * mib, "label: dos\nsize=8MiB, type=7, bootable\nsize=8MiB, type=c\nsize=8MiB, type=82\nsize=8MiB, type=83\n"},
		"dos logical":        {64 * mib, "label: dos\nlabel-id: 0xdeadbeef\nsize=8MiB, type=83\nsize=40MiB, type=5\nsize=4MiB, type=83\nsize=4MiB, type=82\nsize=4MiB, type=8e\nsize=4MiB, type=b\n"},
		"dos logical only":   {64 * mib, "label: dos\ntype=5\nsize=4MiB, type=83\n"},
		"dos 54 logical":     {160 * mib, logicals},
		"dos linux extended": {64 * mib, "label: dos\n3 : size=40MiB, type=85\n5 : size=4MiB, type=83\n6 : size=8MiB, type=7\n1 : size=4MiB, type=83\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := sfdisk(t, c.size, c.script)
			vols, warnings := scan(t, path, 0)
			for _, w := range warnings {
				t.Errorf("warning: %v", w)
			}
			got := parts(t, vols)
			same(t, "sfdisk", got, bySfdisk(t, path))
			if strings.HasPrefix(name, "gpt") {
				same(t, "go-diskfs", got, byDiskfs(t, path))
				bySgdisk(t, path, got)
			}
		})
	}
}

// byDiskfs is what go-diskfs says of a GPT.
func byDiskfs(t testing.TB, path string) []part {
	t.Helper()
	d, err := diskfs.Open(path, diskfs.WithOpenMode(diskfs.ReadOnly))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pt, err := d.GetPartitionTable()
	if err != nil {
		t.Fatal(err)
	}
	table, ok := pt.(*gpt.Table)
	if !ok {
		t.Fatalf("go-diskfs reads a %T", pt)
	}
	var list []part
	for i, p := range table.Partitions {
		if p.Type == gpt.Unused {
			continue
		}
		n := p.Index
		if n == 0 {
			n = i + 1
		}
		list = append(list, part{n, int64(p.Start) * int64(table.LogicalSectorSize), p.GetSize(), strings.ToUpper(string(p.Type)), strings.ToLower(p.GUID), p.Name})
	}
	return list
}

// bySgdisk compares the names and places that sgdisk prints.
func bySgdisk(t testing.TB, path string, got []part) {
	t.Helper()
	for _, p := range got {
		out := run(t, "sgdisk", "-i", strconv.Itoa(p.Number), path)
		for _, line := range []string{
			"Partition GUID code: " + p.Kind,
			"Partition unique GUID: " + strings.ToUpper(p.UUID),
			fmt.Sprintf("First sector: %d ", p.Start/512),
			fmt.Sprintf("Last sector: %d ", (p.Start+p.Size)/512-1),
			fmt.Sprintf("Partition name: '%s'", p.Label),
		} {
			if !strings.Contains(out, line) {
				t.Errorf("sgdisk does not say %q of partition %d but\n%s", line, p.Number, out)
			}
		}
	}
}

// TestHybrid reads a hybrid MBR as GPT.
func TestHybrid(t *testing.T) {
	path := sfdisk(t, 64*mib, "label: gpt\nsize=8MiB, type=L\nsize=8MiB, type=U\n")
	want := bySfdisk(t, path)
	run(t, "sgdisk", "--hybrid=1:2", path)
	vols, warnings := scan(t, path, 0)
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	same(t, "sfdisk before it became hybrid", parts(t, vols), want)
}

// TestNoTable shows a disk without a table, and one with an empty table, as itself.
func TestNoTable(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) string{
		"zeros": func(t *testing.T) string { return blank(t, 4*mib) },
		"ext4": func(t *testing.T) string {
			path := blank(t, 8*mib)
			run(t, "mke2fs", "-q", "-F", "-t", "ext4", path)
			return path
		},
		"fat": func(t *testing.T) string {
			path := blank(t, 8*mib)
			run(t, "mkfs.fat", path)
			return path
		},
		"fat32": func(t *testing.T) string {
			path := blank(t, 64*mib)
			run(t, "mkfs.fat", "-F", "32", path)
			return path
		},
		"tiny":      func(t *testing.T) string { return blank(t, 100) },
		"empty":     func(t *testing.T) string { return blank(t, 0) },
		"empty dos": func(t *testing.T) string { return sfdisk(t, 4*mib, "label: dos\n") },
		"empty gpt": func(t *testing.T) string { return sfdisk(t, 4*mib, "label: gpt\n") },
	} {
		t.Run(name, func(t *testing.T) {
			path := make(t)
			vols, warnings := scan(t, path, 0)
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			if len(vols) != 1 || vols[0].Name != "sda" || vols[0].Type != volume.TypeDisk || vols[0].Err != nil || vols[0].Dev == nil {
				t.Errorf("%+v, not the whole disk", vols)
			}
		})
	}
}

func blank(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDiskName counts as libguestfs does.
func TestDiskName(t *testing.T) {
	for n, want := range map[int]string{0: "sda", 1: "sdb", 25: "sdz", 26: "sdaa", 27: "sdab", 51: "sdaz", 52: "sdba", 701: "sdzz", 702: "sdaaa"} {
		if got := volume.DiskName(n); got != want {
			t.Errorf("disk %d is %q, not %q", n, got, want)
		}
	}
}

// TestSeveralDisks keeps the disks' order and names.
func TestSeveralDisks(t *testing.T) {
	var disks []volume.Device
	for i, path := range []string{sfdisk(t, 16*mib, "label: dos\nsize=4MiB\nsize=4MiB\n"), blank(t, mib), sfdisk(t, 16*mib, "label: gpt\nsize=4MiB\n")} {
		f, err := raw.OpenFile(path, raw.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		disks = append(disks, volume.Device{Name: volume.DiskName(i), Dev: f})
	}
	vols, _, err := volume.Scan(context.Background(), disks, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range vols {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, " "); got != "sda1 sda2 sdb sdc1" {
		t.Errorf("volumes %s", got)
	}
}

// TestWritable: a partition is as writable as its disk, and what lies on one is not.
func TestWritable(t *testing.T) {
	path := sfdisk(t, 8<<20, "label: gpt\n- - L\n")
	for _, writable := range []bool{false, true} {
		f, err := raw.OpenFile(path, raw.Options{Writable: writable})
		if err != nil {
			t.Fatal(err)
		}
		var dev block.Device = f
		if writable {
			if dev, err = f.Writer(); err != nil {
				t.Fatal(err)
			}
		}
		vols, _, err := volume.Scan(t.Context(), []volume.Device{{Name: "sda", Dev: dev}}, volume.Options{})
		if err != nil || len(vols) != 1 {
			t.Fatalf("%d volumes, %v", len(vols), err)
		}
		if _, ok := vols[0].Dev.(block.Writer); ok != writable {
			t.Errorf("the disk is open for writing: %v, its partition: %v", writable, ok)
		}
		f.Close()
	}
}
