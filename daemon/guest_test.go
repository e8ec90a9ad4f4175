package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

const mib = 1 << 20

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

// blank is a file of zeros in a folder of its own.
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

// partition divides a disk by an sfdisk script.
func partition(t testing.TB, path, script string) {
	t.Helper()
	images.NeedTool(t, "sfdisk")
	cmd := exec.Command("sfdisk", "-q", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
}

// tree makes a folder with the files; a name that ends in / is a folder, a
// content that starts with -> a symlink.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, path)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ext4 makes an ext4 of that size at an offset of a disk.
func ext4(t testing.TB, disk string, off int64, size string, files map[string]string, args ...string) {
	t.Helper()
	args = append([]string{"-q", "-F", "-t", "ext4", "-d", tree(t, files), "-E", "offset=" + itoa(off)}, args...)
	run(t, "mke2fs", append(args, disk, size)...)
}

func itoa(n int64) string { b, _ := json.Marshal(n); return string(b) }

// put copies a small file into a disk.
func put(t testing.TB, disk string, off int64, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

const (
	rootUUID = "11111111-2222-4333-8444-555555555555"
	homeUUID = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
	varPart  = "0f0f0f0f-1111-4222-8333-444444444444"
)

const guestFstab = `# /etc/fstab
UUID=` + rootUUID + ` /        ext4  errors=remount-ro 0 1
UUID=1234-ABCD /boot/efi vfat umask=0077 0 1
UUID=` + homeUUID + ` /home/user\040one ext4 defaults 0 2
PARTUUID=` + varPart + ` /var ext4 noauto 0 2
LABEL=swap none swap sw 0 0
/dev/mapper/vg0-data /data xfs defaults 0 0
tmpfs /tmp tmpfs defaults 0 0
`

var rootFiles = map[string]string{
	"etc/os-release":  "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n",
	"etc/fstab":       guestFstab,
	"etc/hosts":       "127.0.0.1 localhost\n",
	"bin":             "->usr/bin",
	"usr/bin/true":    "true\n",
	"home/user one/":  "",
	"boot/efi/":       "",
	"var/under":       "covered\n",
	"data/":           "",
	".guest/own file": "the guest's own\n",
}

// guest is a disk with an EFI partition (FAT), a root, a /home/user one, a
// /var, swap and a physical volume of LVM.
func guest(t testing.TB) string {
	t.Helper()
	disk := blank(t, 64*mib)
	partition(t, disk, `label: gpt
start=2048, size=4MiB, type=U
size=20MiB, type=L, name="root"
size=8MiB, type=L
size=8MiB, type=L, uuid=`+varPart+`
size=2MiB, type=S
size=2MiB, type=V
`)
	fat := blank(t, 4*mib)
	run(t, "mkfs.fat", "-i", "1234abcd", fat)
	put(t, disk, mib, fat)
	ext4(t, disk, 5*mib, "20M", rootFiles, "-U", rootUUID, "-L", "root")
	ext4(t, disk, 25*mib, "8M", map[string]string{"hello": "hello\n"}, "-U", homeUUID)
	ext4(t, disk, 33*mib, "8M", map[string]string{"log/syslog": "a line\n"})
	swap := blank(t, 2*mib)
	run(t, "mkswap", "-q", "-L", "swap", swap)
	put(t, disk, 41*mib, swap)
	pv := filepath.Join(t.TempDir(), "pv")
	label := append(make([]byte, 512), "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001"...)
	if err := os.WriteFile(pv, label, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, disk, 43*mib, pv)
	return disk
}

// open opens a spec and closes it at the end of the test.
func open(t testing.TB, spec daemon.Spec) *daemon.Guest {
	t.Helper()
	g, err := daemon.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return g
}

func imagesOf(paths ...string) []daemon.ImageSpec {
	var list []daemon.ImageSpec
	for _, p := range paths {
		list = append(list, daemon.ImageSpec{Path: p})
	}
	return list
}

func read(t testing.TB, g *daemon.Guest, path string) string {
	t.Helper()
	ctx := context.Background()
	n, err := g.Namespace().Walk(ctx, path, true)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return ""
	}
	f, err := g.Namespace().Inode(ctx, n)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return ""
	}
	b := make([]byte, f.Attr().Size)
	if len(b) == 0 {
		return ""
	}
	if k, err := vfs.ReadAt(ctx, f, b, 0); k != len(b) {
		t.Errorf("%s: read %d of %d: %v", path, k, len(b), err)
	}
	return string(b)
}

