package packages

import (
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
	"github.com/guestctl/guestctl/daemon/inspect/sqlite"
)

// freeBSD reads the SQLite database of FreeBSD's pkg(8).
func freeBSD(l *list) {
	const file = "/var/db/pkg/local.sqlite"
	f, err := l.fs.Open(l.ctx, file, maxRPMDB)
	if err != nil {
		if !look.Absent(err) {
			l.warn("%s: %v", file, err)
		}
		return
	}
	db, err := sqlite.Open(f, f.Size(), nil, 0)
	if w, werr := l.fs.Open(l.ctx, file+"-wal", 1<<30); werr == nil && w.Size() > 0 {
		db, err = sqlite.Open(f, f.Size(), w, w.Size())
	}
	if err == nil {
		err = l.pkgDatabase(db, file)
	}
	if err != nil && l.ctx.Err() == nil {
		l.warn("%s: %v", file, err)
	}
}

func (l *list) pkgDatabase(db *sqlite.DB, file string) error {
	t, err := db.Table("packages")
	if err != nil {
		return err
	}
	return t.Rows(func(row []sqlite.Value) error {
		get := func(column string) sqlite.Value {
			if c := t.Column(column); c >= 0 && c < len(row) {
				return row[c]
			}
			return sqlite.Value{}
		}
		p := api.Package{Format: "pkg", Name: get("name").Text(), FullVersion: get("version").Text(), SourcePackage: get("origin").Text(), Summary: get("comment").Text(),
			Description: get("desc").Text(), Arch: get("arch").Text(), Publisher: get("maintainer").Text(), URL: get("www").Text(), InstallPath: get("prefix").Text(),
			Size: get("flatsize").Int(), InstallTime: get("time").Int(), Source: file}
		p.Version, p.Release, p.Epoch = pkgVersion(p.FullVersion)
		l.add(p)
		return l.ctx.Err()
	})
}

// pkgVersion splits FreeBSD's version[_revision][,epoch].
func pkgVersion(full string) (version, revision string, epoch int64) {
	version = full
	if i := strings.LastIndexByte(version, ','); i > 0 {
		version, epoch = version[:i], number(version[i+1:])
	}
	if i := strings.LastIndexByte(version, '_'); i > 0 {
		version, revision = version[:i], version[i+1:]
	}
	return version, revision, epoch
}
