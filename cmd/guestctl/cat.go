package main

import (
	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) catCommand() *cli.Command {
	return &cli.Command{
		Name: "cat", Usage: "write a file's bytes to the output", ArgsUsage: "IMAGE:PATH...", Category: "Read",
		Flags: commonFlags(),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			widePipe(s.out.raw)
			return s.each(argv, func(g *opened, t target) error {
				return g.cat(s.ctx, t.path, s.out.raw)
			})
		}),
	}
}

func (s *streams) tarCommand() *cli.Command {
	return &cli.Command{
		Name: "tar", Usage: "write a tree as a tar archive", ArgsUsage: "IMAGE[:PATH]", Category: "Read",
		Description: "Names are relative to PATH and begin with ./; owners are numbers. The format is pax: times to the nanosecond, extended\n" +
			"attributes (restore them with tar --xattrs --xattrs-include='*'), hard links, files with holes as GNU tar's sparse files.\n" +
			"What cannot be read of a file is zeros in the archive, and told.",
		Flags: append(commonFlags(),
			&cli.StringFlag{Name: "file", Aliases: []string{"f", "o"}, Usage: "write to `FILE` instead of the output"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "no-xattrs", Usage: "leave extended attributes out"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "no-sparse", Usage: "write holes as zeros"},
		),
		Action: s.guestAction(1, 1, func(s *session, argv []string) error {
			if s.out.terminal && !s.cli.IsSet("file") {
				return args.Usage("an archive is not written to a terminal: choose -f FILE, or a pipe")
			}
			return s.each(argv, s.tar)
		}),
	}
}

func (s *session) tar(g *opened, t target) error {
	p := s.startProgress("archived", false)
	defer p.end()
	s.expectTree(p, g, t)
	opt := files.TarOptions{NoXattrs: s.cli.Bool("no-xattrs"), NoSparse: s.cli.Bool("no-sparse"), Problem: s.problem(g, t), Warn: s.warn(g, t), Progress: p.add}
	if name := s.cli.String("file"); name != "" && name != "-" {
		return writeFile(name, func(w writer) error { return g.tar(s.ctx, t.path, w, opt) })
	}
	widePipe(s.out.raw)
	return g.tar(s.ctx, t.path, s.out.raw, opt)
}
