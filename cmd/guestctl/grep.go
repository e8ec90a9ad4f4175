package main

import (
	"io"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) grepCommand() *cli.Command {
	return &cli.Command{
		Name: "grep", Usage: "search the contents of files", ArgsUsage: "PATTERN IMAGE:PATH...", Category: "Read",
		Description: "Options are grep's. PATTERN is a regular expression of RE2 (https://github.com/google/re2/wiki/Syntax), which is like that\n" +
			"of grep -E without back-references. Exit status: 0 found, 1 nothing found, 2 failed. With --json each line is an object of\n" +
			"the shape guestctl.match/1.",
		Flags: append(grepCommonFlags(), jsonFlag(),
			&cli.StringSliceFlag{Name: "regexp", Aliases: []string{"e"}, Usage: "search for `PATTERN`; may be repeated"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "recursive", Aliases: []string{"r", "R"}, Usage: "the regular files below a directory"},
			&cli.StringSliceFlag{Name: "include", Usage: "with -r, only files whose names are of the pattern `GLOB`"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "fixed-strings", Aliases: []string{"F"}, Usage: "PATTERN is a string"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "extended-regexp", Aliases: []string{"E"}, Usage: "as always"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "ignore-case", Aliases: []string{"i"}, Usage: "without regard to case"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "invert-match", Aliases: []string{"v"}, Usage: "lines that do not match"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "word-regexp", Aliases: []string{"w"}, Usage: "only whole words"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "line-regexp", Aliases: []string{"x"}, Usage: "only whole lines"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "line-number", Aliases: []string{"n"}, Usage: "print the number of each line"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "files-with-matches", Aliases: []string{"l"}, Usage: "print the names of files that match"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "files-without-match", Aliases: []string{"L"}, Usage: "print the names of files that do not"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "count", Aliases: []string{"c"}, Usage: "print the number of lines that match in each file"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "quiet", Aliases: []string{"q", "silent"}, Usage: "print nothing and stop at the first match"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "no-messages", Aliases: []string{"s"}, Usage: "do not tell what could not be read"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "no-filename", Usage: "print no names in front of lines; also -h"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "with-filename", Aliases: []string{"H"}, Usage: "print names in front of lines"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "text", Aliases: []string{"a"}, Usage: "search binary files as text"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "skip-binary", Aliases: []string{"I"}, Usage: "binary files never match"},
			&cli.IntFlag{Name: "max-count", Aliases: []string{"m"}, Usage: "stop a file after `N` lines"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "null", Aliases: []string{"Z"}, Usage: "print a zero byte behind names"},
		),
		Action: s.guestAction(1, -1, runGrep),
	}
}

// grepCommonFlags are commonFlags without -v and -q, which are grep's own.
func grepCommonFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range commonFlags() {
		b, ok := f.(*cli.BoolFlag)
		if ok && b.Name == "quiet" {
			continue
		}
		if ok && b.Name == "verbose" {
			f = &cli.BoolFlag{DisableDefaultText: true, Name: b.Name, Usage: b.Usage, Category: b.Category}
		}
		flags = append(flags, f)
	}
	return flags
}

type grepper struct {
	*session
	opt    files.GrepOptions
	names  bool
	prefix bool
	found  bool
	place  target
}

