package packages

import (
	"encoding/json"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
)

// maxState bounds snapd's state, in bytes.
const maxState = 64 << 20

// snap reads what snapd says is installed, else the files of the snaps.
func snap(l *list) {
	const file = "/var/lib/snapd/state.json"
	b, err := l.fs.Read(l.ctx, file, maxState)
	if err == nil && b != nil {
		if err := l.snapState(b, file); err == nil {
			return
		}
		l.warn("%s: %v", file, err)
	}
	for _, f := range l.fs.Glob(l.ctx, "/var/lib/snapd/snaps", "*_*.snap") {
		name, revision, _ := strings.Cut(strings.TrimSuffix(path.Base(f), ".snap"), "_")
		if !l.add(api.Package{Format: "snap", Name: name, Release: revision, FullVersion: revision, Source: f}) {
			return
		}
	}
}

// snapState reads data.snaps.NAME: the revisions and which is in use.
func (l *list) snapState(b []byte, file string) error {
	var state struct {
		Data struct {
			Snaps map[string]struct {
				Sequence []struct {
					Name     string `json:"name"`
					Revision string `json:"revision"`
				} `json:"sequence"`
				Current string `json:"current"`
				Active  bool   `json:"active"`
			} `json:"snaps"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return err
	}
	for name, s := range state.Data.Snaps {
		p := api.Package{Format: "snap", Name: name, Release: s.Current, FullVersion: s.Current, InstallPath: "/snap/" + name, Source: at(file, "data.snaps."+name)}
		if !s.Active {
			p.State = "disabled"
		}
		// The revision of one that is built in is not a number.
		for _, r := range s.Sequence {
			if r.Revision == s.Current && r.Name != "" {
				p.Name = r.Name
			}
		}
		if !l.add(p) {
			break
		}
	}
	return nil
}
