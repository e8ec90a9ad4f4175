package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
)

func (s *streams) completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a shell's completions for guestctl", ArgsUsage: "bash|zsh|fish", Category: "Other",
		Description: "bash: guestctl completion bash > ~/.local/share/bash-completion/completions/guestctl\n" +
			"zsh:  guestctl completion zsh > a folder of $fpath, as _guestctl\n" +
			"fish: guestctl completion fish > ~/.config/fish/completions/guestctl.fish",
		Flags: []cli.Flag{helpFlag()},
		Action: func(c *cli.Context) error {
			if c.Bool("help") {
				return cli.ShowSubcommandHelp(c)
			}
			if c.NArg() == 1 {
				list := completions(c.App)
				switch c.Args().First() {
				case "bash":
					return s.print(bashCompletion(list))
				case "zsh":
					return s.print(zshCompletion(list))
				case "fish":
					return s.print(fishCompletion(list))
				}
			}
			return args.Usage("completion needs the name of a shell: bash, zsh or fish")
		},
	}
}

func (s *streams) print(text string) error {
	_, err := fmt.Fprint(s.out, text)
	return err
}

// A completion is what can be completed of a command.
type completion struct {
	name, usage string
	options     []option
	words       []string // that its arguments may be; none: files
}

type option struct {
	names  []string // with their dashes: "--all", "-a"
	usage  string
	value  string   // what the value is called; "" takes none
	values []string // that it may be; none: files
}

// completions are those of the command table.
func completions(app *cli.App) []completion {
	var list []completion
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		one := completion{name: c.Name, usage: c.Usage, words: argumentWords(c.Name)}
		for _, f := range c.Flags {
			one.options = append(one.options, optionOf(f))
		}
		list = append(list, one)
	}
	return list
}

func optionOf(f cli.Flag) option {
	var o option
	for _, name := range f.Names() {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		o.names = append(o.names, dashes+name)
	}
	if d, ok := f.(cli.DocGenerationFlag); ok {
		o.usage = d.GetUsage()
		if d.TakesValue() {
			o.value = "VALUE"
		}
	}
	// The value's name stands in the usage in backquotes, as urfave/cli has it.
	if before, rest, ok := strings.Cut(o.usage, "`"); ok {
		if name, after, ok := strings.Cut(rest, "`"); ok {
			o.value, o.usage = name, before+name+after
		}
	}
	switch o.names[0] {
	case "--format":
		o.values = []string{"raw", "qcow2"}
	case "--blocksize":
		o.values = []string{"512", "4096"}
	case "--algorithm":
		o.values = files.Algorithms()
	case "--type":
		o.values = []string{"f", "d", "l", "c", "b", "p", "s"}
	}
	return o
}

// argumentWords are what a command's argument may be, where it names no file.
func argumentWords(command string) []string {
	switch command {
	case "schema":
		var names []string
		for _, s := range api.Schemas() {
			names = append(names, s.Name)
		}
		return names
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// bashCompletion leaves files to readline, which quotes them rightly.
func bashCompletion(list []completion) string {
	var b strings.Builder
	b.WriteString("# bash completion for guestctl; made by `guestctl completion bash`\n_guestctl() {\n" +
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= options= words= i\n\tCOMPREPLY=()\n" +
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tcase ${COMP_WORDS[i]} in\n\t\t-*) ;;\n\t\t*) command=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n" +
		"\tcase $command:$prev in\n")
	for _, c := range list {
		for _, o := range c.options {
			if o.value != "" {
				var patterns []string
				for _, n := range o.names {
					patterns = append(patterns, c.name+":"+n)
				}
				fmt.Fprintf(&b, "\t%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", strings.Join(patterns, "|"), strings.Join(o.values, " "))
			}
		}
	}
	b.WriteString("\tesac\n\tcase $command in\n")
	var names []string
	for _, c := range list {
		names = append(names, c.name)
		var options []string
		for _, o := range c.options {
			options = append(options, o.names...)
		}
		fmt.Fprintf(&b, "\t%s) options='%s' words='%s' ;;\n", c.name, strings.Join(options, " "), strings.Join(c.words, " "))
	}
	fmt.Fprintf(&b, "\t'') words='%s' ;;\n\tesac\n", strings.Join(names, " "))
	b.WriteString("\tcase $cur in\n\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n\t*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n\tesac\n}\ncomplete -o default -F _guestctl guestctl\n")
	return b.String()
}

// quoted is s in single quotes for a Bourne shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zshCompletion(list []completion) string {
	plain := strings.NewReplacer(`\`, `\\`, ":", `\:`, "[", `\[`, "]", `\]`)
	var b strings.Builder
	b.WriteString("#compdef guestctl\n# made by `guestctl completion zsh`\n_guestctl() {\n\tlocal context state state_descr line\n\ttypeset -A opt_args\n\tlocal -a commands=(\n")
	for _, c := range list {
		fmt.Fprintf(&b, "\t\t%s\n", quoted(plain.Replace(c.name)+":"+plain.Replace(c.usage)))
	}
	b.WriteString("\t)\n\t_arguments -C '1:command:->command' '*::argument:->argument'\n\tcase $state in\n\tcommand) _describe command commands ;;\n\targument)\n\t\tcase $words[1] in\n")
	for _, c := range list {
		fmt.Fprintf(&b, "\t\t%s)\n\t\t\t_arguments -s \\\n", c.name)
		for _, o := range c.options {
			for _, name := range o.names {
				spec := "*" + name
				if o.value != "" {
					action := "_files"
					if len(o.values) > 0 {
						action = "(" + strings.Join(o.values, " ") + ")"
					}
					if strings.HasPrefix(name, "--") {
						spec += "="
					}
					spec += "[" + plain.Replace(o.usage) + "]:" + plain.Replace(o.value) + ":" + action
				} else {
					spec += "[" + plain.Replace(o.usage) + "]"
				}
				fmt.Fprintf(&b, "\t\t\t\t%s \\\n", quoted(spec))
			}
		}
		action := "_files"
		if len(c.words) > 0 {
			action = "(" + strings.Join(c.words, " ") + ")"
		}
		fmt.Fprintf(&b, "\t\t\t\t'*:argument:%s' ;;\n", action)
	}
	b.WriteString("\t\tesac ;;\n\tesac\n}\n_guestctl \"$@\"\n")
	return b.String()
}

func fishCompletion(list []completion) string {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	var b strings.Builder
	b.WriteString("# fish completion for guestctl; made by `guestctl completion fish`\n")
	for _, c := range list {
		fmt.Fprintf(&b, "complete -c guestctl -n __fish_use_subcommand -f -a %s -d %s\n", c.name, quote(c.usage))
	}
	for _, c := range list {
		in := quote("__fish_seen_subcommand_from " + c.name)
		if len(c.words) > 0 {
			fmt.Fprintf(&b, "complete -c guestctl -n %s -f -a %s\n", in, quote(strings.Join(c.words, " ")))
		}
		for _, o := range c.options {
			fmt.Fprintf(&b, "complete -c guestctl -n %s", in)
			for _, name := range o.names {
				if long, ok := strings.CutPrefix(name, "--"); ok {
					b.WriteString(" -l " + long)
				} else {
					b.WriteString(" -s " + name[1:])
				}
			}
			switch {
			case len(o.values) > 0:
				b.WriteString(" -x -a " + quote(strings.Join(o.values, " ")))
			case o.value != "":
				b.WriteString(" -r")
			}
			b.WriteString(" -d " + quote(o.usage) + "\n")
		}
	}
	return b.String()
}
