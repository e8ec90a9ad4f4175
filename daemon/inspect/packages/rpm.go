package packages

import (
	"errors"
	"fmt"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/rpmdb"
)

// maxRPMDB bounds a database of rpm, in bytes.
const maxRPMDB = 4 << 30

// rpm reads the first database of rpm that there is; the folders may be links
// to each other. The newest kind comes first, since an old file may be left over.
func rpm(l *list) {
	for _, dir := range []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm"} {
		for _, name := range []string{"rpmdb.sqlite", "Packages.db", "Packages"} {
			file := dir + "/" + name
			f, err := l.fs.Open(l.ctx, file, maxRPMDB)
			if err != nil {
				if !look.Absent(err) && !errors.Is(err, look.ErrNotRegular) {
					l.warn("%s: %v", file, err)
				}
				continue
			}
			if f.Size() == 0 {
				continue
			}
			l.rpmDatabase(f, file)
			return
		}
	}
}

func (l *list) rpmDatabase(f *look.File, file string) {
	var log rpmdb.File
	if w, err := l.fs.Open(l.ctx, file+"-wal", 1<<30); err == nil && w.Size() > 0 {
		log = w
	}
	err := rpmdb.Read(f, log, func(h rpmdb.Header) {
		p := api.Package{Format: "rpm", Name: h.Name, Epoch: max(0, h.Epoch), Version: h.Version, Release: h.Release, Arch: h.Arch, Publisher: h.Vendor,
			URL: h.URL, Summary: h.Summary, Description: h.Description, License: h.License, Size: h.Size, InstallTime: h.InstallTime,
			Module: h.ModularityLabel, FullVersion: h.Version + "-" + h.Release, Source: file}
		if h.Epoch >= 0 {
			p.FullVersion = fmt.Sprintf("%d:%s", h.Epoch, p.FullVersion)
		}
		if h.SourceRPM != "(none)" {
			p.SourcePackage = sourceName(h.SourceRPM)
		}
		l.add(p)
	}, func(err error) { l.warn("%s: %v", file, err) })
	if err != nil && l.ctx.Err() == nil {
		l.warn("%s: %v", file, err)
	}
}

// sourceName is the name in name-version-release.src.rpm.
func sourceName(file string) string {
	s := strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src")
	s = strings.TrimSuffix(s, ".nosrc")
	for range 2 {
		if i := strings.LastIndexByte(s, '-'); i > 0 {
			s = s[:i]
		}
	}
	return s
}