func names(t testing.TB, g *daemon.Guest, path string) string {
	t.Helper()
	ctx := context.Background()
	n, err := g.Namespace().Walk(ctx, path, true)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var list []string
	for e, err := range g.Namespace().Entries(ctx, n, vfs.Cursor{}) {
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, e.Name)
	}
	return strings.Join(list, " ")
}

func hasWarning(t testing.TB, g *daemon.Guest, words ...string) {
	t.Helper()
	for _, w := range g.Warnings() {
		all := true
		for _, word := range words {
			all = all && strings.Contains(w.Error(), word)
		}
		if all {
			if strings.Contains(w.Error(), "\n") {
				t.Errorf("a warning of several lines: %q", w)
			}
			return
		}
	}
	t.Errorf("no warning with %q in %q", words, g.Warnings())
}

// mounted says what stands where.
func mounted(g *daemon.Guest) string {
	var list []string
	for _, at := range g.Namespace().Attachments() {
		list = append(list, at.Tree.Name()+":"+at.Path)
	}
	return strings.Join(list, " ")
}

// TestInspect shows a guest as it sees itself, by -i and by the short form.
func TestInspect(t *testing.T) {
	disk := guest(t)
	for _, view := range []daemon.View{daemon.ViewInspect, daemon.ViewAuto} {
		g := open(t, daemon.Spec{Images: imagesOf(disk), View: view})
		if got := read(t, g, "/home/user one/hello"); got != "hello\n" {
			t.Errorf("%v: the second filesystem has %q", view, got)
		}
		if got := read(t, g, "/var/log/syslog"); got != "a line\n" {
			t.Errorf("%v: the third filesystem has %q", view, got)
		}
		if got := read(t, g, "/bin/true"); got != "true\n" {
			t.Errorf("%v: the root has %q", view, got)
		}
		if want := "Debian GNU/Linux 12 (bookworm)"; !strings.Contains(g.Summary(), want) || !strings.Contains(g.Summary(), "sda2 on /,") ||
			!strings.HasPrefix(g.Summary(), "disk.img: ") || strings.Contains(g.Summary(), "\n") {
			t.Errorf("%v: summary %q", view, g.Summary())
		}
		hasWarning(t, g, "/data", "/dev/mapper/vg0-data", "LVM", "sda6 is LVM2_member", "not on the disks")
		if fat := g.Filesystems()[0]; fat.Err != nil {
			hasWarning(t, g, "/boot/efi", "UUID=1234-ABCD", "vfat", "sda1", "is not read yet")
		} else if !strings.Contains(mounted(g), "sda1:/boot/efi") {
			t.Errorf("vfat is read, but mounted is %s", mounted(g))
		}
		if got := strings.Replace(mounted(g), " sda1:/boot/efi", "", 1); got != "sda2:/ sda4:/var sda3:/home/user one" {
			t.Errorf("%v: mounted %s", view, got)
		}
		if len(g.Disks()) != 1 || len(g.Volumes()) != 6 || len(g.Filesystems()) != 6 {
			t.Errorf("%v: %d disks, %d volumes, %d filesystems", view, len(g.Disks()), len(g.Volumes()), len(g.Filesystems()))
		}
		fs := g.Filesystems()
		if f := fs[1]; f.Name != "sda2" || f.Info.UUID != rootUUID || f.Info.Label != "root" || f.Volume.Label != "root" ||
			f.Info.Type != "ext4" || f.Err != nil || strings.Join(f.Mounted, " ") != "/" {
			t.Errorf("%v: %+v", view, f)
		}
		if f := fs[5]; f.Info.Type != "LVM2_member" || !errors.Is(f.Err, syscall.EOPNOTSUPP) || f.Err.Error() != "LVM2_member is not read yet" {
			t.Errorf("%v: %+v", view, f)
		}
		for _, w := range g.Warnings() {
			if strings.Contains(w.Error(), "swap") || strings.Contains(w.Error(), "/tmp") {
				t.Errorf("%v: a warning about what has no files: %v", view, w)
			}
		}
	}
}

