package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/tests/images"
)

// overlay makes a qcow2 that names backing, which need not exist.
func overlay(t testing.TB, path, backing, format string) {
	t.Helper()
	// Not written over: a Guest that is still open has a lock on it.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	run(t, "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", format, path, "16M")
}

// forget takes the name of the backing format out of a qcow2 (header extension 0xE2792ACA), as old ones have none.
func forget(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "\xe2\x79\x2a\xca")
	if at < 0 {
		t.Fatal("the image has no backing format to forget")
	}
	copy(b[at:], "\x7e\x7e\x7e\x7e") // an extension that nobody knows
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// folders is a folder with the subfolders vms and other, symlinks resolved.
func folders(t testing.TB) (vms, other string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	vms, other = filepath.Join(dir, "vms"), filepath.Join(dir, "other")
	for _, d := range []string{filepath.Join(vms, "sub"), filepath.Join(other, "deep")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return vms, other
}

// base makes a raw image with an ext4 that holds one file.
func base(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16*mib); err != nil {
		t.Fatal(err)
	}
	ext4(t, path, 0, "16M", map[string]string{"file": "from the base"})
}

func try(spec daemon.Spec) error {
	g, err := daemon.Open(context.Background(), spec)
	if err != nil {
		return err
	}
	return g.Close(context.Background())
}

// TestBackingPolicy opens files that an image names below its own folder and allowed ones only.
func TestBackingPolicy(t *testing.T) {
	vms, other := folders(t)
	base(t, filepath.Join(vms, "base.img"))
	base(t, filepath.Join(vms, "sub", "base.img"))
	base(t, filepath.Join(other, "base.img"))
	if err := os.Symlink(filepath.Join(other, "base.img"), filepath.Join(vms, "escape.img")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(vms, "folder")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/base.img", filepath.Join(vms, "inside.img")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(vms, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(vms, "top.qcow2")
	outside := filepath.Join(other, "base.img")
	for _, c := range []struct {
		backing string
		allow   string
		words   []string // of the error; none where it opens
	}{
		{"base.img", "", nil},
		{"./sub/../base.img", "", nil},
		{"sub/base.img", "", nil},
		{"inside.img", "", nil},
		{filepath.Join(vms, "base.img"), "", nil},
		{"file:base.img", "", nil},
		{`json:{"driver":"raw","file":{"driver":"file","filename":"base.img"}}`, "", nil},
		{outside, "", []string{"needs the file", outside, "--allow-backing " + other}},
		{"../other/base.img", "", []string{outside, "--allow-backing " + other}},
		{"escape.img", "", []string{"escape.img", outside, "--allow-backing " + other}},
		{"folder/base.img", "", []string{outside, "--allow-backing " + other}},
		{`json:{"driver":"raw","file":{"driver":"file","filename":"` + outside + `"}}`, "", []string{outside, "--allow-backing " + other}},
		{"file:" + outside, "", []string{outside, "--allow-backing " + other}},
		{"/etc/shadow", "", []string{"--allow-backing /etc"}},
		// What is outside is refused, whether it exists or not.
		{"/etc/no such file", "", []string{"--allow-backing /etc"}},
		{outside, other, nil},
		{"escape.img", other, nil},
		{outside, filepath.Join(other, "deep"), []string{"--allow-backing " + other}},
		{outside, other + "x", []string{"--allow-backing " + other}},
		{outside, filepath.Join(vms, "folder"), nil},
		{"missing.img", "", []string{"missing.img", "no such file"}},
		{"fifo", "", []string{"fifo", "neither a file nor a block device"}},
		{"sub", "", []string{"sub", "neither a file nor a block device"}},
		{"nbd://example.org/disk", "", []string{"nbd", "not supported"}},
		{"https://example.org/disk", "", []string{"https", "not supported"}},
		{`json:{"driver":"nbd","host":"example.org"}`, "", []string{"nbd", "not supported"}},
	} {
		overlay(t, image, c.backing, "raw")
		spec := daemon.Spec{Images: imagesOf(image)}
		if c.allow != "" {
			spec.AllowBacking = []string{c.allow}
		}
		if c.words == nil {
			if got := read(t, open(t, spec), "/sda/file"); got != "from the base" {
				t.Errorf("%s: reads %q", c.backing, got)
			}
			continue
		}
		err := try(spec)
		if err == nil {
			t.Errorf("%s is opened", c.backing)
			continue
		}
		for _, w := range append(c.words, image) {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.backing, err, w)
			}
		}
		refused := (*daemon.RefusedError)(nil)
		if wanted := strings.Contains(c.words[len(c.words)-1], "--allow-backing"); errors.As(err, &refused) != wanted || wanted && !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: refused is %v: %v", c.backing, !wanted, err)
		}
	}
}

