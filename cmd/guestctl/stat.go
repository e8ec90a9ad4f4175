package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) statCommand() *cli.Command {
	return &cli.Command{
		Name: "stat", Usage: "say all that is known of a file", ArgsUsage: "IMAGE[:PATH]...", Category: "Look",
		Description: "With --json each is an object of the shape guestctl.file/1, its extended attributes included.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "dereference", Aliases: []string{"L"}, Usage: "follow symlinks"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			return s.each(argv, func(g *opened, t target) error {
				e, err := g.resolve(s.ctx, t.path, s.cli.Bool("dereference"))
				if err != nil {
					return err
				}
				r := g.record(s.ctx, e, true)
				if s.cli.Bool("json") {
					err = s.out.json.Encode(r)
				} else {
					err = s.printStat(r, e)
				}
				if err == nil && r.Error != "" {
					err = fmt.Errorf("%s: %s", shown(t.String()), r.Error)
				}
				return err
			})
		}),
	}
}

func (s *session) printStat(r files.Record, e *files.Entry) error {
	rows := [][2]string{
		{"Path", s.out.name(e.Path)}, {"Type", r.Type}, {"Target", s.out.name(r.Target)}, {"Device", r.Device},
		{"Size", fmt.Sprintf("%d bytes, %d blocks of 512", r.Size, r.Blocks)}, {"Mode", r.Mode + " " + modeString(e.Attr.Mode)},
		{"Owner", fmt.Sprintf("%d:%d", r.UID, r.GID)}, {"Links", fmt.Sprint(r.Nlink)}, {"Inode", fmt.Sprintf("%d of %s", e.Node.Ino.Num, r.Volume)},
		{"Accessed", r.Atime}, {"Modified", r.Mtime}, {"Changed", r.Ctime}, {"Born", r.Btime}, {"Flags", strings.Join(r.Flags, " ")},
	}
	if r.Project != 0 {
		rows = append(rows, [2]string{"Project", fmt.Sprint(r.Project)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Xattrs)) {
		rows = append(rows, [2]string{"Attribute", shown(name) + "=" + files.XattrText(r.Xattrs[name])})
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(s.out, "%-10s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
