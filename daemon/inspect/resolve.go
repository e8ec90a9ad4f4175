package inspect

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A resolver finds the volume that a guest's fstab means.
type resolver struct {
	sources []Source // without subvolumes
	all     []Source
	disks   []string // names, in order
	root    Source
	kind    string // of the system; its BSDs call their disks otherwise

	mappings []mapping // names that the guest gives itself
}

func newResolver(root Source, sources []Source) *resolver {
	whole := slices.DeleteFunc(slices.Clone(sources), func(s Source) bool { return s.Volume != "" })
	r := &resolver{sources: whole, all: sources, root: root}
	for _, s := range sources {
		if !slices.Contains(r.disks, s.Disk) {
			r.disks = append(r.disks, s.Disk)
		}
	}
	return r
}

// SubvolumeOf takes the subvolume that a mount's options name out of them: its
// path with a leading slash, or else its number; neither where none is named.
func SubvolumeOf(options []string) (rest []string, path string, id uint64) {
	for _, o := range options {
		if p, ok := strings.CutPrefix(o, "subvol="); ok {
			path = "/" + strings.Trim(p, "/")
		} else if n, ok := strings.CutPrefix(o, "subvolid="); ok {
			if id, _ = strconv.ParseUint(n, 0, 64); id == 0 { // of nonsense too
				id = 5 // the top level, as for Linux
			}
		} else {
			rest = append(rest, o)
		}
	}
	return rest, path, id
}

// subvolume is what e shows of the filesystem s: the subvolume that its options
// name, or s as it is.
func (r *resolver) subvolume(s Source, e fstabEntry) (Source, string) {
	_, want, id := SubvolumeOf(e.options)
	volume := s.Name
	if s.Volume != "" { // /dev/root
		volume = s.Volume
	}
	if want == "" && id == 0 || s.Type != "btrfs" {
		return s, ""
	}
	for _, t := range r.all {
		if t.Volume == volume && (want != "" && t.Subvol == want || want == "" && t.SubvolID == id) {
			return t, ""
		}
	}
	return Source{}, fmt.Sprintf("names a subvolume that %s does not have", volume)
}

// find is the volume called spec. why says in words, after "it", what stands
// in the way where there is none.
func (r *resolver) find(spec string) (s Source, why string) {
	if dev, ok := strings.CutPrefix(spec, "/dev/"); ok {
		if s, why, ok := r.byAlias(dev); ok {
			return s, why
		}
	}
	return r.findDevice(spec)
}

// findDevice is find without the names that the guest gives itself.
func (r *resolver) findDevice(spec string) (s Source, why string) {
	key, value, tagged := strings.Cut(spec, "=")
	if tagged && !strings.HasPrefix(spec, "/") {
		return r.byTag(key, strings.Trim(value, `"`))
	}
	if r.kind == "openbsd" && openBSDUID.MatchString(spec) {
		// The disk with that label cannot be told; the first is taken, as by libguestfs.
		spec = "/dev/sd0" + spec[len(spec)-1:]
	}
	dev, ok := strings.CutPrefix(spec, "/dev/")
	if !ok {
		return Source{}, "is no device"
	}
	if dev == "root" {
		return r.root, ""
	}
	if r.kind != "linux" && r.kind != "" {
		if s, why, ok := r.byForeignName(dev); ok {
			return s, why
		}
	}
	if kind, value, ok := strings.Cut(strings.TrimPrefix(dev, "disk/by-"), "/"); ok && strings.HasPrefix(dev, "disk/by-") {
		return r.byLink(kind, value)
	}
	for _, s := range r.sources {
		if slices.Contains(s.Aliases, dev) {
			return s, ""
		}
	}
	if strings.HasPrefix(dev, "mapper/") || strings.HasPrefix(dev, "dm-") || strings.HasPrefix(dev, "md") {
		return Source{}, "is a volume of LVM, LUKS or RAID, or of another mapping, that is not on the disks" + r.members()
	}
	return r.byName(dev)
}