// TestBackingThroughLink takes the folder of the name and that of the file itself.
func TestBackingThroughLink(t *testing.T) {
	vms, other := folders(t)
	base(t, filepath.Join(vms, "base.img"))
	overlay(t, filepath.Join(vms, "top.qcow2"), filepath.Join(vms, "base.img"), "raw")
	link := filepath.Join(other, "link.qcow2")
	if err := os.Symlink(filepath.Join(vms, "top.qcow2"), link); err != nil {
		t.Fatal(err)
	}
	if got := read(t, open(t, daemon.Spec{Images: imagesOf(link)}), "/sda/file"); got != "from the base" {
		t.Errorf("%q", got)
	}
	// A relative name starts where the image was named, as in QEMU.
	overlay(t, filepath.Join(vms, "top.qcow2"), "base.img", "raw")
	if err := try(daemon.Spec{Images: imagesOf(link)}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a relative name through a link: %v", err)
	}
	// The working directory is no matter of the name.
	t.Chdir(vms)
	if got := read(t, open(t, daemon.Spec{Images: imagesOf("top.qcow2")}), "/sda/file"); got != "from the base" {
		t.Errorf("%q", got)
	}
}

// TestBackingFormat doubts a stated format never, and finds one that is not stated.
func TestBackingFormat(t *testing.T) {
	vms, _ := folders(t)
	base(t, filepath.Join(vms, "base.img"))
	middle, image := filepath.Join(vms, "middle.qcow2"), filepath.Join(vms, "top.qcow2")
	overlay(t, middle, "base.img", "raw")
	overlay(t, image, "middle.qcow2", "qcow2")
	if got := read(t, open(t, daemon.Spec{Images: imagesOf(image)}), "/sda/file"); got != "from the base" {
		t.Errorf("stated qcow2: %q", got)
	}
	forget(t, image)
	if got := read(t, open(t, daemon.Spec{Images: imagesOf(image)}), "/sda/file"); got != "from the base" {
		t.Errorf("not stated: %q", got)
	}
	// Raw means the bytes, although they are a qcow2.
	overlay(t, image, "middle.qcow2", "raw")
	g := open(t, daemon.Spec{Images: imagesOf(image)})
	if got := read(t, g, "/.guest/disks/sda")[:4]; got != "QFI\xfb" {
		t.Errorf("stated raw: the disk starts with %q", got)
	}
	// The same for the image that the user names.
	g = open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: image, Format: "raw"}}})
	if got := read(t, g, "/.guest/disks/sda")[:4]; got != "QFI\xfb" {
		t.Errorf("--format raw: the disk starts with %q", got)
	}
	if err := try(daemon.Spec{Images: []daemon.ImageSpec{{Path: image, Format: "vmdk9"}}}); err == nil || !errors.Is(err, syscall.EOPNOTSUPP) ||
		!strings.Contains(err.Error(), `"vmdk9"`) || !strings.Contains(err.Error(), "qcow2") {
		t.Errorf("an unknown format: %v", err)
	}
	// The name and the header may not disagree.
	overlay(t, image, `json:{"driver":"qcow2","file":{"driver":"file","filename":"middle.qcow2"}}`, "raw")
	if err := try(daemon.Spec{Images: imagesOf(image)}); err == nil {
		t.Error("a name that says qcow2 in an image that says raw is opened")
	}
}

// TestChains bounds chains and finds loops.
func TestChains(t *testing.T) {
	vms, _ := folders(t)
	at := func(n int) string { return filepath.Join(vms, fmt.Sprintf("%d.qcow2", n)) }
	base(t, filepath.Join(vms, "0.img"))
	overlay(t, at(1), "0.img", "raw")
	for n := 2; n <= daemon.MaxChain; n++ {
		overlay(t, at(n), fmt.Sprintf("%d.qcow2", n-1), "qcow2")
	}
	if got := read(t, open(t, daemon.Spec{Images: imagesOf(at(daemon.MaxChain - 1))}), "/sda/file"); got != "from the base" {
		t.Errorf("a chain of %d: %q", daemon.MaxChain, got)
	}
	if err := try(daemon.Spec{Images: imagesOf(at(daemon.MaxChain))}); !errors.Is(err, daemon.ErrChainTooDeep) {
		t.Errorf("a chain of %d: %v", daemon.MaxChain+1, err)
	}
	loop := filepath.Join(vms, "loop.qcow2")
	overlay(t, loop, "loop.qcow2", "qcow2")
	if err := try(daemon.Spec{Images: imagesOf(loop)}); !errors.Is(err, daemon.ErrChainLoop) {
		t.Errorf("an image that is its own backing file: %v", err)
	}
	// Under another name, and through a third.
	if err := os.Link(loop, filepath.Join(vms, "same.qcow2")); err != nil {
		t.Fatal(err)
	}
	overlay(t, filepath.Join(vms, "between.qcow2"), "same.qcow2", "qcow2")
	run(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "between.qcow2", "-F", "qcow2", loop)
	if err := try(daemon.Spec{Images: imagesOf(loop)}); !errors.Is(err, daemon.ErrChainLoop) {
		t.Errorf("a loop of two: %v", err)
	}
}

