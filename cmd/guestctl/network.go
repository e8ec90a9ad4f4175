package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/api"
)

func (s *streams) networkCommand() *cli.Command {
	return &cli.Command{
		Name: "network", Usage: "show the network configuration", ArgsUsage: "IMAGE...", Category: "Inspect",
		Description: "Shows the interfaces that each operating system is to set up, by netplan, ifupdown, networkd, NetworkManager, ifcfg files,\n" +
			"rc.conf or Windows' registry, then name servers, search domains and the hosts file. Keys of wireless networks are not read.\n" +
			"With --json one object of the shape guestctl.networks/1 for each image, with sources.",
		Flags: append(commonFlags(), jsonFlag()),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			return s.each(argv, func(g *opened, _ target) error {
				r, err := g.Networks(s.ctx)
				if err != nil {
					return err
				}
				if s.cli.Bool("json") {
					return s.encode(r)
				}
				for i := range r.Systems {
					s.printNetwork(&r.Systems[i])
				}
				return nil
			})
		}),
	}
}

func (s *session) printNetwork(y *api.SystemNetwork) {
	joined := func(list []string) string { return dash(shown(strings.Join(list, " "))) }
	rows := [][]string{{"INTERFACE", "TYPE", "METHOD", "ADDRESSES", "GATEWAYS", "NAMESERVERS", "MAC", "MANAGER"}}
	for _, i := range y.Network.Interfaces {
		addresses := i.Addresses
		if len(addresses) == 0 && len(i.Leased) > 0 {
			addresses = []string{i.Leased[0] + " (leased)"}
		}
		rows = append(rows, []string{shown(i.Name), dash(shown(i.Type)), joined(i.Method), joined(addresses), joined(i.Gateways), joined(i.Nameservers), dash(shown(i.MAC)), i.Manager})
	}
	if len(rows) > 1 {
		printTable(s.out, rows)
	}
	for _, f := range y.Network.Nameservers {
		fmt.Fprintf(s.out, "nameserver  %s\n", shown(f.Value))
	}
	for _, f := range y.Network.Search {
		fmt.Fprintf(s.out, "search      %s\n", shown(f.Value))
	}
	for _, h := range y.Network.Hosts {
		fmt.Fprintf(s.out, "host        %s %s\n", h.Address, shown(strings.Join(h.Names, " ")))
	}
	for _, w := range y.Warnings {
		s.complain(w)
	}
}
