package inspect

import (
	"context"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// A packaging is how a system keeps its packages.
type packaging struct {
	format     fact
	management fact
}

// packagingOf follows libguestfs, which goes by the distribution; one that it
// does not know is asked for the database it has.
func packagingOf(ctx context.Context, fs *look.FS, kind string, id *identity) packaging {
	p := packaging{}
	set := func(format, management string) {
		p.format, p.management = factOf(format, id.distro.source), factOf(management, id.distro.source)
	}
	switch d := id.distro.value; d {
	case "debian", "ubuntu", "kalilinux", "linuxmint", "raspbian", "devuan", "pop", "elementary", "proxmox":
		set("deb", "apt")
	case "altlinux":
		set("rpm", "apt")
	case "fedora":
		set("rpm", "yum")
		if id.major >= 22 && fs.IsFile(ctx, "/usr/bin/dnf") {
			set("rpm", "dnf")
		}
	case "centos", "circle", "kylin", "oraclelinux", "redhat-based", "rhel", "rocky", "scientificlinux", "almalinux":
		set("rpm", redHatManager(id.major))
	case "amazonlinux":
		set("rpm", "yum")
		if id.major >= 2022 {
			set("rpm", "dnf")
		}
	case "neokylin", "openmandriva", "opencloudos", "tencentos", "openeuler":
		set("rpm", "dnf")
	case "meego":
		set("rpm", "yum")
	case "mageia", "mandriva":
		set("rpm", "urpmi")
	case "opensuse", "sles", "suse-based":
		set("rpm", "zypper")
	case "photon", "azurelinux":
		set("rpm", "tdnf")
	case "archlinux", "manjaro", "endeavouros":
		set("pacman", "pacman")
	case "gentoo":
		set("ebuild", "portage")
	case "pardus":
		set("pisi", "pisi")
	case "alpinelinux", "postmarketos", "chimera", "wolfi":
		set("apk", "apk")
	case "voidlinux":
		set("xbps", "xbps")
	case "nixos":
		set("nix", "nix")
	case "guix":
		set("guix", "guix")
	case "freebsd":
		set("pkg", "pkg")
	case "netbsd":
		set("pkgsrc", "pkgsrc")
	case "windows", "flatcar", "coreos", "bottlerocket", "talos", "clearlinux", "buildroot", "cirros", "openbsd", "freedos", "msdos":
	default:
		if kind == "linux" {
			p = packagingByDatabase(ctx, fs)
		}
	}
	return p
}

func redHatManager(major int) string {
	switch {
	case major >= 8:
		return "dnf"
	case major >= 5:
		return "yum"
	case major >= 2:
		return "up2date"
	}
	return ""
}

// packagingByDatabase goes by what is there.
func packagingByDatabase(ctx context.Context, fs *look.FS) packaging {
	for _, c := range []struct{ path, format, management string }{
		{"/var/lib/dpkg/status", "deb", "apt"},
		{"/var/lib/rpm", "rpm", "dnf"},
		{"/usr/lib/sysimage/rpm", "rpm", "dnf"},
		{"/usr/share/rpm", "rpm", "rpm-ostree"},
		{"/lib/apk/db/installed", "apk", "apk"},
		{"/usr/lib/apk/db/installed", "apk", "apk"},
		{"/var/lib/pacman/local", "pacman", "pacman"},
		{"/var/db/pkg", "ebuild", "portage"},
		{"/var/db/xbps", "xbps", "xbps"},
	} {
		if fs.IsFile(ctx, c.path) || fs.IsDir(ctx, c.path) {
			return packaging{fact{c.format, c.path}, fact{c.management, c.path}}
		}
	}
	return packaging{}
}

// osInfo is the short id of libosinfo's database, by libguestfs's rules; ""
// where there is none.
func osInfo(kind string, id *identity) string {
	d := id.distro.value
	switch kind {
	case "linux":
		return linuxOSInfo(d, id.major, id.minor)
	case "freebsd", "netbsd", "openbsd":
		if id.numbers != "" {
			return d + decimal(id.major) + "." + decimal(id.minor)
		}
	case "dos":
		if d == "msdos" {
			return "msdos6.22"
		}
	case "windows":
		return windowsOSInfo(id)
	}
	return ""
}

func linuxOSInfo(d string, major, minor int) string {
	switch d {
	case "centos":
		switch {
		case major >= 8:
			return d + decimal(major)
		case major == 7:
			return d + "7.0"
		case major == 6:
			return d + "6." + decimal(minor)
		}
	case "circle", "rocky", "almalinux":
		if major >= 8 {
			return d + decimal(major)
		}
	case "debian":
		if major >= 4 {
			return d + decimal(major)
		}
	case "fedora", "mageia":
		return d + decimal(major)
	case "sles":
		base := "sles"
		if major >= 15 {
			base = "sle"
		}
		if minor == 0 {
			return base + decimal(major)
		}
		return base + decimal(major) + "sp" + decimal(minor)
	case "ubuntu":
		m := decimal(minor)
		return d + decimal(major) + "." + strings.Repeat("0", max(0, 2-len(m))) + m
	case "archlinux", "gentoo", "voidlinux":
		return d
	case "altlinux":
		if major >= 8 {
			return "alt" + decimal(major) + "." + decimal(minor)
		}
	}
	if d != "" && (major > 0 || minor > 0) {
		return d + decimal(major) + "." + decimal(minor)
	}
	return ""
}

// windowsOSInfo goes by version, edition and, from Windows 10 on, build.
func windowsOSInfo(id *identity) string {
	server := strings.Contains(id.variant.value, "Server")
	pick := func(s, client string) string {
		if server {
			return s
		}
		return client
	}
	switch {
	case id.major == 5 && id.minor == 0:
		return "win2k"
	case id.major == 5 && id.minor == 1:
		return "winxp"
	case id.major == 5 && id.minor == 2:
		switch {
		case strings.Contains(id.product.value, "XP"):
			return "winxp"
		case strings.Contains(id.product.value, "R2"):
			return "win2k3r2"
		}
		return "win2k3"
	case id.major == 6 && id.minor == 0:
		return pick("win2k8", "winvista")
	case id.major == 6 && id.minor == 1:
		return pick("win2k8r2", "win7")
	case id.major == 6 && id.minor == 2:
		return pick("win2k12", "win8")
	case id.major == 6 && id.minor == 3:
		return pick("win2k12r2", "win8.1")
	case id.major == 10 && server:
		for _, year := range []string{"2025", "2022", "2019"} {
			if strings.Contains(id.product.value, year) {
				return "win2k" + year[2:]
			}
		}
		return "win2k16"
	case id.major == 10:
		if isWindows11(id.buildID.value) {
			return "win11"
		}
		return "win10"
	}
	return ""
}
