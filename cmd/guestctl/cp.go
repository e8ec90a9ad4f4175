package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) cpCommand() *cli.Command {
	return &cli.Command{
		Name: "cp", Usage: "copy files and trees out of the guest", ArgsUsage: "IMAGE:PATH... TARGET", Category: "Read",
		Description: "Copies as cp -a: modes, times, symlinks, hard links, holes; owners, extended attributes and devices where this user may\n" +
			"keep them. Into TARGET where that is a folder, else to TARGET itself. Nothing is written outside it, whatever names the\n" +
			"guest has. The guest is not changed.",
		Flags: append(commonFlags(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "plain", Usage: "leave owners, modes, times and extended attributes as new files have them"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "archive", Aliases: []string{"a", "r", "R"}, Usage: "as always: trees, with all attributes"},
		),
		Action: s.guestAction(2, -1, func(s *session, argv []string) error {
			to := argv[len(argv)-1]
			from := argv[:len(argv)-1]
			if t, err := parseTarget(to); err == nil && !exists(to) && exists(t.image) && (t.volume != "" || t.path != "/" || len(to) > len(t.image)) {
				return args.Usage("%s is a place in a guest, and guests cannot be written yet: the target is a file or folder of this host", shown(to))
			}
			if st, err := os.Stat(to); len(from) > 1 && (err != nil || !st.IsDir()) {
				if err == nil {
					err = syscall.ENOTDIR
				}
				return &fs.PathError{Op: "copy several files to", Path: to, Err: err}
			}
			if parent := filepath.Dir(filepath.Clean(to)); !exists(parent) {
				return fmt.Errorf("cannot copy to %s: there is no folder %s; make it with mkdir -p: %w", shown(to), shown(parent), fs.ErrNotExist)
			}
			p := s.startProgress("copied", false)
			defer p.end()
			return s.each(from, func(g *opened, t target) error {
				s.expectTree(p, g, t)
				return g.copy(s.ctx, t.path, to, files.CopyOptions{Plain: s.cli.Bool("plain"),
					Problem: s.problem(g, t), Warn: s.warn(g, t), Progress: p.add})
			})
		}),
	}
}
