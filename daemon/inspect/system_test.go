package inspect

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

// memory is a filesystem with those files: a name that ends in / is a folder, a
// content that starts with -> a symlink.
func memory(name string, files map[string]string) *vfs.Tree {
	m := vfstest.NewMemory()
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		content := files[n]
		if dir, ok := strings.CutSuffix(n, "/"); ok {
			m.Dir(dir)
		} else if target, ok := strings.CutPrefix(content, "->"); ok {
			m.Add("/"+n, vfstest.Symlink(target))
		} else {
			m.Add("/"+n, vfstest.Text(content))
		}
	}
	return vfs.NewTree(name, m)
}

// with adds files to others.
func with(files map[string]string, more ...string) map[string]string {
	all := map[string]string{}
	for k, v := range files {
		all[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// elf is the head of an ELF program for a machine.
func elf(class, data byte, machine uint16) string {
	b := make([]byte, 64)
	copy(b, "\x7fELF")
	b[elfClass], b[elfData] = class, data
	b[elfMachine], b[elfMachine+1] = byte(machine), byte(machine>>8)
	if data == 2 {
		b[elfMachine], b[elfMachine+1] = b[elfMachine+1], b[elfMachine]
	}
	return string(b)
}

// pe is the head of a PE program for a machine.
func pe(machine uint16) string {
	b := make([]byte, 0x100)
	copy(b, "MZ")
	b[dosPE] = 0x80
	copy(b[0x80:], "PE\x00\x00")
	b[0x84], b[0x85] = byte(machine), byte(machine>>8)
	return string(b)
}

// inspectOne inspects one filesystem with one system.
func inspectOne(t testing.TB, files map[string]string) api.System {
	t.Helper()
	r, err := Inspect(context.Background(), []Source{{Name: "sda1", Disk: "sda", Type: "ext4", UUID: "u", Tree: memory("sda1", files)}})
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.Systems[0]
}

var linuxRoot = map[string]string{"etc/fstab": "", "bin/bash": elf(2, 1, 62)}

// TestDistributions says of each distribution what libguestfs says.
func TestDistributions(t *testing.T) {
	type want struct {
		distro, product, version string
		major, minor             int
		format, management, info string
	}
	for name, c := range map[string]struct {
		files []string
		want  want
	}{
		"debian": {[]string{"etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n", "etc/debian_version", "12.5\n"},
			want{"debian", "Debian GNU/Linux 12 (bookworm)", "12.5", 12, 5, "deb", "apt", "debian12"}},
		"old debian": {[]string{"etc/debian_version", "5.0.10\n"}, want{"debian", "", "5.0.10", 5, 0, "deb", "apt", "debian5"}},
		"debian sid": {[]string{"etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\nID=debian\n", "etc/debian_version", "trixie/sid\n"},
			want{"debian", "Debian GNU/Linux trixie/sid", "", 0, 0, "deb", "apt", ""}},
		"ubuntu": {[]string{"usr/lib/os-release", "PRETTY_NAME=\"Ubuntu 22.04.3 LTS\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n", "etc/os-release", "->../usr/lib/os-release"},
			want{"ubuntu", "Ubuntu 22.04.3 LTS", "22.04", 22, 4, "deb", "apt", "ubuntu22.04"}},
		"old ubuntu": {[]string{"etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\nDISTRIB_CODENAME=lucid\nDISTRIB_DESCRIPTION=\"Ubuntu 10.04.1 LTS\"\n"},
			want{"ubuntu", "Ubuntu 10.04.1 LTS", "10.04", 10, 4, "deb", "apt", "ubuntu10.04"}},
		"mint": {[]string{"etc/lsb-release", "DISTRIB_ID=LinuxMint\nDISTRIB_RELEASE=10\nDISTRIB_DESCRIPTION=\"Linux Mint 10 Julia\"\n"},
			want{"linuxmint", "Linux Mint 10 Julia", "10", 10, 0, "deb", "apt", "linuxmint10.0"}},
		"kali": {[]string{"etc/os-release", "PRETTY_NAME=\"Kali GNU/Linux Rolling\"\nID=kali\nVERSION_ID=\"2023.4\"\n"},
			want{"kalilinux", "Kali GNU/Linux Rolling", "2023.4", 2023, 4, "deb", "apt", "kalilinux2023.4"}},
		"fedora": {[]string{"etc/os-release", "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora Linux 40 (Server Edition)\"\nVARIANT=\"Server Edition\"\n", "usr/bin/dnf", "->dnf-3", "usr/bin/dnf-3", "x"},
			want{"fedora", "Fedora Linux 40 (Server Edition)", "40", 40, 0, "rpm", "dnf", "fedora40"}},
		"old fedora": {[]string{"etc/redhat-release", "Fedora release 17 (Beefy Miracle)\n"}, want{"fedora", "Fedora release 17 (Beefy Miracle)", "17", 17, 0, "rpm", "yum", "fedora17"}},
		"rhel 6":     {[]string{"etc/redhat-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n"}, want{"rhel", "Red Hat Enterprise Linux Server release 6.10 (Santiago)", "6.10", 6, 10, "rpm", "yum", "rhel6.10"}},
		"rhel 4":     {[]string{"etc/redhat-release", "Red Hat Enterprise Linux AS release 4 (Nahant Update 8)\n"}, want{"rhel", "Red Hat Enterprise Linux AS release 4 (Nahant Update 8)", "4", 4, 8, "rpm", "up2date", "rhel4.8"}},
		"rhel 9":     {[]string{"etc/os-release", "ID=\"rhel\"\nVERSION_ID=\"9.3\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.3 (Plow)\"\n"}, want{"rhel", "Red Hat Enterprise Linux 9.3 (Plow)", "9.3", 9, 3, "rpm", "dnf", "rhel9.3"}},
		"centos 7": {[]string{"etc/os-release", "ID=\"centos\"\nVERSION_ID=\"7\"\nPRETTY_NAME=\"CentOS Linux 7 (Core)\"\n", "etc/centos-release", "CentOS Linux release 7.9.2009 (Core)\n", "etc/redhat-release", "->centos-release"},
			want{"centos", "CentOS Linux 7 (Core)", "7.9.2009", 7, 9, "rpm", "yum", "centos7.0"}},
		"rocky":      {[]string{"etc/os-release", "ID=\"rocky\"\nVERSION_ID=\"9.3\"\nPRETTY_NAME=\"Rocky Linux 9.3\"\n"}, want{"rocky", "Rocky Linux 9.3", "9.3", 9, 3, "rpm", "dnf", "rocky9"}},
		"alma":       {[]string{"etc/os-release", "ID=\"almalinux\"\nVERSION_ID=\"8.9\"\nPRETTY_NAME=\"AlmaLinux 8.9\"\n"}, want{"almalinux", "AlmaLinux 8.9", "8.9", 8, 9, "rpm", "dnf", "almalinux8"}},
		"oracle":     {[]string{"etc/oracle-release", "Oracle Linux Server release 6.10\n", "etc/redhat-release", "Red Hat Enterprise Linux Server release 6.10 (Santiago)\n"}, want{"oraclelinux", "Oracle Linux Server release 6.10", "6.10", 6, 10, "rpm", "yum", "oraclelinux6.10"}},
		"scientific": {[]string{"etc/redhat-release", "Scientific Linux release 6.4 (Carbon)\n"}, want{"scientificlinux", "Scientific Linux release 6.4 (Carbon)", "6.4", 6, 4, "rpm", "yum", "scientificlinux6.4"}},
		"amazon 2":   {[]string{"etc/os-release", "ID=\"amzn\"\nVERSION_ID=\"2\"\nPRETTY_NAME=\"Amazon Linux 2\"\n"}, want{"amazonlinux", "Amazon Linux 2", "2", 2, 0, "rpm", "yum", "amazonlinux2.0"}},
		"amazon 23":  {[]string{"etc/os-release", "ID=\"amzn\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux 2023\"\n"}, want{"amazonlinux", "Amazon Linux 2023", "2023", 2023, 0, "rpm", "dnf", "amazonlinux2023.0"}},
		"unlike":     {[]string{"etc/redhat-release", "My Own Linux 3.2\n"}, want{"redhat-based", "My Own Linux 3.2", "3.2", 3, 2, "rpm", "up2date", "redhat-based3.2"}},
		"sles 11":    {[]string{"etc/SuSE-release", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n"}, want{"sles", "SUSE Linux Enterprise Server 11 (x86_64)", "11", 11, 3, "rpm", "zypper", "sles11sp3"}},
		"sles 15":    {[]string{"etc/os-release", "ID=\"sles\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"SUSE Linux Enterprise Server 15 SP5\"\n"}, want{"sles", "SUSE Linux Enterprise Server 15 SP5", "15.5", 15, 5, "rpm", "zypper", "sle15sp5"}},
		"opensuse":   {[]string{"etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.5\"\nPRETTY_NAME=\"openSUSE Leap 15.5\"\n"}, want{"opensuse", "openSUSE Leap 15.5", "15.5", 15, 5, "rpm", "zypper", "opensuse15.5"}},
		"old suse":   {[]string{"etc/SuSE-release", "openSUSE 11.4 (x86_64)\nVERSION = 11.4\nCODENAME = Celadon\n"}, want{"opensuse", "openSUSE 11.4 (x86_64)", "11.4", 11, 4, "rpm", "zypper", "opensuse11.4"}},
		"mageia":     {[]string{"etc/os-release", "ID=mageia\nVERSION_ID=9\nPRETTY_NAME=\"Mageia 9\"\n"}, want{"mageia", "Mageia 9", "9", 9, 0, "rpm", "urpmi", "mageia9"}},
		"neokylin":   {[]string{"etc/os-release", "ID=neokylin\nVERSION_ID=V7Update6\nPRETTY_NAME=\"NeoKylin\"\n"}, want{"neokylin", "NeoKylin", "V7Update6", 7, 6, "rpm", "dnf", "neokylin7.6"}},
		"openeuler":  {[]string{"etc/os-release", "ID=\"openEuler\"\nVERSION_ID=\"22.03\"\nPRETTY_NAME=\"openEuler 22.03 LTS\"\n"}, want{"openeuler", "openEuler 22.03 LTS", "22.03", 22, 3, "rpm", "dnf", "openeuler22.3"}},
		"photon":     {[]string{"etc/os-release", "ID=photon\nVERSION_ID=5.0\nPRETTY_NAME=\"VMware Photon OS/Linux\"\n"}, want{"photon", "VMware Photon OS/Linux", "5.0", 5, 0, "rpm", "tdnf", "photon5.0"}},
		"azure":      {[]string{"etc/os-release", "ID=mariner\nVERSION_ID=\"2.0\"\nPRETTY_NAME=\"CBL-Mariner/Linux\"\n"}, want{"azurelinux", "CBL-Mariner/Linux", "2.0", 2, 0, "rpm", "tdnf", "azurelinux2.0"}},
		"arch":       {[]string{"etc/os-release", "ID=arch\nPRETTY_NAME=\"Arch Linux\"\nBUILD_ID=rolling\n", "etc/arch-release", ""}, want{"archlinux", "Arch Linux", "", 0, 0, "pacman", "pacman", "archlinux"}},
		"alpine":     {[]string{"etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\"Alpine Linux v3.19\"\n"}, want{"alpinelinux", "Alpine Linux v3.19", "3.19.1", 3, 19, "apk", "apk", "alpinelinux3.19"}},
		"void":       {[]string{"etc/os-release", "ID=\"void\"\nPRETTY_NAME=\"Void Linux\"\n"}, want{"voidlinux", "Void Linux", "", 0, 0, "xbps", "xbps", "voidlinux"}},
		"gentoo":     {[]string{"etc/os-release", "ID=gentoo\nPRETTY_NAME=\"Gentoo Linux\"\nVERSION_ID=2.14\n"}, want{"gentoo", "Gentoo Linux", "2.14", 2, 14, "ebuild", "portage", "gentoo"}},
		"slackware":  {[]string{"etc/slackware-version", "Slackware 14.2\n"}, want{"slackware", "Slackware 14.2", "14.2", 14, 2, "", "", "slackware14.2"}},
		"buildroot":  {[]string{"etc/br-version", "2012.05\n"}, want{"buildroot", "2012.05", "2012.05", 2012, 5, "", "", "buildroot2012.5"}},
		"cirros":     {[]string{"etc/br-version", "2012.05\n", "usr/share/cirros/logo", "x"}, want{"cirros", "2012.05", "2012.05", 2012, 5, "", "", "cirros2012.5"}},
		"nixos": {[]string{"etc/NIXOS", "", "nix/store/abc-nixos-system/etc/os-release", "ID=nixos\nVERSION_ID=\"23.11\"\nPRETTY_NAME=\"NixOS 23.11 (Tapir)\"\n",
			"nix/var/nix/profiles/system", "->system-1-link", "nix/var/nix/profiles/system-1-link", "->/nix/store/abc-nixos-system"},
			want{"nixos", "NixOS 23.11 (Tapir)", "23.11", 23, 11, "nix", "nix", "nixos23.11"}},
		"bottlerocket": {[]string{"usr/lib/os-release", "ID=bottlerocket\nVERSION_ID=1.19.0\nPRETTY_NAME=\"Bottlerocket OS 1.19.0 (aws-k8s-1.28)\"\n", "usr/bin/", ""},
			want{"bottlerocket", "Bottlerocket OS 1.19.0 (aws-k8s-1.28)", "1.19.0", 1, 19, "", "", "bottlerocket1.19"}},
		"unknown": {[]string{"etc/os-release", "ID=frobnix\nVERSION_ID=3\nPRETTY_NAME=Frobnix\n", "lib/apk/db/installed", ""}, want{"frobnix", "Frobnix", "3", 3, 0, "apk", "apk", "frobnix3.0"}},
		"silent":  {nil, want{}},
	} {
		s := inspectOne(t, with(linuxRoot, c.files...))
		got := want{s.Distro, s.ProductName, s.Version, s.MajorVersion, s.MinorVersion, s.PackageFormat, s.PackageManagement, s.OSInfo}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if s.Type != "linux" || s.Arch != "x86_64" || s.Name == "" || len(s.Warnings) > 0 {
			t.Errorf("%s: %+v", name, s)
		}
		for field, value := range map[string]string{"distro": s.Distro, "version": s.Version, "product_name": s.ProductName} {
			if (value != "") != (s.Sources[field] != "") {
				t.Errorf("%s: %s is %q from %q", name, field, value, s.Sources[field])
			}
		}
	}
}

// TestOtherKinds knows the systems that are not Linux.
func TestOtherKinds(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  [6]string // type, distro, name, arch, hostname, osinfo
	}{
		"freebsd": {map[string]string{"etc/freebsd-update.conf": "", "etc/fstab": "/dev/vtbd0p3 / ufs rw 1 1\n", "bin/sh": elf(2, 1, 62), "etc/rc.conf": "sshd_enable=\"YES\"\nhostname=\"fb.example.com\"\n",
			"bin/freebsd-version": "#!/bin/sh\nUSERLAND_VERSION=\"14.0-RELEASE-p3\"\n"}, [6]string{"freebsd", "freebsd", "FreeBSD 14.0-RELEASE-p3", "x86_64", "fb.example.com", "freebsd14.0"}},
		"old freebsd": {map[string]string{"etc/freebsd-update.conf": "", "etc/fstab": "", "bin/sh": elf(1, 1, 3), "etc/motd": "FreeBSD 9.1-RELEASE (GENERIC) #0 r243825\n\nWelcome\n"},
			[6]string{"freebsd", "freebsd", "FreeBSD 9.1-RELEASE", "i386", "", "freebsd9.1"}},
		"netbsd": {map[string]string{"netbsd": "x", "etc/fstab": "", "etc/release": "NetBSD 9.3/amd64\n", "bin/sh": elf(2, 1, 62), "etc/rc.conf": "hostname=nb\n"},
			[6]string{"netbsd", "netbsd", "NetBSD 9.3/amd64", "x86_64", "nb", "netbsd9.3"}},
		"openbsd": {map[string]string{"bsd": "x", "etc/fstab": "", "etc/motd": "OpenBSD 7.4 (GENERIC.MP) #1397\n", "bin/sh": elf(2, 1, 183), "etc/myname": "ob.example.com\n"},
			[6]string{"openbsd", "openbsd", "OpenBSD 7.4", "aarch64", "ob.example.com", "openbsd7.4"}},
		"hurd": {map[string]string{"hurd/console": "x", "hurd/hello": "x", "hurd/null": "x", "etc/debian_version": "12.0\n", "bin/sh": elf(1, 1, 3), "etc/hostname": "hd\n"},
			[6]string{"hurd", "debian", "debian 12.0", "i386", "hd", ""}},
		"minix": {map[string]string{"service/vm": "x", "etc/fstab": "", "etc/version": "3.2.1\n", "bin/sh": elf(1, 1, 3), "etc/hostname.file": "mx\n"},
			[6]string{"minix", "", "MINIX 3.2.1", "i386", "mx", ""}},
		"freedos": {map[string]string{"FDOS/Freedos.bss": "x"}, [6]string{"dos", "freedos", "FreeDOS", "i386", "", ""}},
		"msdos":   {map[string]string{"dos/command.com": "x"}, [6]string{"dos", "msdos", "MS-DOS", "i386", "", "msdos6.22"}},
		"windows": {map[string]string{"WINDOWS/System32/Config/": "", "WINDOWS/System32/cmd.exe": pe(0x8664)}, [6]string{"windows", "windows", "Windows", "x86_64", "", ""}},
		"elsewhere": {map[string]string{"XP/system32/config/": "", "XP/system32/CMD.EXE": pe(0x14c), "boot.ini": "[boot loader]\r\n[operating systems]\r\nmulti(0)disk(0)rdisk(0)partition(1)\\xp=\"Windows\"\r\n"},
			[6]string{"windows", "windows", "Windows", "i386", "", ""}},
	} {
		s := inspectOne(t, c.files)
		if got := [6]string{s.Type, s.Distro, s.Name, s.Arch, s.Hostname, s.OSInfo}; got != c.want {
			t.Errorf("%s: %q", name, got)
		}
		if len(s.Warnings) > 0 {
			t.Errorf("%s: %q", name, s.Warnings)
		}
	}
}

// TestArchitecture knows the machine of real and of made-up programs.
func TestArchitecture(t *testing.T) {
	for _, c := range []struct{ head, want string }{
		{elf(2, 1, 62), "x86_64"}, {elf(1, 1, 3), "i386"}, {elf(2, 1, 183), "aarch64"}, {elf(1, 1, 40), "arm"}, {elf(2, 2, 21), "ppc64"},
		{elf(2, 1, 21), "ppc64le"}, {elf(2, 2, 22), "s390x"}, {elf(1, 2, 22), "s390"}, {elf(2, 1, 243), "riscv64"}, {elf(2, 1, 258), "loongarch64"},
		{pe(0x14c), "i386"}, {pe(0xaa64), "aarch64"}, {"", ""}, {"MZ", ""}, {"#!/bin/sh\n", ""}, {elf(2, 1, 62)[:19], ""}, {pe(0x8664)[:0x85], ""},
	} {
		if got := machine([]byte(c.head)); got != c.want {
			t.Errorf("%q is %q, not %q", c.head, got, c.want)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil || machine(self[:min(len(self), 4096)]) == "" {
		t.Errorf("this program has no machine: %v", err)
	}
}

// TestMountpoints puts a system together of several filesystems, and finds the
// facts that are in a filesystem of their own.
func TestMountpoints(t *testing.T) {
	sources := []Source{
		{Name: "sda1", Disk: "sda", Type: "vfat", UUID: "1234-ABCD", Tree: memory("sda1", nil)},
		{Name: "sda2", Disk: "sda", Type: "crypto_LUKS", UUID: "11111111-aaaa-4000-8000-000000000001", Err: syscall.EOPNOTSUPP},
		{Name: "sda3", Disk: "sda", Type: "swap", UUID: "sw"},
		{Name: "vg-root", Disk: "sda", Type: "ext4", UUID: "r", Aliases: []string{"vg/root", "mapper/vg-root"}, Tree: memory("vg-root", map[string]string{
			"etc/hosts": "", "bin": "->usr/bin", "usr/": "", "boot/efi/": "", "home/": "", "etc/os-release": "->../usr/lib/os-release",
			"etc/fstab":    "/dev/mapper/vg-root / ext4 defaults 0 1\nUUID=1234-ABCD /boot/efi vfat defaults 0 0\n/dev/vg/usr /usr ext4 defaults 0 0\n/dev/mapper/home_crypt /home ext4 defaults 0 0\n",
			"etc/crypttab": "# <target> <device>\nhome_crypt UUID=11111111-aaaa-4000-8000-000000000001 none luks\n",
		})},
		{Name: "vg-usr", Disk: "sda", Type: "ext4", UUID: "u", Aliases: []string{"vg/usr", "mapper/vg-usr"}, Tree: memory("vg-usr", map[string]string{
			"lib/os-release": "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n", "bin/bash": elf(2, 1, 62)})},
		{Name: "cryptsda2", Disk: "sda", Type: "ext4", UUID: "h", On: []string{"sda2"}, Tree: memory("cryptsda2", map[string]string{"user/x": ""})},
	}
	r, err := Inspect(context.Background(), sources)
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Systems[0]
	want := []api.Mountpoint{
		{Path: "/", Device: "vg-root", Spec: "/dev/mapper/vg-root", Source: "/etc/fstab:1"},
		{Path: "/usr", Device: "vg-usr", Spec: "/dev/vg/usr", Source: "/etc/fstab:3"},
		{Path: "/home", Device: "cryptsda2", Spec: "/dev/mapper/home_crypt", Source: "/etc/fstab:4"},
		{Path: "/boot/efi", Device: "sda1", Spec: "UUID=1234-ABCD", Source: "/etc/fstab:2"},
	}
	if diff := cmp.Diff(want, s.Mountpoints); diff != "" {
		t.Error(diff)
	}
	if s.Distro != "debian" || s.Arch != "x86_64" || s.Root != "vg-root" || len(s.Filesystems) != 5 || s.UsrMerge != "merged" || len(s.Warnings) > 0 {
		t.Errorf("%+v", s)
	}
}

// TestBSDMounts finds the volumes that the BSDs and the Hurd name.
func TestBSDMounts(t *testing.T) {
	sources := []Source{{Name: "sda1", Disk: "sda"}, {Name: "sda2", Disk: "sda"}, {Name: "sda3", Disk: "sda", PartLabel: "home"}, {Name: "sda5", Disk: "sda"}, {Name: "sda6", Disk: "sda"}, {Name: "sda7", Disk: "sda"}, {Name: "sdb2", Disk: "sdb"}}
	for _, c := range []struct{ kind, dev, want string }{
		{"freebsd", "/dev/ada0p3", "sda3"}, {"freebsd", "/dev/vtbd1p2", "sdb2"}, {"freebsd", "/dev/gpt/home", "sda3"}, {"freebsd", "/dev/ada0s1a", "sda5"}, {"freebsd", "/dev/ada0s1d", "sda7"}, {"freebsd", "/dev/ada0s1c", ""},
		{"netbsd", "/dev/ld0a", "sda5"}, {"netbsd", "/dev/sd0e", "sda7"}, {"openbsd", "/dev/wd0b", "sda6"}, {"openbsd", "/dev/sd0d", "sda7"}, {"openbsd", "0123456789abcdef.a", "sda5"}, {"hurd", "/dev/hd0s2", "sda2"},
		{"linux", "/dev/ada0p3", ""}, {"freebsd", "/dev/ada9p1", ""},
	} {
		r := newResolver(sources[0], sources)
		r.kind = c.kind
		if s, why := r.find(c.dev); s.Name != c.want || (why == "") != (c.want != "") {
			t.Errorf("%s %s: %q %s", c.kind, c.dev, s.Name, why)
		}
	}
}

// TestDeployments finds the systems of OSTree within one filesystem.
func TestDeployments(t *testing.T) {
	files := map[string]string{}
	for _, d := range []string{"ostree/deploy/fedora-coreos/deploy/aaaa.0/", "ostree/deploy/fedora-coreos/deploy/bbbb.1/"} {
		files[d+"etc/hostname"] = "fcos\n"
		files[d+"etc/os-release"] = "->../usr/lib/os-release"
		files[d+"usr/lib/os-release"] = "ID=fedora\nVERSION_ID=39\nVARIANT=CoreOS\nPRETTY_NAME=\"Fedora CoreOS 39\"\nOSTREE_VERSION='39.20240101.3.0'\n"
		files[d+"usr/bin/bash"] = elf(2, 1, 62)
		files[d+"bin"] = "->usr/bin"
	}
	r, err := Inspect(context.Background(), []Source{{Name: "sda4", Disk: "sda", Type: "xfs", Tree: memory("sda4", files)}})
	if err != nil || len(r.Systems) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Systems[1]
	if s.Path != "/ostree/deploy/fedora-coreos/deploy/bbbb.1" || s.ProductVariant != "CoreOS" || s.BuildID != "39.20240101.3.0" || s.Hostname != "fcos" || s.Arch != "x86_64" {
		t.Errorf("%+v", s)
	}
}

// TestFlatcar finds the /usr that no fstab names.
func TestFlatcar(t *testing.T) {
	r, err := Inspect(context.Background(), []Source{
		{Name: "sda3", Disk: "sda", Type: "ext4", Tree: memory("sda3", map[string]string{"bin/bash": elf(2, 1, 62), "share/flatcar/": "", "lib/os-release": "ID=flatcar\nVERSION_ID=3815.2.0\nPRETTY_NAME=\"Flatcar 3815.2.0\"\n"})},
		{Name: "sda9", Disk: "sda", Type: "ext4", Tree: memory("sda9", map[string]string{"etc/flatcar/update.conf": "", "root/": "", "home/": "", "usr/": "", "etc/hostname": "core-1\n"})},
	})
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if s := r.Systems[0]; s.Root != "sda9" || s.Distro != "flatcar" || s.Version != "3815.2.0" || s.Arch != "x86_64" || s.Hostname != "core-1" || len(s.Mountpoints) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestMedia tells install media and live images apart.
func TestMedia(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  [5]string // use, type, distro, name, arch
	}{
		"debian":  {map[string]string{".disk/info": "Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST with firmware 20240210-11:27"}, [5]string{"installer", "linux", "debian", "Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST with firmware 20240210-11:27", "x86_64"}},
		"ubuntu":  {map[string]string{".disk/info": "Ubuntu-Server 22.04.3 LTS \"Jammy Jellyfish\" - Release amd64 (20230810)", "casper/": ""}, [5]string{"live", "linux", "ubuntu", "Ubuntu-Server 22.04.3 LTS \"Jammy Jellyfish\" - Release amd64 (20230810)", "x86_64"}},
		"centos":  {map[string]string{".treeinfo": "[general]\nname = CentOS Stream-9\nfamily = CentOS Stream\nversion = 9\narch = x86_64\n[stage2]\nmainimage = images/install.img\n"}, [5]string{"installer", "linux", "centos", "CentOS Stream 9", "x86_64"}},
		"arch":    {map[string]string{"arch/x86_64/airootfs.sfs": "x", "arch/version": "2024.03.01\n"}, [5]string{"live", "linux", "archlinux", "Arch Linux 2024.03.01", "x86_64"}},
		"alpine":  {map[string]string{".alpine-release": "3.19.1\n"}, [5]string{"live", "linux", "alpinelinux", "Alpine Linux 3.19.1", ""}},
		"windows": {map[string]string{"SOURCES/BOOT.WIM": "x", "BOOTMGR": "x", "SOURCES/INSTALL.WIM": "x"}, [5]string{"installer", "windows", "windows", "Windows installer", ""}},
	} {
		r, err := Inspect(context.Background(), []Source{{Name: "sda", Disk: "sda", Type: "iso9660", Tree: memory("sda", c.files)}})
		if err != nil || len(r.Systems) != 0 || len(r.Media) != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		if m := r.Media[0]; [5]string{m.Use, m.Type, m.Distro, m.Name, m.Arch} != c.want || m.Device != "sda" || m.Source == "" {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// checkClean fails where a record has what could act on a terminal.
func checkClean(t testing.TB, record any) {
	t.Helper()
	b, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if strings.IndexFunc(v, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) }) >= 0 {
				t.Errorf("a control character in %q", v)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				walk(k)
				walk(e)
			}
		}
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
}

// TestHostileGuest bounds what a guest can do, and keeps the rest of the answer.
func TestHostileGuest(t *testing.T) {
	m := vfstest.NewMemory()
	m.Dir("bin")
	m.Add("etc/fstab", vfstest.Text(strings.Repeat("/dev/sda1 /\x1b[31mx ext4 \x00 0 0\n", 3000)))
	m.Add("etc/os-release", vfstest.Text("ID=\x1b]0;owned\x07\x00\u009b2J\u202e\nPRETTY_NAME=\"a\\\"\x1b[31m\xff\xfe\"\nVERSION_ID=99999999999999999999.1\n"))
	m.Add("etc/hostname", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	m.Add("etc/machine-id", vfstest.Symlink("machine-id"))
	m.Add("etc/HOSTNAME", vfstest.Symlink("/../../../../etc/loop"))
	m.Add("etc/loop", vfstest.Symlink("HOSTNAME"))
	m.Add("etc/sysconfig/network", vfstest.Text("HOSTNAME=still-here\n"))
	r, err := Inspect(context.Background(), []Source{{Name: "sda1", Disk: "sda", Type: "ext4", Label: "l\x1b[0m", Tree: vfs.NewTree("sda1", m)}})
	if err != nil || len(r.Systems) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	s := r.Systems[0]
	if s.Hostname != "still-here" || s.MajorVersion != 0 || len(s.Warnings) == 0 {
		t.Errorf("%+v", s)
	}
	checkClean(t, r)
}

// FuzzIdentity reads any release files: facts stay clean and bounded.
func FuzzIdentity(f *testing.F) {
	f.Add("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\n", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=10.04\n", "12.5\n")
	f.Add("", "", "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 3\n")
	f.Add("ID=centos\nVERSION_ID=7", "", "CentOS Linux release 7.9.2009 (Core)\n")
	f.Fuzz(func(t *testing.T, osRelease, lsb, other string) {
		files := with(linuxRoot, "etc/os-release", osRelease, "etc/lsb-release", lsb, "etc/debian_version", other, "etc/SuSE-release", other,
			"etc/centos-release", other, "etc/redhat-release", other, "etc/crypttab", other, "etc/hostname", other, ".disk/info", other)
		s := inspectOne(t, files)
		checkClean(t, s)
		for _, v := range []string{s.Distro, s.ProductName, s.Version, s.Hostname, s.Name} {
			if len(v) > 4*look.MaxFact {
				t.Errorf("%d bytes", len(v))
			}
		}
	})
}

// FuzzMachine reads the head of any program.
func FuzzMachine(f *testing.F) {
	f.Add([]byte(elf(2, 1, 62)))
	f.Add([]byte(pe(0x8664)))
	f.Fuzz(func(_ *testing.T, head []byte) { machine(head) })
}
