package network

import (
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// An assignment is a line of a file with sections.
type assignment struct{ section, key, value string }

// assignments are those of a file of systemd or NetworkManager.
func (l *List) assignments(file string) []assignment {
	section := ""
	var list []assignment
	for _, line := range l.text(file) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			if key, value, ok := strings.Cut(line, "="); ok {
				list = append(list, assignment{section, strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"`)})
			}
		}
	}
	return list
}

// networkd reads systemd.network(5).
func (l *List) networkd() {
	for _, file := range l.fs.Glob(l.ctx, "/etc/systemd/network", "*.network") {
		i := api.Interface{Manager: "networkd", Source: file}
		for _, a := range l.assignments(file) {
			switch a.section + "." + a.key {
			case "Match.Name":
				i.Name = a.value
			case "Match.MACAddress", "Match.PermanentMACAddress", "Link.MACAddress":
				i.MAC = a.value
			case "Match.Type":
				i.Type = a.value
			case "Network.DHCP":
				switch strings.ToLower(a.value) {
				case "yes", "true", "both", "on", "1":
					i.Method = append(i.Method, "dhcp4", "dhcp6")
				case "ipv4", "v4":
					i.Method = append(i.Method, "dhcp4")
				case "ipv6", "v6":
					i.Method = append(i.Method, "dhcp6")
				}
			case "Network.Address", "Address.Address":
				i.Addresses = append(i.Addresses, a.value)
			case "Network.Gateway", "Route.Gateway":
				if !strings.HasPrefix(a.value, "_") {
					i.Gateways = append(i.Gateways, a.value)
				}
			case "Network.DNS":
				i.Nameservers = append(i.Nameservers, strings.Fields(a.value)...)
			case "Network.Domains":
				i.Search = append(i.Search, strings.Fields(a.value)...)
			}
		}
		if len(i.Addresses) > 0 {
			i.Method = append(i.Method, "static")
		}
		if i.Name == "" && i.MAC != "" {
			i.Name = i.MAC
		}
		l.add(i)
	}
}

// networkManager reads nm-settings-keyfile(5).
func (l *List) networkManager() {
	const dir = "/etc/NetworkManager/system-connections"
	for _, file := range l.fs.Glob(l.ctx, dir, "*") {
		i := api.Interface{Manager: "NetworkManager", Source: file}
		connection := ""
		for _, a := range l.assignments(file) {
			switch a.section {
			case "connection":
				switch a.key {
				case "id":
					connection = a.value
				case "uuid":
					i.ID = a.value
				case "type":
					i.Type = strings.TrimPrefix(strings.TrimPrefix(a.value, "802-3-"), "802-11-")
				case "interface-name":
					i.Name = a.value
				}
			case "ethernet", "802-3-ethernet", "wifi", "802-11-wireless":
				if a.key == "mac-address" || a.key == "cloned-mac-address" {
					i.MAC = a.value
				}
			case "ipv4", "ipv6":
				keyfileAddress(&i, a)
			}
		}
		if i.Name == "" {
			i.Name = connection
		}
		l.add(i)
	}
}

func keyfileAddress(i *api.Interface, a assignment) {
	six := a.section == "ipv6"
	switch {
	case a.key == "method":
		switch a.value {
		case "auto":
			i.Method = append(i.Method, map[bool]string{false: "dhcp4", true: "auto6"}[six])
		case "dhcp":
			i.Method = append(i.Method, "dhcp6")
		case "manual":
			i.Method = append(i.Method, "static")
		}
	case strings.HasPrefix(a.key, "address"): // address1=192.0.2.5/24,192.0.2.1
		for _, one := range list(a.value, ";") {
			address, gateway, _ := strings.Cut(one, ",")
			i.Addresses, i.Gateways = append(i.Addresses, address), append(i.Gateways, gateway)
		}
	case a.key == "gateway":
		i.Gateways = append(i.Gateways, a.value)
	case a.key == "dns":
		i.Nameservers = append(i.Nameservers, list(a.value, ";,")...)
	case a.key == "dns-search":
		i.Search = append(i.Search, list(a.value, ";,")...)
	}
}