// TestFormatsAreFound opens what QEMU writes of each format, by its content.
func TestFormatsAreFound(t *testing.T) {
	for _, format := range []string{"vmdk", "vdi", "vhdx", "vpc", "qed", "parallels"} {
		path := filepath.Join(t.TempDir(), "disk")
		run(t, "qemu-img", "create", "-q", "-f", format, path, "16M")
		if err := try(daemon.Spec{Images: imagesOf(path)}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// TestUnreadFormats refuses by name what would else be a raw disk with nothing on it.
func TestUnreadFormats(t *testing.T) {
	for format, name := range map[string]string{"qcow": "qcow"} {
		path := filepath.Join(t.TempDir(), "disk")
		run(t, "qemu-img", "create", "-q", "-f", format, path, "16M")
		err := try(daemon.Spec{Images: imagesOf(path)})
		if err == nil {
			t.Errorf("%s is opened", format)
			continue
		}
		if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", format, err)
		}
	}
	path := filepath.Join(t.TempDir(), "disk.bz2")
	if err := os.WriteFile(path, []byte("BZh91AY&SY and so on"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(daemon.Spec{Images: imagesOf(path)}); err == nil || !strings.Contains(err.Error(), "bunzip2") {
		t.Errorf("a compressed image: %v", err)
	}
	if err := try(daemon.Spec{Images: []daemon.ImageSpec{{Path: path, Format: "raw"}}}); err != nil {
		t.Errorf("the same as raw: %v", err)
	}
}

// TestVMwareLocks refuses a disk beside which VMware has locks, and names the way round.
func TestVMwareLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.vmdk")
	run(t, "qemu-img", "create", "-q", "-f", "vmdk", path, "16M")
	if err := os.Mkdir(path+".lck", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := try(daemon.Spec{Images: imagesOf(path)}); err != nil {
		t.Errorf("with an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path+".lck", "M12345.lck"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := try(daemon.Spec{Images: imagesOf(path)})
	if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "in use by VMware") || !strings.Contains(err.Error(), "--force-share") {
		t.Errorf("locked: %v", err)
	}
	if err := try(daemon.Spec{Images: imagesOf(path), ForceShare: true}); err != nil {
		t.Errorf("with ForceShare: %v", err)
	}
}

// TestNotReadable names owner, mode and the command that helps, for an image that the user may not read.
func TestNotReadable(t *testing.T) {
	if path := os.Getenv("GUESTCTL_TEST_UNREADABLE"); path != "" {
		err := try(daemon.Spec{Images: imagesOf(path)})
		refused := (*daemon.NotReadableError)(nil)
		if !errors.As(err, &refused) {
			t.Fatalf("not a NotReadableError: %v", err)
		}
		fmt.Printf("said: %v\n", err)
		return
	}
	images.NeedRoot(t)
	dir := images.UserDir(t)
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "disk.img"), filepath.Join(private, "disk.img")} {
		if err := os.WriteFile(path, make([]byte, 4096), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	binary := images.UserBinary(t, os.Args[0])
	for path, words := range map[string][]string{
		filepath.Join(dir, "disk.img"):     {"root:root", "-rw-r-----", "setfacl -m u:", ":r " + filepath.Join(dir, "disk.img")},
		filepath.Join(private, "disk.img"): {"the folder", private, "setfacl -m u:", ":x " + private},
	} {
		cmd := images.AsUser(t, exec.Command(binary, "-test.run", "^TestNotReadable$"))
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "GUESTCTL_TEST_UNREADABLE="+path)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, w := range words {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s does not say %q", out, w)
			}
		}
	}
}
