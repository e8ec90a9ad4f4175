package volume_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// The disk groups of the two servers, by the beginning of a disk's name.
var ldmGroups = map[string]string{"2003r2": "03c0c4fc-8b6f-402b-9431-4be2e5823b1c", "2008r2": "06495a84-fbfd-11e1-8cf9-52540061f5db"}

// A holey is a disk of which only the blocks that are not zero are kept.
type holey struct {
	size   int64
	blocks map[int64][]byte
}

const holeyBlock = 64 << 10

func readHoley(t testing.TB, r io.Reader, size int64) *holey {
	t.Helper()
	h := &holey{size, map[int64][]byte{}}
	b := make([]byte, holeyBlock)
	for off := int64(0); off < size; off += holeyBlock {
		n, err := io.ReadFull(r, b)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		if len(bytes.Trim(b[:n], "\x00")) > 0 {
			h.blocks[off] = bytes.Clone(b[:n])
		}
	}
	return h
}

func (h *holey) Size() int64 { return h.size }

func (h *holey) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), h.size)
	clear(p[:n])
	for done := int64(0); done < n; {
		in := (off + done) % holeyBlock
		b := h.blocks[off+done-in]
		if int64(len(b)) > in {
			copy(p[done:n], b[in:])
		}
		done += holeyBlock - in
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (h *holey) Locate(_ context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, h.size); n == 0 {
		return block.Run{}, io.EOF
	}
	return block.Run{Kind: block.Opaque, Len: n}, nil
}

// changed is h with the bytes at off changed.
func (h *holey) changed(off int64, to []byte) *holey {
	c := &holey{h.size, maps.Clone(h.blocks)}
	for i, x := range to {
		at := off + int64(i)
		base := at - at%holeyBlock
		b := bytes.Clone(c.blocks[base])
		if b == nil {
			b = make([]byte, holeyBlock)
		}
		b[at-base] = x
		c.blocks[base] = b
	}
	return c
}