// Names that the BSDs and the Hurd give to disks, by libguestfs's rules: a
// letter counts from the fifth partition of Linux on, those that stand for the
// slice or the disk left out.
var (
	freeBSDGPT = regexp.MustCompile(`^(?:ada?|vtbd|da|nda|nvd)([0-9]{1,2})p([0-9]{1,3})$`)
	freeBSDMBR = regexp.MustCompile(`^(?:ada?|vtbd|da)([0-9]{1,2})s1([a-z])$`)
	netBSD     = regexp.MustCompile(`^[ls]d([0-9])([a-z])$`)
	openBSD    = regexp.MustCompile(`^[sw]d([0-9])([a-z])$`)
	openBSDUID = regexp.MustCompile(`^[0-9a-f]{16}\.[a-z]$`)
	hurd       = regexp.MustCompile(`^[hsw]d([0-9])s([0-9]{1,3})$`)
)

func (r *resolver) isBSD() bool {
	return r.kind == "freebsd" || r.kind == "netbsd" || r.kind == "openbsd"
}

// byForeignName is the volume that a system other than Linux calls dev; ok says
// that the name is one of those.
func (r *resolver) byForeignName(dev string) (s Source, why string, ok bool) {
	letter := func(re *regexp.Regexp, whole ...byte) (Source, string, bool) {
		m := re.FindStringSubmatch(dev)
		if m == nil {
			return Source{}, "", false
		}
		disk, _ := strconv.Atoi(m[1])
		c := m[2][0]
		n := int(c-'a') + 5
		for _, w := range whole {
			if c == w {
				return Source{}, "is a whole disk or slice", true
			}
			if c > w {
				n--
			}
		}
		s, why := r.onDisk(disk, strconv.Itoa(n))
		return s, why, true
	}
	number := func(re *regexp.Regexp) (Source, string, bool) {
		m := re.FindStringSubmatch(dev)
		if m == nil {
			return Source{}, "", false
		}
		disk, _ := strconv.Atoi(m[1])
		s, why := r.onDisk(disk, m[2])
		return s, why, true
	}
	switch r.kind {
	case "freebsd":
		if label, is := strings.CutPrefix(dev, "gpt/"); is {
			s, why = r.byTag("PARTLABEL", label)
			return s, why, true
		}
		if label, is := strings.CutPrefix(dev, "ufs/"); is {
			s, why = r.byTag("LABEL", label)
			return s, why, true
		}
		if s, why, ok = number(freeBSDGPT); ok {
			return s, why, ok
		}
		return letter(freeBSDMBR, 'c')
	case "netbsd":
		return letter(netBSD, 'c', 'd')
	case "openbsd":
		return letter(openBSD, 'c')
	case "hurd":
		return number(hurd)
	}
	return Source{}, "", false
}

