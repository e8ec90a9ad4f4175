package network

import (
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// netplanTypes are the kinds of interfaces, by the keys of netplan's files.
func netplanTypes() map[string]string {
	return map[string]string{"ethernets": "ethernet", "wifis": "wifi", "modems": "modem", "bonds": "bond", "bridges": "bridge", "vlans": "vlan", "tunnels": "tunnel", "vrfs": "vrf",
		"dummy-devices": "dummy", "virtual-ethernets": "veth"}
}

// netplan reads netplan's files; one in /etc stands for one of its name in /usr/lib.
func (l *List) netplan() {
	seen := map[string]bool{}
	for _, dir := range []string{"/etc/netplan", "/usr/lib/netplan"} {
		for _, file := range l.fs.Glob(l.ctx, dir, "*.yaml") {
			if seen[path.Base(file)] {
				continue
			}
			seen[path.Base(file)] = true
			doc, err := parseYAML(l.text(file))
			if err != nil {
				l.warn("%s: %v", file, err)
				continue
			}
			net := doc.get("network")
			for i, key := range net.keys {
				if kind := netplanTypes()[key]; kind != "" {
					for j, name := range net.vals[i].keys {
						l.add(netplanInterface(name, kind, net.vals[i].vals[j], file))
					}
				}
			}
		}
	}
}

func netplanInterface(name, kind string, y yaml, file string) api.Interface {
	i := api.Interface{Name: name, Manager: "netplan", Type: kind, MAC: y.get("macaddress").text, Addresses: y.get("addresses").texts(),
		Nameservers: y.get("nameservers", "addresses").texts(), Search: y.get("nameservers", "search").texts(), Source: look.At(file, y.line)}
	if i.MAC == "" {
		i.MAC = y.get("match", "macaddress").text
	}
	for _, key := range []string{"dhcp4", "dhcp6"} {
		if isTrue(y.get(key).text) {
			i.Method = append(i.Method, key)
		}
	}
	if len(i.Addresses) > 0 {
		i.Method = append(i.Method, "static")
	}
	for _, key := range []string{"gateway4", "gateway6"} {
		i.Gateways = append(i.Gateways, y.get(key).text)
	}
	for _, r := range y.get("routes").list {
		switch r.get("to").text {
		case "default", "0.0.0.0/0", "::/0":
			i.Gateways = append(i.Gateways, r.get("via").text)
		}
	}
	return i
}

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y", "1":
		return true
	}
	return false
}
