package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// mount(8) and lines of fstab find the program as the helper of the type guestmount. The link to it stands in a folder
// that covers /usr/sbin in a mount namespace of the test's own, together with all that was there.
func TestMountHelper(t *testing.T) {
	images.NeedRoot(t)
	images.NeedFUSE(t)
	images.NeedTool(t, "unshare", "mount", "umount", "findmnt")
	image := guest(t, commands.Self)
	dir := commands.Dir(t, commands.Self)
	work := commands.Dir(t, commands.Self)
	program := commands.Bin(t, "guestmount")
	fstab := filepath.Join(work, "fstab")
	line := image + " " + dir + " guestmount ro,inspector,noauto,user,x-systemd.automount 0 0\n"
	if err := os.WriteFile(fstab, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	sbin, err := filepath.EvalSymlinks("/sbin")
	if err != nil {
		t.Fatal(err)
	}
	within := func(script string) *exec.Cmd {
		setup := `set -e; mkdir -p "$1/sbin" "$1/was"; mount --bind "$2" "$1/was"
			ln -sf -t "$1/sbin" "$1"/was/*
			ln -sf "$3" "$1/sbin/mount.guestmount"; ln -sf "$3" "$1/sbin/mount.fuse.guestmount"
			mount --bind "$1/sbin" "$2"; dir=$4 image=$5 fstab=$6; `
		return commands.Command(t, commands.Self, "unshare", "--mount", "--propagation=private", "bash", "-c", setup+script, "bash",
			work, sbin, program, dir, image, fstab)
	}
	for name, c := range map[string]struct{ script, out, err string }{
		"typed": {`mount -t guestmount -o ro "$image" "$dir"; cat "$dir/etc/hostname"; findmnt -n -o FSTYPE "$dir"; umount "$dir"; ls -A "$dir"`,
			"demo-guest\nfuse.guestmount\n", ""},
		"fstab": {`mount -T "$fstab" "$dir"; cat "$dir/etc/hostname"; umount "$dir"`, "demo-guest\n", ""},
		// mount(8) always says rw where nobody said ro.
		"rw": {`mount -t guestmount "$image" "$dir"; echo new > "$dir/etc/new"; cat "$dir/etc/new"; umount "$dir"`, "new\n", ""},
		"rw, which it cannot be": {`mount -t guestmount -o norecovery "$image" "$dir"; cat "$dir/etc/hostname"; umount "$dir"`, "demo-guest\n",
			"mounting read-only: what is shown without its journal cannot be written"},
		"one of many": {`mount -t guestmount -o ro,mount=sda1 "$image" "$dir"; cat "$dir/etc/hostname"; umount "$dir"`, "demo-guest\n", ""},
		"mounted type": {`mount -t fuse.guestmount -o ro "$image" "$dir"; cat "$dir/etc/hostname"; umount "$dir"`,
			"demo-guest\n", ""},
		"fake":    {`mount -f -t guestmount -o ro "$image" "$dir"; ls -A "$dir"`, "", ""},
		"refused": {`mount -t guestmount -o ro,nonsense "$image" "$dir" && echo mounted`, "", "-o nonsense: there is no such option"},
		"missing": {`mount -t guestmount -o ro "$image.no" "$dir" && echo mounted`, "", "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			r := commands.Finish(t, within(c.script))
			if r.Stdout != c.out || (r.Status == 0) != (name != "refused" && name != "missing") {
				t.Errorf("status %d, stdout %q, stderr %q", r.Status, r.Stdout, r.Stderr)
			}
			if c.err == "" && r.Stderr != "" || !strings.Contains(r.Stderr, c.err) {
				t.Errorf("stderr %q", r.Stderr)
			}
		})
	}
}
