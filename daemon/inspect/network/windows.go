package network

import (
	"context"
	"errors"
	"io/fs"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
)

const (
	tcpipKey    = `HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters`
	adaptersKey = `HKLM\SYSTEM\CurrentControlSet\Control\Network\{4D36E972-E325-11CE-BFC1-08002BE10318}` // the class of network adapters
)

// Windows reads the network of a Windows, whose tree is tree. The error is ctx's.
func Windows(ctx context.Context, reg *registry.Registry, tree *look.FS, systemRoot string) (*List, error) {
	l := &List{ctx: ctx, fs: tree, Network: api.Network{Interfaces: []api.Interface{}}}
	k, err := reg.Open(tcpipKey + `\Interfaces`)
	switch {
	case err == nil:
		for sub, err := range k.Subkeys() {
			if err != nil {
				l.warn("%s: %v", tcpipKey, err)
				continue
			}
			l.adapter(reg, sub)
		}
	case !errors.Is(err, fs.ErrNotExist):
		l.warn("the network is not known: %v", err)
	}
	if k, err := reg.Open(tcpipKey); err == nil {
		for _, name := range []string{"SearchList", "Domain"} {
			for _, s := range list(value(k.Key, name).Text(), ", ") {
				if s = look.Clean(s); s != "" && len(l.Network.Search) < maxItems {
					l.Network.Search = append(l.Network.Search, api.NetworkFact{Value: s, Source: tcpipKey + `\` + name})
				}
			}
		}
	}
	if hosts := tree.NoCase(ctx, systemRoot+"/system32/drivers/etc/hosts"); hosts != "" {
		l.hosts(hosts)
	}
	return l, ctx.Err()
}

// value is a value of a key, an empty one where there is none.
func value(k *hive.Key, name string) hive.Value {
	v, err := k.Value(name)
	if err != nil {
		return hive.Value{}
	}
	return v
}

// adapter takes an interface that has an address, or asks for one.
func (l *List) adapter(reg *registry.Registry, k *hive.Key) {
	i := api.Interface{Name: k.Name(), ID: k.Name(), Manager: "windows", Source: tcpipKey + `\Interfaces\` + k.Name()}
	if c, err := reg.Open(adaptersKey + `\` + k.Name() + `\Connection`); err == nil {
		if name := value(c.Key, "Name").Text(); name != "" {
			i.Name = name
		}
	}
	dhcp, _ := value(k, "EnableDHCP").Number()
	if dhcp == 1 {
		i.Method = []string{"dhcp4"}
		if a := value(k, "DhcpIPAddress").Text(); a != "" && a != "0.0.0.0" {
			i.Leased = []string{prefixed(a, value(k, "DhcpSubnetMask").Text())}
		}
	} else {
		masks := value(k, "SubnetMask").Texts()
		for n, a := range value(k, "IPAddress").Texts() {
			if a == "0.0.0.0" {
				continue
			}
			mask := ""
			if n < len(masks) {
				mask = masks[n]
			}
			i.Addresses = append(i.Addresses, prefixed(a, mask))
		}
		if len(i.Addresses) > 0 {
			i.Method = []string{"static"}
		}
		i.Gateways = value(k, "DefaultGateway").Texts()
	}
	i.Nameservers = list(value(k, "NameServer").Text(), ", ")
	i.Search = list(value(k, "Domain").Text(), ", ")
	if len(i.Method) > 0 {
		l.add(i)
	}
}
