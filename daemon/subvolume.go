package daemon

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// maxSubvolumes bounds those of a filesystem that inspection gets to know: a
// host of containers has thousands.
const maxSubvolumes = 4096

// joinDevices gives each filesystem of several devices all that are there, at
// the first of them; the others are its members.
func (g *Guest) joinDevices() {
	first := map[string]*found{}
	for _, f := range g.found {
		if f.err != nil || f.driver.Open == nil || f.info.Type != "btrfs" {
			continue
		}
		f.devices = []block.Device{f.volume.Dev}
		if at := first[f.info.UUID]; at != nil && f.info.UUID != "" {
			at.devices = append(at.devices, f.volume.Dev)
			f.err = &MemberError{Type: f.info.Type, Of: at.volume.Name}
			continue
		}
		first[f.info.UUID] = f
	}
}

// A MemberError says that a volume is one of several devices of a filesystem,
// which is shown at another.
type MemberError struct {
	Type string
	Of   string // the volume that it is shown at
}

func (e *MemberError) Error() string {
	return fmt.Sprintf("it is a device of the %s at %s", e.Type, e.Of)
}

// subvolumes are those of the filesystem at s, as inspection gets to know them.
// What cannot be listed is not there.
func (f *found) subvolumes(ctx context.Context, s inspect.Source) []inspect.Source {
	fs, ok := f.fs.(vfs.Subvolumer)
	if !ok {
		return nil
	}
	all, err := fs.Subvolumes(ctx)
	if err != nil {
		return nil
	}
	var list []inspect.Source
	for _, v := range all[:min(len(all), maxSubvolumes)] {
		t := s
		t.Volume, t.Subvol, t.SubvolID = s.Name, "/"+strings.Trim(v.Path, "/"), v.ID
		t.Frozen = v.ReadOnly
		if !v.Default { // which s shows
			t.Name = strings.TrimSuffix(s.Name+t.Subvol, "/")
			t.Tree = s.Tree.Below(t.Name, v.Root)
		}
		list = append(list, t)
	}
	return list
}

// treeOf is the tree that a mount shows of f, which is open.
func (f *found) treeOf(ctx context.Context, options string) (*vfs.Tree, error) {
	tree := vfs.NewTree(f.volume.Name, f.fs)
	_, path, id := inspect.SubvolumeOf(strings.Split(options, ","))
	fs, ok := f.fs.(vfs.Subvolumer)
	if path == "" && id == 0 || !ok {
		return tree, nil
	}
	all, err := fs.Subvolumes(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if at := "/" + strings.Trim(v.Path, "/"); path != "" && at == path || path == "" && v.ID == id {
			return tree.Below(strings.TrimSuffix(f.volume.Name+at, "/"), v.Root), nil
		}
	}
	var names []string
	for _, v := range all[:min(len(all), 20)] {
		names = append(names, printable(strings.Trim(v.Path, "/")))
	}
	return nil, fmt.Errorf("%s has no subvolume %s; there are: %s", f.what(), wanted(path, id), strings.Join(names, ", "))
}

// wanted is what a mount's options name.
func wanted(path string, id uint64) string {
	if path != "" {
		return printable(strings.Trim(path, "/"))
	}
	return strconv.FormatUint(id, 10)
}
