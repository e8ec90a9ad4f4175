package inspect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/registry"
	"github.com/guestctl/guestctl/vfs"
)

// A report collects the facts about one system.
type report struct {
	ctx     context.Context
	sys     System
	sources []Source
	ns      *vfs.Namespace
	fs      *look.FS // the system as it sees itself
	id      identity
	out     *api.System
	reg     *registry.Registry // of Windows
}

// Inspect finds the systems among sources and says what they are. What cannot
// be read is a warning and leaves the rest as it is; the error is ctx's.
func Inspect(ctx context.Context, sources []Source) (*api.Inspection, error) {
	systems, err := Systems(ctx, sources)
	if err != nil {
		return nil, err
	}
	r := &api.Inspection{Schema: api.InspectionSchema, Systems: []api.System{}, Warnings: []string{}}
	for _, sys := range systems {
		s, err := Describe(ctx, sys, sources)
		if err != nil {
			return nil, err
		}
		r.Systems = append(r.Systems, *s)
	}
	r.Media = media(ctx, systems, sources)
	return r, ctx.Err()
}

// Describe says what one system is. The error is ctx's.
func Describe(ctx context.Context, sys System, sources []Source) (*api.System, error) {
	r, err := newReport(ctx, sys, sources)
	if err != nil {
		return nil, err
	}
	r.describe()
	r.facts()
	return r.out, ctx.Err()
}

// newReport assembles the system's tree. The error is ctx's.
func newReport(ctx context.Context, sys System, sources []Source) (*report, error) {
	r := &report{ctx: ctx, sys: sys, sources: sources, out: &api.System{
		Root: sys.Root.Name, Type: sys.Kind, Sources: map[string]string{}, Mountpoints: []api.Mountpoint{}, Filesystems: []api.SystemFilesystem{}}}
	r.assemble()
	return r, ctx.Err()
}

// assemble makes the tree that the system sees: its root, what its fstab names
// below, and the /usr that Container Linux mounts by itself.
func (r *report) assemble() {
	root, err := r.sys.open(r.ctx)
	if err != nil {
		r.warn("%s of %s cannot be opened: %v", r.sys.Path, r.sys.Root.Name, err)
		root = look.New(vfs.NewNamespace(r.sys.Root.Tree))
	}
	r.fs, r.ns = root, root.Namespace()
	r.out.Mountpoints = append(r.out.Mountpoints, api.Mountpoint{Path: "/", Device: r.sys.Root.Name, Spec: "", Source: ""})
	r.belong(r.sys.Root)
	if r.sys.Path != "/" {
		r.out.Path = look.Clean(r.sys.Path)
	}
	mounts, warnings := Mounts(r.ctx, r.sys, r.sources)
	for _, w := range warnings {
		r.warn("%v", w)
	}
	for _, m := range mounts {
		r.out.Mountpoints = append(r.out.Mountpoints, api.Mountpoint{Path: look.Clean(m.Path), Device: m.Source.Name, Spec: look.Clean(m.Spec), Source: look.At("/etc/fstab", m.Line)})
		r.belong(m.Source)
		r.attach(m.Path, m.Source)
	}
	r.rootEntry()
	if r.sys.Kind == "linux" && (r.fs.IsFile(r.ctx, "/etc/coreos/update.conf") || r.fs.IsFile(r.ctx, "/etc/flatcar/update.conf")) {
		r.coreOSUsr()
	}
	for _, s := range r.sources {
		if s.Type == "swap" && s.Disk == r.sys.Root.Disk {
			r.belong(s)
		}
	}
}

// attach shows a filesystem in the tree.
func (r *report) attach(path string, s Source) {
	if s.Tree == nil {
		return
	}
	// A tree of its own: the one of the Source may stand elsewhere.
	if err := r.ns.Attach(r.ctx, path, s.Tree.Another(s.Name)); err != nil && r.ctx.Err() == nil {
		r.warn("%s (%s) is not looked into: %v", look.Clean(path), s.Name, err)
	}
}

