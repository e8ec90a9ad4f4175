package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/vfs"
)

func (s *streams) touchCommand() *cli.Command {
	return &cli.Command{
		Name: "touch", Usage: "set the times of files in the guest, and make those that are not there", ArgsUsage: "IMAGE:PATH...", Category: "Change",
		Flags: editFlags(switchFlag("make no file", "no-create", "c"),
			&cli.StringFlag{Name: "date", Aliases: []string{"d"}, Usage: "the time, `DATE`, in place of now: 2006-01-02, 2006-01-02T15:04:05Z, or @SECONDS since 1970"}),
		Action: s.editAction(1, -1, func(s *session, argv []string) error {
			at, err := parseDate(s.cli.String("date"))
			if err != nil {
				return err
			}
			return s.edit(argv, func(e *files.Editor, t target) error {
				return e.Touch(t.path, vfs.Time{Sec: at.Unix(), Nsec: uint32(at.Nanosecond())}, !s.cli.Bool("no-create"))
			})
		}),
	}
}

// parseDate reads the value of --date; now where there is none.
func parseDate(s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	if n, err := strconv.ParseInt(strings.TrimPrefix(s, "@"), 10, 64); err == nil && strings.HasPrefix(s, "@") {
		return time.Unix(n, 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, args.Usage("--date %q is no time: write 2006-01-02, 2006-01-02T15:04:05Z or @SECONDS", s)
}
