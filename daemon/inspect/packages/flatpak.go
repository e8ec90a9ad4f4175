package packages

import (
	"encoding/xml"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// flatpak reads the deployments of Flatpak's system-wide installation:
// {app,runtime}/ID/ARCH/BRANCH/active is a link to the commit that is used.
func flatpak(l *list) {
	for _, kind := range []string{"app", "runtime"} {
		for _, app := range l.fs.Glob(l.ctx, "/var/lib/flatpak/"+kind, "*") {
			for _, arch := range l.fs.Glob(l.ctx, app, "*_*") { // x86_64; "current" is a link
				l.flatpakBranches(app, arch)
			}
			for _, arch := range []string{"aarch64", "i386", "arm"} {
				l.flatpakBranches(app, app+"/"+arch)
			}
		}
	}
}

func (l *list) flatpakBranches(app, arch string) {
	for _, branch := range l.fs.Glob(l.ctx, arch, "*") {
		active := branch + "/active"
		a, err := l.fs.Stat(l.ctx, active)
		if err != nil {
			continue
		}
		id := path.Base(app)
		p := api.Package{Format: "flatpak", Name: id, Arch: path.Base(arch), Release: path.Base(branch), InstallPath: branch, InstallTime: a.Mtime.Sec, Source: active}
		for _, info := range []string{"/files/share/metainfo/" + id + ".metainfo.xml", "/files/share/metainfo/" + id + ".appdata.xml", "/files/share/appdata/" + id + ".appdata.xml"} {
			if b, err := l.fs.Read(l.ctx, active+info, 4<<20); err == nil && b != nil {
				l.appStream(&p, b, active+info)
				break
			}
		}
		p.FullVersion = p.Version
		if p.FullVersion == "" {
			p.FullVersion = p.Release
		}
		if !l.add(p) {
			return
		}
	}
}

// appStream takes what AppStream's metadata say: the newest release comes first.
func (l *list) appStream(p *api.Package, b []byte, file string) {
	var c struct {
		Name     []string `xml:"name"`
		Summary  []string `xml:"summary"`
		License  string   `xml:"project_license"`
		Releases []struct {
			Version string `xml:"version,attr"`
		} `xml:"releases>release"`
		Developer string `xml:"developer_name"`
	}
	if err := xml.Unmarshal(b, &c); err != nil {
		l.warn("%s: %v", file, err)
		return
	}
	if len(c.Name) > 0 {
		p.DisplayName = c.Name[0]
	}
	if len(c.Summary) > 0 {
		p.Summary = c.Summary[0]
	}
	if len(c.Releases) > 0 {
		p.Version = c.Releases[0].Version
	}
	p.License, p.Publisher = c.License, strings.TrimSpace(c.Developer)
}

// at is the source of a fact in a file with keys.
func at(file, key string) string { return look.Clean(file) + " " + look.Clean(key) }