// rootEntry finds the line of fstab that names the root.
func (r *report) rootEntry() {
	lines, err := r.fs.Text(r.ctx, "/etc/fstab")
	if err != nil {
		return
	}
	entries, _ := parseFstab(strings.Join(lines, "\n"))
	for _, e := range entries {
		if e.file == "/" {
			m := &r.out.Mountpoints[0]
			m.Spec, m.Source = look.Clean(e.spec), look.At("/etc/fstab", e.line)
			return
		}
	}
}

// coreOSUsr attaches the first partition that is a /usr of Container Linux or
// Flatcar; which of the two the boot loader takes is in the partition table's
// attributes, which are not looked at.
func (r *report) coreOSUsr() {
	for _, s := range r.sources {
		if s.Tree == nil || s.Name == r.sys.Root.Name || s.Volume != "" {
			continue
		}
		fs := look.New(vfs.NewNamespace(s.Tree))
		if !fs.IsDir(r.ctx, "/bin") || !fs.IsDir(r.ctx, "/share/flatcar") && !fs.IsDir(r.ctx, "/share/coreos") {
			continue
		}
		r.out.Mountpoints = append(r.out.Mountpoints, api.Mountpoint{Path: "/usr", Device: s.Name})
		r.belong(s)
		r.attach("/usr", s)
		return
	}
}

// belong lists a filesystem as one of the system's.
func (r *report) belong(s Source) {
	if slices.ContainsFunc(r.out.Filesystems, func(f api.SystemFilesystem) bool { return f.Device == s.Name }) {
		return
	}
	r.out.Filesystems = append(r.out.Filesystems, api.SystemFilesystem{Device: s.Name, Type: look.Clean(s.Type), Label: look.Clean(s.Label), UUID: look.Clean(s.UUID)})
}

// maxWarnings bounds the warnings about one system.
const maxWarnings = 200

func (r *report) warn(format string, args ...any) {
	if len(r.out.Warnings) < maxWarnings {
		r.out.Warnings = append(r.out.Warnings, look.Clean(fmt.Sprintf(format, args...)))
	}
}

// set records a fact about a field.
func (r *report) set(name string, field *string, f fact) {
	*field = f.value
	if f.value != "" && f.source != "" {
		r.out.Sources[name] = f.source
	}
}

// describe fills in what the system is.
func (r *report) describe() {
	r.sys.kind.identify(r.ctx, r.fs, &r.id)
	if r.sys.Kind == "windows" {
		r.windows()
	}
	id, out := &r.id, r.out
	r.set("distro", &out.Distro, id.distro)
	r.set("product_name", &out.ProductName, id.product)
	r.set("product_variant", &out.ProductVariant, id.variant)
	r.set("version", &out.Version, id.version)
	r.set("codename", &out.Codename, id.codename)
	r.set("build_id", &out.BuildID, id.buildID)
	r.set("arch", &out.Arch, id.arch)
	out.MajorVersion, out.MinorVersion = id.major, id.minor
	if id.numbers != "" {
		out.Sources["major_version"], out.Sources["minor_version"] = id.numbers, id.numbers
	}
	if out.Name = id.name(); out.Name == "" {
		out.Name = r.sys.Kind
	}
	p := packagingOf(r.ctx, r.fs, r.sys.Kind, id)
	r.set("package_format", &out.PackageFormat, p.format)
	r.set("package_management", &out.PackageManagement, p.management)
	out.OSInfo = osInfo(r.sys.Kind, id)
	if r.sys.Kind != "windows" {
		r.set("hostname", &out.Hostname, hostname(r.ctx, r.fs, r.sys.Kind))
	}
	if r.sys.Kind == "linux" {
		r.set("machine_id", &out.MachineID, machineID(r.ctx, r.fs))
		r.usrMerge()
	}
}

// usrMerge says whether /bin is a link into /usr, as systemd wants it.
func (r *report) usrMerge() {
	a, err := r.fs.Lstat(r.ctx, "/bin")
	if err != nil {
		return
	}
	f := fact{"split", "/bin"}
	if a.Mode&syscall.S_IFMT == syscall.S_IFLNK {
		if p, err := r.fs.Resolve(r.ctx, "/bin"); err == nil && strings.HasPrefix(p, "/usr/") {
			f.value = "merged"
		}
	}
	r.set("usr_merge", &r.out.UsrMerge, f)
}
