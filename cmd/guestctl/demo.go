package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/guestctl/demo"
	"github.com/guestctl/guestctl/cmd/internal/args"
)

func (s *streams) demoCommand() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "make a small guest image, for trying things", ArgsUsage: "FILE", Category: "Other",
		Flags: []cli.Flag{helpFlag()},
		Action: func(c *cli.Context) error {
			if c.Bool("help") {
				return cli.ShowSubcommandHelp(c)
			}
			if c.NArg() != 1 {
				return args.Usage("demo needs FILE, the image to make")
			}
			name := c.Args().First()
			if err := demo.Write(name); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "made %s; try: guestctl ls -l %s:/\n", shown(name), shown(name))
			return nil
		},
	}
}

func (s *streams) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version", Category: "Other",
		Flags: []cli.Flag{helpFlag()},
		Action: func(c *cli.Context) error {
			if c.Bool("help") {
				return cli.ShowSubcommandHelp(c)
			}
			_, err := fmt.Fprintln(s.out, "guestctl", version)
			return err
		},
	}
}
