package manifest_test

import (
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// TestDebugfsAgreesWithTheKernel shows that the oracle for what the kernel cannot mount sees what the kernel sees.
func TestDebugfsAgreesWithTheKernel(t *testing.T) {
	images.NeedTool(t, "debugfs")
	for _, name := range []string{"ext4", "inline"} {
		t.Run(name, func(t *testing.T) {
			img := images.Ext(t, name)
			want, err := manifest.Walk(t.Context(), images.KernelRoot(t, img, "ext4"), manifest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := manifest.Debugfs(t.Context(), img.Path)
			if err != nil {
				t.Fatal(err)
			}
			if lines, n := manifest.Diff(want, got, manifest.All|manifest.Ino, 0); n > 0 {
				t.Errorf("%d differences between the kernel and debugfs:\n%s", n, strings.Join(lines, "\n"))
			}
		})
	}
}
