package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	engine "github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/mount"
)

// open opens the guest: for writing where that is asked for, and, as libguestfs does, where nothing is said; but then what
// cannot be written is read all the same, and one line says why.
func (o *options) open(ctx context.Context) (*engine.Guest, error) {
	o.spec.Writable = o.askedRW || !o.askedRO && !o.short
	// The EFI partition of a guest that is shown as it sees itself need not be written; what -m names is.
	o.spec.Partly = o.spec.View != engine.ViewExplicit
	guest, err := engine.Open(ctx, o.spec)
	if err == nil {
		left := guest.NotWritten()
		if root := guest.Namespace().Root().Tree; len(left) > 0 && o.askedRW && guest.Shows(root) && !root.Writable() {
			return nil, errors.Join(left[0], guest.Close(ctx))
		}
		for _, err := range left {
			var not *engine.NotWritableError
			if errors.As(err, &not) {
				fmt.Fprintf(os.Stderr, "guestmount: read-only: %s\n", not.Detail())
			}
		}
	}
	var not *engine.NotWritableError
	if err == nil || o.askedRW || !errors.As(err, &not) {
		return guest, err
	}
	o.spec.Writable = false
	if guest, err = engine.Open(ctx, o.spec); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "guestmount: mounting read-only: %s (--ro says so without this line)\n", not.Detail())
	return guest, nil
}

// nothing is the error of a guest of which no filesystem is shown: an empty folder would look like an empty guest. Who
// asks for --partitions gets it, for the raw volumes in .guest.
func (o *options) nothing(guest *engine.Guest) error {
	if o.spec.View == engine.ViewPartitions {
		return nil
	}
	var why []string
	for _, f := range guest.Filesystems() {
		if len(f.Mounted) > 0 {
			return nil
		}
		reason := "it is not a filesystem"
		if f.Err != nil {
			reason = f.Err.Error()
		}
		why = append(why, f.Name+": "+reason)
	}
	var images []string
	for _, i := range o.spec.Images {
		images = append(images, quote(i.Path))
	}
	return fmt.Errorf("there is no filesystem to mount in %s (%s); --partitions mounts it all the same, with the raw disks and volumes as files in %s",
		strings.Join(images, ", "), strings.Join(why, "; "), quote(filepath.Join(o.dir, ".guest")))
}

// explain adds to an error what to do about it, where its text does not say.
func explain(err error, o *options) error {
	var failed *mount.Error
	if errors.As(err, &failed) {
		// The kernel answers stat of a dead mount from what it remembers, but statfs never.
		var st unix.Statfs_t
		if failed.Reason == mount.AlreadyMounted && errors.Is(unix.Statfs(o.dir, &st), unix.ENOTCONN) {
			stale := *failed
			stale.Reason = mount.Stale
			failed, err = &stale, &stale
		}
		if r := mountRemedy(failed, o); r != "" {
			return fmt.Errorf("%w; %s", err, r)
		}
		return err
	}
	image := o.spec.Images[0].Path
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; the name of an image is a path on this host, from %s on", err, workingDir())
	case strings.Contains(err.Error(), "--partitions"):
	case errors.Is(err, engine.ErrNoSystem), errors.Is(err, engine.ErrSeveralSystems):
		return fmt.Errorf("%w; show every filesystem in a folder of its own with: guestmount --partitions %s %s", err, quote(image), quote(o.dir))
	}
	return err
}

// without is what can be done with no mount at all.
func without(o *options) string {
	image := quote(o.spec.Images[0].Path)
	return fmt.Sprintf("without a mount `guestctl ls %s:/`, `guestctl cp %s:/etc/hosts .` and `guestctl tar %s:/` read the same files", image, image, image)
}

// mountRemedy says what to do about a mount that failed; "" where nobody knows.
func mountRemedy(e *mount.Error, o *options) string {
	dir := quote(o.dir)
	switch e.Reason {
	case mount.NoDevice:
		return "load the kernel's fuse module (modprobe fuse), or give the container the device (--device /dev/fuse); " + without(o)
	case mount.DeviceDenied:
		return "root can allow it: chmod 0666 /dev/fuse; " + without(o)
	case mount.NoHelper:
		return "install it (apt install fuse3, dnf install fuse3), or mount as root; " + without(o)
	case mount.NoDir:
		if errors.Is(e.Err, fs.ErrNotExist) {
			return "make it: mkdir -p " + dir
		}
		return "choose a folder that " + me() + " can reach"
	case mount.NotDir:
		return "a guest is shown in a folder; make one: mkdir -p " + quote(filepath.Join(filepath.Dir(o.dir), "guest"))
	case mount.NotEmpty:
		return "choose an empty folder, or cover what it holds with -o nonempty"
	case mount.AlreadyMounted:
		return "unmount that first: guestunmount " + dir + ", or choose another folder"
	case mount.Stale:
		return "clean it up with: guestunmount " + dir
	case mount.Denied:
		return me() + " may mount on folders of its own only, and a container needs the right to mount (CAP_SYS_ADMIN); make a folder: mkdir -p ~/guest; " + without(o)
	case mount.OtherDenied:
		return "root can add that line; without -o allow_other only " + me() + " sees the mount"
	case mount.TooMany:
		return "unmount some, or let root raise mount_max"
	case mount.BadOption:
		return "--fuse-help lists the options"
	}
	return ""
}

func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Geteuid())
}

func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "the working directory"
	}
	return quote(dir)
}
