package inspect

import (
	"context"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// A releaseFile is a file that names a distribution in its first line, from
// before os-release(5) or where that says too little.
type releaseFile struct {
	file   string
	words  string // the line has to have them, "" for any
	distro string
}

// releaseFiles in the order in which they are asked. Those that are modelled on
// Red Hat have its file besides their own, so that theirs come first.
func releaseFiles() []releaseFile {
	return []releaseFile{
		{"/etc/openmandriva-release", "OpenMandriva", "openmandriva"},
		{"/etc/opencloudos-release", "OpenCloudOS", "opencloudos"},
		{"/etc/tencentos-release", "TencentOS", "tencentos"},
		{"/etc/oracle-release", "Oracle Linux", "oraclelinux"},
		{"/etc/centos-release", "CentOS", "centos"},
		{"/etc/circle-release", "Circle Linux", "circle"},
		{"/etc/rocky-release", "Rocky Linux", "rocky"},
		{"/etc/almalinux-release", "AlmaLinux", "almalinux"},
		{"/etc/altlinux-release", "", "altlinux"},
		{"/etc/system-release", "Amazon Linux", "amazonlinux"},
		{"/etc/mageia-release", "", "mageia"},
		{"/etc/mandriva-release", "", "mandriva"},
		{"/etc/redhat-release", "Fedora", "fedora"},
		{"/etc/redhat-release", "Red Hat", "rhel"},
		{"/etc/redhat-release", "CentOS", "centos"},
		{"/etc/redhat-release", "Circle Linux", "circle"},
		{"/etc/redhat-release", "Rocky Linux", "rocky"},
		{"/etc/redhat-release", "Scientific Linux", "scientificlinux"},
		{"/etc/redhat-release", "", "redhat-based"},
		{"/etc/debian_version", "", "debian"},
		{"/etc/pardus-release", "", "pardus"},
		{"/etc/arch-release", "", "archlinux"}, // an empty file
		{"/etc/gentoo-release", "", "gentoo"},
		{"/etc/meego-release", "", "meego"},
		{"/etc/slackware-version", "", "slackware"},
		{"/etc/ttylinux-target", "", "ttylinux"},
		{"/etc/SuSE-release", "SUSE Linux Enterprise", "sles"},
		{"/etc/SuSE-release", "SUSE LINUX Enterprise", "sles"},
		{"/etc/SuSE-release", "Novell Linux Desktop", "sles"},
		{"/etc/SuSE-release", "openSUSE", "opensuse"},
		{"/etc/SuSE-release", "SuSE Linux", "opensuse"},
		{"/etc/SuSE-release", "SUSE LINUX", "opensuse"},
		{"/etc/SuSE-release", "", "suse-based"},
		{"/etc/cirros/version", "", "cirros"},
		{"/etc/br-version", "", "buildroot"},
		{"/etc/alpine-release", "", "alpinelinux"},
		{"/etc/frugalware-release", "Frugalware", "frugalware"},
		{"/etc/pld-release", "PLD Linux", "pldlinux"},
		{"/etc/photon-release", "Photon", "photon"},
		{"/etc/NIXOS", "", "nixos"}, // an empty file
	}
}

func identifyLinux(ctx context.Context, fs *look.FS, id *identity) {
	for _, file := range osReleases() {
		lines, err := fs.Text(ctx, file)
		if err != nil {
			continue
		}
		id.osRelease(look.Pairs(lines), file)
		break
	}
	if id.distro.value == "" || id.product.value == "" || id.numbers == "" && !isRolling(id.distro.value) {
		if lines, err := fs.Text(ctx, "/etc/lsb-release"); err == nil {
			id.lsbRelease(look.Pairs(lines), "/etc/lsb-release")
		}
	}
	// os-release of these has the major version only, and the file has both.
	short := id.minor == 0 && (id.distro.value == "debian" || id.distro.value == "centos" || id.distro.value == "circle" || id.distro.value == "rocky")
	if id.distro.value == "" || id.numbers == "" && !isRolling(id.distro.value) || short {
		id.releaseFile(ctx, fs)
	}
	id.arch = architecture(ctx, fs, unixPrograms())
}

// isRolling says whether a distribution has no versions.
func isRolling(distro string) bool {
	switch distro {
	case "archlinux", "gentoo", "voidlinux", "chimera", "clearlinux", "guix":
		return true
	}
	return false
}

// release finds "release 7.9", oldUpdate the minor number of "release 4 (Nahant Update 8)".
var (
	release   = regexp.MustCompile(`(?i)release ([0-9]+)(?:\.([0-9]+))?`)
	oldUpdate = regexp.MustCompile(`Update ([0-9]+)`)
	suseField = regexp.MustCompile(`^(VERSION|PATCHLEVEL) = ([0-9]+)(?:\.([0-9]+))?`)
)

// releaseFile takes what the first file says that is one of the distribution
// already known, or of any where none is.
func (id *identity) releaseFile(ctx context.Context, fs *look.FS) {
	for _, r := range releaseFiles() {
		if id.distro.value != "" && id.distro.value != r.distro || !fs.IsFile(ctx, r.file) {
			continue
		}
		lines, err := fs.Text(ctx, r.file)
		if err != nil {
			continue
		}
		first := ""
		if len(lines) > 0 {
			first = strings.TrimSpace(lines[0])
		}
		if r.words != "" && !strings.Contains(first, r.words) {
			continue
		}
		source := look.At(r.file, 1)
		if r.distro == "buildroot" && fs.IsFile(ctx, "/usr/share/cirros/logo") {
			r.distro = "cirros"
		}
		id.distro.keep(r.distro, source)
		if strings.ContainsAny(first, " ") || id.product.value == "" && r.distro != "debian" {
			id.product.keep(first, source)
		}
		id.releaseNumbers(first, lines, r.file)
		return
	}
}

// releaseNumbers finds the version in a release file.
func (id *identity) releaseNumbers(first string, lines []string, file string) {
	source := look.At(file, 1)
	if m := release.FindStringSubmatchIndex(first); m != nil {
		sub := release.FindStringSubmatch(first)
		if u := oldUpdate.FindStringSubmatch(first); u != nil && sub[2] == "" {
			sub[2] = u[1]
		}
		id.setNumbers(sub[1], sub[2], source)
		version, _, _ := strings.Cut(first[m[2]:], " ")
		id.version = factOf(version, source)
		return
	}
	if strings.HasSuffix(file, "SuSE-release") {
		for i, l := range lines {
			m := suseField.FindStringSubmatch(l)
			switch {
			case m == nil:
			case m[1] == "VERSION":
				id.setNumbers(m[2], m[3], look.At(file, i+1))
				id.version = factOf(strings.TrimPrefix(l, "VERSION = "), look.At(file, i+1))
			default:
				if id.minor == 0 {
					id.setNumbers(versionNumbers.FindString(id.version.value), m[2], look.At(file, i+1))
				}
			}
		}
		return
	}
	if id.number(first, source) {
		if m := versionText.FindString(first); m != "" {
			id.version = factOf(m, source)
		}
	}
}

// versionText is a version in a line: "12.5", "2023.11.1".
var versionText = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)*`)

// identifyCoreOS reads the root of Container Linux; who it is stands in its
// /usr, which is merged in before facts are taken.
func identifyCoreOS(ctx context.Context, fs *look.FS, id *identity) {
	identifyLinux(ctx, fs, id)
	if fs.IsFile(ctx, "/etc/flatcar/update.conf") {
		id.distro.keep("flatcar", "/etc/flatcar/update.conf")
	} else {
		id.distro.keep("coreos", "/etc/coreos/update.conf")
	}
}
