package demo

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// part copies one partition of the image into a file.
func part(t *testing.T, image string, start, size int64) string {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(name, b[start:start+size], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImageIsSound asks those who know: e2fsck for the filesystems, sfdisk for the table, debugfs for what is in the files.
func TestImageIsSound(t *testing.T) {
	images.NeedTool(t, "e2fsck", "debugfs", "sfdisk")
	image := filepath.Join(t.TempDir(), "demo.img")
	if err := Write(image); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sfdisk", "--verify", image).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("No errors detected")) {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
	for _, c := range []struct {
		start, size int64
		tree        []entry
	}{{rootStart, rootSize, rootTree()}, {dataStart, dataSize, srvTree()}} {
		fsys := part(t, image, c.start, c.size)
		if out, err := exec.Command("e2fsck", "-fn", fsys).CombinedOutput(); err != nil {
			t.Errorf("e2fsck -fn: %v\n%s", err, out)
		}
		for _, e := range c.tree {
			switch e.mode.Type() {
			case fs.ModeDir:
			case fs.ModeSymlink:
				out, err := exec.Command("debugfs", "-R", "stat /"+e.name, fsys).Output()
				if err != nil || !strings.Contains(string(out), `Fast link dest: "`+e.text+`"`) {
					t.Errorf("%s: %v\n%s", e.name, err, out)
				}
			default:
				if out, err := exec.Command("debugfs", "-R", "cat /"+e.name, fsys).Output(); err != nil || string(out) != e.text {
					t.Errorf("%s holds %d bytes, want %d (%v)", e.name, len(out), len(e.text), err)
				}
			}
		}
	}
}

func TestWriteOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "mine")
	if err := os.WriteFile(name, []byte("keep me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want that it exists", err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "keep me" {
		t.Errorf("the file now holds %q (%v)", b, err)
	}
	if err := Write(filepath.Join(dir, "no", "folder")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that the folder is missing", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
