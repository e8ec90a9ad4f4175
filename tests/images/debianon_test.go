package images

import "testing"

func TestDebianOn(t *testing.T) {
	for _, name := range DebianOnNames() {
		t.Run(name, func(t *testing.T) {
			if name == "xfs-rmapbt" || name == "xfs-dir64k" {
				NeedLong(t)
			}
			DebianOn(t, name)
		})
	}
}
