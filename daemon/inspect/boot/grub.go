package boot

import (
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// grub finds the default entry of GRUB 2.
func (m *machine) grub() (string, *entry) {
	files := []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"}
	for _, dir := range []string{"/boot/efi/EFI", "/efi/EFI"} {
		for _, vendor := range m.fs.Glob(m.ctx, dir, "*") {
			files = append(files, vendor+"/grub.cfg")
		}
	}
	for _, file := range files {
		b, err := m.fs.Read(m.ctx, file, maxConfig)
		if err != nil || len(b) == 0 {
			continue
		}
		c := readGrub(string(b), file)
		if c.bls {
			c.root.children = append(m.bls("/boot"), c.root.children...)
		}
		if len(c.root.children) == 0 {
			continue // of the ESP: it loads another
		}
		choice := c.choice
		if saved := m.grubEnv(file); c.saved && saved != "" {
			choice = saved
		}
		if e := find(c.root, choice); e != nil {
			return "grub2", e
		}
		return "grub2", first(c.root)
	}
	return "", nil
}

// grubEnv is the saved entry beside a configuration.
func (m *machine) grubEnv(config string) string {
	for _, file := range []string{config[:strings.LastIndexByte(config, '/')] + "/grubenv", "/boot/grub2/grubenv", "/boot/grub/grubenv"} {
		lines, err := m.fs.Text(m.ctx, file)
		if err != nil {
			continue
		}
		for _, line := range lines {
			if value, ok := strings.CutPrefix(line, "saved_entry="); ok {
				return value
			}
		}
	}
	return ""
}

// A grubConfig is what is taken of grub.cfg.
type grubConfig struct {
	root   *entry // its children are the entries
	choice string // the default: a number, a title, an id; of a submenu's with > between
	saved  bool   // the saved entry comes before it
	bls    bool
}

// readGrub reads the lines of grub.cfg that matter.
func readGrub(text, file string) *grubConfig {
	c := &grubConfig{root: &entry{}}
	stack := []*entry{c.root} // what is open, by braces; nil is something else
	count := 0
	line := 0
	for raw := range strings.Lines(text) {
		line++
		words := shellWords(strings.TrimSpace(raw))
		if len(words) == 0 {
			continue
		}
		top := stack[len(stack)-1]
		switch words[0] {
		case "menuentry", "submenu":
			if words[len(words)-1] != "{" || len(words) < 3 || len(stack) == maxNesting || count == maxEntries || top == nil {
				stack = append(stack, nil)
				continue
			}
			count++
			e := &entry{title: words[1], source: look.At(file, line)}
			for i, w := range words[:len(words)-1] {
				if w == "$menuentry_id_option" || w == "--id" {
					e.id = words[i+1]
				}
			}
			top.children = append(top.children, e)
			stack = append(stack, e)
			continue
		case "blscfg":
			c.bls = true
		case "set":
			if value, ok := strings.CutPrefix(strings.Join(words[1:], " "), "default="); ok {
				switch {
				case strings.Contains(value, "saved_entry"):
					c.saved = true
				case !strings.HasPrefix(value, "$"):
					c.choice = value
				}
			}
		case "linux", "linux16", "linuxefi", "multiboot", "multiboot2":
			if top != nil && top != c.root && top.kernel == "" && len(words) > 1 {
				top.kernel, top.cmdline = words[1], strings.Join(words[2:], " ")
			}
		case "initrd", "initrd16", "initrdefi":
			if top != nil && top != c.root {
				top.initrds = append(top.initrds, words[1:]...)
			}
		}
		switch {
		case words[len(words)-1] == "{" && len(stack) < 4*maxNesting:
			stack = append(stack, nil)
		case words[0] == "}" && len(stack) > 1:
			stack = stack[:len(stack)-1]
		}
	}
	return c
}

// shellWords splits a line as GRUB's shell does, without expanding anything.
func shellWords(s string) []string {
	var words []string
	var b strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			b.WriteByte(c)
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			in = true
		case quote == '"':
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == ';':
			if in {
				words = append(words, b.String())
				b.Reset()
				in = false
			}
		case c == '#' && !in:
			return words
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, b.String())
	}
	return words
}

// find is the entry that a choice names: by number, title or id, one level of
// menus after another, with > between.
func find(menu *entry, choice string) *entry {
	here, below, deeper := strings.Cut(choice, ">")
	here = strings.TrimSpace(here)
	n, err := strconv.Atoi(here)
	for i, e := range menu.children {
		if e.id == here && here != "" || e.title == here && here != "" || err == nil && n == i {
			switch {
			case deeper:
				return find(e, below)
			case e.kernel == "" && len(e.children) > 0:
				return first(e)
			}
			return e
		}
	}
	return nil
}

// first is the first entry that starts a kernel.
func first(menu *entry) *entry {
	for _, e := range menu.children {
		if e.kernel != "" {
			return e
		}
		if sub := first(e); sub != nil {
			return sub
		}
	}
	return nil
}
