package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) findCommand() *cli.Command {
	return &cli.Command{
		Name: "find", Usage: "find files by name, type, size and time", ArgsUsage: "IMAGE[:PATH]...", Category: "Look",
		Description: "Prints the paths of all files at and below PATH that meet every condition; one dash is as good as two (-name). With\n" +
			"--json each is an object of the shape guestctl.file/1.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.StringSliceFlag{Name: "name", Usage: "its name is of the `PATTERN`: *, ?, [a-z]; several: of one of them"},
			&cli.StringSliceFlag{Name: "iname", Usage: "the same without regard to case"},
			&cli.StringSliceFlag{Name: "path", Usage: "its whole path is of the `PATTERN`, in which * also stands for slashes"},
			&cli.StringFlag{Name: "type", Usage: "its type is one of `LETTERS`: f file, d directory, l symlink, c b device, p fifo, s socket"},
			&cli.StringSliceFlag{Name: "size", Usage: "its size in bytes, or with k, M, G: `[+-]N`, more than with +, less with -"},
			&cli.StringSliceFlag{Name: "mtime", Usage: "it was modified `[+-]N` days ago, or with m, h, w: +7d longer ago, -7d more recently"},
			&cli.IntFlag{Name: "mindepth", Usage: "at least `N` levels below PATH"},
			&cli.IntFlag{Name: "maxdepth", Value: -1, DefaultText: "all", Usage: "at most `N` levels below PATH"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "print0", Aliases: []string{"0"}, Usage: "end each path with a zero byte, not a line break"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			opt, err := s.findOptions()
			if err != nil {
				return args.Usage("%s", err)
			}
			prefix := several(argv)
			return s.each(argv, func(g *opened, t target) error {
				opt.Problem = s.problem(g, t)
				return g.find(s.ctx, t.path, opt, func(e *files.Entry) error {
					return s.printFound(g, t, e, prefix)
				})
			})
		}),
	}
}

func (s *session) findOptions() (files.FindOptions, error) {
	opt := files.FindOptions{MinDepth: s.cli.Int("mindepth"), MaxDepth: s.cli.Int("maxdepth")}
	for _, list := range []struct {
		flag string
		fold bool
		to   *[]*files.Glob
	}{{"name", false, &opt.Names}, {"iname", true, &opt.Names}, {"path", false, &opt.Paths}} {
		for _, p := range s.cli.StringSlice(list.flag) {
			g, err := files.ParseGlob(p, list.fold)
			if err != nil {
				return opt, err
			}
			*list.to = append(*list.to, g)
		}
	}
	if s.cli.IsSet("type") {
		var err error
		if opt.Types, err = files.ParseTypes(s.cli.String("type")); err != nil {
			return opt, err
		}
	}
	for _, v := range s.cli.StringSlice("size") {
		r, err := files.ParseSize(v)
		if err != nil {
			return opt, err
		}
		opt.Size = append(opt.Size, r)
	}
	for _, v := range s.cli.StringSlice("mtime") {
		r, err := files.ParseAge(v, time.Now())
		if err != nil {
			return opt, err
		}
		opt.Mtime = append(opt.Mtime, r)
	}
	return opt, nil
}

func (s *session) printFound(g *opened, t target, e *files.Entry, prefix bool) error {
	if s.cli.Bool("json") {
		return s.out.json.Encode(g.record(s.ctx, e, false))
	}
	path := e.Path
	if prefix {
		t.path = path
		path = t.String()
	}
	end := byte('\n')
	if s.cli.Bool("print0") {
		end = 0
	} else {
		path = s.out.name(path)
	}
	s.out.WriteString(path)
	return s.out.WriteByte(end)
}
