package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon"
)

func (s *streams) filesystemsCommand() *cli.Command {
	return &cli.Command{
		Name: "filesystems", Usage: "say what is on the disk", ArgsUsage: "IMAGE...", Category: "Look",
		Description: "One line for each volume: its name, filesystem, size, label, UUID, and where it is shown in the guest's tree. With --json\n" +
			"one object of the shape guestctl.filesystems/1 for each image.",
		Flags: append(commonFlags(), jsonFlag()),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			return s.each(argv, func(g *opened, t target) error {
				if s.cli.Bool("json") {
					return s.out.json.Encode(g.Describe())
				}
				return s.printFilesystems(g, len(argv) > 1)
			})
		}),
	}
}

func (s *session) printFilesystems(g *opened, heading bool) error {
	if heading {
		fmt.Fprintf(s.out, "%s:\n", shown(g.target.image))
	}
	rows := [][]string{{"NAME", "TYPE", "SIZE", "LABEL", "UUID", "SHOWN AT"}}
	for _, f := range g.Filesystems() {
		rows = append(rows, filesystemRow(f))
	}
	printTable(s.out, rows)
	for _, w := range g.Warnings() {
		if s.cli.Bool("quiet") {
			break
		}
		fmt.Fprintf(s.err, "guestctl: warning: %v\n", w)
	}
	return nil
}

func filesystemRow(f daemon.Filesystem) []string {
	size := int64(0)
	if f.Volume.Dev != nil {
		size = f.Volume.Dev.Size()
	}
	at := strings.Join(f.Mounted, " ")
	if f.Err != nil {
		at = "not readable: " + f.Err.Error()
	}
	return []string{f.Name, dash(f.Info.Type), humanSize(size), dash(shown(f.Info.Label)), dash(f.Info.UUID), dash(at)}
}

// dash stands for nothing in a table.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
