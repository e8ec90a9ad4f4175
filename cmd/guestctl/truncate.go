package main

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) truncateCommand() *cli.Command {
	return &cli.Command{
		Name: "truncate", Usage: "set the size of files in the guest", ArgsUsage: "IMAGE:PATH...", Category: "Change",
		Description: "A file that is not there is made. What is added reads as zeros and takes no room.",
		Flags: editFlags(&cli.StringFlag{Name: "size", Aliases: []string{"s"}, Usage: "the size, `N` bytes; with K, M, G or T in 1024ths; with + or - before it more or less than now"},
			switchFlag("make no file", "no-create", "c")),
		Action: s.editAction(1, -1, func(s *session, argv []string) error {
			size, relative, err := parseSizeChange(s.cli.String("size"))
			if err != nil {
				return err
			}
			return s.each(argv, func(g *opened, t target) error {
				to := size
				if relative {
					switch e, err := g.resolve(s.ctx, t.path, true); {
					case err == nil:
						to = max(0, e.Attr.Size+size)
					case !errors.Is(err, syscall.ENOENT):
						return err
					}
				}
				return s.editing(g, func(e *files.Editor) error {
					err := e.Truncate(t.path, max(0, to), !s.cli.Bool("no-create"))
					if s.cli.Bool("no-create") && errors.Is(err, syscall.ENOENT) {
						err = nil
					}
					return err
				})
			})
		}),
	}
}

// parseSizeChange reads the value of --size.
func parseSizeChange(s string) (size int64, relative bool, err error) {
	number := strings.TrimLeft(s, "+-")
	shift := 0
	if i := strings.IndexAny("KMGT", strings.ToUpper(number[max(0, len(number)-1):])); number != "" && i >= 0 {
		shift = 10 * (i + 1)
		number = number[:len(number)-1]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > (1<<62)>>shift || len(s) > 1 && len(s)-len(strings.TrimLeft(s, "+-")) > 1 {
		return 0, false, args.Usage("--size %q is not a number of bytes, such as 0, 10M or +4K", s)
	}
	n <<= shift
	if strings.HasPrefix(s, "-") {
		n = -n
	}
	return n, strings.ContainsAny(s[:1], "+-"), nil
}
