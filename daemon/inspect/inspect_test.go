package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
)

// static is a filesystem with those files; a name that ends in / is a folder.
func static(name string, files map[string]string) *vfs.Tree {
	s := vfs.NewStatic(name)
	for path, content := range files {
		if dir, ok := strings.CutSuffix(path, "/"); ok {
			s.Dir(dir)
			continue
		}
		s.Made(path, func(context.Context) ([]byte, error) { return []byte(content), nil })
	}
	return vfs.NewTree(name, s)
}

// volumes are those of a guest with two disks.
func volumes() []Source {
	data := func(name string) *vfs.Tree { return static(name, map[string]string{"data": name}) }
	return []Source{
		{Name: "sda1", Disk: "sda", Type: "vfat", UUID: "1234-ABCD", PartUUID: "deadbeef-01", Err: errors.New("vfat is not read yet")},
		{Name: "sda2", Disk: "sda", Type: "ext4", UUID: "11111111-2222-4333-8444-555555555555", Label: "root", PartUUID: "deadbeef-02"},
		{Name: "sda5", Disk: "sda", Type: "ext4", UUID: "aaaaaaaa-0000-4000-8000-000000000005", Label: "my data", PartUUID: "deadbeef-05", Tree: data("sda5")},
		{Name: "sdb1", Disk: "sdb", Type: "ext4", UUID: "aaaaaaaa-0000-4000-8000-000000000011", Label: "b#1", PartUUID: "0a0a0a0a-1111-4222-8333-444444444444",
			PartLabel: "second disk", Tree: data("sdb1")},
		{Name: "sdb2", Disk: "sdb", Type: "LVM2_member", Err: errors.New("LVM2_member is not read yet")},
		{Name: "sdc", Disk: "sdc", Type: "ext4", UUID: "aaaaaaaa-0000-4000-8000-00000000000c", Label: "/srv", Tree: data("sdc")},
	}
}

// mountsOf is what Mounts makes of a fstab for the root sda2: "sda5:/home", and the warnings.
func mountsOf(t testing.TB, fstab string) ([]string, []error) {
	t.Helper()
	sources := volumes()
	sources[1].Tree = static("sda2", map[string]string{"etc/fstab": fstab})
	mounts, warnings := Mounts(context.Background(), System{Kind: "linux", Root: sources[1]}, sources)
	var list []string
	for _, m := range mounts {
		if m.Source.Tree == nil {
			t.Errorf("%s is mounted and not open", m.Source.Name)
		}
		list = append(list, m.Source.Name+":"+m.Path)
	}
	return list, warnings
}

