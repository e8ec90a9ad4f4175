package packages

import (
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// python reads the metadata that pip and distributions leave beside packages
// ("Core metadata specifications", packaging.python.org): METADATA in *.dist-info,
// PKG-INFO in *.egg-info, which may be a file itself.
func python(l *list) {
	for _, lib := range []string{"/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"} {
		for _, py := range l.fs.Glob(l.ctx, lib, "python[0-9]*") {
			for _, dir := range []string{py + "/site-packages", py + "/dist-packages"} {
				l.pythonPackages(dir)
			}
		}
	}
	for _, env := range l.fs.Glob(l.ctx, "/opt", "*") {
		for _, py := range l.fs.Glob(l.ctx, env+"/lib", "python[0-9]*") {
			l.pythonPackages(py + "/site-packages")
		}
	}
}

func (l *list) pythonPackages(dir string) {
	names, _ := l.fs.Names(l.ctx, dir)
	for _, name := range names {
		var file string
		switch {
		case strings.HasSuffix(name, ".dist-info"):
			file = dir + "/" + name + "/METADATA"
		case strings.HasSuffix(name, ".egg-info"):
			if file = dir + "/" + name; l.fs.IsDir(l.ctx, file) {
				file += "/PKG-INFO"
			}
		default:
			continue
		}
		b, err := l.fs.Read(l.ctx, file, 1<<20)
		if err != nil {
			if !look.Absent(err) {
				l.warn("%s: %v", file, err)
			}
			continue
		}
		p := api.Package{Format: "pypi", InstallPath: dir, Source: file}
		pythonMetadata(&p, string(b))
		if !l.add(p) {
			return
		}
	}
}

// pythonMetadata takes the headers, which end at the first empty line.
func pythonMetadata(p *api.Package, text string) {
	for s := range strings.Lines(text) {
		s = strings.TrimRight(s, "\r\n")
		if s == "" {
			break
		}
		name, value, ok := strings.Cut(s, ":")
		if !ok || s[0] == ' ' || s[0] == '\t' {
			continue
		}
		value = strings.TrimSpace(value)
		if value == "UNKNOWN" {
			continue
		}
		switch strings.ToLower(name) {
		case "name":
			p.Name = value
		case "version":
			p.Version, p.FullVersion = value, value
		case "summary":
			p.Summary = value
		case "home-page":
			p.URL = value
		case "author":
			p.Publisher = value
		case "license", "license-expression":
			p.License = value
		}
	}
}

// modules are the folders that RubyGems and npm install into.
func modules(l *list, dirs []string, pattern string) []string {
	var found []string
	for _, d := range dirs {
		if !strings.Contains(d, "*") {
			found = append(found, l.fs.Glob(l.ctx, d, pattern)...)
			continue
		}
		before, after, _ := strings.Cut(d, "/*")
		for _, m := range l.fs.Glob(l.ctx, before, "*") {
			found = append(found, l.fs.Glob(l.ctx, path.Join(m, after), pattern)...)
		}
	}
	return found
}