// TestHidden reads the folder .guest, which is found and not listed.
func TestHidden(t *testing.T) {
	disk := guest(t)
	g := open(t, daemon.Spec{Images: imagesOf(disk), View: daemon.ViewInspect})
	if got := names(t, g, "/"); strings.Contains(got, ".guest") || !strings.Contains(got, "etc") {
		t.Errorf("the root has %s", got)
	}
	if got := names(t, g, "/.guest"); got != "disks filesystems.json inspect.json packages.json volumes" {
		t.Errorf(".guest has %s", got)
	}
	if got := names(t, g, "/.guest/volumes"); got != "sda1 sda2 sda3 sda4 sda5 sda6" {
		t.Errorf(".guest/volumes has %s", got)
	}
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, g, "/.guest/disks/sda"); got != string(raw) {
		t.Errorf("disks/sda is not the disk")
	}
	if got := read(t, g, "/.guest/volumes/sda3"); got != string(raw[25*mib:33*mib]) {
		t.Errorf("volumes/sda3 is not the partition")
	}
	var fs api.Filesystems
	text := read(t, g, "/.guest/filesystems.json")
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&fs); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if fs.Schema != "guestctl.filesystems/1" || len(fs.Filesystems) != 6 || len(fs.Disks) != 1 || fs.Disks[0].Size != 64*mib || fs.Disks[0].Format != "raw" {
		t.Errorf("%s", text)
	}
	r := fs.Filesystems[3]
	if r.Name != "sda4" || r.Offset != 33*mib || r.Size != 8*mib || !r.Readable || strings.Join(r.Mounted, " ") != "/var" ||
		r.Partition == nil || r.Partition.UUID != varPart || r.Partition.Table != "gpt" || r.Partition.Type != "0FC63DAF-8483-4772-8E79-3D69D8477DE4" {
		t.Errorf("%+v", r)
	}
	if s := fs.Filesystems[5]; s.Readable || s.Error == "" || s.Type != "LVM2_member" {
		t.Errorf("%+v", s)
	}
}

// TestPartitions shows one folder for each filesystem.
func TestPartitions(t *testing.T) {
	g := open(t, daemon.Spec{Images: imagesOf(guest(t)), View: daemon.ViewPartitions})
	if got := strings.TrimPrefix(names(t, g, "/"), "sda1 "); got != "sda2 sda3 sda4" {
		t.Errorf("the root has %s", got)
	}
	if got := read(t, g, "/sda3/hello"); got != "hello\n" {
		t.Errorf("sda3 has %q", got)
	}
	if got := read(t, g, "/sda2/.guest/own file"); got != "the guest's own\n" {
		t.Errorf("the guest's own .guest has %q", got)
	}
	hasWarning(t, g, "sda6 (LVM2_member) is not shown", "not read yet")
	if !strings.Contains(g.Summary(), "sda4 on /sda4") {
		t.Errorf("summary %q", g.Summary())
	}
}

// TestNoTable shows a disk without a table under its own name.
func TestNoTable(t *testing.T) {
	disk := blank(t, 16*mib)
	ext4(t, disk, 0, "16M", map[string]string{"file": "content"})
	second := blank(t, 16*mib)
	ext4(t, second, 0, "16M", map[string]string{"file": "other"})
	g := open(t, daemon.Spec{Images: imagesOf(disk, second)})
	if got := names(t, g, "/"); got != "sda sdb" {
		t.Errorf("the root has %s", got)
	}
	if got := read(t, g, "/sdb/file"); got != "other" {
		t.Errorf("sdb has %q", got)
	}
	if !strings.Contains(g.Summary(), "no operating system found") {
		t.Errorf("summary %q", g.Summary())
	}
}

// TestExplicit mounts what -m says.
func TestExplicit(t *testing.T) {
	disk := guest(t)
	spec := func(mounts ...string) daemon.Spec {
		s := daemon.Spec{Images: imagesOf(disk), View: daemon.ViewExplicit}
		for _, m := range mounts {
			parsed, err := daemon.ParseMount(m)
			if err != nil {
				t.Fatal(err)
			}
			s.Mounts = append(s.Mounts, parsed)
		}
		return s
	}
	g := open(t, spec("/dev/sda4:/data:ro,noload:ext4", "/dev/vda2"))
	if got := mounted(g); got != "sda2:/ sda4:/data" {
		t.Errorf("mounted %s", got)
	}
	if got := read(t, g, "/data/log/syslog"); got != "a line\n" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		mounts []string
		words  []string
	}{
		{[]string{"sda2:/boot"}, []string{"nothing is mounted on /"}},
		{nil, []string{"nothing is mounted on /"}},
		{[]string{"sda9"}, []string{"sda9", "no volume of that name", "sda2 (ext4)", "sda6 (LVM2_member)"}},
		{[]string{"sda"}, []string{"sda", "the disk has a partition table", "sda2 (ext4)"}},
		{[]string{"sda6"}, []string{"sda6 (LVM2_member)", "not read yet"}},
		{[]string{"sda2", "sda3:/nowhere"}, []string{"sda3", "/nowhere", "no such file"}},
		{[]string{"sda2", "sda3:/etc/hosts"}, []string{"/etc/hosts", "not a directory"}},
		{[]string{"sda2", "sda3"}, []string{"two -m", "/"}},
		{[]string{"sda2:/::xfs"}, []string{"sda2", "it is ext4, not xfs"}},
	} {
		g, err := daemon.Open(context.Background(), spec(c.mounts...))
		if err == nil {
			g.Close(context.Background())
			t.Errorf("%q is mounted", c.mounts)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %q does not say %q", c.mounts, err, w)
			}
		}
	}
}

