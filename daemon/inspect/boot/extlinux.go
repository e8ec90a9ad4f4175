package boot

import (
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// extlinux finds the default entry of SYSLINUX's configuration.
func (m *machine) extlinux() (string, *entry) {
	for _, file := range []string{"/boot/extlinux/extlinux.conf", "/boot/extlinux.conf", "/extlinux.conf", "/boot/syslinux/syslinux.cfg", "/boot/syslinux/extlinux.conf"} {
		lines, err := m.fs.Text(m.ctx, file)
		if err != nil {
			continue
		}
		if e := readExtlinux(lines, file); e != nil {
			return "extlinux", e
		}
	}
	return "", nil
}

func readExtlinux(lines []string, file string) *entry {
	var list []*entry
	now := &entry{}
	choice := ""
	var chosen *entry
	for n, line := range lines {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		value := strings.Join(f[1:], " ")
		switch strings.ToUpper(f[0]) {
		case "DEFAULT", "ONTIMEOUT":
			if choice == "" {
				choice = value
			}
		case "LABEL":
			if len(list) == maxEntries {
				return chosen
			}
			now = &entry{id: value, title: value, source: look.At(file, n+1)}
			list = append(list, now)
		case "KERNEL", "LINUX":
			now.kernel = value
		case "INITRD":
			now.initrds = strings.Split(value, ",")
		case "APPEND":
			now.cmdline = value
			for _, word := range f[1:] {
				if i, ok := strings.CutPrefix(word, "initrd="); ok {
					now.initrds = strings.Split(i, ",")
				}
			}
		case "MENU":
			switch {
			case strings.EqualFold(f[1], "DEFAULT"):
				chosen = now
			case strings.EqualFold(f[1], "LABEL") && len(list) > 0:
				now.title = strings.ReplaceAll(strings.Join(f[2:], " "), "^", "")
			}
		}
	}
	for _, e := range list {
		if chosen == nil && e.id == choice {
			chosen = e
		}
	}
	if chosen == nil && len(list) > 0 {
		chosen = list[0]
	}
	return chosen
}

// grubLegacy finds the default entry of GRUB before 2.
func (m *machine) grubLegacy() (string, *entry) {
	for _, file := range []string{"/boot/grub/menu.lst", "/boot/grub/grub.conf", "/etc/grub.conf"} {
		lines, err := m.fs.Text(m.ctx, file)
		if err != nil {
			continue
		}
		root := &entry{}
		choice := 0
		now := &entry{}
		for n, line := range lines {
			line = strings.Replace(strings.TrimSpace(line), "=", " ", 1)
			f := strings.Fields(line)
			if len(f) < 2 || len(root.children) == maxEntries {
				continue
			}
			switch f[0] {
			case "default":
				choice, _ = strconv.Atoi(f[1])
			case "title":
				now = &entry{title: strings.Join(f[1:], " "), source: look.At(file, n+1)}
				root.children = append(root.children, now)
			case "kernel":
				f = strings.Fields(lines[n])
				if now.kernel == "" && len(f) > 1 {
					now.kernel, now.cmdline = f[1], strings.Join(f[2:], " ")
				}
			case "initrd":
				now.initrds = append(now.initrds, f[1:]...)
			}
		}
		if choice >= 0 && choice < len(root.children) && root.children[choice].kernel != "" {
			return "grub", root.children[choice]
		}
		if e := first(root); e != nil {
			return "grub", e
		}
	}
	return "", nil
}
