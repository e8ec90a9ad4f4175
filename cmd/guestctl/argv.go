package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
)

// arrange writes a command line the way urfave/cli wants it: the command, its
// options, "--", its arguments. Options may be typed anywhere, also in front of
// the command; find's may have a single dash, as find(1) has them.
func arrange(app *cli.App, argv []string) ([]string, error) {
	argv, found := commandFirst(argv)
	if !found {
		if slices.Contains(argv, "--version") || slices.Contains(argv, "-V") {
			return []string{"version"}, nil
		}
		return argv, nil
	}
	command := app.Command(argv[0])
	if command == nil {
		if argv[0] == "help" || argv[0] == "h" {
			return argv, nil
		}
		return nil, args.Usage("there is no command %q", argv[0])
	}
	var flags []args.Flag
	for _, f := range command.Flags {
		flag := args.Flag{Names: f.Names()}
		if slices.Contains(shortH(), flag.Names[0]) {
			flag.Names = append(flag.Names, "h")
		}
		if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() {
			flag.Arg = args.Required
		}
		flags = append(flags, flag)
	}
	rest := argv[1:]
	if command.Name == "find" {
		rest = longOptions(flags, rest)
	}
	rest, err := args.Reorder(flags, rest)
	return append([]string{command.Name}, rest...), err
}

// shortH are the options that -h stands for, of whichever command has one.
// urfave/cli must not know, since it takes every -h for --help.
func shortH() []string { return []string{"human-readable", "no-filename"} }

// commandFirst moves the options in front of the command behind it. found is
// false where there is no command.
func commandFirst(argv []string) (moved []string, found bool) {
	for i := 0; i < len(argv); i++ {
		arg := argv[i]
		if arg == "--" {
			return argv, false
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			return slices.Concat(argv[i:i+1], argv[:i], argv[i+1:]), true
		}
		for _, f := range slices.Concat(commonFlags(), daemonFlags()) {
			if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() && slices.Contains(f.Names(), strings.TrimLeft(arg, "-")) {
				i++ // its value
			}
		}
	}
	return argv, false
}

// longOptions gives options like -name their second dash.
func longOptions(flags []args.Flag, argv []string) []string {
	out := slices.Clone(argv)
	for i, arg := range out {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && len(name) > 1 && slices.ContainsFunc(flags, func(f args.Flag) bool { return slices.Contains(f.Names, name) }) {
			out[i] = "-" + arg
		}
	}
	return out
}
