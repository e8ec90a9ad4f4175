package inspect

import (
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// maxPrograms bounds the programs of one system.
const maxPrograms = 50_000

// uninstall is where programs say how they are removed.
const uninstall = `\Microsoft\Windows\CurrentVersion\Uninstall`

// programs are what Windows lists as installed: the keys Uninstall of the
// machine, of its 32-bit view, and of each user. Updates of a program
// (ParentKeyName) and parts of the system (SystemComponent) are left out, as in
// the list that Windows shows; so is what has no name to show.
func (r *report) programs() []api.Package {
	if r.reg == nil {
		return nil
	}
	machine := r.out.Arch
	var list []api.Package
	list = r.programsOf(list, `HKLM\SOFTWARE`+uninstall, machine)
	list = r.programsOf(list, `HKLM\SOFTWARE\WOW6432Node`+uninstall, "i386")
	for _, u := range r.reg.Users() {
		list = r.programsOf(list, `HKU\`+u.SID+`\Software`+uninstall, machine)
		list = r.programsOf(list, `HKU\`+u.SID+`\Software\WOW6432Node`+uninstall, "i386")
	}
	return list
}

func (r *report) programsOf(list []api.Package, name, arch string) []api.Package {
	k := openKey(r.reg, name)
	if k.Key == nil {
		return list
	}
	for sub, err := range k.Subkeys() {
		if err != nil {
			r.warn("%s: %v", name, err)
			continue
		}
		if len(list) == maxPrograms {
			r.warn("there are more than %d programs; the rest is left out", maxPrograms)
			break
		}
		if p, ok := r.program(sub, name, arch); ok {
			list = append(list, p)
		}
	}
	return list
}

func (r *report) program(k *hive.Key, above, arch string) (api.Package, bool) {
	values := map[string]hive.Value{}
	for v, err := range k.Values() {
		if err == nil && len(values) < 100 {
			values[strings.ToLower(v.Name)] = v
		}
	}
	get := func(name string) string { return look.Clean(values[name].Text()) }
	number := func(name string) uint64 { n, _ := values[name].Number(); return n }
	if get("displayname") == "" || get("parentkeyname") != "" || number("systemcomponent") == 1 {
		return api.Package{}, false
	}
	p := api.Package{Format: "windows", Name: look.Clean(k.Name()), DisplayName: get("displayname"), Version: get("displayversion"), FullVersion: get("displayversion"), Arch: arch,
		InstallPath: get("installlocation"), Publisher: get("publisher"), URL: get("urlinfoabout"), Description: look.CleanText(values["comments"].Text(), 8<<10),
		Size: int64(min(number("estimatedsize"), 1<<40)) * 1024, Source: look.Clean(above + `\` + k.Name())}
	if p.URL == "" {
		p.URL = get("helplink")
	}
	if t, err := time.Parse("20060102", get("installdate")); err == nil && t.Unix() > 0 {
		p.InstallTime = t.Unix()
	} else if t := k.Written(); !t.IsZero() && t.Unix() > 0 {
		p.InstallTime = t.Unix()
	}
	return p, true
}
