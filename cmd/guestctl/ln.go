package main

import (
	"errors"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) lnCommand() *cli.Command {
	return &cli.Command{
		Name: "ln", Usage: "give a file of the guest another name, or make a symlink", ArgsUsage: "IMAGE:FILE IMAGE:NAME | -s TARGET IMAGE:NAME", Category: "Change",
		Description: "With -s TARGET is what stands in the symlink, as the guest reads it; it need not be there.",
		Flags:       editFlags(switchFlag("make a symlink", "symbolic", "s"), switchFlag("remove NAME first", "force", "f")),
		Action: s.editAction(2, 2, func(s *session, argv []string) error {
			return s.edit(argv[1:], func(e *files.Editor, t target) error {
				from := target{path: argv[0]}
				if !s.cli.Bool("symbolic") {
					var err error
					if from, err = inSame(argv[0], t); err != nil {
						return err
					}
				}
				if s.cli.Bool("force") {
					if err := e.Remove(t.path, false); err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EISDIR) {
						return err
					}
				}
				if s.cli.Bool("symbolic") {
					return e.Symlink(from.path, t.path)
				}
				return e.Link(from.path, t.path)
			})
		}),
	}
}
