package packages

import (
	"bytes"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// dpkg reads dpkg's status file, and the folder that stands for it in images
// that are made without dpkg.
func dpkg(l *list) {
	const status = "/var/lib/dpkg/status"
	times := l.dpkgTimes()
	l.stanzas(l.read(status), status, func(p *api.Package, multi string) {
		p.InstallTime = times[p.Name]
		if t, ok := times[p.Name+":"+p.Arch]; ok && multi == "same" {
			p.InstallTime = t
		}
	})
	for _, file := range l.fs.Glob(l.ctx, status+".d", "*") {
		if !strings.HasSuffix(file, ".md5sums") {
			l.stanzas(l.read(file), file, func(*api.Package, string) {})
		}
	}
}

// dpkgTimes are the times at which the lists of the packages' files were
// written: when they were installed or upgraded.
func (l *list) dpkgTimes() map[string]int64 {
	const dir = "/var/lib/dpkg/info"
	times := map[string]int64{}
	for _, file := range l.fs.Glob(l.ctx, dir, "*.list") {
		if a, err := l.fs.Lstat(l.ctx, file); err == nil {
			times[strings.TrimSuffix(path.Base(file), ".list")] = a.Mtime.Sec
		}
	}
	return times
}

// stanzas reads deb822(5) paragraphs, each of which is a package. Those that
// are only known, or left configuration files behind, are left out.
func (l *list) stanzas(text []byte, file string, more func(p *api.Package, multiArch string)) {
	line := 0
	for len(text) > 0 {
		p := api.Package{Format: "deb", Source: look.At(file, line+1)}
		state, multi, field := "", "", ""
		for len(text) > 0 {
			var l []byte
			l, text, _ = bytes.Cut(text, []byte("\n"))
			line++
			s := strings.TrimRight(string(l), "\r")
			if strings.TrimSpace(s) == "" {
				break
			}
			if s[0] == ' ' || s[0] == '\t' {
				if field == "description" && len(p.Description) < maxDescription {
					if s = s[1:]; s == "." {
						s = "" // an empty line
					}
					p.Description += s + "\n"
				}
				continue
			}
			name, value, _ := strings.Cut(s, ":")
			field = strings.ToLower(name)
			value = strings.TrimSpace(value)
			switch field {
			case "package":
				p.Name = value
			case "status":
				state = value
			case "version":
				p.FullVersion = value
			case "architecture":
				p.Arch = value
			case "multi-arch":
				multi = value
			case "source":
				p.SourcePackage, _, _ = strings.Cut(value, " ")
			case "maintainer":
				p.Publisher = value
			case "homepage":
				p.URL = value
			case "description":
				p.Summary = value
			case "installed-size":
				p.Size = min(number(value), 1<<50) * 1024
			}
		}
		if p.Name == "" || !dpkgInstalled(&p, state) {
			continue
		}
		p.Epoch, p.Version, p.Release = evr(p.FullVersion)
		more(&p, multi)
		if !l.add(p) {
			return
		}
	}
}

// dpkgInstalled reads "install ok installed": what is wanted, whether
// something is wrong, and what is.
func dpkgInstalled(p *api.Package, status string) bool {
	words := strings.Fields(status)
	if len(words) != 3 {
		return status == "" // status.d has none
	}
	switch words[2] {
	case "not-installed", "config-files":
		return false
	case "installed":
		if words[0] == "hold" {
			p.State = "held"
		}
	default:
		p.State = words[2]
	}
	return true
}
