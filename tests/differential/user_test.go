package differential

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// An ordinary user mounts an image, copies from it, greps through all of it without being denied anything, and unmounts.
func TestUser(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	img := images.DebianQcow2(t)
	dir := commands.Dir(t, commands.User)
	own := filepath.Join(dir, "debian.qcow2")
	// The cache is in root's home, out of the user's reach; another name for the same file is not.
	if err := os.Link(img.Path, own); err != nil {
		images.CopyAs(t, img.Path, own, images.Ordinary)
	}
	m, _ := commands.Start(t, commands.User, "-i", "--ro", "-a", own)

	copied := filepath.Join(dir, "copy")
	trees := []string{"etc", "srv/small", "usr/share/doc", "root"}
	if err := os.Mkdir(copied, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(copied, images.Ordinary, images.Ordinary); err != nil {
		t.Fatal(err)
	}
	for _, tree := range trees {
		r := commands.Run(t, commands.User, "cp", "-a", filepath.Join(m.Dir, tree), copied+"/")
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("cp -a %s: status %d: %s", tree, r.Status, r.Stderr)
		}
	}
	// The owner is the user's, who cannot give files away, and what a set-id bit says goes with the owner.
	kernel := images.KernelRoot(t, images.Debian(t), "ext4")
	for _, tree := range trees {
		same(t, walk(t, filepath.Join(kernel, tree)), walk(t, filepath.Join(copied, filepath.Base(tree))),
			manifest.Type|manifest.Mtime|manifest.Target|manifest.Sum|manifest.Links)
	}

	r := commands.Run(t, commands.User, "grep", "-r", "-c", "-I", "no such words in this guest", m.Dir)
	if r.Status != 1 || strings.Contains(r.Stderr, "Permission denied") || r.Stderr != "" {
		t.Errorf("grep -r: status %d, stderr %.2000s", r.Status, r.Stderr)
	}
	if lines := strings.Count(r.Stdout, "\n"); lines < 20000 {
		t.Errorf("grep -r looked into %d files", lines)
	}
}
