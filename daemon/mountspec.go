package daemon

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// A MountSpec is one filesystem and its place in the tree.
type MountSpec struct {
	Device  string // "/dev/sda1", "sda1"
	Path    string // "/", "/boot": absolute and clean
	Options string // "ro,noload"; see Guest
	FSType  string // "ext4"; "" or "auto" finds it
}

// ParseMount reads DEV[:MOUNTPOINT[:OPTS[:FSTYPE]]], the value of -m, with
// libguestfs's meaning. A mount point that is left out or empty is /.
func ParseMount(s string) (MountSpec, error) {
	part := strings.SplitN(s, ":", 4)
	part = append(part, make([]string, 4-len(part))...)
	m := MountSpec{Device: part[0], Path: part[1], Options: part[2], FSType: part[3]}
	if m.Device == "" {
		return MountSpec{}, fmt.Errorf("-m %q names no device: write DEV[:MOUNTPOINT[:OPTS[:FSTYPE]]], as in /dev/sda1:/boot", s)
	}
	if m.Path == "" {
		m.Path = "/"
	}
	if m.Path[0] != '/' {
		return MountSpec{}, fmt.Errorf("-m %q: mount point %q is not absolute: write it as the guest sees it, as in /dev/sda1:/boot", s, m.Path)
	}
	if strings.ContainsRune(s, 0) {
		return MountSpec{}, errors.New("-m: a zero byte in a name")
	}
	m.Path = path.Clean(m.Path)
	return m, nil
}

// String is what ParseMount reads.
func (m MountSpec) String() string {
	return strings.TrimRight(strings.Join([]string{m.Device, m.Path, m.Options, m.FSType}, ":"), ":")
}
