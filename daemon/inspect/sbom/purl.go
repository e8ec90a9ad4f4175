package sbom

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// PackageURL names a package of a system; "" where there is no type for its
// format.
func PackageURL(s *api.SystemPackages, p *api.Package) string {
	var kind, namespace string
	name, version := p.Name, p.FullVersion
	query := url.Values{}
	distro := osID(s.Distro)
	switch p.Format {
	case "deb":
		kind, namespace = "deb", distro
	case "rpm":
		kind, namespace = "rpm", distro
		version = p.Version + "-" + p.Release
		if p.Epoch > 0 {
			query.Set("epoch", strconv.FormatInt(p.Epoch, 10))
		}
	case "apk":
		kind, namespace = "apk", distro
	case "pacman":
		kind, namespace = "alpm", distro
	case "ebuild":
		kind = "ebuild"
		namespace, name, _ = strings.Cut(p.Name, "/")
	case "pypi":
		kind, name = "pypi", strings.ToLower(strings.ReplaceAll(p.Name, "_", "-"))
	case "npm", "gem", "cargo":
		kind = p.Format
		if p.Format == "npm" && strings.HasPrefix(name, "@") {
			namespace, name, _ = strings.Cut(name, "/")
		}
	case "golang":
		kind = "golang"
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			namespace, name = name[:i], name[i+1:]
		}
	default:
		kind = "generic"
	}
	if distro != "" && (kind == "deb" || kind == "rpm" || kind == "apk" || kind == "alpm") {
		if p.Arch != "" {
			query.Set("arch", p.Arch)
		}
		query.Set("distro", strings.TrimSuffix(distro+"-"+release(distro, s.Version), "-"))
	}
	u := "pkg:" + kind + "/"
	if namespace != "" {
		for part := range strings.SplitSeq(namespace, "/") {
			u += escape(part) + "/"
		}
	}
	if u += escape(name); version != "" {
		u += "@" + escape(version)
	}
	if len(query) > 0 {
		u += "?" + query.Encode() // sorted by key, as the specification wants it
	}
	return u
}

// release is VERSION_ID of os-release for a version, which for these is only
// its first number.
func release(distro, version string) string {
	switch distro {
	case "debian", "centos":
		version, _, _ = strings.Cut(version, ".")
	}
	return version
}

// escape percent-encodes all but what a package URL leaves as it is.
func escape(s string) string {
	return strings.NewReplacer("%3A", ":", "+", "%20").Replace(url.QueryEscape(s))
}

// osID is the ID of os-release for a distribution.
func osID(distro string) string {
	switch distro {
	case "alpinelinux":
		return "alpine"
	case "archlinux":
		return "arch"
	case "kalilinux":
		return "kali"
	case "oraclelinux":
		return "ol"
	case "amazonlinux":
		return "amzn"
	case "voidlinux":
		return "void"
	}
	return distro
}
