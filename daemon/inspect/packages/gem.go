package packages

import (
	"path"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// gemFile splits name-version[-platform].gemspec.
var gemFile = regexp.MustCompile(`^(.+?)-([0-9]+(?:\.[0-9A-Za-z]+)*)(?:-([0-9A-Za-z_.-]+))?\.gemspec$`)

// gemField is s.name = "value".freeze of an installed specification, which is
// Ruby and is not run: plain assignments are looked for.
var gemField = regexp.MustCompile(`^\s*s\.(summary|homepage|licenses|authors|license) = (?:\[)?"((?:[^"\\]|\\.)*)"`)

// gems reads the specifications that RubyGems keeps of what is installed.
func gems(l *list) {
	for _, file := range modules(l, []string{"/usr/lib/ruby/gems/*/specifications", "/usr/lib64/ruby/gems/*/specifications", "/usr/local/lib/ruby/gems/*/specifications",
		"/var/lib/gems/*/specifications", "/usr/share/rubygems-integration/*/specifications", "/usr/lib/ruby/gems/*/specifications/default", "/usr/share/gems/specifications"}, "*.gemspec") {
		m := gemFile.FindStringSubmatch(path.Base(file))
		if m == nil {
			continue
		}
		p := api.Package{Format: "gem", Name: m[1], Version: m[2], FullVersion: m[2], Arch: m[3], Source: file}
		lines, err := l.fs.Text(l.ctx, file)
		if err != nil && !look.Absent(err) {
			l.warn("%s: %v", file, err)
		}
		for _, s := range lines {
			f := gemField.FindStringSubmatch(s)
			if f == nil {
				continue
			}
			value := strings.ReplaceAll(f[2], `\"`, `"`)
			switch f[1] {
			case "summary":
				p.Summary = value
			case "homepage":
				p.URL = value
			case "license", "licenses":
				p.License = value
			case "authors":
				p.Publisher = value
			}
		}
		if !l.add(p) {
			return
		}
	}
}
