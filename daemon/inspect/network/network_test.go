package network

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
	"github.com/guestctl/guestctl/tests/images/hives"
	"github.com/guestctl/guestctl/vfs"
	"github.com/guestctl/guestctl/vfs/vfstest"
)

func guest(files map[string]string) *look.FS {
	m := vfstest.NewMemory()
	for name, content := range files {
		m.Add(name, vfstest.Text(content))
	}
	return look.New(vfs.NewNamespace(vfs.NewTree("sda1", m)))
}

func unix(t testing.TB, files map[string]string) *List {
	t.Helper()
	l, err := Unix(context.Background(), guest(files))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// line is an interface in a line, what it has not left out.
func line(i api.Interface) string {
	s := i.Manager + " " + i.Name
	for _, f := range [][2]string{{"type", i.Type}, {"mac", i.MAC}, {"by", strings.Join(i.Method, ",")}, {"has", strings.Join(i.Addresses, ",")}, {"leased", strings.Join(i.Leased, ",")},
		{"via", strings.Join(i.Gateways, ",")}, {"dns", strings.Join(i.Nameservers, ",")}, {"search", strings.Join(i.Search, ",")}} {
		if f[1] != "" {
			s += " " + f[0] + " " + f[1]
		}
	}
	return s + " @ " + i.Source
}

func lines(l *List) []string {
	var out []string
	for _, i := range l.Network.Interfaces {
		out = append(out, line(i))
	}
	return out
}

// netplanCloud is what cloud-init writes, and Subiquity, and people.
const netplanCloud = `# This file is generated from information provided by the datasource.
network:
    version: 2
    renderer: networkd
    ethernets:
        ens3:
            dhcp4: true
            match:
                macaddress: "fa:16:3e:00:00:01"   # of the cloud
            set-name: ens3
        ens4:
            addresses:
            - 192.0.2.10/24
            - "2001:db8::10/64":
                label: x
            nameservers:
                addresses: [192.0.2.1, "2001:db8::1"]
                search: [example.com, 'lab.example.com']
            routes:
            -   to: default
                via: 192.0.2.1
            - {to: 10.0.0.0/8, via: 192.0.2.2}
            - to: ::/0
              via: 2001:db8::1
    bonds: {bond0: {interfaces: [ens5, ens6], dhcp4: no, dhcp6: yes}}
    wifis:
      wlan0:
        access-points:
          "my net":
            password: "secret"
        dhcp4: yes
`

// TestUnix reads each manager's files.
func TestUnix(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"netplan": {map[string]string{"/etc/netplan/50-cloud-init.yaml": netplanCloud, "/usr/lib/netplan/50-cloud-init.yaml": "network: {ethernets: {x: {}}}"}, []string{
			"netplan ens3 type ethernet mac fa:16:3e:00:00:01 by dhcp4 @ /etc/netplan/50-cloud-init.yaml:6",
			"netplan ens4 type ethernet by static has 192.0.2.10/24,2001:db8::10/64 via 192.0.2.1,2001:db8::1 dns 192.0.2.1,2001:db8::1 search example.com,lab.example.com @ /etc/netplan/50-cloud-init.yaml:11",
			"netplan bond0 type bond by dhcp6 @ /etc/netplan/50-cloud-init.yaml:25", "netplan wlan0 type wifi by dhcp4 @ /etc/netplan/50-cloud-init.yaml:27"}},
		"ifupdown": {map[string]string{"/etc/network/interfaces": "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\niface eth0 inet6 auto\n",
			"/etc/network/interfaces.d/eth1": "auto eth1\niface eth1 inet static\n\taddress 192.0.2.5\n\tnetmask 255.255.252.0\n\tgateway 192.0.2.1\n\tdns-nameservers 192.0.2.2 \\\n\t 192.0.2.3\n\thwaddress ether 02:00:00:00:00:01\n\tup echo hello\n",
			"/etc/network/interfaces.d/br0":  "iface br0 inet6 static\n address 2001:db8::2/64\n bridge_ports eth2\nsource /etc/network/interfaces\n"}, []string{
			"ifupdown br0 type bridge by static has 2001:db8::2/64 @ /etc/network/interfaces.d/br0:1",
			"ifupdown eth1 mac 02:00:00:00:00:01 by static has 192.0.2.5/22 via 192.0.2.1 dns 192.0.2.2,192.0.2.3 @ /etc/network/interfaces.d/eth1:2",
			"ifupdown eth0 by dhcp4 @ /etc/network/interfaces:5", "ifupdown eth0 by auto6 @ /etc/network/interfaces:6"}},
		"networkd": {map[string]string{"/etc/systemd/network/10-lan.network": "[Match]\nName=en*\n\n[Network]\nDHCP=ipv4\nAddress=192.0.2.7/24\nDNS=192.0.2.1\nDomains=a.example b.example\n\n[Route]\nGateway=192.0.2.254\n",
			"/etc/systemd/network/20-mac.network": "[Match]\nMACAddress=02:00:00:00:00:02\n[Network]\nDHCP=yes\n"}, []string{
			"networkd en* by dhcp4,static has 192.0.2.7/24 via 192.0.2.254 dns 192.0.2.1 search a.example,b.example @ /etc/systemd/network/10-lan.network",
			"networkd 02:00:00:00:00:02 mac 02:00:00:00:00:02 by dhcp4,dhcp6 @ /etc/systemd/network/20-mac.network"}},
		"NetworkManager": {map[string]string{"/etc/NetworkManager/system-connections/lan.nmconnection": "[connection]\nid=lan\nuuid=u-1\ntype=ethernet\ninterface-name=eno1\n\n[ethernet]\nmac-address=02:00:00:00:00:03\n\n[ipv4]\naddress1=192.0.2.8/24,192.0.2.1\ndns=192.0.2.1;192.0.2.2;\ndns-search=example.com;\nmethod=manual\n\n[ipv6]\nmethod=auto\n",
			"/etc/NetworkManager/system-connections/home": "[connection]\nid=Home\ntype=wifi\n[wifi-security]\npsk=secret\n[ipv4]\nmethod=auto\n[ipv6]\nmethod=ignore\n"}, []string{
			"NetworkManager Home type wifi by dhcp4 @ /etc/NetworkManager/system-connections/home",
			"NetworkManager eno1 type ethernet mac 02:00:00:00:00:03 by static,auto6 has 192.0.2.8/24 via 192.0.2.1 dns 192.0.2.1,192.0.2.2 search example.com @ /etc/NetworkManager/system-connections/lan.nmconnection"}},
		"ifcfg": {map[string]string{"/etc/sysconfig/network-scripts/ifcfg-eth0": "TYPE=Ethernet\nBOOTPROTO=none\nNAME=eth0\nDEVICE=eth0\nHWADDR=02:00:00:00:00:04\nIPADDR=192.0.2.9\nNETMASK=255.255.255.0\nGATEWAY=192.0.2.1\nDNS1=192.0.2.1\nDNS2=192.0.2.2\nDOMAIN=\"example.com\"\nIPV6_AUTOCONF=yes\n",
			"/etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\nIPADDR=127.0.0.1\n", "/etc/sysconfig/network-scripts/ifcfg-eth0.bak": "DEVICE=x\n",
			"/etc/sysconfig/network/ifcfg-eth1": "BOOTPROTO='static'\nIPADDR='192.0.2.10/24'\nIPADDR_1='192.0.2.11'\nPREFIXLEN_1='25'\n"}, []string{
			"ifcfg eth0 type ethernet mac 02:00:00:00:00:04 by auto6,static has 192.0.2.9/24 via 192.0.2.1 dns 192.0.2.1,192.0.2.2 search example.com @ /etc/sysconfig/network-scripts/ifcfg-eth0",
			"ifcfg eth1 by static has 192.0.2.10/24,192.0.2.11/25 @ /etc/sysconfig/network/ifcfg-eth1"}},
		"freebsd": {map[string]string{"/etc/rc.conf": "ifconfig_vtnet0=\"DHCP\"\nifconfig_vtnet1=\"inet 192.0.2.12 netmask 255.255.255.128\"\nifconfig_vtnet1_alias0=\"inet 192.0.2.13/32\"\nifconfig_vtnet0_ipv6=\"inet6 accept_rtadv\"\ndefaultrouter=\"192.0.2.1\"\n"}, []string{
			"rc.conf vtnet0 by dhcp4 @ /etc/rc.conf:1", "rc.conf vtnet1 by static has 192.0.2.12/25 via 192.0.2.1 @ /etc/rc.conf:2", "rc.conf vtnet1 by static has 192.0.2.13/32 via 192.0.2.1 @ /etc/rc.conf:3",
			"rc.conf vtnet0 by auto6 @ /etc/rc.conf:4"}},
	} {
		l := unix(t, c.files)
		if d := cmp.Diff(lines(l), c.want); d != "" || len(l.Warnings) > 0 {
			t.Errorf("%s: %s%q", name, d, l.Warnings)
		}
	}
	l := unix(t, map[string]string{"/etc/resolv.conf": "# x\nnameserver 192.0.2.1\noptions edns0\nsearch example.com lab.example\n", "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\nff02::1 ip6-allnodes\nfe00::0 ip6-localnet\n192.0.2.20 nas nas.example # here\nbroken\n"})
	if d := cmp.Diff(l.Network, api.Network{Interfaces: []api.Interface{}, Nameservers: []api.NetworkFact{{Value: "192.0.2.1", Source: "/etc/resolv.conf:2"}},
		Search: []api.NetworkFact{{Value: "example.com", Source: "/etc/resolv.conf:4"}, {Value: "lab.example", Source: "/etc/resolv.conf:4"}}, Hosts: []api.HostsAddress{{Address: "192.0.2.20", Names: []string{"nas", "nas.example"}, Source: "/etc/hosts:5"}}}); d != "" {
		t.Error(d)
	}
}

