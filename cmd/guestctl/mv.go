package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) mvCommand() *cli.Command {
	return &cli.Command{
		Name: "mv", Usage: "rename and move in the guest", ArgsUsage: "IMAGE:PATH... IMAGE:TARGET", Category: "Change",
		Description: "Into TARGET where that is a directory, else to TARGET itself, which is replaced. Not between filesystems.",
		Flags:       editFlags(),
		Action: s.editAction(2, -1, func(s *session, argv []string) error {
			to := argv[len(argv)-1]
			return s.edit(argv[:len(argv)-1], func(e *files.Editor, t target) error {
				at, err := inSame(to, t)
				if err != nil {
					return err
				}
				if len(argv) > 2 && !strings.HasSuffix(at.path, "/") {
					at.path += "/" // several go into a directory
				}
				return e.Move(t.path, at.path)
			})
		}),
	}
}
