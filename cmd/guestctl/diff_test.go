package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images"
)

// tool runs a program that has to work, in a folder.
func tool(t testing.TB, dir, name string, argv ...string) string {
	t.Helper()
	images.NeedTool(t, name)
	cmd := exec.Command(name, argv...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, argv, err, out)
	}
	return string(out)
}

const bigSize = 16 << 20

// clones makes base.img, an ext4 filesystem with a large file, and mod.img, in
// which 3 of its bytes, a file and a time are others.
func clones(t testing.TB) string {
	t.Helper()
	images.NeedTool(t, "debugfs")
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	rnd := rand.NewChaCha8([32]byte{7})
	big := make([]byte, bigSize)
	rnd.Read(big)
	for name, b := range map[string][]byte{"big": big, "changed": big[:100], "etc/hosts": []byte("127.0.0.1 localhost\n")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, dir, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", "tree", "base.img", "32M")
	if err := os.Mkdir(filepath.Join(dir, "copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	mod := filepath.Join(dir, "mod.img")
	if err := os.Rename(images.Copy(t, filepath.Join(dir, "base.img"), filepath.Join(dir, "copy")), mod); err != nil {
		t.Fatal(err)
	}
	// A block of a file, found by its bytes, and a file that is new.
	b, err := os.ReadFile(mod)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, big[bigSize-4096:])
	if at < 0 {
		t.Fatal("the block is not in the image")
	}
	copy(b[at+100:], "xyz")
	if err := os.WriteFile(mod, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), []byte("a line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "debugfs", "-w", "-R", "write new etc/new", "mod.img")
	return dir
}

// bytesRead is how much this process read from files so far, the kernel's count.
func bytesRead(t testing.TB) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDiffClones compares an image with an overlay of it and a snapshot with
// the present, and counts the bytes that were read for it.
func TestDiffClones(t *testing.T) {
	dir := clones(t)
	t.Chdir(dir)
	// An overlay that holds only the clusters that differ.
	tool(t, dir, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "mod.img", "-F", "raw", "overlay.qcow2")
	tool(t, dir, "qemu-img", "rebase", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", "overlay.qcow2")
	// The same as an image with a snapshot of before.
	tool(t, dir, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "base.img", "snap.qcow2")
	tool(t, dir, "qemu-img", "snapshot", "-c", "before", "snap.qcow2")
	base, err := os.ReadFile("base.img")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("mod.img")
	if err != nil {
		t.Fatal(err)
	}
	var writes []string
	for off := 0; off < len(base); off += 4096 {
		if !bytes.Equal(base[off:off+4096], mod[off:off+4096]) {
			name := fmt.Sprintf("block-%d", off)
			if err := os.WriteFile(name, mod[off:off+4096], 0o600); err != nil {
				t.Fatal(err)
			}
			writes = append(writes, "-c", fmt.Sprintf("write -q -s %s %d 4096", name, off))
		}
	}
	tool(t, dir, "qemu-io", append(append([]string{"-f", "qcow2"}, writes...), "snap.qcow2")...)

	_, want, _ := guestctl(t, "diff", "base.img", "mod.img")
	if !strings.Contains(want, "+ /sda/etc/new\n") || !strings.Contains(want, "  content\n") || strings.Count(want, "\n") != 2 {
		t.Fatalf("two copies: %q", want)
	}
	for _, c := range []struct {
		argv   []string
		shared bool
	}{
		{[]string{"diff", "base.img", "mod.img"}, false},
		{[]string{"diff", "base.img", "overlay.qcow2"}, true},
		{[]string{"diff", "snap.qcow2@before", "snap.qcow2"}, true},
		{[]string{"diff", "snap.qcow2@1:/", "snap.qcow2:/"}, true},
	} {
		before := bytesRead(t)
		status, out, errs := guestctl(t, c.argv...)
		read := bytesRead(t) - before
		if status != diffDiffers || out != want || errs != "" {
			t.Errorf("%q: %d\n%s%s", c.argv, status, out, errs)
		}
		t.Logf("%q: %d KiB read", c.argv, read>>10)
		// Both sides have bigSize of contents.
		if c.shared && read > 2<<20 || !c.shared && read < bigSize {
			t.Errorf("%q reads %d bytes", c.argv, read)
		}
	}
	var r api.Difference
	if _, out, _ := guestctl(t, "diff", "--json", "base.img:sda:/etc", "overlay.qcow2:sda:/etc"); json.Unmarshal([]byte(out), &r) != nil ||
		r.Schema != api.DiffSchema || r.Change != "added" || r.Path != "/new" || r.To.Size != 7 || r.From != nil {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		argv   []string
		status int
		want   string
	}{
		{[]string{"diff", "base.img", "base.img"}, 0, ""},
		{[]string{"diff", "--brief", "base.img", "mod.img"}, 1, ""},
		{[]string{"diff", "base.img:sda:/nope", "mod.img:sda:/etc"}, 2, "cannot find base.img:sda:/nope: no such file"},
		{[]string{"diff", "base.img:sda:/etc", "mod.img:sda:/nope"}, 2, "cannot find mod.img:sda:/nope: no such file"},
		{[]string{"diff", "base.img", "none.img"}, 2, "there is no image none.img"},
		{[]string{"diff", "snap.qcow2@never", "snap.qcow2"}, 2, `no snapshot "never": the image has 1 "before"`},
		{[]string{"diff", "base.img"}, 2, "diff needs IMAGE"},
		{[]string{"diff", "--no-times", "--dir-times", "base.img", "mod.img"}, 2, "exclude each other"},
	} {
		if status, out, errs := guestctl(t, c.argv...); status != c.status || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q: %d %q %q, want %d %q", c.argv, status, out, errs, c.status, c.want)
		}
	}
}
