package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
)

// Registry is the registry of the one Windows among sources.
func Registry(ctx context.Context, sources []Source) (*registry.Registry, error) {
	systems, err := Systems(ctx, sources)
	if err != nil {
		return nil, err
	}
	var found *System
	for i, s := range systems {
		if s.Kind != "windows" {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("there are several Windows, on %s and %s; name one: IMAGE:%s", found.Root.Name, s.Root.Name, found.Root.Name)
		}
		found = &systems[i]
	}
	if found == nil {
		var names []string
		for _, s := range systems {
			names = append(names, look.Clean(s.Name)+" on "+s.Root.Name)
		}
		if len(names) == 0 {
			return nil, errors.New("no Windows is found, nor any other operating system")
		}
		return nil, fmt.Errorf("no Windows is found, but %s", strings.Join(names, ", "))
	}
	tree, err := found.open(ctx)
	if err != nil {
		return nil, err
	}
	return registry.New(ctx, tree, systemRoot(ctx, tree)), nil
}

// Keys that facts come from.
const (
	keyVersion    = `HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	keyControl    = `HKLM\SYSTEM\CurrentControlSet\Control`
	keyServices   = `HKLM\SYSTEM\CurrentControlSet\Services`
	keyTCPIP      = keyServices + `\Tcpip\Parameters`
	keyPolicies   = `HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Group Policy\History`
	keyProductOpt = keyControl + `\ProductOptions`
)

// A regKey is a key that facts are taken from, nil where there is none.
type regKey struct {
	*registry.Key
	name string
}

func openKey(reg *registry.Registry, name string) regKey {
	k, err := reg.Open(name)
	if err != nil || k.Key == nil {
		return regKey{nil, name}
	}
	return regKey{k, name}
}

// value is a value, an empty one where there is none.
func (k regKey) value(name string) hive.Value {
	if k.Key == nil {
		return hive.Value{}
	}
	v, err := k.Value(name)
	if err != nil {
		return hive.Value{}
	}
	return v
}

func (k regKey) source(value string) string { return k.name + `\` + value }

// fact is a string, or a number in decimal.
func (k regKey) fact(name string) fact {
	v := k.value(name)
	if n, ok := v.Number(); ok {
		return factOf(strconv.FormatUint(n, 10), k.source(name))
	}
	return factOf(v.Text(), k.source(name))
}

// identifyWindows asks the files, and the key CurrentVersion.
//
// A Windows 11 calls itself Windows 10 there; it is known by its build, and its
// name is mended.
func identifyWindows(ctx context.Context, tree *look.FS, id *identity) {
	root := systemRoot(ctx, tree)
	id.distro, id.osName = factOf("windows", root), factOf("Windows", root)
	if cmd := tree.NoCase(ctx, root+"/system32/cmd.exe"); cmd != "" {
		id.arch = architecture(ctx, tree, []string{cmd})
	}
	reg := registry.New(ctx, tree, root)
	k := openKey(reg, keyVersion)
	if k.Key == nil {
		return
	}
	id.product, id.variant = k.fact("ProductName"), k.fact("InstallationType")
	id.buildID = k.fact("CurrentBuildNumber")
	if id.buildID.value == "" {
		id.buildID = k.fact("CurrentBuild")
	}
	if isWindows11(id.buildID.value) {
		id.product.value = strings.Replace(id.product.value, "Windows 10", "Windows 11", 1)
	}
	major, minor := k.fact("CurrentMajorVersionNumber"), k.fact("CurrentMinorVersionNumber")
	if major.value != "" && minor.value != "" {
		id.setNumbers(major.value, minor.value, major.source)
	} else if v := k.fact("CurrentVersion"); v.value != "" {
		id.number(v.value, v.source)
	}
	if id.numbers != "" {
		version := decimal(id.major) + "." + decimal(id.minor)
		for _, f := range []fact{id.buildID, k.fact("UBR")} {
			if f.value == "" {
				break
			}
			version += "." + f.value
		}
		id.version = factOf(version, id.numbers)
	}
	if id.codename = k.fact("DisplayVersion"); id.codename.value == "" {
		if id.codename = k.fact("ReleaseId"); id.codename.value == "" {
			id.codename = k.fact("CSDVersion") // "Service Pack 1"
		}
	}
	if id.variant.value == "" {
		// Before Vista.
		switch f := openKey(reg, keyProductOpt).fact("ProductType"); f.value {
		case "WinNT":
			id.variant = fact{"Client", f.source}
		case "ServerNT", "LanmanNT":
			id.variant = fact{"Server", f.source}
		}
	}
}

// windows fills in what only Windows has.
func (r *report) windows() {
	root := systemRoot(r.ctx, r.fs)
	w := &api.Windows{SystemRoot: look.Clean(root)}
	r.out.Windows = w
	r.reg = registry.New(r.ctx, r.fs, root)
	for _, h := range []struct {
		key  string
		file *string
	}{{`HKLM\SOFTWARE`, &w.SoftwareHive}, {`HKLM\SYSTEM`, &w.SystemHive}} {
		k, err := r.reg.Open(h.key)
		switch {
		case err == nil:
			*h.file = look.Clean(k.File)
			if k.Replayed > 0 {
				r.warn("%s was not closed: %d pages of it are those of its transaction logs", k.File, k.Replayed)
			}
		case !errors.Is(err, fs.ErrNotExist) && r.ctx.Err() == nil:
			r.warn("%v; what it holds is not known", err)
		}
	}
	if set, err := r.reg.CurrentControlSet(); err == nil {
		r.set("current_control_set", &w.CurrentControlSet, factOf(set, `HKLM\SYSTEM\Select\Current`))
	}
	w.GroupPolicy = r.groupPolicy()
	tcpip := openKey(r.reg, keyTCPIP)
	host := tcpip.fact("Hostname")
	for _, f := range []fact{tcpip.fact("NV Hostname"), openKey(r.reg, keyControl+`\ComputerName\ComputerName`).fact("ComputerName")} {
		if host.value == "" {
			host = f
		}
	}
	r.set("hostname", &r.out.Hostname, host)
	zone := openKey(r.reg, keyControl+`\TimeZoneInformation`)
	f := zone.fact("TimeZoneKeyName")
	if f.value == "" {
		f = zone.fact("StandardName")
	}
	r.set("timezone", &r.out.Timezone, f)
	w.DriveMappings = r.driveMappings()
}

// groupPolicy says whether policies of a domain were applied: the history of
// each extension has the policies, and where the directory has them.
func (r *report) groupPolicy() bool {
	history := openKey(r.reg, keyPolicies)
	if history.Key == nil {
		return false
	}
	for extension, err := range history.Subkeys() {
		if err != nil {
			continue
		}
		for policy, err := range extension.Subkeys() {
			if err != nil {
				continue
			}
			if v, err := policy.Value("DSPath"); err == nil && strings.HasPrefix(strings.ToUpper(v.Text()), "LDAP:") {
				return true
			}
		}
	}
	return false
}
