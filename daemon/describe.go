package daemon

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/volume"
)

// Describe is the record of what is on the disks: .guest/filesystems.json.
func (g *Guest) Describe() api.Filesystems {
	r := api.Filesystems{Schema: api.FilesystemsSchema, Disks: []api.Disk{}, Filesystems: []api.Filesystem{}, Warnings: []string{}}
	for _, d := range g.Disks() {
		r.Disks = append(r.Disks, api.Disk{Name: d.Name, Image: d.Path, Format: d.Info.Format, Size: d.Dev.Size(), Backing: d.Info.Backing})
	}
	for _, f := range g.Filesystems() {
		v := f.Volume
		rec := api.Filesystem{Name: f.Name, Disk: v.Disk, Offset: v.Off, Type: f.Info.Type, UUID: f.Info.UUID, Label: f.Info.Label,
			Readable: f.Err == nil, Mounted: f.Mounted}
		if v.Dev != nil {
			rec.Size = v.Dev.Size()
		}
		if !volume.IsTable(v.Type) {
			rec.Scheme, rec.On = v.Type, v.On
			if v.Type == volume.TypeDisk {
				rec.Scheme = ""
			}
		} else {
			rec.Partition = &api.Partition{Table: v.Type, Type: v.Kind, UUID: v.UUID, Label: v.Label}
		}
		if f.Err != nil {
			rec.Error = f.Err.Error()
		}
		r.Filesystems = append(r.Filesystems, rec)
	}
	for _, w := range g.Warnings() {
		r.Warnings = append(r.Warnings, w.Error())
	}
	return r
}

// describeJSON is Describe as the file in .guest has it.
func (g *Guest) describeJSON(context.Context) ([]byte, error) {
	b, err := json.MarshalIndent(g.Describe(), "", "  ")
	return append(b, '\n'), err
}

// printable is a name from a guest as it may stand in a line for a person: as
// it is, where nothing in it acts on a terminal or could be taken for more
// than one word of our own, else quoted.
func printable(s string) string {
	odd := func(r rune) bool {
		return r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) || r == '"' || r == '\\'
	}
	if s == "" || strings.IndexFunc(s, odd) >= 0 || strings.TrimSpace(s) != s {
		return strconv.QuoteToGraphic(s)
	}
	return s
}
