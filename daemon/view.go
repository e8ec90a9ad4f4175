package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/vfs"
)

// show makes the Namespace of the view.
func (g *Guest) show(ctx context.Context) error {
	switch g.spec.View {
	case ViewPartitions:
		if err := g.openAll(ctx); err != nil {
			return err
		}
		return g.showPartitions(ctx, "one folder for each filesystem")
	case ViewExplicit:
		return g.showExplicit(ctx)
	case ViewAuto, ViewInspect:
		return g.showGuest(ctx)
	}
	return fmt.Errorf("view %d is not known", g.spec.View)
}

// openAll opens every filesystem that a driver reads.
func (g *Guest) openAll(ctx context.Context) error {
	return g.each(ctx, g.found, func(f *found) error { return f.open(ctx, &g.spec, "") })
}

// warnUnread warns of every volume that is not shown and has files.
func (g *Guest) warnUnread() {
	for _, f := range g.found {
		if f.worthWarning() {
			g.warn(fmt.Errorf("%s is not shown: %w", f.what(), f.err))
		}
	}
}

// showPartitions shows one folder for each filesystem that is open.
func (g *Guest) showPartitions(ctx context.Context, what string) error {
	root := vfs.NewStatic("partitions")
	for _, f := range g.found {
		if f.fs != nil {
			root.Dir(f.volume.Name)
		}
	}
	g.ns = vfs.NewNamespace(vfs.NewTree("partitions", root))
	for _, f := range g.found {
		if f.fs != nil {
			if err := g.ns.Attach(ctx, "/"+f.volume.Name, vfs.NewTree(f.volume.Name, f.fs)); err != nil {
				return err
			}
		}
	}
	g.warnUnread()
	g.summarize(what)
	return nil
}

// showGuest shows the one operating system that is found as it sees itself.
func (g *Guest) showGuest(ctx context.Context) error {
	if err := g.openAll(ctx); err != nil {
		return err
	}
	sources := g.inspected(ctx)
	systems, err := inspect.Systems(ctx, sources)
	if err != nil {
		return err
	}
	systems = ownRoots(systems)
	switch {
	case len(systems) == 1:
		return g.showSystem(ctx, systems[0], sources)
	case g.spec.View == ViewAuto && len(systems) == 0:
		return g.showPartitions(ctx, "no operating system found, one folder for each filesystem")
	case g.spec.View == ViewAuto:
		return g.showPartitions(ctx, "several operating systems found, one folder for each filesystem")
	case len(systems) == 0:
		return g.noSystem()
	}
	var names, mounts []string
	for _, s := range systems {
		names = append(names, fmt.Sprintf("%s on %s", printable(s.Name), s.Root.Name))
		if s.Root.Volume != "" {
			mounts = append(mounts, fmt.Sprintf("-m /dev/%s:/:subvol=%s", s.Root.Volume, printable(strings.Trim(s.Root.Subvol, "/"))))
		} else {
			mounts = append(mounts, "-m /dev/"+s.Root.Name)
		}
	}
	return fmt.Errorf("%w: %s; choose one with %s", ErrSeveralSystems, strings.Join(names, ", "), strings.Join(mounts, " or "))
}

// noSystem says that none was found, and what could not be looked into.
func (g *Guest) noSystem() error {
	var unread []string
	for _, f := range g.found {
		if f.worthWarning() {
			unread = append(unread, fmt.Sprintf("%s: %v", f.what(), f.err))
		}
	}
	if len(unread) == 0 {
		return fmt.Errorf("%w; --partitions shows every filesystem by itself", ErrNoSystem)
	}
	return fmt.Errorf("%w; not looked into: %s; --partitions shows the others", ErrNoSystem, strings.Join(unread, "; "))
}

// inspected is what inspection gets to know of the volumes.
func (g *Guest) inspected(ctx context.Context) []inspect.Source {
	var list []inspect.Source
	for _, f := range g.found {
		v := f.volume
		s := inspect.Source{Name: v.Name, Disk: v.Disk, Type: f.info.Type, UUID: f.info.UUID, Label: f.info.Label,
			Off: v.Off, Scheme: v.Type, Aliases: v.Aliases, On: v.On, Err: f.err}
		if volume.IsTable(v.Type) {
			s.PartUUID, s.PartLabel = v.UUID, v.Label
		} else {
			s.VolumeUUID = v.UUID
		}
		switch {
		case f.tree != nil:
			s.Tree = f.tree
		case f.fs != nil:
			s.Tree = vfs.NewTree(v.Name, f.fs)
		}
		list = append(list, s)
		list = append(list, f.subvolumes(ctx, s)...)
	}
	return list
}

