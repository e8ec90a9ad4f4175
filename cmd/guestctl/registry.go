package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
)

func (s *streams) registryCommand() *cli.Command {
	return &cli.Command{
		Name: "registry", Usage: "print keys of Windows' registry", ArgsUsage: "IMAGE [KEY]...", Category: "Inspect",
		Description: `Prints the values of each KEY and the names of what is below it. KEY starts at HKLM, HKU or HKCR: 'HKLM\SOFTWARE\Microsoft',
'HKLM\SYSTEM\CurrentControlSet\Services', 'HKU\NAME\Software' with a user's folder or SID. Without KEY the roots are listed. What
Windows had only logged when it stopped is part of it. With --json one object of the shape guestctl.registry/1 for each key; with
--reg a .reg file, as Windows writes it (UTF-16).`,
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "recursive", Aliases: []string{"r"}, Usage: "all keys below, too"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "reg", Usage: "print a .reg file of the keys and all below them"},
			&cli.StringFlag{Name: "value", Usage: "print the data of the value `NAME` alone; @ is the default value"},
		),
		Action: s.guestAction(1, -1, func(s *session, argv []string) error {
			chosen := 0
			for _, name := range []string{"json", "reg", "value"} {
				if s.cli.IsSet(name) {
					chosen++
				}
			}
			if chosen > 1 {
				return args.Usage("--json, --reg and --value exclude each other")
			}
			names := argv[1:]
			if len(names) == 0 {
				names = []string{registry.Machine, registry.Users}
			}
			return s.each(argv[:1], func(g *opened, t target) error {
				return g.Registry(s.ctx, func(r *registry.Registry) error { return s.registry(g, t, r, names) })
			})
		}),
	}
}

func (s *session) registry(g *opened, t target, r *registry.Registry, names []string) error {
	show := s.showKey
	var reg io.WriteCloser
	switch {
	case s.cli.Bool("json"):
		show = s.encodeKey
	case s.cli.Bool("reg"):
		reg = s.regFile()
		if _, err := io.WriteString(reg, registry.ExportHeader); err != nil {
			return err
		}
		show = func(k *registry.Key, problem func(error)) error {
			if k.Key == nil {
				return nil
			}
			return registry.ExportKey(reg, k.Path, values(k, problem))
		}
	case s.cli.IsSet("value"):
		show = s.showValue
	}
	for _, name := range names {
		k, err := r.Open(name)
		if err == nil {
			err = r.Walk(k, s.cli.Bool("recursive") || reg != nil, func(k *registry.Key) error {
				return show(k, s.problem(g, t))
			}, s.problem(g, t))
		}
		if err != nil {
			if s.ctx.Err() != nil {
				return err
			}
			s.fail(&placeError{g, t, err})
		}
	}
	if reg != nil {
		return reg.Close()
	}
	return nil
}

// regFile writes .reg files as Windows does; a terminal gets them readable.
func (s *session) regFile() io.WriteCloser {
	if s.out.terminal {
		return transform.NewWriter(s.out, transform.Nop)
	}
	return transform.NewWriter(s.out, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder())
}

// values are those of a key that can be read.
func values(k *registry.Key, problem func(error)) []hive.Value {
	var list []hive.Value
	for v, err := range k.Values() {
		if err != nil {
			problem(fmt.Errorf("%s: %w", shown(k.Path), err))
			continue
		}
		list = append(list, v)
	}
	return list
}

// subkeys are the names of what is below a key.
func subkeys(k *registry.Key, problem func(error)) []string {
	if k.Key == nil {
		return k.Hives
	}
	list := []string{}
	for sub, err := range k.Subkeys() {
		if err != nil {
			problem(fmt.Errorf("%s: %w", shown(k.Path), err))
			continue
		}
		list = append(list, sub.Name())
	}
	return list
}

// showKey prints a key as text: its path, its values, the keys below it.
func (s *session) showKey(k *registry.Key, problem func(error)) error {
	fmt.Fprintln(s.out, shown(k.Path))
	if k.Key != nil {
		var rows [][]string
		for _, v := range values(k, problem) {
			name := "(default)"
			if v.Name != "" {
				name = shown(v.Name)
			}
			rows = append(rows, []string{"    " + name, typeName(v.Type), valueText(v)})
		}
		printTable(s.out, rows)
	}
	if !s.cli.Bool("recursive") {
		for _, name := range subkeys(k, problem) {
			fmt.Fprintln(s.out, shown(k.Path+`\`+name))
		}
	}
	fmt.Fprintln(s.out)
	return nil
}

func typeName(t hive.Type) string {
	if name := t.String(); name != "" {
		return name
	}
	return fmt.Sprintf("%#x", uint32(t))
}

// valueText is the data of a value in one line.
func valueText(v hive.Value) string {
	n, number := v.Number()
	switch {
	case number:
		return fmt.Sprintf("%#x (%d)", n, n)
	case v.Type == hive.MultiString:
		list := v.Texts()
		for i := range list {
			list[i] = shown(list[i])
		}
		return strings.Join(list, `\0`)
	case v.Type == hive.String || v.Type == hive.ExpandString || v.Type == hive.Link:
		return shown(v.Text())
	}
	return fmt.Sprintf("%x", v.Data)
}

// showValue prints one value for a script: a string as it is, the strings of a
// list one a line, a number in decimal, bytes in hexadecimal.
func (s *session) showValue(k *registry.Key, _ func(error)) error {
	name := s.cli.String("value")
	if k.Key == nil {
		return &hive.MissingError{What: "value", Key: k.Path, Name: name}
	}
	if name == "@" {
		name = ""
	}
	v, err := k.Value(name)
	if err != nil {
		if s.cli.Bool("recursive") {
			return nil
		}
		return err
	}
	n, number := v.Number()
	switch {
	case number:
		fmt.Fprintln(s.out, n)
	case v.Type == hive.MultiString:
		for _, text := range v.Texts() {
			fmt.Fprintln(s.out, s.out.name(text))
		}
	case v.Type == hive.String || v.Type == hive.ExpandString || v.Type == hive.Link:
		fmt.Fprintln(s.out, s.out.name(v.Text()))
	default:
		fmt.Fprintf(s.out, "%x\n", v.Data)
	}
	return nil
}

// encodeKey prints a key as JSON.
func (s *session) encodeKey(k *registry.Key, problem func(error)) error {
	record := api.RegistryKey{Schema: api.RegistrySchema, Key: k.Path, Source: k.File, Values: []api.RegistryValue{}, Subkeys: []string{}}
	note := func(err error) {
		problem(err)
		record.Problem = err.Error()
	}
	record.Subkeys = append(record.Subkeys, subkeys(k, note)...)
	if k.Key == nil {
		return s.encode(record)
	}
	var err error
	if record.Class, err = k.Class(); err != nil {
		note(err)
	}
	if t := k.Written(); !t.IsZero() {
		record.Written = t.Format(time.RFC3339Nano)
	}
	for _, v := range values(k, note) {
		one := api.RegistryValue{Name: v.Name, Type: typeName(v.Type), Data: append([]byte{}, v.Data...)}
		switch n, number := v.Number(); {
		case number:
			one.Number = &n
		case v.Type == hive.MultiString:
			one.Texts = v.Texts()
		case v.Type == hive.String || v.Type == hive.ExpandString || v.Type == hive.Link:
			text := v.Text()
			one.Text = &text
		}
		record.Values = append(record.Values, one)
	}
	return s.encode(record)
}
