package daemon_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/tests/images"
)

// group makes a volume group of a disk of its own, as Debian's installer has it: root, swap_1 and home, each with a
// filesystem. It answers the disk, which holds the physical volume and nothing else.
func group(t *testing.T, fstab string, more map[string]string) string {
	t.Helper()
	h := images.NewLVM(t, 64*mib)
	h.Run("pvcreate -q $1")
	h.Run("vgcreate -q debian-vg $1")
	for _, lv := range []string{"root", "swap_1", "home"} {
		h.Run("lvcreate -qq -an -Zn -Wn -L 16m -n " + lv + " debian-vg")
	}
	start, err := strconv.ParseInt(strings.TrimSpace(h.Run("pvs --noheadings --units b --nosuffix -o pe_start")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	offsets := map[string]int64{}
	for line := range strings.Lines(h.Run("lvs --noheadings -o lv_name,seg_pe_ranges")) {
		f := strings.Fields(line)
		_, ranges, _ := strings.Cut(f[1], ":")
		first, _, _ := strings.Cut(ranges, "-")
		n, _ := strconv.ParseInt(first, 10, 64)
		offsets[f[0]] = start + n*4*mib
	}
	h.Detach()
	root := map[string]string{"etc/fstab": fstab, "etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n", "bin": "->usr/bin",
		"usr/bin/": "", "boot/": "", "home/": ""}
	for name, content := range more {
		root[name] = content
	}
	ext4(t, h.Paths[0], offsets["root"], "16M", root, "-U", rootUUID)
	ext4(t, h.Paths[0], offsets["home"], "16M", map[string]string{"user/notes": "from home\n"}, "-U", homeUUID)
	return h.Paths[0]
}

// encrypt makes a LUKS2 container of a disk.
func encrypt(t *testing.T, path string) string {
	t.Helper()
	images.NeedTool(t, "cryptsetup")
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, st.Size()+8*mib); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cryptsetup", "--batch-mode", "--key-file=-", "reencrypt", "--encrypt", "--type=luks2", "--reduce-device-size=8M",
		"--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", path)
	cmd.Stdin = strings.NewReader("secret")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup: %v: %s", err, out)
	}
	return strings.TrimSpace(run(t, "cryptsetup", "luksUUID", path))
}

// lvmDisk is a GPT disk with /boot on sda1 and what holds the group on sda2.
func lvmDisk(t *testing.T, part string) string {
	t.Helper()
	st, err := os.Stat(part)
	if err != nil {
		t.Fatal(err)
	}
	disk := blank(t, st.Size()+20*mib)
	partition(t, disk, fmt.Sprintf("label: gpt\nstart=1MiB, size=16MiB, type=L\nstart=17MiB, size=%d, type=E6D6D379-F507-44C2-A23C-238F2A3DF928\n", st.Size()/512))
	ext4(t, disk, mib, "16M", map[string]string{"vmlinuz": "kernel\n"}, "-U", "22222222-2222-4333-8444-555555555555")
	put(t, disk, 17*mib, part)
	return disk
}

const debianFstab = `/dev/mapper/debian--vg-root /  ext4 errors=remount-ro 0 1
UUID=22222222-2222-4333-8444-555555555555 /boot ext4 defaults 0 2
/dev/mapper/debian--vg-home /home ext4 defaults 0 2
/dev/mapper/debian--vg-swap_1 none swap sw 0 0
`

// TestLVMGuest shows a guest on logical volumes as it sees itself.
func TestLVMGuest(t *testing.T) {
	disk := lvmDisk(t, group(t, debianFstab, nil))
	before, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	g := open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewInspect})
	for path, want := range map[string]string{"/boot/vmlinuz": "kernel\n", "/home/user/notes": "from home\n"} {
		if got := read(t, g, path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	if len(g.Warnings()) > 0 {
		t.Errorf("warnings: %v", g.Warnings())
	}
	if want := "debian--vg-root on /, debian--vg-home on /home"; !strings.Contains(g.Summary(), want) {
		t.Errorf("%q does not say %q", g.Summary(), want)
	}
	var names []string
	for _, f := range g.Filesystems() {
		names = append(names, f.Name+":"+f.Info.Type)
	}
	if got := strings.Join(names, " "); got != "sda1:ext4 sda2:LVM2_member debian--vg-root:ext4 debian--vg-swap_1: debian--vg-home:ext4" {
		t.Errorf("filesystems %s", got)
	}
	for _, device := range []string{"/dev/mapper/debian--vg-home", "/dev/debian-vg/home", "debian--vg-home"} {
		g := open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewExplicit, Mounts: []daemon.MountSpec{{Device: device, Path: "/"}}})
		if got := read(t, g, "/user/notes"); got != "from home\n" {
			t.Errorf("%s: %q", device, got)
		}
	}
	if after, err := os.ReadFile(disk); err != nil || !bytes.Equal(before, after) {
		t.Error("the image was written", err)
	}
}

// TestEncryptedGuest shows a guest whose logical volumes are in a LUKS container, and says what is missing without a key.
func TestEncryptedGuest(t *testing.T) {
	part := group(t, debianFstab, map[string]string{"etc/crypttab": "sda2_crypt UUID=00000000-1111-2222-3333-444444444444 none luks,discard\n"})
	uuid := encrypt(t, part)
	disk := lvmDisk(t, part)
	for _, selector := range []string{"sda2:key:secret", uuid + ":key:secret", "all:key:secret"} {
		keys := &crypt.Keys{}
		if err := keys.Add(selector); err != nil {
			t.Fatal(err)
		}
		g := open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewInspect, Keys: keys})
		if got := read(t, g, "/home/user/notes"); got != "from home\n" {
			t.Errorf("%q", got)
		}
		if len(g.Warnings()) > 0 {
			t.Errorf("warnings: %v", g.Warnings())
		}
		if strings.Contains(read(t, g, "/.guest/filesystems.json"), "secret") {
			t.Error("the key shows in filesystems.json")
		}
	}
	_, err := daemon.Open(t.Context(), daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewInspect})
	if !errors.Is(err, daemon.ErrNoSystem) || !strings.Contains(err.Error(), "--key sda2:key:") || !strings.Contains(err.Error(), uuid) {
		t.Errorf("without a key: %v", err)
	}
}

// TestCrypttab finds a container by the name that the guest's crypttab gives it.
func TestCrypttab(t *testing.T) {
	data := blank(t, 16*mib)
	ext4(t, data, 0, "16M", map[string]string{"secret.txt": "from the container\n"})
	uuid := encrypt(t, data)
	disk := blank(t, 80*mib)
	partition(t, disk, "label: dos\nstart=2048, size=32768\nsize=65536\n")
	ext4(t, disk, mib, "16M", map[string]string{"etc/fstab": "/dev/sda1 / ext4\n/dev/mapper/vault /srv ext4\n", "bin/": "", "srv/": "", "etc/crypttab": "# name device\nvault UUID=" + uuid + " none luks\n"})
	put(t, disk, 17*mib, data)
	keys := &crypt.Keys{}
	keys.AddPassphrase([]byte("secret"))
	g := open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewInspect, Keys: keys})
	if got := read(t, g, "/srv/secret.txt"); got != "from the container\n" {
		t.Errorf("%q", got)
	}
	locked := open(t, daemon.Spec{Images: []daemon.ImageSpec{{Path: disk}}, View: daemon.ViewInspect})
	hasWarning(t, locked, "/srv", "cryptsda2", "--key sda2:key:")
}