// showSystem shows one operating system: its root at /, what its fstab names
// below.
func (g *Guest) showSystem(ctx context.Context, sys inspect.System, sources []inspect.Source) error {
	g.ns = vfs.NewNamespace(sys.Root.Tree)
	mounts, warnings := inspect.Mounts(ctx, sys, sources)
	g.warnings = append(g.warnings, warnings...)
	for _, m := range mounts {
		tree := m.Source.Tree
		// One tree stands in one place.
		if slices.Contains(g.ns.Trees(), tree) {
			tree = tree.Another(m.Source.Name)
		}
		if err := g.ns.Attach(ctx, m.Path, tree); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			g.warn(fmt.Errorf("%s of the guest's fstab (%s) is not shown: %w", printable(m.Path), m.Source.Name, err))
		}
	}
	// The name may lie in a /usr of its own.
	name := sys.Name
	if pretty := inspect.PrettyName(ctx, g.ns); pretty != "" {
		name = pretty
	}
	g.summarize(printable(name))
	return nil
}

// showExplicit mounts what the user said.
func (g *Guest) showExplicit(ctx context.Context) error {
	mounts := slices.Clone(g.spec.Mounts)
	slices.SortStableFunc(mounts, func(a, b MountSpec) int { return depth(a.Path) - depth(b.Path) })
	if len(mounts) == 0 || mounts[0].Path != "/" {
		return errors.New("nothing is mounted on /: one -m needs the mount point / (-m /dev/sda1)")
	}
	for i, m := range mounts {
		if i > 0 && slices.ContainsFunc(mounts[:i], func(o MountSpec) bool { return o.Path == m.Path }) {
			return fmt.Errorf("two -m have the mount point %s", printable(m.Path))
		}
		f, err := g.device(m.Device)
		if err != nil {
			return err
		}
		if err := g.openFor(ctx, f, m); err != nil {
			return err
		}
		f.readOnly = slices.Contains(strings.Split(m.Options, ","), "ro")
		tree, err := f.treeOf(ctx, m.Options)
		if err != nil {
			return err
		}
		if i == 0 {
			g.ns = vfs.NewNamespace(tree)
		} else if err := g.ns.Attach(ctx, m.Path, tree); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", f.volume.Name, printable(m.Path), err)
		}
	}
	g.summarize("as asked")
	return nil
}

// depth counts the names in a clean path.
func depth(p string) int {
	if p == "/" {
		return 0
	}
	return strings.Count(p, "/")
}

// openFor opens the filesystem f as m asks.
func (g *Guest) openFor(ctx context.Context, f *found, m MountSpec) error {
	err := f.err
	if err == nil && m.FSType != "" && m.FSType != "auto" && m.FSType != f.info.Type && m.FSType != f.driver.Name {
		err = fmt.Errorf("it is %s, not %s", f.info.Type, printable(m.FSType))
	}
	if err == nil {
		opened := []*found{f}
		if cerr := g.each(ctx, opened, func(f *found) error {
			options := m.Options
			if f.info.Type == "btrfs" {
				// A filesystem is opened once, whatever is shown of it.
				rest, _, _ := inspect.SubvolumeOf(strings.Split(options, ","))
				options = strings.Join(rest, ",")
			}
			return f.open(ctx, &g.spec, options)
		}); cerr != nil {
			return cerr
		}
		err = f.err
	}
	if err != nil {
		return fmt.Errorf("mounting %s on %s: %w", f.what(), printable(m.Path), err)
	}
	return nil
}

// device finds the volume that the user calls name: /dev/sda1, sda1, and, as
// libguestfs does, /dev/vda1 or /dev/hda1 for the same; /dev/vg/lv and
// /dev/mapper/vg-lv for a logical volume.
func (g *Guest) device(name string) (*found, error) {
	short := strings.TrimPrefix(name, "/dev/")
	for _, prefix := range []string{"xvd", "hd", "vd"} {
		if rest, ok := strings.CutPrefix(short, prefix); ok && !strings.ContainsAny(rest, "/-") {
			short = "sd" + rest
			break
		}
	}
	var names []string
	for _, f := range g.found {
		if f.volume.Name == short || slices.Contains(f.volume.Aliases, short) {
			return f, nil
		}
		if f.info.Type != "" {
			names = append(names, f.what())
		} else {
			names = append(names, f.volume.Name)
		}
	}
	why := "there is no volume of that name"
	if slices.ContainsFunc(g.volumes, func(v volume.Volume) bool { return v.Disk == short }) {
		why = "the disk has a partition table"
	}
	return nil, fmt.Errorf("device %s: %s; there are: %s", printable(name), why, strings.Join(names, ", "))
}

// hide puts the folder .guest into the view's root.
func (g *Guest) hide() error {
	s := vfs.NewStatic("guest")
	s.Dir("disks")
	s.Dir("volumes")
	for _, d := range g.disks {
		s.File("disks/"+d.Name, d.Dev)
	}
	for _, v := range g.volumes {
		if v.Dev != nil {
			s.File("volumes/"+v.Name, v.Dev)
		}
	}
	s.Made("filesystems.json", g.describeJSON)
	s.Made("inspect.json", indented(g.Inspect))
	s.Made("packages.json", indented(g.allPackages))
	return g.ns.Hide(".guest", vfs.NewTree(".guest", s))
}
