package packages

import (
	"encoding/json"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// maxNodeDepth bounds how deep node_modules may lie in each other.
const maxNodeDepth = 12

// node reads the packages that npm installed for the whole system, those inside
// others as well.
func node(l *list) {
	for _, dir := range []string{"/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/share/nodejs", "/opt/node_modules"} {
		l.nodeModules(dir, 0)
	}
}

func (l *list) nodeModules(dir string, depth int) {
	if depth > maxNodeDepth || len(l.packages) >= maxPackages {
		return
	}
	names, _ := l.fs.Names(l.ctx, dir)
	for _, name := range names {
		at := dir + "/" + name
		switch {
		case strings.HasPrefix(name, "."):
		case strings.HasPrefix(name, "@"):
			l.nodeModules(at, depth+1)
		default:
			// A link, as `npm link` makes it, would lead out of the folder or back into it.
			if a, err := l.fs.Lstat(l.ctx, at); err == nil && a.FileMode().IsDir() {
				l.nodePackage(at)
				l.nodeModules(at+"/node_modules", depth+1)
			}
		}
	}
}

func (l *list) nodePackage(dir string) {
	file := dir + "/package.json"
	b, err := l.fs.Read(l.ctx, file, 1<<20)
	if err != nil {
		if !look.Absent(err) {
			l.warn("%s: %v", file, err)
		}
		return
	}
	var m struct {
		Name, Version, Description, Homepage any
		License, Author                      any
	}
	if err := json.Unmarshal(b, &m); err != nil {
		l.warn("%s: %v", file, err)
		return
	}
	p := api.Package{Format: "npm", Name: textOf(m.Name, ""), Version: textOf(m.Version, ""), Summary: textOf(m.Description, ""), URL: textOf(m.Homepage, "url"),
		License: textOf(m.License, "type"), Publisher: textOf(m.Author, "name"), InstallPath: path.Dir(file), Source: file}
	if p.FullVersion = p.Version; p.Version != "" {
		l.add(p)
	}
}

// textOf is a string, or that of a key of an object, as package.json has both.
func textOf(v any, key string) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		s, _ := v[key].(string)
		return s
	}
	return ""
}
