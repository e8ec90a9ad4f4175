package daemon_test

import (
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/tests/images"
)

// TestDebian opens a real guest in its formats, by the short form.
func TestDebian(t *testing.T) {
	for _, img := range []images.Image{images.Debian(t), images.DebianQcow2(t), images.DebianOverlay(t)} {
		g := open(t, daemon.Spec{Images: imagesOf(img.Path)})
		if s := g.Summary(); !strings.Contains(s, "Debian GNU/Linux 12 (bookworm)") || !strings.Contains(s, "sda2 on /") {
			t.Errorf("%s: %s", img.Path, s)
		}
		if got := g.Disks()[0].Info.Format; got != img.Format {
			t.Errorf("%s: format %s", img.Path, got)
		}
		root, efi := g.Filesystems()[1], g.Filesystems()[0]
		if root.Info.UUID != images.DebianRootUUID || root.Info.Label != images.DebianRootLabel || root.Volume.UUID != images.DebianRootPartUUID ||
			root.Volume.Off != images.DebianRootOffset || root.Volume.Dev.Size() != images.DebianRootSize {
			t.Errorf("%s: root %+v", img.Path, root)
		}
		if efi.Info.Type != "vfat" || efi.Info.UUID != images.DebianEFIUUID || efi.Volume.Off != images.DebianEFIOffset || efi.Volume.Dev.Size() != images.DebianEFISize {
			t.Errorf("%s: EFI %+v", img.Path, efi)
		}
		if got := read(t, g, "/etc/debian_version"); !strings.HasPrefix(got, "12.") {
			t.Errorf("%s: Debian %q", img.Path, got)
		}
		if efi.Err != nil {
			hasWarning(t, g, "/boot/efi", images.DebianEFIUUID, "vfat is not read yet")
		}
	}
}
