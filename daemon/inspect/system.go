package inspect

import (
	"context"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
)

// A Source is one volume, as inspection sees it.
type Source struct {
	Name      string // "sda1"
	Disk      string // "sda"
	Off       int64  // of a partition: bytes from the start of the disk
	Type      string // of the filesystem, as blkid names it; "" where not recognised
	UUID      string // of the filesystem, or of the container that Type says it is
	Label     string // of the filesystem
	PartUUID  string
	PartLabel string

	Scheme     string   // what it is a volume of: "gpt", "lvm2", "luks", "md", "disk"
	VolumeUUID string   // of the logical volume, LUKS header or array
	Aliases    []string // other names, relative to /dev: "vg/root", "mapper/vg-root"
	On         []string // names of the sources that it lies on

	// Of a subvolume, which Tree shows by itself: the Name of the filesystem
	// that it is in, its path there, with a leading slash, and its number.
	// Volume is "" for a whole filesystem.
	Volume   string
	Subvol   string
	SubvolID uint64
	Frozen   bool // it is read-only, as backups are

	Tree *vfs.Tree // the opened filesystem; nil where it is not open
	Err  error     // why it is not open
}

// A System is an operating system.
type System struct {
	Kind string // "linux", "windows", "freebsd", ...
	Name string // what it calls itself: "Debian GNU/Linux 12 (bookworm)"; Kind where it does not say
	Root Source // the filesystem that holds its root
	Path string // of the root within Root: "/", or that of an ostree deployment

	kind kind
}

// mayBeRoot says whether a system is looked for in s. Of the subvolumes that is
// one at the top level that can be written: installers put roots there, and what lies deeper are
// snapshots of them and the layers of containers.
func (s Source) mayBeRoot() bool {
	return s.Volume == "" || strings.Count(s.Subvol, "/") == 1 && s.Subvol != "/" && s.Name != s.Volume && !s.Frozen
}

// Systems finds the operating systems whose roots are open among sources. What
// is damaged in one filesystem is not the end of it: it is no root. The error
// is ctx's.
func Systems(ctx context.Context, sources []Source) ([]System, error) {
	var found []System
	for _, s := range sources {
		if s.Tree == nil || !s.mayBeRoot() {
			continue
		}
		fs := look.New(vfs.NewNamespace(s.Tree))
		for _, k := range kinds() {
			paths := k.roots(ctx, fs)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			for _, p := range paths {
				sys := System{Kind: k.name, Name: k.name, Root: s, Path: p, kind: k}
				if name := sys.prettyName(ctx); name != "" {
					sys.Name = name
				}
				found = append(found, sys)
			}
			if len(paths) > 0 {
				break
			}
		}
	}
	return found, ctx.Err()
}

// open is the system's root filesystem alone.
func (s *System) open(ctx context.Context) (*look.FS, error) {
	fs := look.New(vfs.NewNamespace(s.Root.Tree))
	if s.Path == "/" || s.Path == "" {
		return fs, nil
	}
	return fs.Sub(ctx, s.Path)
}

func (s *System) prettyName(ctx context.Context) string {
	fs, err := s.open(ctx)
	if err != nil {
		return ""
	}
	id := identity{}
	s.kind.identify(ctx, fs, &id)
	return id.name()
}
