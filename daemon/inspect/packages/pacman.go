package packages

import (
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// pacman reads the local database of pacman: a folder for each package, in
// which desc has %FIELD% lines, each followed by values and an empty line.
func pacman(l *list) {
	const local = "/var/lib/pacman/local"
	names, err := l.fs.Names(l.ctx, local)
	if err != nil && !look.Absent(err) {
		l.warn("%s: %v", local, err)
	}
	for _, name := range names {
		file := local + "/" + name + "/desc"
		lines, err := l.fs.Text(l.ctx, file)
		if err != nil {
			if !look.Absent(err) { // ALPM_DB_VERSION is a file
				l.warn("%s: %v", file, err)
			}
			continue
		}
		if !l.pacmanDesc(lines, file) {
			return
		}
	}
}

func (l *list) pacmanDesc(lines []string, file string) bool {
	p := api.Package{Format: "pacman", Source: file}
	field := ""
	for _, s := range lines {
		switch {
		case len(s) > 2 && s[0] == '%' && s[len(s)-1] == '%':
			field = s
			continue
		case strings.TrimSpace(s) == "":
			field = ""
			continue
		}
		switch field {
		case "%NAME%":
			p.Name = s
		case "%VERSION%":
			p.FullVersion = s
		case "%BASE%":
			p.SourcePackage = s
		case "%DESC%":
			p.Summary = s
		case "%URL%":
			p.URL = s
		case "%ARCH%":
			p.Arch = s
		case "%PACKAGER%":
			p.Publisher = s
		case "%SIZE%":
			p.Size = number(s)
		case "%INSTALLDATE%":
			p.InstallTime = number(s)
		case "%LICENSE%":
			p.License = strings.TrimPrefix(p.License+", "+s, ", ")
		}
	}
	p.Epoch, p.Version, p.Release = evr(p.FullVersion)
	return l.add(p)
}
