package main

import (
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) checksumCommand() *cli.Command {
	return &cli.Command{
		Name: "checksum", Usage: "print checksums of files", ArgsUsage: "IMAGE:PATH...", Category: "Read",
		Description: "Prints lines that `sha256sum -c` (md5sum, ...) checks in a folder with the guest's files; names are relative to the root.\n" +
			"With --json objects of the shape guestctl.checksum/1.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.StringFlag{Name: "algorithm", Aliases: []string{"t"}, Value: "sha256", Usage: "`NAME` of the checksum: " + strings.Join(files.Algorithms(), ", ")},
			&cli.BoolFlag{DisableDefaultText: true, Name: "recursive", Aliases: []string{"r", "R"}, Usage: "the regular files below a directory"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			name := s.cli.String("algorithm")
			hash, err := files.NewHash(name)
			if err != nil {
				return args.Usage("%s", err)
			}
			p := s.startProgress("read", true)
			defer p.end()
			return s.each(argv, func(g *opened, t target) error {
				s.expectTree(p, g, t)
				opt := files.ChecksumOptions{Hash: hash, Recursive: s.cli.Bool("recursive"), Problem: s.problem(g, t), Progress: p.add}
				return g.checksum(s.ctx, t.path, opt, func(sum files.Sum) error {
					if s.cli.Bool("json") {
						r := api.Checksum{Schema: api.ChecksumSchema, Path: sum.Path, Algorithm: name, Hex: sum.Hex, Size: sum.Size}
						r.Path, r.PathRaw = jsonText(sum.Path)
						return s.out.json.Encode(r)
					}
					_, err := s.out.WriteString(sum.Line() + "\n")
					return err
				})
			})
		}),
	}
}

// jsonText is s for JSON, and its bytes where they are not UTF-8.
func jsonText(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return strings.ToValidUTF8(s, "\uFFFD"), []byte(s)
}
