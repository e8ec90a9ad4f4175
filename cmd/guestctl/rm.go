package main

import (
	"errors"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) rmCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove files and trees of the guest", ArgsUsage: "IMAGE:PATH...", Category: "Change",
		Flags: editFlags(switchFlag("directories with all that is in them", "recursive", "r", "R"), switchFlag("say nothing of what is not there", "force", "f")),
		Action: s.editAction(1, -1, func(s *session, argv []string) error {
			return s.edit(argv, func(e *files.Editor, t target) error {
				err := e.Remove(t.path, s.cli.Bool("recursive"))
				if s.cli.Bool("force") && errors.Is(err, syscall.ENOENT) {
					err = nil
				}
				return err
			})
		}),
	}
}