func runGrep(s *session, argv []string) error {
	patterns := s.cli.StringSlice("regexp")
	if len(patterns) == 0 {
		patterns, argv = argv[:1], argv[1:]
	}
	if len(argv) == 0 {
		return args.Usage("grep needs PATTERN IMAGE:PATH...")
	}
	pattern, err := files.ParsePattern(patterns, files.PatternOptions{Fixed: s.cli.Bool("fixed-strings"), Fold: s.cli.Bool("ignore-case"),
		Word: s.cli.Bool("word-regexp"), Line: s.cli.Bool("line-regexp")})
	if err != nil {
		return args.Usage("%s", err)
	}
	names := s.cli.Bool("files-with-matches") || s.cli.Bool("files-without-match")
	g := &grepper{session: s, prefix: several(argv), opt: files.GrepOptions{Pattern: pattern, Invert: s.cli.Bool("invert-match"),
		Recursive: s.cli.Bool("recursive"), Text: s.cli.Bool("text"), NoBinary: s.cli.Bool("skip-binary"), Count: s.cli.Bool("count") && !names,
		First: names || s.cli.Bool("quiet"), Max: s.cli.Int("max-count")}}
	for _, p := range s.cli.StringSlice("include") {
		glob, err := files.ParseGlob(p, false)
		if err != nil {
			return args.Usage("%s", err)
		}
		g.opt.Include = append(g.opt.Include, glob)
	}
	g.names = (s.cli.Bool("recursive") || len(argv) > 1 || s.cli.Bool("with-filename")) && !s.cli.Bool("no-filename")
	if s.cli.IsSet("max-count") && g.opt.Max <= 0 {
		return &exitError{1} // as grep: nothing is looked for
	}
	err = s.each(argv, g.grep)
	quiet := s.cli.Bool("quiet") && g.found
	switch {
	case err == errFound, err == nil && quiet:
		s.status = exitDone
	case err != nil:
		return err
	case s.status != exitDone:
		s.status = 2
	case !g.found:
		s.status = 1
	}
	return nil
}

// errFound ends grep -q.
var errFound = &exitError{exitDone}

func (g *grepper) grep(o *opened, t target) error {
	if g.found && g.cli.Bool("quiet") {
		return nil
	}
	g.place = t
	opt := g.opt
	opt.Problem = g.problem(o, t)
	if g.cli.Bool("no-messages") {
		opt.Problem = func(error) { g.status = exitFailed }
	}
	err := o.grep(g.ctx, t.path, opt, g.print)
	if err == errFound {
		return nil
	}
	return err
}

// print prints what was found in a file.
func (g *grepper) print(h *files.Hit) error {
	lists := g.cli.Bool("files-without-match")
	g.found = g.found || h.Count > 0
	switch {
	case g.cli.Bool("quiet"):
		if g.found {
			return errFound
		}
		return nil
	case g.cli.Bool("json"):
		return g.printJSON(h, lists)
	case lists || g.cli.Bool("files-with-matches"):
		if (h.Count > 0) == lists {
			return nil
		}
		g.out.WriteString(g.label(h))
		return g.out.WriteByte(g.nameEnd('\n'))
	case g.opt.Count:
		g.name(h, ':')
		_, err := g.out.WriteString(strconv.FormatInt(h.Count, 10) + "\n")
		return err
	case h.Binary:
		if h.Count == 0 {
			return nil
		}
		g.out.Flush()
		_, err := io.WriteString(g.err, "guestctl: "+shown(g.label(h))+": binary file matches\n")
		return err
	}
	for _, l := range h.Lines {
		g.name(h, ':')
		if g.cli.Bool("line-number") {
			g.out.WriteString(strconv.FormatInt(l.Number, 10) + ":")
		}
		g.out.Write(l.Text)
		if err := g.out.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (g *grepper) label(h *files.Hit) string {
	path := h.Path
	if g.prefix {
		at := g.place
		at.path = path
		path = at.String()
	}
	return g.out.name(path)
}

// name prints a file's name in front of a line, where names are wanted.
func (g *grepper) name(h *files.Hit, end byte) {
	if g.names {
		g.out.WriteString(g.label(h))
		g.out.WriteByte(g.nameEnd(end))
	}
}

func (g *grepper) nameEnd(end byte) byte {
	if g.cli.Bool("null") {
		return 0
	}
	return end
}

func (g *grepper) printJSON(h *files.Hit, lists bool) error {
	r := api.Match{Schema: api.MatchSchema, Binary: h.Binary}
	r.Path, r.PathRaw = jsonText(h.Path)
	switch {
	case g.opt.Count:
		r.Count = &h.Count
		return g.out.json.Encode(r)
	case lists || g.opt.First || h.Binary:
		if (h.Count > 0) == lists {
			return nil
		}
		return g.out.json.Encode(r)
	}
	for _, l := range h.Lines {
		r.Line, r.Offset = l.Number, &l.Off
		r.Text, r.TextRaw = jsonText(string(l.Text))
		if err := g.out.json.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
