package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) writeCommand() *cli.Command {
	return &cli.Command{
		Name: "write", Usage: "write standard input to a file in the guest", ArgsUsage: "IMAGE:PATH", Category: "Change",
		Description: "The file keeps its owner and mode; one that is not there is made, root's with mode 644.",
		Flags:       editFlags(switchFlag("write behind what the file holds", "append", "a")),
		Action: s.editAction(1, 1, func(s *session, argv []string) error {
			if s.cli.Bool("keys-from-stdin") {
				return args.Usage("--keys-from-stdin leaves nothing of standard input to write: give the keys with --key")
			}
			return s.edit(argv, func(e *files.Editor, t target) error { return e.Write(t.path, os.Stdin, s.cli.Bool("append")) })
		}),
	}
}
