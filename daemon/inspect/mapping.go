package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// A mapping is a name that the guest gives to a volume in a file of its own.
type mapping struct {
	name string // "mapper/root_crypt" of /etc/crypttab, "md0" of mdadm.conf
	spec string // of crypttab: the encrypted device, as fstab has it
	uuid string // of mdadm.conf: the array's
}

// readMappings reads the guest's crypttab(5) and mdadm.conf(5). What cannot be
// read names nothing.
func readMappings(ctx context.Context, fs *look.FS) []mapping {
	var list []mapping
	if lines, err := fs.Text(ctx, "/etc/crypttab"); err == nil {
		for _, line := range lines {
			if f := strings.Fields(line); len(f) >= 2 && !strings.HasPrefix(f[0], "#") && len(list) < maxEntries {
				list = append(list, mapping{name: "mapper/" + f[0], spec: f[1]})
			}
		}
	}
	for _, path := range []string{"/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"} {
		lines, err := fs.Text(ctx, path)
		if err != nil {
			continue
		}
		// A line that begins with a blank goes on with the one before.
		joined := strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(strings.Join(lines, "\n"))
		for line := range strings.Lines(joined) {
			f := strings.Fields(line)
			if len(f) < 3 || !strings.EqualFold(f[0], "ARRAY") || len(list) >= 2*maxEntries {
				continue
			}
			for _, word := range f[2:] {
				if key, value, ok := strings.Cut(word, "="); ok && strings.EqualFold(key, "UUID") {
					list = append(list, mapping{name: strings.TrimPrefix(f[1], "/dev/"), uuid: value})
				}
			}
		}
	}
	return list
}

// byAlias is the volume that has dev, which is relative to /dev, as one of its
// names, or that the guest itself calls so. found says that the name is one
// that the guest has, even where its volume is not there.
func (r *resolver) byAlias(dev string) (s Source, why string, found bool) {
	for _, m := range r.mappings {
		if m.name != dev {
			continue
		}
		if m.uuid != "" {
			for _, s := range r.sources {
				if s.Scheme == "md" && hexOnly(s.VolumeUUID) == hexOnly(m.uuid) && hexOnly(m.uuid) != "" {
					return s, "", true
				}
			}
			continue
		}
		below, why := r.findDevice(m.spec)
		if why != "" {
			return Source{}, fmt.Sprintf("is the encrypted %s of its crypttab, which %s", printSpec(m.spec), why), true
		}
		for _, s := range r.sources {
			if slices.Contains(s.On, below.Name) {
				return s, "", true
			}
		}
	}
	for _, s := range r.sources {
		if slices.Contains(s.Aliases, dev) {
			return s, "", true
		}
	}
	// /dev/md0p1 and /dev/md/0p1 are partitions of arrays.
	if at := strings.LastIndexByte(dev, 'p'); at > 0 && strings.HasPrefix(dev, "md") {
		if array, _, ok := r.byAlias(dev[:at]); ok && array.Name != "" {
			s, why := r.partition(array.Name+"p", dev[at+1:])
			return s, why, true
		}
	}
	return Source{}, "", false
}

// hexOnly is a UUID without what it is grouped by: mdadm has colons.
func hexOnly(uuid string) string {
	return strings.NewReplacer(":", "", "-", "").Replace(strings.ToLower(uuid))
}