// TestYAML reads what it can, and names what it cannot.
func TestYAML(t *testing.T) {
	y, err := parseYAML(strings.Split("a:\n- 1\n- 2\nb: [x, [y, z]]\nc:\n  - d: e\n    f: g\n  - h\n\"i\": 'j # k' # l\nm: http://n\n", "\n"))
	if err != nil || strings.Join(y.keys, "") != "abcim" || strings.Join(y.get("a").texts(), "") != "12" || y.get("b").list[1].list[1].text != "z" || y.get("c").list[0].get("f").text != "g" ||
		y.get("c").list[1].text != "h" || y.get("i").text != "j # k" || y.get("m").text != "http://n" {
		t.Errorf("%+v, %v", y, err)
	}
	for text, want := range map[string]string{"a: &x 1": `YAML's "&" is not read`, "a: |\n  b": `YAML's "|" is not read`, "a: [1,\n 2]": "brackets that are closed on another line", "a\nb": "neither a key nor an item",
		"a: 1\n   b: 2": "fits nothing above", "\ta: 1": "indented with a tab", "a: 'x": "in quotes that goes on", strings.Repeat("- ", 100) + "a": "nested deeper", "a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100): "nested deeper"} {
		if _, err := parseYAML(strings.Split(text, "\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// TestWindows reads interfaces of Tcpip with their names.
func TestWindows(t *testing.T) {
	const set = `[\ControlSet001\Services\Tcpip\Parameters`
	multi := func(s string) string {
		var b []byte
		for _, c := range []byte(s + "\x00\x00") {
			b = append(b, c, 0)
		}
		return "hex(7):" + hives.Bytes(b)
	}
	system := hives.Make(t, "[\\Select]\n\"Current\"=dword:00000001\n\n"+set+"]\n\"SearchList\"=\"a.example,b.example\"\n\n"+
		set+"\\Interfaces\\{A}]\n\"EnableDHCP\"=dword:00000001\n\"DhcpIPAddress\"=\"192.0.2.30\"\n\"DhcpSubnetMask\"=\"255.255.255.0\"\n\"NameServer\"=\"192.0.2.1 192.0.2.2\"\n\n"+
		set+"\\Interfaces\\{B}]\n\"EnableDHCP\"=dword:00000000\n\"IPAddress\"="+multi("192.0.2.31")+"\n\"SubnetMask\"="+multi("255.255.0.0")+"\n\"DefaultGateway\"="+multi("192.0.2.1")+"\n\n"+
		set+"\\Interfaces\\{C}]\n\"EnableDHCP\"=dword:00000000\n\n[\\ControlSet001\\Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}\\{B}\\Connection]\n\"Name\"=\"Ethernet 2\"\n")
	tree := guest(map[string]string{"/Windows/System32/config/SYSTEM": string(system), "/Windows/System32/drivers/etc/hosts": "192.0.2.40 srv\r\n"})
	l, err := Windows(context.Background(), registry.New(context.Background(), tree, "/Windows"), tree, "/Windows")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(lines(l), []string{`windows {A} by dhcp4 leased 192.0.2.30/24 dns 192.0.2.1,192.0.2.2 @ ` + tcpipKey + `\Interfaces\{A}`,
		`windows Ethernet 2 by static has 192.0.2.31/16 via 192.0.2.1 @ ` + tcpipKey + `\Interfaces\{B}`}); d != "" || len(l.Network.Search) != 2 || len(l.Network.Hosts) != 1 || l.Network.Hosts[0].Names[0] != "srv" {
		t.Errorf("%s%+v", d, l)
	}
}

// TestHostile bounds what a guest can do.
func TestHostile(t *testing.T) {
	m := vfstest.NewMemory()
	m.Add("/etc/network/interfaces", vfstest.Text(strings.Repeat("source interfaces\niface e\x1b[31m inet dhcp\n", 2000)))
	m.Add("/etc/netplan/a.yaml", vfstest.Spec{Pieces: []vfstest.Piece{{Kind: vfs.Hole, Len: 10 << 30}}})
	m.Add("/etc/resolv.conf", vfstest.Symlink("resolv.conf"))
	m.Add("/etc/hosts", vfstest.Text(strings.Repeat("1.1.1.1 a\n", 9000)))
	l, err := Unix(context.Background(), look.New(vfs.NewNamespace(vfs.NewTree("sda1", m))))
	if err != nil || len(l.Network.Interfaces) != maxInterfaces || l.Network.Interfaces[0].Name != "e\ufffd[31m" || len(l.Warnings) != 100 {
		t.Errorf("%d, %q, %v", len(l.Network.Interfaces), l.Warnings, err)
	}
}

// FuzzYAML reads any YAML.
func FuzzYAML(f *testing.F) {
	f.Add(netplanCloud)
	f.Add("-\n- a:\n  -\n")
	f.Fuzz(func(t *testing.T, text string) {
		y, err := parseYAML(strings.Split(text, "\n"))
		if err == nil && len(y.keys) != len(y.vals) {
			t.Error("keys without values")
		}
	})
}

// FuzzUnix reads any file as each of them.
func FuzzUnix(f *testing.F) {
	f.Add("iface eth0 inet static\n address 192.0.2.1\n netmask 255.0.0.0\n")
	f.Add("[Match]\nName=a\n[connection]\nid=b\n[ipv4]\naddress1=1.1.1.1/8,2.2.2.2;\n")
	f.Add("IPADDR=1\nNETMASK=255.255.0.0\nifconfig_em0='inet 1.1.1.1 netmask 255.0.0.0'\n")
	f.Add(netplanCloud)
	f.Fuzz(func(t *testing.T, text string) {
		l := unix(t, map[string]string{"/etc/netplan/a.yaml": text, "/etc/network/interfaces": text, "/etc/systemd/network/a.network": text, "/etc/NetworkManager/system-connections/a": text,
			"/etc/sysconfig/network-scripts/ifcfg-a": text, "/etc/rc.conf": text, "/etc/resolv.conf": text, "/etc/hosts": text})
		for _, i := range l.Network.Interfaces {
			if s := line(i); i.Name == "" || strings.ContainsAny(s, "\x00\x1b\n\u009b") || len(i.Addresses) > maxItems {
				t.Errorf("%q", s)
			}
		}
	})
}
