package mount

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	fuseDevice = "/dev/fuse"
	helper     = "fusermount3"
	maxRequest = 1 << 20 // bytes of the largest READ; the kernel's own limit is 256 pages
)

// attach makes the mount and answers the descriptor that the kernel's requests come from: by mount(2) as root, else by
// fusermount3.
func attach(ctx context.Context, dir string, opt Options) (int, error) {
	fail := func(reason Reason, detail string, err error) (int, error) {
		return -1, &Error{Op: "mount", Dir: dir, Reason: reason, Detail: detail, Err: err}
	}
	if reason, err := checkDir(dir, opt.NonEmpty); err != nil {
		return fail(reason, "", err)
	}
	if os.Geteuid() == 0 {
		fd, reason, err := attachDirect(dir, opt)
		if err == nil {
			return fd, nil
		}
		// Root in a container may not mount, and the helper neither then; but it may have been let.
		if _, lookErr := exec.LookPath(helper); !errors.Is(err, syscall.EPERM) || lookErr != nil {
			return fail(reason, "", err)
		}
	}
	fd, reason, detail, err := attachHelper(ctx, dir, opt)
	if err != nil {
		return fail(reason, detail, err)
	}
	return fd, nil
}

func openDevice() (int, Reason, error) {
	fd, err := unix.Open(fuseDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
		return fd, Other, nil
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return -1, NoDevice, err
	}
	return -1, DeviceDenied, err
}

func attachDirect(dir string, opt Options) (int, Reason, error) {
	fd, reason, err := openDevice()
	if err != nil {
		return -1, reason, err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if !opt.Writable {
		flags |= unix.MS_RDONLY
	}
	data := []string{
		"fd=" + strconv.Itoa(fd),
		"rootmode=40000",
		"user_id=" + strconv.Itoa(os.Geteuid()),
		"group_id=" + strconv.Itoa(os.Getegid()),
		"max_read=" + strconv.Itoa(maxRequest),
	}
	for _, o := range opt.kernelOptions() {
		switch o {
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "sync":
			flags |= unix.MS_SYNCHRONOUS
		case "dirsync":
			flags |= unix.MS_DIRSYNC
		case "silent":
			flags |= unix.MS_SILENT
		case "nosymfollow":
			flags |= 0x100 // MS_NOSYMFOLLOW, linux/mount.h
		default:
			data = append(data, o)
		}
	}
	if err := unix.Mount(opt.FSName, dir, "fuse."+opt.Subtype, flags, strings.Join(data, ",")); err != nil {
		unix.Close(fd)
		switch err {
		case unix.EPERM, unix.EACCES:
			return -1, Denied, err
		case unix.EBUSY:
			return -1, AlreadyMounted, err
		case unix.EINVAL:
			return -1, BadOption, err
		case unix.ENODEV:
			return -1, NoDevice, err
		}
		return -1, Other, err
	}
	return fd, Other, nil
}

// kernelOptions are the options that fuse itself and the kernel know.
func (o Options) kernelOptions() []string {
	var list []string
	if o.AllowOther {
		list = append(list, "allow_other")
	}
	if o.DefaultPermissions {
		list = append(list, "default_permissions")
	}
	return append(list, o.Extra...)
}

// detach unmounts once.
func detach(dir string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(dir, flags)
	if err == nil || err != unix.EPERM {
		return err
	}
	args := []string{"-u", "--", dir}
	if lazy {
		args = []string{"-u", "-z", "--", dir}
	}
	bin, lookErr := exec.LookPath(helper)
	if lookErr != nil {
		return &Error{Op: "unmount", Dir: dir, Reason: NoHelper, Err: err}
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	said, runErr := cmd.CombinedOutput()
	switch {
	case runErr == nil:
		return nil
	case bytes.Contains(said, []byte("busy")):
		return unix.EBUSY
	}
	return &Error{Op: "unmount", Dir: dir, Detail: strings.TrimSpace(string(said)), Err: runErr}
}
