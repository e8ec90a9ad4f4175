package boot

import (
	"path"
	"slices"
	"strings"
)

// systemdBoot finds the default entry of systemd-boot.
func (m *machine) systemdBoot() (string, *entry) {
	for _, esp := range []string{"/efi", "/boot", "/boot/efi"} {
		lines, err := m.fs.Text(m.ctx, esp+"/loader/loader.conf")
		if err != nil {
			continue
		}
		pattern := ""
		for _, line := range lines {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "default" {
				pattern = strings.TrimSuffix(strings.TrimSpace(value), ".conf")
			}
		}
		entries := m.bls(esp)
		if esp != "/boot" {
			entries = append(entries, m.bls("/boot")...)
		}
		for _, e := range entries {
			if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(e.id)); ok && pattern != "" {
				return "systemd-boot", e
			}
		}
		if len(entries) > 0 {
			return "systemd-boot", entries[0]
		}
	}
	return "", nil
}

// bls are the entries of the Boot Loader Specification in a partition, the
// newest first.
func (m *machine) bls(partition string) []*entry {
	var list []*entry
	for _, file := range m.fs.Glob(m.ctx, partition+"/loader/entries", "*.conf") {
		lines, err := m.fs.Text(m.ctx, file)
		if err != nil || len(list) == maxEntries {
			continue
		}
		e := &entry{id: strings.TrimSuffix(path.Base(file), ".conf"), source: file}
		for _, line := range lines {
			f := strings.Fields(line)
			if len(f) < 2 || strings.HasPrefix(f[0], "#") {
				continue
			}
			switch value := strings.Join(f[1:], " "); f[0] {
			case "title":
				e.title = value
			case "version":
				e.version = value
			case "linux", "efi", "uki":
				e.kernel = value
			case "initrd":
				e.initrds = append(e.initrds, f[1:]...)
			case "options":
				e.cmdline = strings.TrimSpace(e.cmdline + " " + value)
			}
		}
		if e.kernel != "" {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b *entry) int { return compareVersions(b.version, a.version) })
	return list
}

// compareVersions compares numbers as numbers, and the rest as text.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		digits := isDigit(a[0]) && isDigit(b[0])
		x, y := run(a, digits), run(b, digits)
		s, t := a[:x], b[:y]
		a, b = a[x:], b[y:]
		if digits {
			s, t = strings.TrimLeft(s, "0"), strings.TrimLeft(t, "0")
			if len(s) != len(t) {
				return len(s) - len(t)
			}
		}
		if c := strings.Compare(s, t); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// run is the length of what starts s and is all digits, or none; at least one.
func run(s string, digits bool) int {
	n := 1
	for n < len(s) && isDigit(s[n]) == digits {
		n++
	}
	return n
}
