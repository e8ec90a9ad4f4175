package packages

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds.
const (
	maxPackages    = 200_000   // of one system
	maxDatabase    = 256 << 20 // bytes of a database that is one text
	maxDescription = 8 << 10   // bytes
	maxWarnings    = 100
)

// Options are the choices of List.
type Options struct {
	Languages bool // packages of programming languages, too
}

// A list collects packages and warnings of one manager.
type list struct {
	ctx      context.Context
	fs       *look.FS
	packages []api.Package
	warnings []string
	full     bool // some were left out
}

// managers lists the package managers; languages those of programming languages.
func managers() []func(*list) {
	return []func(*list){dpkg, rpm, apk, pacman, portage, xbps, freeBSD, flatpak, snap}
}
func languages() []func(*list) { return []func(*list){python, node, gems, binaries} }

// List lists the packages of the system whose tree fs is, by format and name.
// The error is ctx's.
func List(ctx context.Context, fs *look.FS, opt Options) ([]api.Package, []string, error) {
	all := managers()
	if opt.Languages {
		all = append(all, languages()...)
	}
	lists := make([]list, len(all))
	var wg sync.WaitGroup
	for i, manager := range all {
		lists[i] = list{ctx: ctx, fs: fs}
		wg.Go(func() {
			l := &lists[i]
			defer func() {
				// A bug in one parser must not end the process.
				if r := recover(); r != nil {
					l.warn("panic while reading packages: %v", r)
				}
			}()
			manager(l)
		})
	}
	wg.Wait()
	packages, warnings := []api.Package{}, []string{}
	for i := range lists {
		packages = append(packages, lists[i].packages...)
		warnings = append(warnings, lists[i].warnings...)
	}
	slices.SortStableFunc(packages, func(a, b api.Package) int {
		return cmp.Or(strings.Compare(a.Format, b.Format), strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch), strings.Compare(a.FullVersion, b.FullVersion))
	})
	return packages, warnings, ctx.Err()
}

// add cleans a package and takes it. It answers false where no more are taken.
func (l *list) add(p api.Package) bool {
	if l.ctx.Err() != nil {
		return false
	}
	if len(l.packages) == maxPackages {
		if !l.full {
			l.full = true
			l.warn("there are more than %d packages; the rest is left out", maxPackages)
		}
		return false
	}
	for _, s := range []*string{&p.Name, &p.DisplayName, &p.Version, &p.Release, &p.Arch, &p.InstallPath, &p.Publisher, &p.URL, &p.SourcePackage,
		&p.Summary, &p.FullVersion, &p.License, &p.State, &p.Module, &p.Source} {
		*s = look.Clean(*s)
	}
	p.Description = look.CleanText(p.Description, maxDescription)
	p.Epoch, p.Size, p.InstallTime = max(0, p.Epoch), max(0, p.Size), max(0, p.InstallTime)
	if p.Name == "" {
		return true
	}
	l.packages = append(l.packages, p)
	return true
}

func (l *list) warn(format string, args ...any) {
	if len(l.warnings) < maxWarnings {
		l.warnings = append(l.warnings, look.Clean(fmt.Sprintf(format, args...)))
	}
}

// read reads a database, nil where there is none.
func (l *list) read(file string) []byte {
	b, err := l.fs.Read(l.ctx, file, maxDatabase)
	if err != nil && !look.Absent(err) && l.ctx.Err() == nil {
		l.warn("%s: %v", file, err)
	}
	return b
}

// number is a decimal number, 0 where s is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// evr splits [epoch:]version[-release].
func evr(full string) (epoch int64, version, release string) {
	version = full
	if e, rest, ok := strings.Cut(full, ":"); ok && e != "" && strings.Trim(e, "0123456789") == "" {
		epoch, version = number(e), rest
	}
	if i := strings.LastIndexByte(version, '-'); i > 0 {
		version, release = version[:i], version[i+1:]
	}
	return epoch, version, release
}
