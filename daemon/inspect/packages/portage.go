package packages

import (
	"path"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// ebuild splits name-version[-rN], by section 3.2 of the Package Manager Specification.
var ebuild = regexp.MustCompile(`^(.+)-([0-9]+(?:\.[0-9]+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*)(?:-(r[0-9]+))?$`)

// portage reads the database of Portage: a folder for each category, in it one
// for each package, in it a file for each field.
func portage(l *list) {
	const db = "/var/db/pkg"
	for _, category := range l.fs.Glob(l.ctx, db, "*") {
		for _, dir := range l.fs.Glob(l.ctx, category, "*") {
			m := ebuild.FindStringSubmatch(path.Base(dir))
			if m == nil || strings.HasPrefix(path.Base(dir), "-MERGING-") || !l.fs.IsDir(l.ctx, dir) {
				continue
			}
			p := api.Package{Format: "ebuild", Name: path.Base(category) + "/" + m[1], Version: m[2], Release: m[3], Source: dir,
				FullVersion: strings.TrimPrefix(path.Base(dir), m[1]+"-")}
			p.Summary, p.URL, p.License = l.field(dir+"/DESCRIPTION"), l.field(dir+"/HOMEPAGE"), l.field(dir+"/LICENSE")
			p.Size, p.InstallTime = number(l.field(dir+"/SIZE")), number(l.field(dir+"/BUILD_TIME"))
			p.Publisher = l.field(dir + "/repository")
			p.Arch, _, _ = strings.Cut(l.field(dir+"/CHOST"), "-")
			if a, err := l.fs.Lstat(l.ctx, dir+"/COUNTER"); err == nil && a.Mtime.Sec > 0 {
				p.InstallTime = a.Mtime.Sec // written by the merge
			}
			if !l.add(p) {
				return
			}
		}
	}
}

// field is the content of a small file.
func (l *list) field(file string) string {
	b, err := l.fs.Read(l.ctx, file, look.MaxText)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
