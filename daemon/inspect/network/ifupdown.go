package network

import (
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// maxSourced bounds the files that interfaces(5) names.
const maxSourced = 200

// ifupdown reads interfaces(5).
func (l *List) ifupdown() {
	seen := map[string]bool{}
	l.interfaces("/etc/network/interfaces", seen)
}

func (l *List) interfaces(file string, seen map[string]bool) {
	if seen[file] || len(seen) == maxSourced {
		return
	}
	seen[file] = true
	lines := l.text(file)
	var now *api.Interface
	mask := ""
	end := func() {
		if now == nil {
			return
		}
		for i := range now.Addresses {
			now.Addresses[i] = prefixed(now.Addresses[i], mask)
		}
		l.add(*now)
		now, mask = nil, ""
	}
	defer end()
	for n := 0; n < len(lines); n++ {
		line, at := strings.TrimSpace(lines[n]), n+1
		for strings.HasSuffix(line, `\`) && n+1 < len(lines) {
			n++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[n])
			if len(line) > look.MaxText {
				return
			}
		}
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		switch f[0] {
		case "iface":
			if end(); len(f) >= 4 {
				now = &api.Interface{Name: f[1], Manager: "ifupdown", Method: []string{ifupdownMethod(f[2], f[3])}, Source: look.At(file, at)}
			}
		case "auto", "mapping", "rename", "no-auto-down", "no-scripts":
			end()
		case "source":
			end()
			for _, pattern := range f[1:] {
				l.sourced(file, pattern, seen)
			}
		case "source-directory":
			end()
			for _, dir := range f[1:] {
				l.sourced(file, dir+"/*", seen)
			}
		default:
			if strings.HasPrefix(f[0], "allow-") {
				end()
			} else if now != nil && len(f) > 1 {
				ifupdownOption(now, &mask, f)
			}
		}
	}
}

// sourced reads the files that a pattern names; of the last part only it has
// wildcards.
func (l *List) sourced(file, pattern string, seen map[string]bool) {
	if !strings.HasPrefix(pattern, "/") {
		pattern = path.Dir(file) + "/" + pattern
	}
	for _, name := range l.fs.Glob(l.ctx, path.Dir(pattern), path.Base(pattern)) {
		if l.fs.IsFile(l.ctx, name) {
			l.interfaces(name, seen)
		}
	}
}

func ifupdownMethod(family, method string) string {
	switch {
	case method == "dhcp" && family == "inet6":
		return "dhcp6"
	case method == "dhcp":
		return "dhcp4"
	case method == "auto":
		return "auto6"
	}
	return method // static, manual, loopback, ppp, ...
}

func ifupdownOption(i *api.Interface, mask *string, f []string) {
	switch f[0] {
	case "address":
		i.Addresses = append(i.Addresses, f[1])
	case "netmask":
		*mask = f[1]
	case "gateway":
		i.Gateways = append(i.Gateways, f[1])
	case "dns-nameservers", "dns-nameserver":
		i.Nameservers = append(i.Nameservers, f[1:]...)
	case "dns-search", "dns-domain":
		i.Search = append(i.Search, f[1:]...)
	case "hwaddress":
		i.MAC = f[len(f)-1] // after "ether"
	case "bridge_ports", "bridge-ports":
		i.Type = "bridge"
	case "bond-slaves", "bond-mode", "slaves":
		i.Type = "bond"
	case "vlan-raw-device", "vlan_raw_device":
		i.Type = "vlan"
	}
}
