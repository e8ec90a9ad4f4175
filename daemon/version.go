package daemon

import (
	"runtime"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/filesystems"
	"github.com/guestctl/guestctl/formats"
)

// Version is the record of what a program reads.
func Version(program string) api.Version {
	v := api.Version{Version: program, API: []string{"v1"}, Go: runtime.Version()}
	for _, f := range formats.All() {
		v.Formats = append(v.Formats, f.Name)
	}
	for _, d := range filesystems.All() {
		v.Drivers = append(v.Drivers, d.Name)
	}
	return v
}
