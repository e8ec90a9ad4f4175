package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds.
const (
	maxInterfaces = 1000
	maxItems      = 256
	maxHosts      = 10_000
)

// A List is what was found.
type List struct {
	Network  api.Network
	Warnings []string

	ctx context.Context
	fs  *look.FS
}

func (l *List) warn(format string, args ...any) {
	if len(l.Warnings) < 100 && l.ctx.Err() == nil {
		l.Warnings = append(l.Warnings, look.Clean(fmt.Sprintf(format, args...)))
	}
}

// add cleans an interface and takes it.
func (l *List) add(i api.Interface) {
	for _, f := range []*string{&i.Name, &i.ID, &i.Type, &i.MAC, &i.Source} {
		*f = look.Clean(*f)
	}
	for _, f := range []*[]string{&i.Method, &i.Addresses, &i.Leased, &i.Gateways, &i.Nameservers, &i.Search} {
		var list []string
		for _, s := range *f {
			if s = look.Clean(s); s != "" && len(list) < maxItems && !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
		*f = list
	}
	switch {
	case i.Name == "" || i.Name == "lo" || i.Name == "lo0":
	case len(l.Network.Interfaces) == maxInterfaces:
		l.warn("there are more than %d interfaces; %s of %s is left out", maxInterfaces, i.Name, i.Source)
	default:
		l.Network.Interfaces = append(l.Network.Interfaces, i)
	}
}

// text is a file's lines, none where it cannot be read.
func (l *List) text(file string) []string {
	lines, err := l.fs.Text(l.ctx, file)
	if err != nil && !look.Absent(err) {
		l.warn("%s: %v", file, err)
	}
	return lines
}

// Unix reads the network of a Unix. The error is ctx's.
func Unix(ctx context.Context, fs *look.FS) (*List, error) {
	l := &List{ctx: ctx, fs: fs, Network: api.Network{Interfaces: []api.Interface{}}}
	for _, read := range []func(){l.netplan, l.ifupdown, l.networkd, l.networkManager, l.ifcfg, l.rcConf} {
		read()
	}
	l.resolver()
	l.hosts("/etc/hosts")
	return l, ctx.Err()
}

// resolver reads resolv.conf(5), which is often a link to what exists only while
// the guest runs.
func (l *List) resolver() {
	const file = "/etc/resolv.conf"
	for n, line := range l.text(file) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		var list *[]api.NetworkFact
		switch f[0] {
		case "nameserver":
			list = &l.Network.Nameservers
			f = f[:2]
		case "search", "domain":
			list = &l.Network.Search
		default:
			continue
		}
		for _, value := range f[1:] {
			if value = look.Clean(value); value != "" && len(*list) < maxItems {
				*list = append(*list, api.NetworkFact{Value: value, Source: look.At(file, n+1)})
			}
		}
	}
}

// hosts reads hosts(5), but for the addresses that every machine gives itself.
func (l *List) hosts(file string) {
	for n, line := range l.text(file) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 || len(l.Network.Hosts) == maxHosts {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil || a.IsLoopback() || a.IsMulticast() || a == netip.MustParseAddr("fe00::") || a == netip.MustParseAddr("ff00::") {
			continue
		}
		h := api.HostsAddress{Address: a.String(), Source: look.At(file, n+1)}
		for _, name := range f[1:min(len(f), maxItems)] {
			h.Names = append(h.Names, look.Clean(name))
		}
		l.Network.Hosts = append(l.Network.Hosts, h)
	}
}

// prefixed is an address with the length of its network's prefix, where it is
// told: by a mask of four numbers or by a length.
func prefixed(address, mask string) string {
	if address == "" || mask == "" || strings.Contains(address, "/") {
		return address
	}
	if _, err := strconv.ParseUint(mask, 10, 8); err == nil {
		return address + "/" + mask
	}
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return address
	}
	bits := 0
	for _, b := range a.As4() {
		for ; b&0x80 != 0; b <<= 1 {
			bits++
		}
		if b != 0 {
			return address // no mask
		}
	}
	return address + "/" + strconv.Itoa(bits)
}

// list splits at what separates items.
func list(s, separators string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) })
}
