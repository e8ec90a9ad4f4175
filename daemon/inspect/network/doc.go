// Package network reads how a guest is to reach others, from the configuration of
// what sets its interfaces up; nothing of it says what was set up in the end.
//
//	netplan         /etc/netplan/*.yaml, /usr/lib/netplan: ethernets, wifis, bonds, bridges, vlans, modems, tunnels, ...
//	ifupdown        /etc/network/interfaces and what it sources, by interfaces(5)
//	networkd        /etc/systemd/network/*.network, by systemd.network(5)
//	NetworkManager  keyfiles in /etc/NetworkManager/system-connections, by nm-settings-keyfile(5)
//	ifcfg           /etc/sysconfig/network-scripts (Red Hat), /etc/sysconfig/network (SUSE)
//	rc.conf         the variables ifconfig_NAME of FreeBSD
//	windows         the interfaces of Tcpip\Parameters, with the names of Control\Network
//
// An interface that two of these describe is there twice, with two sources. The
// loopback interface is left out. Keys of wireless networks are not read.
//
// Of YAML only what people and installers write in netplan's files is read (see
// yaml.go); a file with more is a warning.
//
// # Hostile guests
//
// A list has at most maxInterfaces entries, each list in it at most maxItems, and
// package look bounds what is read.
//
// This package may change.
package network
