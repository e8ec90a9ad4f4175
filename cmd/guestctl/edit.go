package main

import (
	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

// editFlags are the options of every command that changes a guest. Nothing of
// the changes is lost when the command has ended with status 0.
func editFlags(more ...cli.Flag) []cli.Flag { return append(commonFlags(), more...) }

// switchFlag is an option without a value.
func switchFlag(usage, name string, aliases ...string) cli.Flag {
	return &cli.BoolFlag{DisableDefaultText: true, Name: name, Aliases: aliases, Usage: usage}
}

// editAction is the Action of a command that changes guests.
func (s *streams) editAction(min, max int, do func(*session, []string) error) cli.ActionFunc {
	return s.guestAction(min, max, func(s *session, argv []string) error {
		s.writes = true
		return do(s, argv)
	})
}

// edit changes something at the place that each argument names.
func (s *session) edit(argv []string, do func(e *files.Editor, t target) error) error {
	return s.each(argv, func(g *opened, t target) error {
		return s.editing(g, func(e *files.Editor) error { return do(e, t) })
	})
}

func (s *session) editing(g *opened, do func(e *files.Editor) error) error {
	e := files.Edit(s.ctx, g.namespace())
	defer e.Close()
	return do(e)
}

// inSame reads a place that must be in the guest of another one.
func inSame(arg string, other target) (target, error) {
	t, err := parseTarget(arg)
	if err == nil && !t.sameGuest(other) {
		err = args.Usage("%s and %s are not in the same guest", shown(arg), shown(other.String()))
	}
	return t, err
}
