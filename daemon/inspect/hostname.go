package inspect

import (
	"context"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/look"
)

func decimal(n int) string { return strconv.Itoa(n) }

// hostname is the system's name of itself, by the files of its kind in
// libguestfs's order.
func hostname(ctx context.Context, fs *look.FS, kind string) fact {
	switch kind {
	case "freebsd", "netbsd":
		return assigned(ctx, fs, "/etc/rc.conf", "hostname")
	case "openbsd":
		return firstLine(ctx, fs, "/etc/myname")
	case "minix":
		return firstLine(ctx, fs, "/etc/hostname.file")
	case "linux", "hurd":
	default:
		return fact{}
	}
	for _, file := range []string{"/etc/HOSTNAME", "/etc/hostname"} {
		if f := firstLine(ctx, fs, file); f.value != "" {
			return f
		}
	}
	if f := assigned(ctx, fs, "/etc/sysconfig/network", "HOSTNAME"); f.value != "" {
		return f
	}
	return assigned(ctx, fs, "/etc/conf.d/hostname", "hostname") // OpenRC
}

// firstLine is the first line that is no comment.
func firstLine(ctx context.Context, fs *look.FS, file string) fact {
	lines, err := fs.Text(ctx, file)
	if err != nil {
		return fact{}
	}
	for i, l := range lines {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			return factOf(l, look.At(file, i+1))
		}
	}
	return fact{}
}

// assigned is the last value of a key.
func assigned(ctx context.Context, fs *look.FS, file, key string) fact {
	lines, err := fs.Text(ctx, file)
	if err != nil {
		return fact{}
	}
	f := fact{}
	for _, p := range look.Pairs(lines) {
		if p.Key == key {
			f = factOf(p.Value, look.At(file, p.Line))
		}
	}
	return f
}

// machineID is systemd's, else D-Bus's. What is no such number is none.
func machineID(ctx context.Context, fs *look.FS) fact {
	for _, file := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		f := firstLine(ctx, fs, file)
		if len(f.value) == 32 && strings.Trim(f.value, "0123456789abcdef") == "" {
			return f
		}
	}
	return fact{}
}

// isWindows11 says so of a build; its other numbers are those of Windows 10.
func isWindows11(build string) bool {
	n, err := strconv.Atoi(build)
	return err == nil && n >= 22000
}