// ldmDisks reads the disks that Windows wrote, n of those whose name begins so: by server and kind, in order.
func ldmDisks(t testing.TB, prefix string, n int) map[string][]*holey {
	t.Helper()
	f, err := os.Open(images.DynamicDisks(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*holey{}
	for tr := tar.NewReader(z); len(byName) < n; {
		h, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSuffix(path.Base(h.Name), ".img"); name != path.Base(h.Name) && strings.HasPrefix(name, "ldm-"+prefix) {
			byName[name] = readHoley(t, tr, h.Size)
		}
	}
	all := map[string][]*holey{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		kind := strings.TrimPrefix(name[:strings.LastIndexByte(name, '-')], "ldm-")
		all[kind] = append(all[kind], byName[name])
	}
	return all
}

// scanLDM scans disks; those that are nil are missing.
func scanLDM(t testing.TB, disks []*holey, opt volume.Options) ([]volume.Volume, []error) {
	t.Helper()
	var devs []volume.Device
	for i, d := range disks {
		if d != nil {
			devs = append(devs, volume.Device{Name: volume.DiskName(i), Dev: d})
		}
	}
	return scanDevices(t, devs, opt)
}

// An ldmVolume is what ldmtool says of one.
type ldmVolume struct {
	Name, GUID, Type, Hint string
	Size                   int64
}

// ldmtool asks for the volumes of a group.
func ldmtool(t testing.TB, group string, disks []*holey) []ldmVolume {
	t.Helper()
	images.NeedTool(t, "ldmtool")
	dir := t.TempDir()
	var args []string
	for i, d := range disks {
		name := filepath.Join(dir, fmt.Sprint(i))
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for off, b := range d.blocks {
			if _, err := f.WriteAt(b, off); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Truncate(d.size), f.Close()); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-d", name)
	}
	ask := func(v any, what ...string) {
		out, err := exec.Command("ldmtool", append(args, what...)...).Output()
		if err == nil {
			err = json.Unmarshal(out, v)
		}
		if err != nil {
			t.Fatalf("ldmtool %v: %v: %s", what, err, out)
		}
	}
	var g struct{ Volumes []string }
	ask(&g, "show", "diskgroup", group)
	var vols []ldmVolume
	for _, name := range g.Volumes {
		var v ldmVolume
		ask(&v, "show", "volume", group, name)
		vols = append(vols, v)
	}
	return vols
}

// testFile reads the file that libldm's tests put into each volume.
func testFile(t testing.TB, dev block.Device) string {
	t.Helper()
	ctx := context.Background()
	driver, _, err := filesystems.Probe(ctx, dev)
	if err != nil {
		t.Fatal(err)
	}
	fs, err := driver.Open(ctx, []block.Device{dev}, vfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close(ctx)
	root, err := fs.Inode(ctx, fs.Root())
	if err != nil {
		t.Fatal(err)
	}
	ino, err := root.Lookup(ctx, "test.txt")
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Inode(ctx, ino)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, f.Attr().Size)
	if _, err := vfs.ReadAt(ctx, f, b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b)
}

// TestLDM compares the dynamic disks of two Windows servers with what ldmtool says of them, and the file in each volume with
// what its test expects; a volume reads the same without each disk that it can do without.
func TestLDM(t *testing.T) {
	all := ldmDisks(t, "", 19)
	if len(all) != 9 {
		t.Fatalf("%d sets of disks", len(all))
	}
	for kind, disks := range all {
		t.Run(kind, func(t *testing.T) {
			server, want, _ := strings.Cut(kind, "-")
			vols, _ := scanLDM(t, disks, volume.Options{})
			whole := 0
			for _, w := range ldmtool(t, ldmGroups[server], disks) {
				i := slices.IndexFunc(vols, func(v volume.Volume) bool { return v.UUID == w.GUID })
				if i < 0 {
					t.Errorf("%s (%s) is not listed", w.Name, w.GUID)
					continue
				}
				v := vols[i]
				if !strings.HasPrefix(v.Name, "ldm_vol_") || !strings.HasSuffix(v.Name, "_"+w.Name) || v.Kind != strings.ToLower(w.Type) || v.Label != w.Hint {
					t.Errorf("%+v, ldmtool: %+v", v, w)
				}
				if v.Err != nil {
					if !errors.Is(v.Err, syscall.ENODEV) {
						t.Errorf("%s: %v", v.Name, v.Err)
					}
					continue
				}
				if v.Dev.Size() != w.Size*512 {
					t.Errorf("%s: %d bytes, ldmtool: %d sectors", v.Name, v.Dev.Size(), w.Size)
				}
				if v.Kind != want {
					continue
				}
				whole++
				if got := testFile(t, v.Dev); got != "Filesystem test" {
					t.Errorf("%s: test.txt is %q", v.Name, got)
				}
				if want == "mirrored" || want == "raid5" {
					sameWithout(t, disks, v)
				}
			}
			if whole != 1 {
				t.Errorf("%d volumes of the kind %s were read", whole, want)
			}
			if server == "2008r2" {
				if v := byName(vols, "sda1"); v != nil && v.Type != "gpt" {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// sameWithout reads v without each of its disks.
func sameWithout(t *testing.T, disks []*holey, v volume.Volume) {
	t.Helper()
	want := contents(t, v.Dev)
	for i := range disks {
		fewer := slices.Clone(disks)
		fewer[i] = nil
		vols, warnings := scanLDM(t, fewer, volume.Options{})
		got := byName(vols, v.Name)
		if got == nil || got.Err != nil || !bytes.Equal(contents(t, got.Dev), want) {
			t.Errorf("without disk %d: %+v", i, got)
		}
		if !strings.Contains(fmt.Sprint(warnings), "it is read although disks of the group are missing") {
			t.Errorf("without disk %d: %v", i, warnings)
		}
	}
}

// ldmSimple is the one disk of a simple volume, where its database begins, and the first copy of its header.
func ldmSimple(t testing.TB) *holey {
	t.Helper()
	return ldmDisks(t, "2003r2-simple", 1)["2003r2-simple"][0]
}

// TestLDMHostile gives a named error for what nobody writes, and uses the copies of the header.
func TestLDMHostile(t *testing.T) {
	d := ldmSimple(t)
	const priv = 6 * 512
	config := int64(be64At(t, d, priv+299)) * 512
	vmdb := config + 17*512
	if string(bytesAt(t, d, vmdb, 4)) != "VMDB" {
		t.Fatal("the database is elsewhere")
	}
	first := vmdb + 512
	for name, c := range map[string]struct {
		disk *holey
		says string
	}{
		"copy":       {d.changed(priv, []byte("x")), "a copy is used"},
		"no header":  {d.changed(priv, []byte("x")).changed(d.size-512, []byte("x")).changed(d.size-2048*512+1856*512, []byte("x")), "nor in its copies"},
		"version":    {d.changed(priv+12, []byte{0, 9}), "version 9."},
		"outside":    {d.changed(priv+299, []byte{0x7f}), "its database lies at sector"},
		"data":       {d.changed(priv+283, []byte{0x7f}), "its data lies at sector"},
		"guid":       {d.changed(priv+48, make([]byte, 10)), "LDM private header"},
		"no tables":  {d.changed(config+512, make([]byte, 1024)).changed(config+1<<20-1024, make([]byte, 1024)), "no table of contents"},
		"block size": {d.changed(vmdb+8, []byte{0xff}), "blocks of"},
		"first":      {d.changed(vmdb+12, []byte{0xff}), "blocks of"},
		"status":     {d.changed(vmdb+16, []byte{0, 7}), "its last complete state is shown"},
		"type":       {d.changed(first+16+3, []byte{0x99}), "a record of the type 0x99"},
		"length":     {d.changed(first+24, []byte{0xff}), "LDM record"},
		"parts":      {d.changed(first+12, []byte{0, 9, 0, 3}), "part 9 of 3"},
		"some parts": {d.changed(first+12, []byte{0, 1, 0, 3}), "of its 3 parts are missing"},
	} {
		vols, warnings := scanLDM(t, []*holey{c.disk}, volume.Options{})
		said := fmt.Sprint(warnings)
		for _, v := range vols {
			said += fmt.Sprint(v.Err)
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
	// What is missing is a read error with Partial.
	spanned := ldmDisks(t, "2003r2-spanned", 2)["2003r2-spanned"]
	vols, _ := scanLDM(t, spanned[:1], volume.Options{Partial: true})
	i := slices.IndexFunc(vols, func(v volume.Volume) bool {
		return v.Kind == "spanned" && v.Dev != nil && strings.HasSuffix(v.Name, "_Volume2")
	})
	if i < 0 {
		t.Fatalf("%+v", vols)
	}
	b := make([]byte, 512)
	_, err1 := vols[i].Dev.ReadAt(context.Background(), b, 0)
	_, err2 := vols[i].Dev.ReadAt(context.Background(), b, vols[i].Dev.Size()-512)
	if (err1 == nil) == (err2 == nil) {
		t.Errorf("the two halves: %v, %v", err1, err2)
	}
}

func bytesAt(t testing.TB, d *holey, off int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if err := block.ReadFull(context.Background(), d, b, off); err != nil {
		t.Fatal(err)
	}
	return b
}

func be64At(t testing.TB, d *holey, off int64) (v uint64) {
	for _, x := range bytesAt(t, d, off, 8) {
		v = v<<8 | uint64(x)
	}
	return v
}

// FuzzLDM reads damaged headers and databases.
func FuzzLDM(f *testing.F) {
	d := ldmSimple(f)
	const priv = 6 * 512
	config := int64(be64At(f, d, priv+299)) * 512
	f.Add(bytesAt(f, d, priv, 512), bytesAt(f, d, config+512, 1024), bytesAt(f, d, config+17*512, 8<<10))
	f.Fuzz(func(t *testing.T, head, toc, db []byte) {
		if len(head) > 512 || len(toc) > 4096 || len(db) > 16<<10 {
			return
		}
		dev := pieces{headDisk{nil, d.size}, map[int64][]byte{0: bytesAt(t, d, 0, 512), priv: head, config + 512: toc, config + 17*512: db}}
		vols, _, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: dev}}, volume.Options{Partial: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vols {
			if v.Dev != nil && v.Dev.Size() > 0 {
				v.Dev.ReadAt(context.Background(), make([]byte, 4096), 0)
			}
		}
	})
}
