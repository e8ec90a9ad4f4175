package inspect

import (
	"context"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
)

// maxName bounds the name of a system, in bytes.
const maxName = 256

// osReleases are where os-release(5) may be. The last ones are those of a NixOS
// or Guix that never ran, whose /etc is made at boot.
func osReleases() []string {
	return []string{"/etc/os-release", "/usr/lib/os-release", "/nix/var/nix/profiles/system/etc/os-release", "/var/guix/profiles/system/etc/os-release"}
}

// PrettyName is what the system at the root of ns calls itself, by os-release(5):
// PRETTY_NAME, else NAME and VERSION; "" where it does not say.
func PrettyName(ctx context.Context, ns *vfs.Namespace) string {
	fs := look.New(ns)
	for _, file := range osReleases() {
		lines, err := fs.Text(ctx, file)
		if err != nil {
			continue
		}
		if name := prettyName(lines); name != "" {
			return name
		}
	}
	return ""
}

func prettyName(lines []string) string {
	var id identity
	id.osRelease(look.Pairs(lines), "")
	name := id.name()
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return name
}

// neoKylin is its VERSION_ID: V7Update6.
var neoKylin = regexp.MustCompile(`^V([0-9]+)Update([0-9]+)$`)

// osRelease takes what os-release(5) says.
func (id *identity) osRelease(pairs []look.Pair, file string) {
	for _, p := range pairs {
		source := look.At(file, p.Line)
		switch p.Key {
		case "ID":
			id.distro = factOf(distroOfID(p.Value), source)
		case "ID_LIKE":
			id.like = look.Clean(p.Value)
		case "NAME":
			id.osName = factOf(p.Value, source)
		case "PRETTY_NAME":
			id.product = factOf(p.Value, source)
		case "VERSION_ID":
			id.version = factOf(p.Value, source)
			if m := neoKylin.FindStringSubmatch(p.Value); m != nil {
				id.setNumbers(m[1], m[2], source)
			} else {
				id.number(p.Value, source)
			}
		case "VERSION":
			if id.version.value == "" {
				id.version = factOf(p.Value, source)
				id.number(p.Value, source)
			}
		case "VERSION_CODENAME":
			id.codename = factOf(p.Value, source)
		case "VARIANT":
			id.variant = factOf(p.Value, source)
		case "BUILD_ID", "IMAGE_VERSION":
			id.buildID.keep(p.Value, source)
		case "OSTREE_VERSION":
			id.buildID = factOf(p.Value, source)
		}
	}
}

// distroOfID is the distribution's name: libguestfs's where it has one and it
// is not the ID, else the ID.
func distroOfID(id string) string {
	switch id = strings.ToLower(look.Clean(id)); id {
	case "alpine":
		return "alpinelinux"
	case "arch", "archarm":
		return "archlinux"
	case "kali":
		return "kalilinux"
	case "pld":
		return "pldlinux"
	case "sled", "sles_sap", "sle-micro", "sl-micro":
		return "sles"
	case "void":
		return "voidlinux"
	case "ol":
		return "oraclelinux"
	case "scientific":
		return "scientificlinux"
	case "mandrivalinux":
		return "mandriva"
	case "amzn":
		return "amazonlinux"
	case "mariner":
		return "azurelinux"
	case "clear-linux-os":
		return "clearlinux"
	}
	if strings.HasPrefix(id, "opensuse-") {
		return "opensuse"
	}
	return id
}

// lsbRelease takes what /etc/lsb-release says. Some have LSB_VERSION and nothing else.
func (id *identity) lsbRelease(pairs []look.Pair, file string) {
	for _, p := range pairs {
		source := look.At(file, p.Line)
		switch p.Key {
		case "DISTRIB_ID":
			id.distro.keep(distroOfID(p.Value), source)
		case "DISTRIB_RELEASE":
			id.version.keep(p.Value, source)
			if id.numbers == "" {
				id.number(p.Value, source)
			}
		case "DISTRIB_CODENAME":
			id.codename.keep(p.Value, source)
		case "DISTRIB_DESCRIPTION":
			id.product.keep(p.Value, source)
		}
	}
}