// TestFstab takes one line after another.
func TestFstab(t *testing.T) {
	for _, c := range []struct {
		line    string
		mount   string
		warning []string // words of the one warning; nil where there is none
	}{
		// The root itself.
		{"UUID=11111111-2222-4333-8444-555555555555 / ext4 defaults 0 1", "", nil},
		{"/dev/root / ext4 defaults 0 1", "", nil},
		{"/dev/vda2 / ext4 defaults 0 1", "", nil},
		{"/dev/vda5 / ext4 defaults 0 1", "", []string{"another root", "is sda5", "as found, on sda2"}},
		{"UUID=99999999-2222-4333-8444-555555555555 / ext4 defaults 0 1", "", []string{"another root", "on none of the disks", "as found, on sda2"}},
		{"/dev/mapper/vg-root / ext4 defaults 0 1", "", []string{"another root", "LVM", "sdb2 is LVM2_member"}},
		// Tags.
		{"UUID=aaaaaaaa-0000-4000-8000-000000000005 /home ext4 defaults 0 2", "sda5:/home", nil},
		{"UUID=AAAAAAAA-0000-4000-8000-000000000005\t/home\text4", "sda5:/home", nil},
		{`UUID="aaaaaaaa-0000-4000-8000-000000000005" /home ext4`, "sda5:/home", nil},
		{`LABEL=my\040data /home ext4`, "sda5:/home", nil},
		{`LABEL="my\040data" /home auto`, "sda5:/home", nil},
		{"LABEL=b#1 /b ext4", "sdb1:/b", nil},
		{"LABEL=/srv /srv ext3", "sdc:/srv", nil},
		{"LABEL=ROOT /r ext3", "", []string{"LABEL=ROOT", "on none of the disks"}},
		{"PARTUUID=DEADBEEF-05 /home ext4", "sda5:/home", nil},
		{`PARTLABEL=second\040disk /b ext4`, "sdb1:/b", nil},
		{"UUID= /home ext4", "", []string{"names nothing"}},
		{"ID=wwn-5 /home ext4", "", []string{"tag that is not known"}},
		// Links.
		{"/dev/disk/by-uuid/aaaaaaaa-0000-4000-8000-000000000011 /b ext4", "sdb1:/b", nil},
		{`/dev/disk/by-label/my\x20data /home ext4`, "sda5:/home", nil},
		{`/dev/disk/by-label/\x2fsrv /srv ext4`, "sdc:/srv", nil},
		{`/dev/disk/by-partlabel/second\x20disk /b ext4`, "sdb1:/b", nil},
		{"/dev/disk/by-partuuid/deadbeef-05 /home ext4", "sda5:/home", nil},
		{"/dev/disk/by-id/ata-QEMU_HARDDISK_QM1-part5 /home ext4", "", []string{"name of hardware"}},
		{"/dev/disk/by-id/dm-uuid-LVM-abc /home ext4", "", []string{"LVM"}},
		{"/dev/disk/by-whim/abc /home ext4", "", []string{"a name that is not known"}},
		// Names of the kernel.
		{"/dev/sda5 /home ext4", "sda5:/home", nil},
		{"/dev/vdb1 /b ext4", "sdb1:/b", nil},
		{"/dev/xvdb1 /b ext4", "sdb1:/b", nil},
		{"/dev/hda5 /home ext4", "sda5:/home", nil},
		{"/dev/vdc /srv ext4", "sdc:/srv", nil},
		{"/dev/nvme0n1p5 /home ext4", "sda5:/home", nil},
		{"/dev/nvme1n1p1 /b ext4", "sdb1:/b", nil},
		{"/dev/nvme2n1 /srv ext4", "sdc:/srv", nil},
		{"/dev/mmcblk0p5 /home ext4", "sda5:/home", nil},
		{"/dev/cciss/c0d1p1 /b ext4", "sdb1:/b", nil},
		{"/dev/sda9 /home ext4", "", []string{"would be sda9, which is not there"}},
		{"/dev/sdd1 /home ext4", "", []string{"disk number 4", "3 are here"}},
		{"/dev/sdzzzz1 /home ext4", "", []string{"name is not known"}},
		{"/dev/vg0/home /home ext4", "", []string{"perhaps a volume of LVM", "sdb2 is LVM2_member"}},
		{"/dev/mapper/vg0-home /home ext4", "", []string{"LVM", "not on the disks", "sdb2 is LVM2_member"}},
		{"/dev/md0 /home ext4", "", []string{"RAID"}},
		{"/dev/../etc /home ext4", "", []string{"/home"}},
		// What is not open is named.
		{"UUID=1234-ABCD /boot/efi vfat umask=0077 0 1", "", []string{`"/boot/efi" (UUID=1234-ABCD, vfat)`, "sda1", "vfat is not read yet"}},
		{"/dev/sdb2 /home ext4", "", []string{"sdb2", "LVM2_member is not read yet"}},
		// Options.
		{"/dev/sda5 /home ext4 noauto,nofail,x-systemd.device-timeout=10 0 0", "sda5:/home", nil},
		{"/srv/a /home none bind 0 0", "", []string{"/home", "bind"}},
		{"/srv/a /home none rw,rbind 0 0", "", []string{"/home", "bind"}},
		{"/srv/disk.img /home ext4 loop 0 0", "", []string{"/home", "inside a file"}},
		// Files elsewhere.
		{"server:/export /home nfs4 defaults 0 0", "", []string{"/home", "network"}},
		{"//server/share /home cifs defaults 0 0", "", []string{"/home", "network"}},
		{"hostshare /home 9p trans=virtio 0 0", "", []string{"/home", "VM's host"}},
		{"whatever /home ext4", "", []string{"is no device"}},
		// No files.
		{"/dev/sda3 none swap sw 0 0", "", nil},
		{"/dev/sda3 swap swap defaults 0 0", "", nil},
		{"/swapfile none swap sw 0 0", "", nil},
		{"proc /proc proc defaults 0 0", "", nil},
		{"tmpfs /tmp tmpfs size=1g 0 0", "", nil},
		{"devpts /dev/pts devpts gid=5 0 0", "", nil},
		{"/dev/sda5 /dev/disk ext4", "", nil},
		{"/dev/sda5 /sys ext4", "", nil},
		{"/dev/sda5 /run/x ext4", "", nil},
		{"/dev/sda5 /media/x ext4", "", nil},
		{"/dev/sda5 /runner ext4", "sda5:/runner", nil},
		{"/dev/sr0 /mnt udf,iso9660 user,noauto 0 0", "", nil},
		{"/dev/cdrom /mnt auto 0 0", "", nil},
		{"/dev/fd0 /mnt auto 0 0", "", nil},
		{"/dev/sda5 home ext4", "", nil},
		// The line itself.
		{"# /dev/sda5 /home ext4", "", nil},
		{"   # /dev/sda5 /home ext4", "", nil},
		{"   /dev/sda5    /home", "sda5:/home", nil},
		{"/dev/sda5", "", nil},
		{"", "", nil},
		{`/dev/sda5 ///srv//a\040b/../c/ ext4`, "sda5:/srv/c", nil},
		{`/dev/sda5 /../../etc ext4`, "sda5:/etc", nil},
		{`/dev/sda5 /a\000b ext4`, "", nil},
		{`/dev/sda5 /tr\1x\04 ext4`, `sda5:/tr\1x\04`, nil},
		{"/dev/sda9 /ho\x1b[31mme ext4", "", []string{`\x1b`}},
	} {
		mounts, warnings := mountsOf(t, c.line+"\n")
		if got := strings.Join(mounts, " "); got != c.mount {
			t.Errorf("%q mounts %q, not %q; warnings %q", c.line, got, c.mount, warnings)
		}
		if (c.warning == nil) != (len(warnings) == 0) || len(warnings) > 1 {
			t.Errorf("%q: warnings %q, wanted %q", c.line, warnings, c.warning)
			continue
		}
		for _, w := range c.warning {
			if !strings.Contains(warnings[0].Error(), w) {
				t.Errorf("%q: %q does not say %q", c.line, warnings[0], w)
			}
		}
		for _, w := range warnings {
			if strings.ContainsAny(w.Error(), "\n\x1b") {
				t.Errorf("%q: a warning with a control character: %q", c.line, w)
			}
		}
	}
}

