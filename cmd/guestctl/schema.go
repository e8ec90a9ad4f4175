package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
)

func (s *streams) schemaCommand() *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "print the JSON schema of what --json prints", ArgsUsage: "[NAME]", Category: "Other",
		Description: "NAME is what a record has in its field \"schema\", guestctl.file/1, or in short file. Without it the names are listed. A\n" +
			"shape keeps its name as long as fields are only added to it.",
		Flags: []cli.Flag{helpFlag()},
		Action: func(c *cli.Context) error {
			if c.Bool("help") {
				return cli.ShowSubcommandHelp(c)
			}
			switch c.NArg() {
			case 0:
				for _, schema := range api.Schemas() {
					fmt.Fprintln(s.out, schema.Name)
				}
				return nil
			case 1:
				return s.printSchema(c.Args().First())
			}
			return args.Usage("schema takes one NAME")
		},
	}
}

func (s *streams) printSchema(name string) error {
	var names []string
	for _, schema := range api.Schemas() {
		short, _, _ := strings.Cut(strings.TrimPrefix(schema.Name, "guestctl."), "/")
		if name != schema.Name && name != short {
			names = append(names, short)
			continue
		}
		m, err := schema.JSON()
		if err != nil {
			return err
		}
		e := json.NewEncoder(s.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(m)
	}
	return fmt.Errorf("there is no schema %s: there are %s", shown(name), strings.Join(names, ", "))
}
