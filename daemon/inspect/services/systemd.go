package services

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/daemon/api"
)

// etcUnits is where an administrator's units and links are; it comes before what
// packages bring.
const etcUnits = "/etc/systemd/system"

// A unit is a name of a unit, and where it is.
type unit struct {
	file    string
	enabled []string // the units that want it; its own other names
	masked  bool
	alias   bool

	instances []string // those of a template that are enabled
}

// systemd lists units. The answer has the names of all there are.
func (l *List) systemd() map[string]*unit {
	units := map[string]*unit{}
	if !l.fs.IsFile(l.ctx, "/usr/lib/systemd/systemd") && !l.fs.IsFile(l.ctx, "/lib/systemd/systemd") {
		return nil
	}
	dirs := []string{etcUnits, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"}
	if p, err := l.fs.Resolve(l.ctx, "/lib"); err == nil && p == "/lib" {
		dirs = append(dirs, "/lib/systemd/system")
	}
	links := map[string][]string{}
	for _, dir := range dirs {
		names, _ := l.fs.Names(l.ctx, dir)
		for _, name := range names {
			switch {
			case dir == etcUnits && (strings.HasSuffix(name, ".wants") || strings.HasSuffix(name, ".requires") || strings.HasSuffix(name, ".upholds")):
				l.wanted(dir+"/"+name, links)
			case isUnit(name) && units[name] == nil && len(units) < 4*maxServices:
				units[name] = l.unit(dir+"/"+name, links)
			}
		}
	}
	instances := map[string][]string{}
	for name := range links {
		if t := template(name); t != "" {
			instances[t] = append(instances[t], name)
		}
	}
	names := make([]string, 0, len(units))
	for name := range units {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		u := units[name]
		u.enabled = links[name]
		u.instances = instances[name]
		if !u.alias && l.ctx.Err() == nil {
			l.addUnit(name, u)
		}
	}
	l.instances(links, units)
	return units
}

// isUnit says whether a name is that of a unit of the types that are listed.
func isUnit(name string) bool {
	switch path.Ext(name) {
	case ".service", ".socket", ".timer", ".path":
		return true
	}
	return false
}

// wanted notes what the links in a folder want.
func (l *List) wanted(dir string, links map[string][]string) {
	by := strings.TrimSuffix(path.Base(dir), path.Ext(dir))
	names, _ := l.fs.Names(l.ctx, dir)
	for _, name := range names {
		if isUnit(name) && len(links) < maxServices {
			links[name] = append(links[name], by)
		}
	}
}

// template is the name of the template of an instance, "" where it is none.
func template(name string) string {
	before, after, ok := strings.Cut(name, "@")
	if ext := path.Ext(name); ok && after != ext {
		return before + "@" + ext
	}
	return ""
}

// unit looks at what stands at the name of a unit: the file, a link to one of
// another name, or a mask.
func (l *List) unit(file string, links map[string][]string) *unit {
	u := &unit{file: file}
	a, err := l.fs.Lstat(l.ctx, file)
	if err != nil {
		u.alias = true // it went away, or cannot be read
		return u
	}
	switch a.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		u.masked = a.Size == 0
	case syscall.S_IFLNK:
		to, err := l.fs.Link(l.ctx, file)
		if err != nil {
			break
		}
		switch name := path.Base(to); {
		case path.Clean(to) == "/dev/null":
			u.masked = true
		case name != path.Base(file) && isUnit(name):
			u.alias = true
			if path.Dir(file) == etcUnits {
				links[name] = append(links[name], path.Base(file))
			}
		}
	}
	return u
}

// addUnit lists a unit by what its file says.
func (l *List) addUnit(name string, u *unit) {
	s := api.Service{Name: name, Manager: "systemd", Start: "static", When: u.enabled, Source: u.file}
	if u.masked {
		s.Start, s.When = "masked", nil
		l.add(s)
		return
	}
	lines, err := l.fs.Text(l.ctx, u.file)
	if err != nil {
		l.warn("%s: %v", u.file, err)
		return
	}
	section, own := "", ""
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case section == "[Unit]" && key == "Description":
			s.Description = value
		case section == "[Service]" && key == "ExecStart" && s.Command == "":
			s.Command = value
		case section == "[Service]" && key == "User":
			s.Account = value
		case section == "[Install]" && value != "":
			switch key {
			case "WantedBy", "RequiredBy", "UpheldBy", "Alias":
				s.Start = "disabled"
			case "DefaultInstance":
				own = strings.Replace(name, "@", "@"+value, 1)
			case "Also":
				if s.Start == "static" {
					s.Start = "indirect"
				}
			}
		}
	}
	switch {
	case len(u.enabled) > 0:
		s.Start = "enabled"
	case slices.Contains(u.instances, own):
		s.Start = "enabled"
	case len(u.instances) > 0 && s.Start == "disabled":
		s.Start = "indirect"
	}
	l.add(s)
}

// instances lists what is linked by the name of an instance of a template.
func (l *List) instances(links map[string][]string, units map[string]*unit) {
	names := make([]string, 0, len(links))
	for name := range links {
		if t := template(name); t != "" && units[t] != nil && units[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		l.add(api.Service{Name: name, Manager: "systemd", Start: "enabled", When: links[name], Source: units[template(name)].file})
	}
}
