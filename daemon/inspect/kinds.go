package inspect

import (
	"context"
	"path"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// A kind is a kind of operating system, known by what its root has.
type kind struct {
	name string // api.System.Type
	// roots are the paths at which a filesystem holds the root of a system of
	// this kind: "/", but for systems that keep several roots in one filesystem.
	roots func(ctx context.Context, fs *look.FS) []string
	// identify says which system it is.
	identify func(ctx context.Context, fs *look.FS, id *identity)
}

// kinds lists them in the order in which they are asked; the first that knows
// a filesystem has it.
func kinds() []kind {
	return []kind{
		{"freebsd", at(isFreeBSD), identifyFreeBSD},
		{"netbsd", at(isNetBSD), identifyNetBSD},
		{"openbsd", at(isOpenBSD), identifyOpenBSD},
		{"hurd", at(isHurd), identifyHurd},
		{"minix", at(isMinix), identifyMinix},
		{"linux", deployments, identifyLinux},
		{"linux", at(isLinux), identifyLinux},
		{"linux", at(isStatelessLinux), identifyLinux},
		{"linux", at(isCoreOS), identifyCoreOS},
		{"windows", at(isWindows), identifyWindows},
		{"dos", at(isDOS), identifyDOS},
	}
}

// at makes the roots of a kind whose root is the filesystem's.
func at(is func(*glance) bool) func(context.Context, *look.FS) []string {
	return func(ctx context.Context, fs *look.FS) []string {
		if is(&glance{ctx, fs}) {
			return []string{"/"}
		}
		return nil
	}
}

// A glance asks what is there, without following the last symlink.
type glance struct {
	ctx context.Context
	fs  *look.FS
}

func (g *glance) mode(name string) uint32 {
	a, err := g.fs.Lstat(g.ctx, name)
	if err != nil {
		return 0
	}
	return a.Mode & syscall.S_IFMT
}

func (g *glance) file(names ...string) bool {
	for _, n := range names {
		if g.mode(n) != syscall.S_IFREG {
			return false
		}
	}
	return true
}

func (g *glance) dir(names ...string) bool {
	for _, n := range names {
		if g.mode(n) != syscall.S_IFDIR {
			return false
		}
	}
	return true
}

// link says whether name is a symlink to target, from the root or beside it.
func (g *glance) link(name, target string) bool {
	to, err := g.fs.Link(g.ctx, name)
	return err == nil && strings.Trim(path.Clean("/"+to), "/") == target
}

// isGrubBoot knows a /boot of GRUB, which is no root whatever else it has.
func isGrubBoot(g *glance) bool {
	return g.file("/grub/menu.lst") || g.file("/grub/grub.conf") || g.file("/grub2/grub.cfg")
}

func isFreeBSD(g *glance) bool {
	return g.dir("/etc", "/bin") && g.file("/etc/freebsd-update.conf", "/etc/fstab")
}

func isNetBSD(g *glance) bool {
	return g.dir("/etc", "/bin") && g.file("/netbsd", "/etc/fstab", "/etc/release")
}

func isOpenBSD(g *glance) bool {
	return g.dir("/etc", "/bin") && g.file("/bsd", "/etc/fstab", "/etc/motd")
}

func isHurd(g *glance) bool { return g.file("/hurd/console", "/hurd/hello", "/hurd/null") }

func isMinix(g *glance) bool {
	return g.dir("/etc", "/bin") && g.file("/service/vm", "/etc/fstab", "/etc/version")
}

// isLinux is libguestfs's rule, and that of NixOS and Guix, whose /bin has
// nothing but sh and whose /etc is made of symlinks into the store.
func isLinux(g *glance) bool {
	if isGrubBoot(g) || !g.dir("/etc") {
		return false
	}
	if g.dir("/nix/store", "/nix/var/nix/profiles") && (g.file("/etc/NIXOS") || g.mode("/nix/var/nix/profiles/system") == syscall.S_IFLNK) {
		return true
	}
	if g.dir("/gnu/store") && g.mode("/var/guix/profiles/system") == syscall.S_IFLNK {
		return true
	}
	return (g.dir("/bin") || g.link("/bin", "usr/bin")) && (g.file("/etc/fstab") || g.file("/etc/hosts"))
}

// isStatelessLinux knows the systems whose /etc may be empty, since all that
// they are is in /usr: Clear Linux, Bottlerocket, images of mkosi.
func isStatelessLinux(g *glance) bool {
	return !isGrubBoot(g) && g.dir("/etc", "/usr/bin", "/usr/lib") && g.file("/usr/lib/os-release")
}

// isCoreOS knows the root of Container Linux and Flatcar, whose /usr is another
// partition.
func isCoreOS(g *glance) bool {
	return g.dir("/etc", "/root", "/home", "/usr") && (g.file("/etc/coreos/update.conf") || g.file("/etc/flatcar/update.conf"))
}

// maxDeployments bounds the systems in one filesystem.
const maxDeployments = 16

// deployments are the roots of OSTree: /ostree/deploy/NAME/deploy/CHECKSUM.N.
func deployments(ctx context.Context, fs *look.FS) []string {
	var roots []string
	for _, os := range fs.Glob(ctx, "/ostree/deploy", "*") {
		for _, d := range fs.Glob(ctx, os+"/deploy", "*.[0-9]*") {
			if len(roots) < maxDeployments && fs.IsDir(ctx, d+"/usr") && fs.IsDir(ctx, d+"/etc") {
				roots = append(roots, d)
			}
		}
	}
	return roots
}

// isDOS knows FreeDOS and MS-DOS.
func isDOS(g *glance) bool { return freeDOS(g.ctx, g.fs) != "" || msDOS(g.ctx, g.fs) != "" }

func freeDOS(ctx context.Context, fs *look.FS) string { return fs.NoCase(ctx, "/FDOS/FREEDOS.BSS") }
func msDOS(ctx context.Context, fs *look.FS) string   { return fs.NoCase(ctx, "/DOS/COMMAND.COM") }

// windowsRoots are where Windows is looked for, as in libguestfs.
func windowsRoots() []string { return []string{"/windows", "/winnt", "/win32", "/win", "/reactos"} }

func isWindows(g *glance) bool { return systemRoot(g.ctx, g.fs) != "" }

// systemRoot is the folder of Windows, as the filesystem writes it: by its
// usual names, else by boot.ini. "" where there is none.
func systemRoot(ctx context.Context, fs *look.FS) string {
	names := windowsRoots()
	if ini := fs.NoCase(ctx, "/boot.ini"); ini != "" {
		lines, _ := fs.Text(ctx, ini)
		names = append(names, bootINI(lines)...)
	}
	for _, n := range names {
		p := fs.NoCase(ctx, n)
		if p == "" {
			continue
		}
		config := fs.NoCase(ctx, p+"/system32/config")
		if config != "" && fs.IsDir(ctx, config) && fs.NoCase(ctx, p+"/system32/cmd.exe") != "" {
			return p
		}
	}
	return ""
}

// bootINI are the folders of the lines
// multi(0)disk(0)rdisk(0)partition(1)\WINDOWS="..." of boot.ini. The partition
// is not looked at: it is taken to be the one that boot.ini is on.
func bootINI(lines []string) []string {
	var dirs []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if !strings.HasPrefix(l, "multi(") && !strings.HasPrefix(l, "scsi(") {
			continue
		}
		name, _, ok := strings.Cut(l, "=")
		if i := strings.IndexByte(name, '\\'); ok && i >= 0 && len(dirs) < maxDeployments {
			dirs = append(dirs, strings.ReplaceAll(name[i:], `\`, "/"))
		}
	}
	return dirs
}
