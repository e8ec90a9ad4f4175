package main

import (
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) chmodCommand() *cli.Command {
	return &cli.Command{
		Name: "chmod", Usage: "change modes in the guest", ArgsUsage: "MODE IMAGE:PATH...", Category: "Change",
		Description: "MODE is octal (640, 4755) or symbolic (u+x,go-w,a=rX).",
		Flags:       editFlags(switchFlag("of all below too", "recursive", "R")),
		Action: s.editAction(2, -1, func(s *session, argv []string) error {
			change, err := parseMode(argv[0])
			if err != nil {
				return err
			}
			return s.edit(argv[1:], func(e *files.Editor, t target) error { return e.Chmod(t.path, change, s.cli.Bool("recursive")) })
		}),
	}
}

// parseMode reads a mode as chmod(1) does, and answers what it makes of an old one.
func parseMode(text string) (func(old uint32) uint32, error) {
	wrong := args.Usage("mode %q is neither octal, as 640, nor symbolic, as u+x,go-w", text)
	if n, err := strconv.ParseUint(text, 8, 32); err == nil {
		if n > 0o7777 {
			return nil, wrong
		}
		return func(uint32) uint32 { return uint32(n) }, nil
	}
	type step struct {
		who  string
		op   byte
		perm string
	}
	var steps []step
	for _, clause := range strings.Split(text, ",") {
		i := strings.IndexAny(clause, "+-=")
		if i < 0 || strings.Trim(clause[:i], "ugoa") != "" {
			return nil, wrong
		}
		who := clause[:i]
		if who == "" || strings.Contains(who, "a") {
			who = "ugo"
		}
		for clause = clause[i:]; clause != ""; {
			op := clause[0]
			end := len(clause)
			if k := strings.IndexAny(clause[1:], "+-="); k >= 0 {
				end = k + 1
			}
			if strings.Trim(clause[1:end], "rwxXst") != "" {
				return nil, wrong
			}
			steps = append(steps, step{who, op, clause[1:end]})
			clause = clause[end:]
		}
	}
	return func(mode uint32) uint32 {
		for _, st := range steps {
			all, bits := uint32(0), uint32(0)
			for _, w := range st.who {
				shift := map[rune]uint{'u': 6, 'g': 3, 'o': 0}[w]
				all |= 7 << shift
				for _, p := range st.perm {
					switch {
					case p == 'r':
						bits |= 4 << shift
					case p == 'w':
						bits |= 2 << shift
					case p == 'x', p == 'X' && (mode&syscall.S_IFMT == syscall.S_IFDIR || mode&0o111 != 0):
						bits |= 1 << shift
					case p == 's' && w == 'u':
						bits |= syscall.S_ISUID
					case p == 's' && w == 'g':
						bits |= syscall.S_ISGID
					case p == 't':
						bits |= syscall.S_ISVTX
					}
				}
				if w == 'u' {
					all |= syscall.S_ISUID
				}
				if w == 'g' {
					all |= syscall.S_ISGID
				}
			}
			switch st.op {
			case '+':
				mode |= bits
			case '-':
				mode &^= bits
			case '=':
				mode = mode&^all | bits
			}
		}
		return mode
	}, nil
}
