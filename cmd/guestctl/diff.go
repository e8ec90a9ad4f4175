package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
)

// diffDiffers is diff's status of two that differ; two that could not be
// compared are exitUsage, as with grep.
const diffDiffers = 1

func (s *streams) diffCommand() *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "compare two images, snapshots or folders", ArgsUsage: "IMAGE[@SNAPSHOT][:PATH] IMAGE[@SNAPSHOT][:PATH]", Category: "Look",
		Description: "Prints what is at and below one place and not the other, sorted: + added, - removed, ~ changed and what of it (content,\n" +
			"size, mode, owner, links, mtime, target, device, xattrs, flags, type). Contents that two clones of an image, or two\n" +
			"snapshots, have at the same place of a host file are not read. Exit status: 0 the same, 1 different, 2 failed. With --json\n" +
			"each is an object of the shape guestctl.diff/1.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "no-times", Usage: "times do not count"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "dir-times", Usage: "times of directories count, too"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "brief", Usage: "print nothing: the exit status says it"},
		),
		Action: s.guestAction(2, 2, runDiff),
	}
}

func runDiff(s *session, argv []string) error {
	if s.cli.Bool("no-times") && s.cli.Bool("dir-times") {
		return args.Usage("--no-times and --dir-times exclude each other")
	}
	var guests [2]*opened
	var at [2]target
	for i, arg := range argv {
		var err error
		if guests[i], at[i], err = s.reach(arg); err != nil {
			return err
		}
	}
	for i, arg := range argv {
		if other := guests[1-i].remote; guests[i].remote != nil && other == nil {
			var err error
			if guests[i], at[i], err = s.open(arg); err != nil { // both in one place
				return err
			}
		}
	}
	p := s.startCount("files compared", 0, true)
	defer p.end()
	if p.w != nil && at[1].path == "/" && guests[1].remote == nil {
		p.expect(inodesUsed(s.ctx, guests[1]))
	}
	stats := &files.DiffStats{}
	differs := false
	color := s.out.colors()
	opt := files.DiffOptions{NoTimes: s.cli.Bool("no-times"), DirTimes: s.cli.Bool("dir-times"), Progress: p.add, Stats: stats,
		Problem: func(side int, err error) { s.fail(&placeError{guests[side], at[side], err}) }}
	err := diff(s.ctx, guests, at, opt, func(d api.Difference) error {
		differs = true
		switch {
		case s.cli.Bool("brief"):
			return errFound
		case s.cli.Bool("json"):
			return s.out.json.Encode(d)
		}
		_, err := s.out.WriteString(s.diffLine(d, color) + "\n")
		return err
	})
	if s.cli.Bool("verbose") {
		fmt.Fprintf(s.err, "guestctl: contents: %d bytes at the same place or holes, %d bytes read on each side\n", stats.Shared.Load(), stats.Read.Load())
	}
	switch {
	case err == errFound:
	case err != nil:
		return diffError(guests, at, err)
	}
	switch {
	case s.failures > 0:
		s.status = exitUsage
	case differs:
		s.status = diffDiffers
	}
	return nil
}

// diffError says at which of the two places it failed.
func diffError(guests [2]*opened, at [2]target, err error) error {
	side := 0
	if of := (*files.Error)(nil); errors.As(err, &of) && of.Path == at[1].path && of.Path != at[0].path {
		side = 1
	}
	return &placeError{guests[side], at[side], err}
}

// diff compares through a daemon or in this process.
func diff(ctx context.Context, guests [2]*opened, at [2]target, opt files.DiffOptions, each func(api.Difference) error) error {
	r := guests[0].remote
	if r == nil {
		return files.Diff(ctx, guests[0].namespace(), at[0].path, guests[1].namespace(), at[1].path, opt, func(d *files.Difference) error { return each(d.Record()) })
	}
	q := api.DiffQuery{Place: api.Place{Path: at[0].path}, With: guests[1].remote.id, WithPath: at[1].path, NoTimes: opt.NoTimes, DirTimes: opt.DirTimes}
	return local(r.Diff(ctx, r.id, q, func(n api.Notice) {
		side := 0
		if n.Side == 2 {
			side = 1
		}
		opt.Problem(side, noticeError(n))
	}, each))
}

func (s *session) diffLine(d api.Difference, color bool) string {
	mark, paint := "~", "33"
	switch {
	case d.From == nil:
		mark, paint = "+", "32"
	case d.To == nil:
		mark, paint = "-", "31"
	}
	line := mark + " " + s.out.name(bytesOf(d.Path, d.PathRaw))
	if len(d.What) > 0 {
		what := strings.Join(d.What, " ")
		if len(d.Xattrs) > 0 {
			what += " (" + shown(strings.Join(d.Xattrs, ", ")) + ")"
		}
		line += "  " + what
	}
	if color {
		return "\x1b[" + paint + "m" + line + "\x1b[0m"
	}
	return line
}

// colors says whether what is printed may be coloured: to a terminal that can,
// and not where the user asked for none (https://no-color.org).
func (o *output) colors() bool {
	return o.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
