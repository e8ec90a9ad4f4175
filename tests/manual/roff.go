package main

import (
	"fmt"
	"regexp"
	"strings"
)

// page is a manual page.
func page(name, section, what string, synopsis []string, body, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Made by tests/manual.\n.TH %s %s \"\" GuestCtl \"GuestCtl\"\n.nh\n.ad l\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", strings.ToUpper(name), section, escape(name), escape(what))
	for i, s := range synopsis {
		if i > 0 {
			b.WriteString(".br\n")
		}
		b.WriteString(escape(s) + "\n")
	}
	b.WriteString(".SH DESCRIPTION\n" + body + strings.TrimLeft(more, "\n"))
	return b.String()
}

// splitSynopsis takes the command lines off the start of a usage text.
func splitSynopsis(text string) (synopsis []string, body string) {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "  ") {
		synopsis = append(synopsis, strings.TrimSpace(lines[0]))
		lines = lines[1:]
	}
	return synopsis, roff(strings.Join(lines, "\n"))
}

// optionLine is an option, and its description behind two blanks.
var optionLine = regexp.MustCompile(`^ {2,8}(-{1,2}[A-Za-z0-9].*?)(?: {2,}(\S.*))?$`)

// repeats is how urfave/cli says that an option may be repeated.
var repeats = regexp.MustCompile(` \[ --.* \]$`)

// roff makes a usage text a page's body: options with their descriptions,
// headings in front of options, examples, and the rest as paragraphs.
func roff(text string) string {
	var b strings.Builder
	lines := strings.Split(text, "\n")
	option := 0 // indentation of the option whose description goes on
	for i, line := range lines {
		bare := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		m := optionLine.FindStringSubmatch(line)
		switch {
		case bare == "":
			option = 0
			if i > 0 && i < len(lines)-1 {
				b.WriteString(".PP\n")
			}
		case m != nil:
			option = indent
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n", escape(repeats.ReplaceAllString(m[1], "")))
			if m[2] != "" {
				b.WriteString(escape(m[2]) + "\n")
			}
		case option > 0 && indent > option+4:
			b.WriteString(escape(bare) + "\n")
		case heads(lines[i+1:]) && len(bare) < 40:
			fmt.Fprintf(&b, ".SS %s\n", quote(escape(bare)))
		case indent == 2:
			fmt.Fprintf(&b, ".PP\n.nf\n.RS\n%s\n.RE\n.fi\n", escape(bare))
		default:
			b.WriteString(escape(bare) + "\n")
		}
	}
	return b.String()
}

// heads says whether an option comes next.
func heads(lines []string) bool {
	for _, l := range lines {
		if strings.TrimSpace(l) != "" {
			return optionLine.MatchString(l)
		}
	}
	return false
}

// escape is text for roff.
func escape(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
