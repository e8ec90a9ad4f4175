package main

import (
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) mkdirCommand() *cli.Command {
	return &cli.Command{
		Name: "mkdir", Usage: "make directories in the guest", ArgsUsage: "IMAGE:PATH...", Category: "Change",
		Flags: editFlags(switchFlag("make those above too, and let it be there already", "parents", "p"),
			&cli.StringFlag{Name: "mode", Aliases: []string{"m"}, Usage: "the mode, as chmod takes it; 755 otherwise", Value: "755"}),
		Action: s.editAction(1, -1, func(s *session, argv []string) error {
			change, err := parseMode(s.cli.String("mode"))
			if err != nil {
				return err
			}
			mode := change(syscall.S_IFDIR|0o777) & 0o7777
			return s.edit(argv, func(e *files.Editor, t target) error { return e.Mkdir(t.path, mode, s.cli.Bool("parents")) })
		}),
	}
}
