package vfs_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func static(t testing.TB) (*vfs.Static, *counted) {
	t.Helper()
	dev := device(100_000)
	s := vfs.NewStatic("view")
	s.Dir("sda1")
	s.Dir("/sda2/")
	s.File("disks/sda", dev)
	s.File("volumes/sda1", device(0))
	s.Made("a/b/inspect.json", func(context.Context) ([]byte, error) { return []byte("{}"), nil })
	s.Made("empty", func(context.Context) ([]byte, error) { return nil, nil })
	s.Made("empty", func(context.Context) ([]byte, error) { return []byte("in its place"), nil })
	return s, dev
}

// TestStatic puts Static through the suite of drivers.
func TestStatic(t *testing.T) {
	s, _ := static(t)
	vfstest.Run(t, vfstest.Case{Open: func(testing.TB) vfs.FileSystem { return s }})
}

func TestStaticFiles(t *testing.T) {
	s, dev := static(t)
	fsys := vfs.FS(t.Context(), vfs.NewNamespace(vfs.NewTree("view", s)))
	for name, want := range map[string]string{"disks/sda": string(dev.data), "volumes/sda1": "", "a/b/inspect.json": "{}", "empty": "in its place"} {
		if b, err := fs.ReadFile(fsys, name); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	// An error is told and not kept.
	fails := errors.New("not now")
	again := vfs.NewStatic("view")
	again.Made("x", func(context.Context) ([]byte, error) {
		if err := fails; err != nil {
			fails = nil
			return nil, err
		}
		return []byte("made"), nil
	})
	fsys = vfs.FS(t.Context(), vfs.NewNamespace(vfs.NewTree("view", again)))
	if _, err := fs.ReadFile(fsys, "x"); err == nil {
		t.Error("no error of what could not be made")
	}
	if b, err := fs.ReadFile(fsys, "x"); err != nil || string(b) != "made" {
		t.Errorf("made a second time: %q, %v", b, err)
	}
}

// TestIOFS puts the io/fs view through Go's own suite.
func TestIOFS(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/passwd", vfstest.Text("root"))
	m.Add("/etc/pieces", vfstest.Spec{Mode: 0o4755, Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 70_000}, {Kind: vfs.Inline, Data: "end"}}})
	m.Add("/link", vfstest.Symlink("etc"))
	m.Add("/absolute", vfstest.Symlink("/etc/passwd"))
	m.Dir("/boot/efi")
	ns := vfs.NewNamespace(vfs.NewTree("sda2", m))
	efi := vfstest.NewMemory()
	efi.Add("/EFI/BOOT/x", vfstest.Text("x"))
	if err := ns.Attach(t.Context(), "/boot/efi", vfs.NewTree("sda1", efi)); err != nil {
		t.Fatal(err)
	}
	fsys := vfs.FS(t.Context(), ns)
	if err := fstest.TestFS(fsys, "etc/passwd", "etc/pieces", "link", "absolute", "boot/efi/EFI/BOOT/x"); err != nil {
		t.Error(err)
	}
	if b, err := fs.ReadFile(fsys, "absolute"); err != nil || string(b) != "root" {
		t.Errorf("through an absolute link: %q, %v", b, err)
	}
	if target, err := fs.ReadLink(fsys, "link"); err != nil || target != "etc" {
		t.Errorf("ReadLink: %q, %v", target, err)
	}
	if st, err := fs.Stat(fsys, "etc/pieces"); err != nil || st.Mode() != fs.ModeSetuid|0o755 || st.Size() != 70_003 {
		t.Errorf("Stat: %v, %v", st, err)
	}
	if _, err := fsys.Open("no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	f, err := fsys.Open("etc/pieces")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.(io.Seeker).Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "end" {
		t.Errorf("after Seek: %q, %v", b, err)
	}
}
