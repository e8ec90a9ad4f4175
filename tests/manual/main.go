package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/guestctl/guestctl/daemon/service"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the programs")
	out := flag.String("o", "build/manual", "folder that is written")
	flag.Parse()
	if err := write(*bin, *out); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write writes all pages and completions.
func write(bin, out string) error {
	files := map[string]string{}
	for _, p := range []struct{ name, section string }{{"guestmount", "1"}, {"guestunmount", "1"}, {"guestctld", "8"}} {
		help, err := say(bin, p.name, "--help")
		if err != nil {
			return err
		}
		first, rest, _ := strings.Cut(help, "\n")
		what := strings.TrimSuffix(strings.TrimPrefix(first, p.name+" "), ".")
		synopsis, body := splitSynopsis(rest)
		files[p.name+"."+p.section] = page(p.name, p.section, what, synopsis, body, more[p.name])
	}
	text, err := guestctlPage(bin)
	if err != nil {
		return err
	}
	files["guestctl.1"] = text
	files["guestctld.toml.5"] = page("guestctld.toml", "5", "configuration of guestctld", []string{"/etc/guestctl/guestctld.toml"}, settings(service.DefaultFile), more["guestctld.toml"])
	for shell, name := range map[string]string{"bash": "guestctl.bash", "zsh": "_guestctl", "fish": "guestctl.fish"} {
		if files[name], err = say(bin, "guestctl", "completion", shell); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func say(bin, name string, args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(bin, name), args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", name, args, err)
	}
	return string(out), nil
}

// guestctlPage is the page of guestctl with all its commands.
func guestctlPage(bin string) (string, error) {
	help, err := say(bin, "guestctl", "--help")
	if err != nil {
		return "", err
	}
	parts := sections(help)
	var body strings.Builder
	body.WriteString(roff(parts["DESCRIPTION"]))
	body.WriteString(".SH COMMANDS\n")
	for line := range strings.Lines(parts["COMMANDS"]) {
		name, usage, ok := strings.Cut(strings.TrimSpace(line), "  ")
		name, _, _ = strings.Cut(name, ",")
		if !ok || name == "help" {
			continue
		}
		text, err := say(bin, "guestctl", name, "--help")
		if err != nil {
			return "", err
		}
		own := sections(text)
		how := strings.Replace(strings.TrimSpace(own["USAGE"]), " [command options]", " [options]", 1)
		fmt.Fprintf(&body, ".SS %s\n%s.\n.PP\n", quote(escape(how)), escape(strings.TrimSpace(usage)))
		body.WriteString(roff(own["DESCRIPTION"]))
		body.WriteString(roff(own["OPTIONS"]))
	}
	what := strings.TrimPrefix(strings.TrimSpace(parts["NAME"]), "guestctl - ")
	return page("guestctl", "1", what, []string{"guestctl COMMAND [options] [IMAGE[:PATH]]..."}, body.String(), more["guestctl"]), nil
}

// sections are the parts of a text of urfave/cli, by their headings.
func sections(help string) map[string]string {
	parts := map[string]string{}
	name := ""
	for line := range strings.Lines(help) {
		head := strings.TrimSuffix(strings.TrimSpace(line), ":")
		if !strings.HasPrefix(line, " ") && strings.HasSuffix(strings.TrimSpace(line), ":") && head == strings.ToUpper(head) {
			name = head
			continue
		}
		parts[name] += line
	}
	return parts
}

// settings are the settings of a configuration file in which each stands
// behind a # below its description.
func settings(file string) string {
	var b, text strings.Builder
	for line := range strings.Lines(file) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&b, ".SS %s\n", quote(escape(line[3:])))
		case strings.HasPrefix(line, "# "):
			text.WriteString(escape(line[2:]) + "\n")
		case strings.HasPrefix(line, "#"):
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s", escape(line[1:]), text.String())
			if text.Len() == 0 {
				b.WriteString("See above.\n")
			}
			text.Reset()
		default:
			if text.Len() > 0 {
				b.WriteString(".PP\n" + text.String())
				text.Reset()
			}
		}
	}
	return b.String()
}