// TestSystems fails -i where there is no system or more than one, and names them.
func TestSystems(t *testing.T) {
	data := blank(t, 16*mib)
	ext4(t, data, 0, "16M", map[string]string{"file": "content"})
	_, err := daemon.Open(context.Background(), daemon.Spec{Images: imagesOf(data), View: daemon.ViewInspect})
	if !errors.Is(err, daemon.ErrNoSystem) || !strings.Contains(err.Error(), "--partitions") {
		t.Errorf("a disk of data: %v", err)
	}
	other := blank(t, 16*mib)
	ext4(t, other, 0, "16M", map[string]string{"etc/hosts": "", "bin/sh": "", "etc/os-release": "PRETTY_NAME=\"Evil \x1b[31m\"\n"})
	spec := daemon.Spec{Images: imagesOf(guest(t), other), View: daemon.ViewInspect}
	_, err = daemon.Open(context.Background(), spec)
	if !errors.Is(err, daemon.ErrSeveralSystems) || !strings.Contains(err.Error(), "Debian GNU/Linux 12 (bookworm) on sda2") ||
		!strings.Contains(err.Error(), "-m /dev/sda2 or -m /dev/sdb") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("two systems: %v", err)
	}
	spec.View = daemon.ViewAuto
	g := open(t, spec)
	if got := strings.TrimPrefix(names(t, g, "/"), "sda1 "); got != "sda2 sda3 sda4 sdb" {
		t.Errorf("the short form of two systems has %s", got)
	}
}

// TestDamaged shows the rest where one filesystem is damaged.
func TestDamaged(t *testing.T) {
	disk := guest(t)
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A feature that no driver knows, in the superblock of sda3 (s_feature_incompat).
	if _, err := f.WriteAt([]byte{0, 0, 0, 0x70}, 25*mib+1024+0x60); err != nil {
		t.Fatal(err)
	}
	f.Close()
	g := open(t, daemon.Spec{Images: imagesOf(disk), View: daemon.ViewInspect})
	if got := read(t, g, "/var/log/syslog"); got != "a line\n" {
		t.Errorf("%q", got)
	}
	if f := g.Filesystems()[2]; f.Err == nil {
		t.Errorf("%+v is fine", f)
	}
	p := open(t, daemon.Spec{Images: imagesOf(disk), View: daemon.ViewPartitions})
	hasWarning(t, p, "sda3", "is not shown")
}

// TestLeaves leaves no goroutine and no descriptor, neither closed nor failed.
func TestLeaves(t *testing.T) {
	disk := guest(t)
	overlay := filepath.Join(filepath.Dir(disk), "overlay.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", overlay)
	rounds := func() {
		for range 10 {
			g, err := daemon.Open(context.Background(), daemon.Spec{Images: imagesOf(disk, overlay)})
			if err != nil {
				t.Fatal(err)
			}
			names(t, g, "/")
			if err := errors.Join(g.Close(context.Background()), g.Close(context.Background())); err != nil {
				t.Fatal(err)
			}
			if g, err := daemon.Open(context.Background(), daemon.Spec{Images: imagesOf(disk, overlay), View: daemon.ViewInspect}); err == nil {
				g.Close(context.Background())
				t.Fatal("two systems are one")
			}
		}
	}
	rounds() // what is made once
	fds, routines := openFiles(t), runtime.NumGoroutine()
	rounds()
	if now := openFiles(t); now > fds {
		t.Errorf("%d descriptors became %d", fds, now)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > routines; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines became %d:\n%s", routines, runtime.NumGoroutine(), b[:runtime.Stack(b, true)])
		}
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestCancelled ends with ctx's error.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if g, err := daemon.Open(ctx, daemon.Spec{Images: imagesOf(guest(t))}); !errors.Is(err, context.Canceled) {
		if err == nil {
			g.Close(context.Background())
		}
		t.Errorf("a cancelled Open answers %v", err)
	}
}

// TestUntouched leaves the image's bytes and times as they were.
func TestUntouched(t *testing.T) {
	disk := guest(t)
	before, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	g, err := daemon.Open(context.Background(), daemon.Spec{Images: imagesOf(disk)})
	if err != nil {
		t.Fatal(err)
	}
	names(t, g, "/")
	if err := g.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) || !now.ModTime().Equal(st.ModTime()) {
		t.Error("the image was changed")
	}
}
