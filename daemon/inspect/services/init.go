package services

import (
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// sysvinit lists the scripts of /etc/init.d, but those that a unit stands for.
func (l *List) sysvinit(units map[string]*unit) {
	levels := map[string][]string{}
	for _, dir := range []string{"/etc", "/etc/rc.d"} {
		for _, level := range []string{"S", "2", "3", "4", "5"} {
			for _, link := range l.fs.Glob(l.ctx, dir+"/rc"+level+".d", "S[0-9][0-9]*") {
				name := path.Base(link)[3:]
				levels[name] = append(levels[name], level)
			}
		}
		if len(levels) > 0 {
			break // /etc/rc.d has the same, or /etc links to it
		}
	}
	if l.fs.IsDir(l.ctx, "/etc/runlevels") {
		return // OpenRC's scripts are in the same folder
	}
	for _, file := range l.fs.Glob(l.ctx, "/etc/init.d", "*") {
		name := path.Base(file)
		if units[name+".service"] != nil || notScript(name) || !l.fs.IsFile(l.ctx, file) {
			continue
		}
		s := api.Service{Name: name, Manager: "sysvinit", Start: "disabled", When: levels[name], Source: file}
		if len(s.When) > 0 {
			s.Start = "enabled"
		}
		l.add(s)
	}
}

// notScript knows what stands in /etc/init.d and is no service.
func notScript(name string) bool {
	switch name {
	case "README", "skeleton", "functions", "functions.sh", "rc", "rcS", "rc.local", "single", "halt", "killall", "reboot", "boot", "boot.local", "before.local", "after.local":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.Contains(name, ".dpkg-") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".sh") && strings.HasPrefix(name, "rc")
}

// openRC lists the scripts in the folders of the runlevels, and the others.
func (l *List) openRC() {
	if !l.fs.IsDir(l.ctx, "/etc/runlevels") {
		return
	}
	levels := map[string][]string{}
	for _, dir := range l.fs.Glob(l.ctx, "/etc/runlevels", "*") {
		for _, link := range l.fs.Glob(l.ctx, dir, "*") {
			levels[path.Base(link)] = append(levels[path.Base(link)], path.Base(dir))
		}
	}
	for _, file := range l.fs.Glob(l.ctx, "/etc/init.d", "*") {
		name := path.Base(file)
		if notScript(name) {
			continue
		}
		s := api.Service{Name: name, Manager: "openrc", Start: "disabled", When: levels[name], Source: file}
		if len(s.When) > 0 {
			s.Start = "enabled"
		}
		l.add(s)
	}
}

// rcConf lists the services that rc.conf names.
func (l *List) rcConf() {
	seen := map[string]int{}
	for _, file := range []string{"/etc/rc.conf", "/etc/rc.conf.local"} {
		lines, err := l.fs.Text(l.ctx, file)
		if err != nil {
			continue
		}
		for _, p := range look.Pairs(lines) {
			name, ok := strings.CutSuffix(p.Key, "_enable")
			if !ok {
				continue
			}
			s := api.Service{Name: name, Manager: "rc", Start: "disabled", Source: look.At(file, p.Line)}
			switch strings.ToUpper(p.Value) {
			case "YES", "TRUE", "ON", "1":
				s.Start = "enabled"
			}
			if i, ok := seen[name]; ok {
				l.Services[i] = s // the last one counts
				continue
			}
			seen[name] = len(l.Services)
			l.add(s)
		}
	}
}
