package args

import (
	"fmt"
	"slices"
	"strings"
)

// Arity says whether an option takes a value.
type Arity uint8

const (
	None     Arity = iota // never
	Required              // always: attached or as the next argument
	Optional              // only attached
)

// A Flag is one option with all its names, without dashes. A name of one byte
// is a short option, a longer one a long option. The first name is the one
// that Option.Name shows.
type Flag struct {
	Names []string
	Arg   Arity
}

// An Option is a flag as it was typed once.
type Option struct {
	Name  string // Flag.Names[0]
	Typed string // as it was typed, with its dashes and without its value: "-a", "--add"
	Value string // "" also where none was given
	Given bool   // a value was given
}

// A Line is a command line taken apart. Both slices keep the order.
type Line struct {
	Options []Option
	Args    []string
}

// A UsageError says what is wrong with a command line.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

// Usage is a UsageError with a formatted problem.
func Usage(format string, a ...any) error { return &UsageError{fmt.Sprintf(format, a...)} }

// Parse takes argv, without the program's name, apart. Its errors are
// *UsageError.
func Parse(flags []Flag, argv []string) (Line, error) {
	var line Line
	for len(argv) > 0 {
		arg := argv[0]
		argv = argv[1:]
		var err error
		switch {
		case arg == "--":
			line.Args = append(line.Args, argv...)
			return line, nil
		case strings.HasPrefix(arg, "--"):
			argv, err = line.long(flags, arg, argv)
		case len(arg) > 1 && arg[0] == '-':
			argv, err = line.short(flags, arg, argv)
		default:
			line.Args = append(line.Args, arg)
		}
		if err != nil {
			return Line{}, err
		}
	}
	return line, nil
}

// long reads one long option and answers what is left of argv.
func (l *Line) long(flags []Flag, arg string, argv []string) ([]string, error) {
	name, value, given := strings.Cut(arg[2:], "=")
	typed := "--" + name
	flag, err := find(flags, name)
	if err != nil {
		return nil, err
	}
	switch {
	case flag.Arg == None && given:
		return nil, Usage("option %s takes no value", typed)
	case flag.Arg == Required && !given:
		if len(argv) == 0 {
			return nil, Usage("option %s needs a value", typed)
		}
		value, given, argv = argv[0], true, argv[1:]
	}
	l.Options = append(l.Options, Option{flag.Names[0], typed, value, given})
	return argv, nil
}

// short reads one argument of bundled short options.
func (l *Line) short(flags []Flag, arg string, argv []string) ([]string, error) {
	for i := 1; i < len(arg); i++ {
		typed := "-" + arg[i:i+1]
		at := slices.IndexFunc(flags, func(f Flag) bool { return slices.Contains(f.Names, arg[i:i+1]) })
		if at < 0 {
			if arg != typed {
				return nil, Usage("unknown option %s in %q", typed, arg)
			}
			return nil, Usage("unknown option %s", typed)
		}
		o := Option{Name: flags[at].Names[0], Typed: typed}
		rest := arg[i+1:]
		if flags[at].Arg != None && rest != "" {
			o.Value, o.Given, rest = rest, true, ""
		} else if flags[at].Arg == Required {
			if len(argv) == 0 {
				return nil, Usage("option %s needs a value", typed)
			}
			o.Value, o.Given, argv = argv[0], true, argv[1:]
		}
		l.Options = append(l.Options, o)
		if rest == "" {
			break
		}
	}
	return argv, nil
}

// find finds a long option by its name or by the unambiguous start of it.
func find(flags []Flag, name string) (Flag, error) {
	var found []Flag
	var names []string
	for _, f := range flags {
		matches := false
		for _, n := range f.Names {
			if len(n) < 2 {
				continue
			}
			if n == name {
				return f, nil
			}
			if name != "" && strings.HasPrefix(n, name) {
				matches = true
				names = append(names, "--"+n)
			}
		}
		if matches {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return Flag{}, Usage("unknown option --%s", name)
	case 1:
		return found[0], nil
	}
	return Flag{}, Usage("option --%s is ambiguous: it may be %s", name, strings.Join(names, " or "))
}
