package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/vfs"
)

// A Mount is a filesystem that the guest has below its root.
type Mount struct {
	Path   string // in the guest, clean
	Source Source // open
	Spec   string // as its fstab names it
	Line   int    // of the fstab, from 1
}

// Mounts are the filesystems that sys mounts below its root, by its fstab,
// each after those that it stands in. The warnings are about entries that
// would show files and cannot be mounted here, one line each.
func Mounts(ctx context.Context, sys System, sources []Source) (mounts []Mount, warnings []error) {
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Errorf(format, args...)) }
	fs, err := sys.open(ctx)
	if err != nil {
		return nil, nil
	}
	text, err := readFile(ctx, fs.Namespace(), "/etc/fstab")
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil, nil
	case err != nil:
		warn("the guest's /etc/fstab is not read, so only its root is shown: %w", err)
		return nil, warnings
	}
	entries, more := parseFstab(string(text))
	if more {
		warn("the guest's /etc/fstab has more than %d entries; the rest is left out", maxEntries)
	}
	r := newResolver(sys.Root, sources)
	r.mappings = readMappings(ctx, fs)
	r.kind = sys.Kind
	for _, e := range entries {
		if e.noFiles() || slices.ContainsFunc(mounts, func(m Mount) bool { return m.Path == e.file }) {
			continue
		}
		what := fmt.Sprintf("%q (%s%s)", e.file, printSpec(e.spec), strings.TrimRight(", "+printType(e.fstype), ", "))
		if why := e.elsewhere(); why != "" {
			warn("%s of the guest's fstab is not shown: %s", what, why)
			continue
		}
		if e.file == "/" && r.isBSD() {
			continue // as libguestfs: the name of a slice says little
		}
		s, why := r.find(e.spec)
		if why == "" {
			s, why = r.subvolume(s, e)
		}
		switch {
		case e.file == "/" && (why != "" || s.Name != sys.Root.Name):
			if why == "" {
				why = "is " + s.Name
			}
			warn("the guest's fstab names another root: %s %s; the root is shown as found, on %s", what, why, sys.Root.Name)
		case e.file == "/":
		case why != "":
			warn("%s of the guest's fstab is not shown: it %s", what, why)
		case s.Tree == nil:
			warn("%s of the guest's fstab is not shown: %s: %w", what, s.Name, s.notOpen())
		default:
			mounts = append(mounts, Mount{Path: e.file, Source: s, Spec: e.spec, Line: e.line})
		}
	}
	slices.SortStableFunc(mounts, func(a, b Mount) int { return strings.Count(a.Path, "/") - strings.Count(b.Path, "/") })
	return mounts, warnings
}

var errNotOpen = errors.New("it is not open")

func (s Source) notOpen() error {
	if s.Err == nil {
		return errNotOpen
	}
	return s.Err
}

// printSpec and printType keep a hostile fstab from writing to a terminal.
func printSpec(s string) string { return strings.Trim(fmt.Sprintf("%.200q", s), `"`) }
func printType(s string) string { return strings.Trim(fmt.Sprintf("%.40q", s), `"`) }

// maxFile bounds what is read of one file of the guest, in bytes.
const maxFile = look.MaxText

// readFile reads a regular file of the guest.
func readFile(ctx context.Context, ns *vfs.Namespace, path string) ([]byte, error) {
	return look.New(ns).Read(ctx, path, maxFile)
}
