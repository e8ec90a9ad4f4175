package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images"
)

func tool(t testing.TB, name string, argv ...string) string {
	t.Helper()
	images.NeedTool(t, name)
	out, err := exec.Command(name, argv...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, argv, err, out)
	}
	return string(out)
}

func checkImage(t testing.TB, path string, opt Options) ([]api.Finding, api.Check) {
	t.Helper()
	read := func() []byte { // the images here, but for the XFS one, are small
		if st, err := os.Stat(path); err != nil || st.Size() > 64<<20 {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := read()
	var list []api.Finding
	out, err := Run(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: path}}}, opt, func(f api.Finding) error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.Findings != int64(len(list)) {
		t.Errorf("%d findings, counted as %d", len(list), out.Findings)
	}
	if !bytes.Equal(before, read()) {
		t.Error("the image was changed")
	}
	return list, out
}

// has says whether one of the findings has all the words, in structure, detail or path.
func has(list []api.Finding, words ...string) bool {
	for _, f := range list {
		all := true
		for _, w := range words {
			all = all && strings.Contains(f.Where+" "+f.Volume+" "+f.Path+" "+f.Structure+": "+f.Detail, w)
		}
		if all {
			return true
		}
	}
	return false
}

// extImage makes an ext4 filesystem with directories, a large one, links,
// attributes and a file of several extents.
func extImage(t testing.TB, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for _, d := range []string{"etc", "many", "deep/er"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(tree, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 600 {
		write(filepath.Join("many", strings.Repeat("n", 40)+string(rune('a'+i%26))+strings.Repeat("x", i/26+1)), nil)
	}
	write("etc/hosts", []byte("127.0.0.1 localhost\n"))
	write("etc/other", bytes.Repeat([]byte("other\n"), 2000))
	write("large", bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	if err := errors.Join(os.Link(filepath.Join(tree, "etc/hosts"), filepath.Join(tree, "deep/hosts")), os.Symlink(strings.Repeat("long/", 30), filepath.Join(tree, "link"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "disk.img")
	tool(t, "mke2fs", append(append([]string{"-q", "-t", "ext4", "-b", "1024", "-d", tree}, options...), path, "24M")...)
	return path
}

// poke changes bytes of a file.
func poke(t testing.TB, path string, off int64, change func(b []byte)) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1024)
	n, err := f.ReadAt(b, off)
	if n == 0 {
		t.Fatal(err)
	}
	change(b[:n])
	if _, err := f.WriteAt(b[:n], off); err != nil {
		t.Fatal(err)
	}
}

// flip damages a byte.
func flip(b []byte) { b[0] ^= 0x55 }

// blockOf is a block that debugfs names, in bytes.
func blockOf(t testing.TB, path, request string) int64 {
	t.Helper()
	n := int64(0)
	for _, f := range strings.Fields(tool(t, "debugfs", "-R", request, path)) {
		if v := strings.Trim(f, "(),"); v != "" && strings.Trim(v, "0123456789") == "" {
			for _, c := range v {
				n = n*10 + int64(c-'0')
			}
			return n * 1024
		}
	}
	t.Fatalf("debugfs -R %q says nothing", request)
	return 0
}

// TestExt damages structures one at a time. e2fsck says that each is damage.
func TestExt(t *testing.T) {
	images.NeedTool(t, "debugfs", "e2fsck")
	clean := extImage(t)
	list, out := checkImage(t, clean, Options{Data: true})
	if len(list) != 0 || len(out.Volumes) != 1 || !out.Volumes[0].Checked || out.Volumes[0].Files != 600+5 || out.Volumes[0].Directories != 6 ||
		out.Volumes[0].Bytes < 1<<20 || len(out.Volumes[0].NotChecked) == 0 {
		t.Errorf("an intact one: %+v, %+v", list, out)
	}
	debug := func(request string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { tool(t, "debugfs", "-w", "-R", request, path) }
	}
	for name, c := range map[string]struct {
		options []string
		damage  func(t *testing.T, path string)
		want    []string
	}{
		"inode": {nil, func(t *testing.T, path string) {
			at := strings.Fields(tool(t, "debugfs", "-R", "imap etc/other", path))
			// "... located at block 1234, offset 0x0100"
			blk, off := int64(0), int64(0)
			for i, f := range at {
				if f == "block" {
					blk = number(at[i+1], 10)
				}
				if f == "offset" {
					off = number(strings.TrimPrefix(at[i+1], "0x"), 16)
				}
			}
			poke(t, path, blk*1024+off+8, flip)
		}, []string{"volume sda /etc/other", "ext4 inode"}},
		"directory block": {nil, func(t *testing.T, path string) { poke(t, path, blockOf(t, path, "blocks etc")+40, flip) }, []string{"volume sda /etc", "ext4 directory"}},
		"directory index": {nil, func(t *testing.T, path string) { poke(t, path, blockOf(t, path, "blocks many")+40, flip) }, []string{"volume sda /many", "ext4"}},
		"descriptor":      {nil, func(t *testing.T, path string) { poke(t, path, 2048+32+12, flip) }, []string{"ext4 descriptor of group"}},
		"link count":      {nil, debug("sif etc/hosts links_count 5"), []string{"/hosts", "counts 5 links and has 2 names"}},
		"lost name":       {nil, debug("unlink deep/hosts"), []string{"counts 2 links and has 1 names"}},
		"freed inode":     {nil, debug("clri etc/other"), []string{"/etc/other"}},
		"two files":       {[]string{"-O", "^extents,^64bit,^metadata_csum"}, debug("sif etc/hosts block[0] 1500"), []string{"both have the block"}},
		"block of nobody": {[]string{"-O", "^extents,^64bit,^metadata_csum"}, debug("sif etc/hosts block[0] 99999999"), []string{"/hosts"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := clean
			if c.options != nil {
				path = extImage(t, c.options...)
			}
			path = images.Copy(t, path, t.TempDir())
			if name == "two files" {
				other := blockOf(t, path, "blocks large")
				c.damage = debug("sif etc/hosts block[0] " + strconv.FormatInt(other/1024, 10))
			}
			c.damage(t, path)
			if err := exec.Command("e2fsck", "-fn", path).Run(); err == nil {
				t.Fatal("e2fsck finds no damage")
			}
			list, _ := checkImage(t, path, Options{})
			if !has(list, c.want...) {
				t.Errorf("no finding with %q: %+v", c.want, list)
			}
		})
	}
}

func number(s string, base int64) (n int64) {
	for _, c := range strings.ToLower(strings.Trim(s, ",")) {
		d := strings.IndexRune("0123456789abcdef", c)
		if d < 0 || int64(d) >= base {
			break
		}
		n = n*base + int64(d)
	}
	return n
}

// TestQcow2 damages the tables of an image and of a snapshot in it; qemu-img
// check finds each.
func TestQcow2(t *testing.T) {
	dir := t.TempDir()
	clean := filepath.Join(dir, "clean.qcow2")
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", extImage(t), clean)
	tool(t, "qemu-img", "snapshot", "-c", "before", clean)
	if list, out := checkImage(t, clean, Options{}); len(list) != 0 || out.Format != "qcow2" || len(out.NotChecked) == 0 {
		t.Errorf("an intact one: %+v, %+v", list, out)
	}
	b, err := os.ReadFile(clean)
	if err != nil {
		t.Fatal(err)
	}
	l1 := int64(binary.BigEndian.Uint64(b[40:]))
	snapshots := int64(binary.BigEndian.Uint64(b[64:]))
	l2 := int64(binary.BigEndian.Uint64(b[l1:]) & 0x00ff_ffff_ffff_fe00)
	snapL1 := int64(binary.BigEndian.Uint64(b[snapshots:]))
	for name, c := range map[string]struct {
		off  int64
		xor  byte
		want []string
	}{
		"L1 entry":          {l1 + 7, 0x01, []string{"image", "qcow2 L1 table"}},
		"L2 entry":          {l2 + 5*8 + 7, 0x04, []string{"image", "qcow2 L2 table"}},
		"L2 entry's place":  {l2 + 6*8 + 2, 0x40, []string{"image", "qcow2 L2 table", "outside the file"}},
		"snapshot L1 entry": {snapL1 + 7, 0x01, []string{"image", "qcow2 L1 table"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := images.Copy(t, clean, t.TempDir())
			poke(t, path, c.off, func(b []byte) { b[0] ^= c.xor })
			if err := exec.Command("qemu-img", "check", path).Run(); err == nil {
				t.Error("qemu-img check finds no damage")
			}
			list, _ := checkImage(t, path, Options{})
			if !has(list, c.want...) {
				t.Errorf("no finding with %q: %+v", c.want, list)
			}
			n := 0
			for _, f := range list {
				if f.Where == "image" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("one damaged entry is %d findings", n)
			}
		})
	}
}

// TestDisk damages a partition table, and asks for volumes that are not there.
func TestDisk(t *testing.T) {
	images.NeedTool(t, "sfdisk")
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 32<<20); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", path)
	cmd.Stdin = strings.NewReader("label: gpt\nsize=8M\nsize=8M\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if list, _ := checkImage(t, path, Options{}); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	poke(t, path, 512+60, flip)
	if list, _ := checkImage(t, path, Options{}); !has(list, "disk", "GPT header") || len(list) != 1 {
		t.Errorf("%+v", list)
	}
	none := func(api.Finding) error { return nil }
	if _, err := Run(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: path}}}, Options{Volume: "sda9"}, none); err == nil {
		t.Error("a volume that is not there")
	}
	if _, err := Run(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: path + "x"}}}, Options{}, none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an image that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, daemon.Spec{Images: []daemon.ImageSpec{{Path: path}}}, Options{}, none); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled one: %v", err)
	}
}

// TestOthers finds nothing wrong with what the makers of other filesystems made.
func TestOthers(t *testing.T) {
	for _, c := range [][]string{
		{"mkfs.fat", "-C", "fat.img", "16384"},
		{"mkntfs", "-q", "-F", "-s", "512", "ntfs.img"},
	} {
		t.Run(c[0], func(t *testing.T) {
			images.NeedTool(t, c[0])
			path := filepath.Join(t.TempDir(), "disk.img")
			if c[0] == "mkntfs" {
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 16<<20)); err != nil {
					t.Fatal(err)
				}
			}
			argv := strings.Split(strings.NewReplacer("fat.img", path, "ntfs.img", path).Replace(strings.Join(c[1:], "\n")), "\n")
			tool(t, c[0], argv...)
			if list, out := checkImage(t, path, Options{Data: true}); len(list) != 0 || !out.Volumes[0].Checked {
				t.Errorf("%+v %+v", list, out)
			}
		})
	}
	t.Run("XFS", func(t *testing.T) {
		img := images.XFS(t, "few")
		if list, out := checkImage(t, img.Path, Options{}); len(list) != 0 || !out.Volumes[0].Checked {
			t.Errorf("%+v %+v", list, out)
		}
	})
}
