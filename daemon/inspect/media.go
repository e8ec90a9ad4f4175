package inspect

import (
	"context"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
)

// media finds the filesystems from which systems are installed or run: install
// media and live images. One that holds the root of a system is none.
func media(ctx context.Context, systems []System, sources []Source) []api.Medium {
	var found []api.Medium
	for _, s := range sources {
		if s.Tree == nil || s.Volume != "" || slices.ContainsFunc(systems, func(sys System) bool { return sys.Root.Name == s.Name }) {
			continue
		}
		fs := look.New(vfs.NewNamespace(s.Tree))
		for _, is := range []func(context.Context, *look.FS) *api.Medium{debianMedium, treeInfoMedium, archMedium, alpineMedium, windowsMedium} {
			if m := is(ctx, fs); m != nil {
				m.Device = s.Name
				found = append(found, *m)
				break
			}
		}
	}
	return found
}

// debianMedium knows the CDs of Debian and Ubuntu: .disk/info says which.
func debianMedium(ctx context.Context, fs *look.FS) *api.Medium {
	info := firstLine(ctx, fs, "/.disk/info")
	if info.value == "" {
		return nil
	}
	m := &api.Medium{Use: "installer", Type: "linux", Distro: "debian", Name: info.value, Source: info.source}
	if first, _, _ := strings.Cut(info.value, " "); !strings.EqualFold(first, "Debian") {
		m.Distro = strings.ToLower(strings.SplitN(first, "-", 2)[0])
	}
	if fs.IsDir(ctx, "/casper") || fs.IsDir(ctx, "/live") {
		m.Use = "live"
	}
	for _, arch := range [][2]string{{"amd64", "x86_64"}, {"i386", "i386"}, {"arm64", "aarch64"}, {"ppc64el", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"}} {
		if slices.Contains(strings.Fields(info.value), arch[0]) || fs.IsDir(ctx, "/install."+arch[0]) {
			m.Arch = arch[1]
		}
	}
	return m
}

// treeInfoMedium knows the trees of Anaconda: Fedora, Red Hat and those after it.
func treeInfoMedium(ctx context.Context, fs *look.FS) *api.Medium {
	live := fs.IsFile(ctx, "/LiveOS/squashfs.img") || fs.IsFile(ctx, "/LiveOS/ext3fs.img")
	lines, err := fs.Text(ctx, "/.treeinfo")
	if err != nil {
		if !live {
			return nil
		}
		return &api.Medium{Use: "live", Type: "linux", Name: "Linux live medium", Source: "/LiveOS"}
	}
	m := &api.Medium{Use: "installer", Type: "linux", Name: "Linux installer", Source: "/.treeinfo"}
	section, family, version := "", "", ""
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[") {
			section = strings.Trim(l, "[]")
			continue
		}
		key, value, _ := strings.Cut(l, "=")
		key, value = strings.TrimSpace(key), look.Clean(value)
		if section != "general" && section != "release" && section != "tree" {
			continue
		}
		switch key {
		case "family", "name":
			if family == "" || key == "family" {
				family = value
			}
		case "version":
			version = value
		case "arch":
			m.Arch = value
		}
	}
	if family != "" {
		m.Name = strings.TrimSpace(family + " " + strings.TrimPrefix(version, family))
		m.Distro = distroOfFamily(family)
	}
	if live {
		m.Use = "live"
	}
	return m
}

func distroOfFamily(family string) string {
	for _, f := range [][2]string{{"Fedora", "fedora"}, {"Red Hat", "rhel"}, {"CentOS", "centos"}, {"Rocky", "rocky"}, {"AlmaLinux", "almalinux"},
		{"Oracle", "oraclelinux"}, {"Scientific", "scientificlinux"}, {"openSUSE", "opensuse"}, {"SUSE", "sles"}} {
		if strings.Contains(family, f[0]) {
			return f[1]
		}
	}
	return ""
}

func archMedium(ctx context.Context, fs *look.FS) *api.Medium {
	for _, arch := range []string{"x86_64", "aarch64", "i686"} {
		for _, image := range []string{"airootfs.sfs", "airootfs.erofs"} {
			p := "/arch/" + arch + "/" + image
			if !fs.IsFile(ctx, p) {
				continue
			}
			name := strings.TrimSpace("Arch Linux " + firstLine(ctx, fs, "/arch/version").value)
			return &api.Medium{Use: "live", Type: "linux", Distro: "archlinux", Name: name, Arch: arch, Source: p}
		}
	}
	return nil
}

func alpineMedium(ctx context.Context, fs *look.FS) *api.Medium {
	r := firstLine(ctx, fs, "/.alpine-release")
	if r.value == "" {
		return nil
	}
	return &api.Medium{Use: "live", Type: "linux", Distro: "alpinelinux", Name: "Alpine Linux " + r.value, Source: r.source}
}

// windowsMedium knows the setup of Windows since Vista. Its edition stands in
// the WIM, which is not read.
func windowsMedium(ctx context.Context, fs *look.FS) *api.Medium {
	if fs.NoCase(ctx, "/sources/boot.wim") == "" || fs.NoCase(ctx, "/bootmgr") == "" {
		return nil
	}
	for _, image := range []string{"install.wim", "install.esd", "install.swm"} {
		if p := fs.NoCase(ctx, "/sources/"+image); p != "" {
			return &api.Medium{Use: "installer", Type: "windows", Distro: "windows", Name: "Windows installer", Source: p}
		}
	}
	return &api.Medium{Use: "live", Type: "windows", Distro: "windows", Name: "Windows PE", Source: "/sources/boot.wim"}
}
