package inspect

import (
	"context"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// identifyFreeBSD asks freebsd-version(1), a script that says what is
// installed, then os-release(5), which FreeBSD makes at boot, and like
// libguestfs the message of the day.
func identifyFreeBSD(ctx context.Context, fs *look.FS, id *identity) {
	id.distro = fact{"freebsd", "/etc/freebsd-update.conf"}
	if lines, err := fs.Text(ctx, "/bin/freebsd-version"); err == nil {
		for _, p := range look.Pairs(lines) {
			if p.Key == "USERLAND_VERSION" {
				source := look.At("/bin/freebsd-version", p.Line)
				id.version, id.product = factOf(p.Value, source), factOf("FreeBSD "+p.Value, source)
				id.number(p.Value, source)
				break
			}
		}
	}
	if lines, err := fs.Text(ctx, "/var/run/os-release"); err == nil && id.version.value == "" {
		id.osRelease(look.Pairs(lines), "/var/run/os-release")
	}
	id.motd(ctx, fs, "/etc/motd", regexp.MustCompile(`^FreeBSD ([0-9]+)\.([0-9]+)\S*`))
	id.arch = architecture(ctx, fs, unixPrograms())
}

func identifyNetBSD(ctx context.Context, fs *look.FS, id *identity) {
	id.distro = fact{"netbsd", "/etc/release"}
	id.motd(ctx, fs, "/etc/release", regexp.MustCompile(`^NetBSD ([0-9]+)\.([0-9]+)\S*`))
	id.arch = architecture(ctx, fs, unixPrograms())
}

// identifyOpenBSD reads the message of the day, whose first line is written at
// boot; before the first boot it has no number.
func identifyOpenBSD(ctx context.Context, fs *look.FS, id *identity) {
	id.distro = fact{"openbsd", "/bsd"}
	id.motd(ctx, fs, "/etc/motd", regexp.MustCompile(`^OpenBSD ([0-9]+)\.([0-9]+)\S*`))
	id.arch = architecture(ctx, fs, unixPrograms())
}

// motd takes the version in the first line of a file.
func (id *identity) motd(ctx context.Context, fs *look.FS, file string, line *regexp.Regexp) {
	lines, err := fs.Text(ctx, file)
	if err != nil || id.numbers != "" || len(lines) == 0 {
		return
	}
	m := line.FindStringSubmatch(lines[0])
	if m == nil {
		return
	}
	source := look.At(file, 1)
	id.setNumbers(m[1], m[2], source)
	_, version, _ := strings.Cut(m[0], " ")
	id.version, id.product = factOf(version, source), factOf(m[0], source)
}

func identifyHurd(ctx context.Context, fs *look.FS, id *identity) { identifyLinux(ctx, fs, id) }

func identifyMinix(ctx context.Context, fs *look.FS, id *identity) {
	if lines, err := fs.Text(ctx, "/etc/version"); err == nil && len(lines) > 0 && id.number(lines[0], look.At("/etc/version", 1)) {
		id.version = factOf(lines[0], look.At("/etc/version", 1))
		id.product = factOf("MINIX "+lines[0], look.At("/etc/version", 1))
	}
	id.arch = architecture(ctx, fs, unixPrograms())
}

// identifyDOS says i386 as libguestfs does: DOS is 16-bit code, for such a machine.
func identifyDOS(ctx context.Context, fs *look.FS, id *identity) {
	if p := freeDOS(ctx, fs); p != "" {
		id.distro, id.product = factOf("freedos", p), factOf("FreeDOS", p)
	} else if p := msDOS(ctx, fs); p != "" {
		id.distro, id.product = factOf("msdos", p), factOf("MS-DOS", p)
	}
	id.arch = fact{"i386", id.distro.source}
}
