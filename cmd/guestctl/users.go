package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon/api"
)

func (s *streams) usersCommand() *cli.Command {
	return &cli.Command{
		Name: "users", Usage: "list the accounts", ArgsUsage: "IMAGE...", Category: "Inspect",
		Description: "Lists the users of each operating system: name, UID, groups, home, shell, what is known of the password (set, none, locked,\n" +
			"unusable; never its hash), keys that let the user in by SSH. Of the system's own users only those with a login shell are\n" +
			"shown, unless with --all. With --json one object of the shape guestctl.users/1 for each image, with groups and sources.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "all", Aliases: []string{"a"}, Usage: "also users that cannot log in"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			return s.each(argv, func(g *opened, _ target) error {
				r, err := g.Users(s.ctx)
				if err != nil {
					return err
				}
				if s.cli.Bool("json") {
					return s.encode(r)
				}
				for i := range r.Systems {
					s.printUsers(&r.Systems[i])
				}
				return nil
			})
		}),
	}
}

// canLogIn says whether a user is one that people care about first.
func canLogIn(u *api.User) bool {
	if u.SID != "" {
		return !u.Disabled
	}
	shell := u.Shell[strings.LastIndexByte(u.Shell, '/')+1:]
	return !slices.Contains([]string{"nologin", "false", "sync", "shutdown", "halt"}, shell) && (shell != "" || u.Password != "unusable")
}

func (s *session) printUsers(y *api.SystemUsers) {
	rows := [][]string{{"NAME", "UID", "PASSWORD", "CHANGED", "LAST LOGIN", "KEYS", "SHELL", "HOME", "GROUPS"}}
	for i := range y.Users {
		u := &y.Users[i]
		if !s.cli.Bool("all") && !canLogIn(u) {
			continue
		}
		uid, keys, state := "", "", u.Password
		if u.UID != nil {
			uid = strconv.FormatInt(*u.UID, 10)
		}
		if n := len(u.AuthorizedKeys); n > 0 {
			keys = strconv.Itoa(n)
		}
		if u.Disabled {
			state = "disabled"
		}
		changed, _, _ := strings.Cut(u.PasswordChanged, "T")
		rows = append(rows, []string{shown(u.Name), dash(uid), dash(state), dash(changed), dash(u.LastLogin), dash(keys), dash(shown(u.Shell)), dash(shown(u.Home)), dash(shown(strings.Join(u.Groups, ",")))})
	}
	if len(rows) > 1 {
		printTable(s.out, rows)
	}
	for _, w := range y.Warnings {
		s.complain(w)
	}
}
