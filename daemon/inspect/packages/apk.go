package packages

import (
	"bytes"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// apk reads the database of apk-tools: paragraphs of lines with a letter, a
// colon and a value (apk-package(5), "installed database").
func apk(l *list) {
	for _, file := range []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"} {
		if text := l.read(file); text != nil {
			l.apkDatabase(text, file)
			return
		}
	}
}

func (l *list) apkDatabase(text []byte, file string) {
	p := api.Package{}
	end := func() bool {
		p.Epoch, p.Version, p.Release = evr(p.FullVersion)
		ok := p.Name == "" || l.add(p)
		p = api.Package{}
		return ok
	}
	line := 0
	for len(text) > 0 {
		var s []byte
		s, text, _ = bytes.Cut(text, []byte("\n"))
		line++
		if len(s) < 2 || s[1] != ':' {
			if len(bytes.TrimSpace(s)) == 0 && !end() {
				return
			}
			continue
		}
		value := string(s[2:])
		switch s[0] {
		case 'P':
			p.Format, p.Name, p.Source = "apk", value, look.At(file, line)
		case 'V':
			p.FullVersion = value
		case 'A':
			p.Arch = value
		case 'I':
			p.Size = number(value)
		case 'T':
			p.Summary = value
		case 'U':
			p.URL = value
		case 'L':
			p.License = value
		case 'o':
			p.SourcePackage = value
		case 'm':
			p.Publisher = value
		}
	}
	end()
}
