package packages

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

// xbps reads the package database of XBPS: a property list, a dictionary of
// which has a dictionary for each package.
func xbps(l *list) {
	const file = "/var/db/xbps/pkgdb-0.38.plist"
	text := l.read(file)
	if text == nil {
		return
	}
	if err := l.propertyList(text, file); err != nil {
		l.warn("%s: %v", file, err)
	}
}

// maxNesting bounds how deep a property list goes.
const maxNesting = 32

// propertyList reads dict > (key, dict > (key, string | integer)...).... What is
// nested deeper is passed over.
func (l *list) propertyList(text []byte, file string) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = true
	dicts, key, name := 0, "", ""
	fields := map[string]string{}
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxNesting {
				return errors.New("it is nested too deep")
			}
			switch tag := e.Name.Local; {
			case tag == "plist":
			case tag == "dict" && dicts < 2:
				if dicts++; dicts == 2 {
					name, fields = key, map[string]string{}
				}
			case tag == "key" || dicts == 2 && (tag == "string" || tag == "integer"):
				var s string
				if err := d.DecodeElement(&s, &e); err != nil {
					return err
				}
				depth--
				if tag == "key" {
					key = s
				} else if len(fields) < 100 {
					fields[key] = s
				}
			default:
				if err := d.Skip(); err != nil {
					return err
				}
				depth--
			}
		case xml.EndElement:
			depth--
			if e.Name.Local != "dict" {
				continue
			}
			if dicts == 2 && !l.xbpsPackage(name, fields, file) {
				return nil
			}
			dicts--
		}
	}
}

func (l *list) xbpsPackage(name string, f map[string]string, file string) bool {
	version, ok := strings.CutPrefix(f["pkgver"], name+"-")
	if !ok {
		return true // "_XBPS_ALTERNATIVES_" and the like
	}
	p := api.Package{Format: "xbps", Name: name, FullVersion: version, Version: version, Arch: f["architecture"], Summary: f["short_desc"], URL: f["homepage"],
		License: f["license"], Publisher: f["maintainer"], Size: number(f["installed_size"]), Source: file + " " + name}
	if i := strings.LastIndexByte(version, '_'); i > 0 {
		p.Version, p.Release = version[:i], version[i+1:]
	}
	if source, _, ok := strings.Cut(f["source-revisions"], ":"); ok {
		p.SourcePackage = source
	}
	if s := f["state"]; s != "installed" {
		p.State = s
	}
	p.InstallTime = xbpsTime(f["install-date"])
	return l.add(p)
}

// xbpsTime reads "2024-02-01 12:34 CET": when XBPS installed a package, in the
// guest's own time, whose name is not trusted: it is taken for UTC.
func xbpsTime(s string) int64 {
	if len(s) < len("2006-01-02 15:04") {
		return 0
	}
	t, err := time.Parse("2006-01-02 15:04", s[:len("2006-01-02 15:04")])
	if err != nil {
		return 0
	}
	return t.Unix()
}
