package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/api"
)

func (s *streams) servicesCommand() *cli.Command {
	return &cli.Command{
		Name: "services", Usage: "list what is started at boot", ArgsUsage: "IMAGE...", Category: "Inspect",
		Description: "Lists the services of systemd, System V, OpenRC, rc.conf and Windows that each operating system starts by itself; with --all\n" +
			"the others, masked units and drivers too. With --json one object of the shape guestctl.services/1 for each image, which\n" +
			"always has all.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "all", Aliases: []string{"a"}, Usage: "also what is not started"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			return s.each(argv, func(g *opened, _ target) error {
				r, err := g.Services(s.ctx)
				if err != nil {
					return err
				}
				if s.cli.Bool("json") {
					return s.encode(r)
				}
				for i := range r.Systems {
					s.printServices(&r.Systems[i])
				}
				return nil
			})
		}),
	}
}

func (s *session) printServices(y *api.SystemServices) {
	rows := [][]string{{"NAME", "START", "WHEN", "MANAGER", "DESCRIPTION"}}
	for _, v := range y.Services {
		started := v.Start == "enabled" || v.Kind != "driver" && (v.Start == "auto" || v.Start == "delayed")
		if started || s.cli.Bool("all") {
			rows = append(rows, []string{shown(v.Name), v.Start, dash(shown(strings.Join(v.When, ","))), v.Manager, dash(shown(v.Description))})
		}
	}
	if len(rows) > 1 {
		printTable(s.out, rows)
	}
	for _, w := range y.Warnings {
		s.complain(w)
	}
}