// TestFstabOrder mounts what others stand in first, and of two entries for one place the first.
func TestFstabOrder(t *testing.T) {
	mounts, warnings := mountsOf(t, "/dev/sda5 /a/b/c ext4\n/dev/sdb1 /a ext4\n/dev/sdc /a/b/c/ ext4\n/dev/sdc /a/b ext4\n")
	if got := strings.Join(mounts, " "); got != "sdb1:/a sdc:/a/b sda5:/a/b/c" || len(warnings) > 0 {
		t.Errorf("%s; warnings %q", got, warnings)
	}
}

// TestFstabOneDisk takes a name of hardware for the only disk.
func TestFstabOneDisk(t *testing.T) {
	r := newResolver(Source{}, []Source{{Name: "sda1", Disk: "sda"}, {Name: "sda2", Disk: "sda"}})
	if s, why := r.find("/dev/disk/by-id/ata-QEMU_HARDDISK_QM1-part2"); s.Name != "sda2" {
		t.Errorf("%q, %s", s.Name, why)
	}
	if s, why := r.find("/dev/disk/by-path/pci-0000:00:05.0-part1"); s.Name != "sda1" {
		t.Errorf("%q, %s", s.Name, why)
	}
}

// TestFstabHostile bounds what a fstab may be.
func TestFstabHostile(t *testing.T) {
	if _, warnings := mountsOf(t, strings.Repeat("#", maxFile+1)); len(warnings) != 1 || !errors.As(warnings[0], new(*look.TooLargeError)) {
		t.Errorf("too large: %q", warnings)
	}
	var b strings.Builder
	for i := range maxEntries + 1 {
		fmt.Fprintf(&b, "/dev/sda5 /m%d ext4\n", i)
	}
	if mounts, warnings := mountsOf(t, b.String()); len(mounts) != maxEntries || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "more than") {
		t.Errorf("too many: %d, %q", len(mounts), warnings)
	}
	// A folder in its place, none at all, and one that cannot be read.
	sources := volumes()
	sources[1].Tree = static("sda2", map[string]string{"etc/fstab/": ""})
	if _, warnings := Mounts(context.Background(), System{Root: sources[1]}, sources); len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "no regular file") {
		t.Errorf("a folder: %q", warnings)
	}
	sources[1].Tree = static("sda2", map[string]string{"etc/hosts": ""})
	if mounts, warnings := Mounts(context.Background(), System{Root: sources[1]}, sources); len(mounts)+len(warnings) > 0 {
		t.Errorf("none: %v %q", mounts, warnings)
	}
	s := vfs.NewStatic("sda2")
	s.Made("etc/fstab", func(context.Context) ([]byte, error) { return nil, syscall.EUCLEAN })
	sources[1].Tree = vfs.NewTree("sda2", s)
	if _, warnings := Mounts(context.Background(), System{Root: sources[1]}, sources); len(warnings) != 1 || !errors.Is(warnings[0], syscall.EUCLEAN) {
		t.Errorf("damaged: %q", warnings)
	}
}