// members names the volumes that hold others.
func (r *resolver) members() string {
	var names []string
	for _, s := range r.sources {
		switch s.Type {
		case "LVM2_member", "crypto_LUKS", "linux_raid_member", "BitLocker", "zfs_member", "bcache", "stratis":
			names = append(names, fmt.Sprintf("%s is %s", s.Name, s.Type))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// byTag is the first volume with that tag, as mount(8) has them.
func (r *resolver) byTag(tag, value string) (Source, string) {
	if value == "" {
		return Source{}, "names nothing"
	}
	var is func(s Source) bool
	switch tag {
	case "UUID":
		is = func(s Source) bool { return strings.EqualFold(s.UUID, value) }
	case "LABEL":
		is = func(s Source) bool { return s.Label == value }
	case "PARTUUID":
		is = func(s Source) bool { return strings.EqualFold(s.PartUUID, value) }
	case "PARTLABEL":
		is = func(s Source) bool { return s.PartLabel == value }
	default:
		return Source{}, "is a tag that is not known"
	}
	for _, s := range r.sources {
		if is(s) {
			return s, ""
		}
	}
	return Source{}, "is on none of the disks" + r.unknown()
}

// unknown adds to what was not found that it may be where it could not be seen.
func (r *resolver) unknown() string {
	if m := r.members(); m != "" {
		return ", or inside what is not read yet" + m
	}
	return ""
}

// byLink is the volume that udev links to as /dev/disk/by-<kind>/<value>.
func (r *resolver) byLink(kind, value string) (Source, string) {
	switch kind {
	case "uuid":
		return r.byTag("UUID", unescapeLink(value))
	case "label":
		return r.byTag("LABEL", unescapeLink(value))
	case "partuuid":
		return r.byTag("PARTUUID", unescapeLink(value))
	case "partlabel":
		return r.byTag("PARTLABEL", unescapeLink(value))
	case "id", "path":
		if name, ok := strings.CutPrefix(value, "dm-name-"); ok && kind == "id" {
			return r.find("/dev/mapper/" + unescapeLink(name))
		}
		if strings.HasPrefix(value, "dm-") || strings.HasPrefix(value, "md-") || strings.HasPrefix(value, "lvm-") {
			for _, s := range r.sources {
				if slices.Contains(s.Aliases, "disk/by-id/"+value) {
					return s, ""
				}
			}
			return Source{}, "is a volume of LVM, LUKS or RAID that is not on the disks" + r.members()
		}
		// The name is that of hardware, which is not here. With one disk it
		// can mean no other, as in libguestfs.
		if at := strings.LastIndex(value, "-part"); at >= 0 && len(r.disks) == 1 {
			return r.partition(r.disks[0], value[at+len("-part"):])
		}
		if len(r.disks) == 1 {
			return r.partition(r.disks[0], "")
		}
		return Source{}, "is the name of hardware, and could be any of the disks"
	}
	return Source{}, "is a name that is not known"
}

// unescapeLink replaces \xHH, as udev writes what may not stand in a link's name.
func unescapeLink(s string) string {
	for at := 0; ; {
		i := strings.Index(s[at:], `\x`)
		if i < 0 {
			return s
		}
		at += i
		if at+4 > len(s) {
			return s
		}
		if c, err := strconv.ParseUint(s[at+2:at+4], 16, 8); err == nil {
			s = s[:at] + string([]byte{byte(c)}) + s[at+4:]
		}
		at++
	}
}

// The kernel's names of disks: by letters, by number.
var (
	lettered = regexp.MustCompile(`^(?:s|v|h|xv|ub)d([a-z]{1,3})([0-9]{0,4})$`)
	numbered = regexp.MustCompile(`^(?:nvme([0-9]{1,4})n1|mmcblk([0-9]{1,4})|cciss/c0d([0-9]{1,4})|ida/c0d([0-9]{1,4})|pmem([0-9]{1,4})|vblk([0-9]{1,4}))(?:p([0-9]{1,4}))?$`)
)

// byName is the volume with that name of the kernel. The guest's bus is not
// known here, so that its disks count in order, whatever they are called.
func (r *resolver) byName(dev string) (Source, string) {
	if m := lettered.FindStringSubmatch(dev); m != nil {
		n := 0
		for _, c := range m[1] {
			n = n*26 + int(c-'a') + 1
		}
		return r.onDisk(n-1, m[2])
	}
	if m := numbered.FindStringSubmatch(dev); m != nil {
		for _, digits := range m[1 : len(m)-1] {
			if n, err := strconv.Atoi(digits); err == nil {
				return r.onDisk(n, m[len(m)-1])
			}
		}
	}
	if strings.Count(dev, "/") == 1 {
		return Source{}, "is perhaps a volume of LVM, and not on the disks" + r.members()
	}
	return Source{}, "is a device whose name is not known"
}

func (r *resolver) onDisk(n int, part string) (Source, string) {
	if n >= len(r.disks) {
		return Source{}, fmt.Sprintf("is on the guest's disk number %d, and %d are here", n+1, len(r.disks))
	}
	return r.partition(r.disks[n], part)
}

// partition is the volume of that number on a disk; the whole disk for "".
func (r *resolver) partition(disk, part string) (Source, string) {
	name := disk + strings.TrimLeft(part, "0")
	for _, s := range r.sources {
		if s.Name == name {
			return s, ""
		}
	}
	return Source{}, fmt.Sprintf("would be %s, which is not there", name)
}
