package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
	"golang.org/x/sys/unix"
)

type notMountedError struct{ dir string }

func (e *notMountedError) Error() string { return fmt.Sprintf("nothing is mounted on %q", e.dir) }

// A busyError says who keeps a mount in use.
type busyError struct {
	dir   string
	users []string
}

func (e *busyError) Error() string {
	if len(e.users) == 0 {
		return fmt.Sprintf("%s is in use, by a process of another user or by the kernel (a loop device, swap, an NFS export); root sees which: fuser -vm %s", e.dir, e.dir)
	}
	return fmt.Sprintf("%s is in use by %s; end them or let them leave the folder, then run guestunmount %s again", e.dir, strings.Join(e.users, ", "), e.dir)
}

// patience is how long a mount that is in use is tried again and again before
// the first pause of a second: something that looks at every new file, such as
// a desktop's indexer, is gone by then.
const patience = 300 * time.Millisecond

// detach unmounts at. While it is in use it tries again retry times, after 1,
// 2, 4 ... seconds.
func detach(m mounts.Mount, at string, retry int) error {
	err := umount(at, false)
	for end := time.Now().Add(patience); errors.Is(err, unix.EBUSY) && time.Now().Before(end); err = umount(at, false) {
		if dead(at) {
			// Whoever still has a file open there gets errors only; nothing is lost by taking it away.
			return umount(at, true)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for pause := time.Second; errors.Is(err, unix.EBUSY) && retry > 0; retry-- {
		time.Sleep(pause)
		pause *= 2
		err = umount(at, false)
	}
	if errors.Is(err, unix.EBUSY) {
		return &busyError{at, holders(m.Dev, at)}
	}
	return err
}

// dead says whether the daemon behind a mount is gone: every request then
// fails at once.
func dead(at string) bool {
	var st unix.Statfs_t
	return errors.Is(unix.Statfs(at, &st), unix.ENOTCONN)
}

// umount unmounts once; lazy takes the mount away from a name that is in use.
// EBUSY where it is in use.
func umount(at string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(at, flags)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("unmounting %s: %w", at, err)
	}
	return fusermount(at, lazy)
}

// fusermount asks fuse3's setuid program, which lets users unmount what they
// mounted.
func fusermount(at string, lazy bool) error {
	program, err := exec.LookPath("fusermount3")
	if err != nil {
		if program, err = exec.LookPath("fusermount"); err != nil {
			return fmt.Errorf("unmounting %s: fusermount3 is missing, which unmounts for ordinary users; install it (apt install fuse3, dnf install fuse3) or run as root: umount %s", at, at)
		}
	}
	flags := "-u"
	if lazy {
		flags = "-uz"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, flags, "--", at)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := string(bytes.TrimSpace(said))
	if strings.Contains(text, "Device or resource busy") {
		return fmt.Errorf("unmounting %s: %w", at, unix.EBUSY)
	}
	if strings.Contains(text, "not permitted") || strings.Contains(text, "entry for") {
		return fmt.Errorf("unmounting %s: somebody else mounted it (%s); they or root can: sudo guestunmount %s", at, text, at)
	}
	return fmt.Errorf("unmounting %s: %s: %w: %s", at, program, err, text)
}