// TestSystems knows a root of Linux.
func TestSystems(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		root  bool
	}{
		"fstab":          {map[string]string{"etc/fstab": "", "bin/": ""}, true},
		"hosts":          {map[string]string{"etc/hosts": "", "bin/": ""}, true},
		"no etc":         {map[string]string{"bin/": "", "fstab": ""}, false},
		"no bin":         {map[string]string{"etc/fstab": ""}, false},
		"no file":        {map[string]string{"etc/": "", "bin/": ""}, false},
		"bin is a file":  {map[string]string{"etc/fstab": "", "bin": ""}, false},
		"boot":           {map[string]string{"etc/fstab": "", "bin/": "", "grub2/grub.cfg": ""}, false},
		"fstab a folder": {map[string]string{"etc/fstab/": "", "bin/": ""}, false},
		"nothing":        {nil, false},
	} {
		systems, err := Systems(context.Background(), []Source{{Name: "sda1", Tree: static("sda1", c.files)}, {Name: "sda2"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(systems) == 1; got != c.root {
			t.Errorf("%s: root is %v", name, got)
		}
		if c.root && (systems[0].Kind != "linux" || systems[0].Name != "linux" || systems[0].Root.Name != "sda1") {
			t.Errorf("%s: %+v", name, systems[0])
		}
	}
	// Damage in one does not hide the other.
	s := vfs.NewStatic("sda1")
	s.Dir("bin")
	s.Made("etc/fstab", func(context.Context) ([]byte, error) { return nil, syscall.EUCLEAN })
	systems, err := Systems(context.Background(), []Source{
		{Name: "sda1", Tree: vfs.NewTree("sda1", s)},
		{Name: "sda2", Tree: static("sda2", map[string]string{"etc/hosts": "", "bin/": ""})},
	})
	if err != nil || len(systems) != 1 || systems[0].Root.Name != "sda2" {
		t.Errorf("%+v, %v", systems, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Systems(ctx, []Source{{Name: "sda2", Tree: static("sda2", map[string]string{"etc/hosts": "", "bin/": ""})}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestPrettyName reads os-release(5).
func TestPrettyName(t *testing.T) {
	for text, want := range map[string]string{
		"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n": "Debian GNU/Linux 12 (bookworm)",
		"NAME=Fedora\nVERSION='40 (Server)'\n":                                        "Fedora 40 (Server)",
		"NAME=Arch\n":                                                                 "Arch",
		"  PRETTY_NAME=Plain  \n":                                                     "Plain",
		`PRETTY_NAME="a \"b\" \$c \\ d"`:                                              `a "b" $c \ d`,
		"# PRETTY_NAME=no\n":                                                          "",
		"":                                                                            "",
		"PRETTY_NAME=\"":                                                              `"`,
		"PRETTY_NAME=" + strings.Repeat("ä", 200):                                     strings.Repeat("ä", 128),
	} {
		if got := prettyName(strings.Split(text, "\n")); got != want {
			t.Errorf("%q is %q, not %q", text, got, want)
		}
	}
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		if got := PrettyName(context.Background(), vfs.NewNamespace(static("sda1", map[string]string{path: "PRETTY_NAME=X\n"}))); got != "X" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// FuzzFstab reads any fstab: paths stay absolute and clean, and every entry is mounted, warned of or known to have no files.
func FuzzFstab(f *testing.F) {
	f.Add("UUID=aaaaaaaa-0000-4000-8000-000000000005 /home ext4 defaults 0 2\n/dev/disk/by-label/my\\x20data /a\\040b ext4 bind\n")
	f.Add("/dev/nvme0n1p5 / auto\n/dev/mapper/a-b /x\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		entries, _ := parseFstab(text)
		for _, e := range entries {
			if e.file != "" && (!strings.HasPrefix(e.file, "/") || strings.Contains(e.file+"/", "/../") || strings.ContainsRune(e.file, 0)) {
				t.Errorf("mount point %q", e.file)
			}
		}
		mounts, warnings := mountsOf(t, text)
		if len(mounts)+len(warnings) > len(entries) {
			t.Errorf("%d entries, %d mounts and %d warnings", len(entries), len(mounts), len(warnings))
		}
		for _, w := range warnings {
			for _, c := range w.Error() {
				if c < ' ' {
					t.Errorf("a control character in %q", w)
				}
			}
		}
	})
}
