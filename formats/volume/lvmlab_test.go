package volume_test

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/volume"
)

// lvmLab are the cases of volume groups that device-mapper read.
func lvmLab(t testing.TB) []labCase {
	t.Helper()
	var cases []labCase
	for _, name := range []string{"lvm", "lvmmirror", "lvmparity", "lvmparity2", "lvmcache"} {
		cases = append(cases, lab(t, name)...)
	}
	return cases
}

// TestLVMKinds compares logical volumes of every kind with what device-mapper read from them, whole and, where the kind
// can do without, with a disk missing.
func TestLVMKinds(t *testing.T) {
	volumes := 0
	for _, c := range lvmLab(t) {
		t.Run(c.name, func(t *testing.T) {
			vols, warnings := scanDevices(t, labDevices(c), volume.Options{})
			if c.name == "lostleg" {
				hasWarning(t, warnings, "leg 0 of r1 has old contents")
			} else if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			bytesOf := map[string][]byte{}
			for _, want := range c.volumes {
				volumes++
				v := byName(vols, want.name)
				if v == nil || v.Err != nil {
					t.Errorf("%s: %+v", want.name, v)
					continue
				}
				if !agrees(t, v.Dev, want) {
					t.Errorf("%s (%s): device-mapper read other bytes", want.name, v.Kind)
					continue
				}
				b := contents(t, v.Dev)
				bytesOf[want.name] = b
				blocktest.Run(t, v.Dev, b)
			}
			for i := range c.disks {
				if len(c.disks) < 2 || c.name == "lostleg" {
					break
				}
				vols, _ := scanDevices(t, labDevices(c, i), volume.Options{})
				for _, want := range c.volumes {
					v := byName(vols, want.name)
					kind := byName(vols, want.name).Kind
					redundant := kind == "mirror" || strings.HasPrefix(kind, "raid") && !strings.HasPrefix(kind, "raid0")
					switch {
					case v == nil:
						t.Errorf("without disk %d: no %s", i, want.name)
					case v.Err == nil:
						if !bytes.Equal(contents(t, v.Dev), bytesOf[want.name]) {
							t.Errorf("without disk %d: %s has other bytes", i, want.name)
						}
					case redundant || !errors.Is(v.Err, syscall.EIO) || !strings.Contains(v.Err.Error(), "lacks 1 of the"):
						t.Errorf("without disk %d: %s (%s): %v", i, want.name, kind, v.Err)
					}
				}
			}
			for i := range c.disks {
				for j := range i {
					if !strings.HasPrefix(c.name, "parity2") {
						continue
					}
					vols, _ := scanDevices(t, labDevices(c, j, i), volume.Options{})
					for _, want := range c.volumes {
						if v := byName(vols, want.name); v == nil || v.Err != nil || !bytes.Equal(contents(t, v.Dev), bytesOf[want.name]) {
							t.Errorf("without disks %d and %d: %s: %+v", j, i, want.name, v)
						}
					}
				}
			}
		})
	}
	if volumes < 30 {
		t.Errorf("%d volumes: the test compares too little", volumes)
	}
}
