package network

import (
	"net/netip"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// ifcfg reads the files of Red Hat's and SUSE's network scripts.
func (l *List) ifcfg() {
	for _, dir := range []string{"/etc/sysconfig/network-scripts", "/etc/sysconfig/network"} {
		for _, file := range l.fs.Glob(l.ctx, dir, "ifcfg-*") {
			name := strings.TrimPrefix(path.Base(file), "ifcfg-")
			if strings.HasSuffix(name, "~") || strings.Contains(name, ".rpm") || strings.HasSuffix(name, ".bak") || strings.HasSuffix(name, ".template") {
				continue
			}
			l.add(ifcfgInterface(name, look.Pairs(l.text(file)), file))
		}
	}
}

func ifcfgInterface(name string, pairs []look.Pair, file string) api.Interface {
	i := api.Interface{Name: name, Manager: "ifcfg", Source: file}
	values := map[string]string{}
	var addresses []string // the ends of the keys: IPADDR, IPADDR1, IPADDR_x
	for _, p := range pairs {
		values[p.Key] = p.Value
		if end, ok := strings.CutPrefix(p.Key, "IPADDR"); ok && len(addresses) < maxItems {
			addresses = append(addresses, end)
		}
		switch {
		case p.Key == "DEVICE" && p.Value != "":
			i.Name = p.Value
		case p.Key == "UUID":
			i.ID = p.Value
		case p.Key == "TYPE":
			i.Type = strings.ToLower(p.Value)
		case p.Key == "HWADDR" || p.Key == "MACADDR" || p.Key == "LLADDR":
			i.MAC = p.Value
		case p.Key == "BOOTPROTO":
			switch strings.ToLower(p.Value) {
			case "dhcp", "bootp":
				i.Method = append(i.Method, "dhcp4")
			case "dhcp4", "dhcp6":
				i.Method = append(i.Method, strings.ToLower(p.Value))
			case "dhcp+autoip":
				i.Method = append(i.Method, "dhcp4", "dhcp6")
			}
		case p.Key == "DHCPV6C" && isTrue(p.Value):
			i.Method = append(i.Method, "dhcp6")
		case p.Key == "IPV6_AUTOCONF" && isTrue(p.Value):
			i.Method = append(i.Method, "auto6")
		case strings.HasPrefix(p.Key, "GATEWAY") && !strings.HasPrefix(p.Key, "GATEWAYDEV") || p.Key == "IPV6_DEFAULTGW":
			i.Gateways = append(i.Gateways, p.Value)
		case strings.HasPrefix(p.Key, "DNS") && strings.Trim(p.Key[3:], "0123456789") == "":
			i.Nameservers = append(i.Nameservers, p.Value)
		case p.Key == "DOMAIN":
			i.Search = append(i.Search, strings.Fields(p.Value)...)
		case p.Key == "IPV6ADDR" || p.Key == "IPV6ADDR_SECONDARIES":
			i.Addresses = append(i.Addresses, strings.Fields(p.Value)...)
		}
	}
	for _, end := range addresses {
		mask := values["PREFIX"+end] + values["PREFIXLEN"+end]
		if mask == "" {
			mask = values["NETMASK"+end]
		}
		i.Addresses = append(i.Addresses, prefixed(values["IPADDR"+end], mask))
	}
	if len(i.Addresses) > 0 {
		i.Method = append(i.Method, "static")
	}
	return i
}

// rcConf reads the variables ifconfig_NAME and defaultrouter of FreeBSD's rc.conf(5).
func (l *List) rcConf() {
	for _, file := range []string{"/etc/rc.conf", "/etc/rc.conf.local"} {
		pairs := look.Pairs(l.text(file))
		var gateways []string
		for _, p := range pairs {
			if (p.Key == "defaultrouter" || p.Key == "ipv6_defaultrouter") && strings.ToUpper(p.Value) != "NO" {
				gateways = append(gateways, p.Value)
			}
		}
		for _, p := range pairs {
			name, ok := strings.CutPrefix(p.Key, "ifconfig_")
			if !ok {
				continue
			}
			name = strings.TrimSuffix(name, "_ipv6")
			if base, alias, found := strings.Cut(name, "_alias"); found && alias != "" {
				name = base
			}
			i := api.Interface{Name: name, Manager: "rc.conf", Source: look.At(file, p.Line)}
			f := strings.Fields(p.Value)
			for n, word := range f {
				next := ""
				if n+1 < len(f) {
					next = f[n+1]
				}
				switch strings.ToLower(word) {
				case "dhcp", "syncdhcp":
					i.Method = append(i.Method, "dhcp4")
				case "accept_rtadv":
					i.Method = append(i.Method, "auto6")
				case "inet", "inet6":
					address, _, _ := strings.Cut(next, "/")
					if _, err := netip.ParseAddr(address); err == nil {
						i.Addresses = append(i.Addresses, next)
					}
				case "netmask", "prefixlen":
					if k := len(i.Addresses); k > 0 {
						i.Addresses[k-1] = prefixed(i.Addresses[k-1], next)
					}
				case "ether", "lladdr":
					i.MAC = next
				}
			}
			if len(i.Addresses) > 0 {
				i.Method = append(i.Method, "static")
				i.Gateways = gateways
			}
			l.add(i)
		}
	}
}
