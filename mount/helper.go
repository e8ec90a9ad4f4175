package mount

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attachHelper has fusermount3 mount: it opens the device, mounts and sends the descriptor over a socket.
func attachHelper(ctx context.Context, dir string, opt Options) (fd int, reason Reason, detail string, err error) {
	bin, err := exec.LookPath(helper)
	if err != nil {
		if fd, reason, err := openDevice(); err != nil {
			return -1, reason, "", err
		} else {
			unix.Close(fd)
		}
		return -1, NoHelper, "", exec.ErrNotFound
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, Other, "", os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fuse"), os.NewFile(uintptr(pair[1]), "fuse")
	defer ours.Close()
	defer theirs.Close()

	access := "ro"
	if opt.Writable {
		access = "rw"
	}
	list := []string{access, "nosuid", "nodev", "max_read=" + strconv.Itoa(maxRequest),
		"fsname=" + escapeOption(opt.FSName), "subtype=" + escapeOption(opt.Subtype)}
	for _, o := range opt.kernelOptions() {
		list = append(list, escapeOption(o))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, bin, "-o", strings.Join(list, ","), "--", dir)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3", "LC_ALL=C")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		detail := strings.TrimPrefix(strings.TrimSpace(said.String()), helper+": ")
		return -1, helperReason(detail), detail, err
	}
	theirs.Close()
	fd, err = receiveDescriptor(pair[0])
	return fd, Other, "", err
}

func escapeOption(s string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s)
}

// helperReason reads what fusermount3 said, in util/fusermount.c of libfuse.
func helperReason(said string) Reason {
	for _, hint := range []struct {
		text   string
		reason Reason
	}{
		{"user_allow_other", OtherDenied},
		{"mount_max", TooMany},
		{"too many FUSE filesystems", TooMany},
		{"fuse device not found", NoDevice},
		{"failed to open /dev/fuse: No such", NoDevice},
		{"failed to open /dev/fuse", DeviceDenied},
		{"unknown option", BadOption},
		{"Invalid argument", BadOption},
		{"Device or resource busy", AlreadyMounted},
		{"Transport endpoint is not connected", Stale},
		{"has no write access to mountpoint", Denied},
		{"not owned by user", Denied},
		{"not permitted", Denied},
		{"Permission denied", Denied},
		{"is not empty", NotEmpty},
	} {
		if strings.Contains(said, hint.text) {
			return hint.reason
		}
	}
	return Other
}

func receiveDescriptor(socket int) (int, error) {
	var data [8]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return -1, err
	}
	for _, msg := range messages {
		if fds, err := unix.ParseUnixRights(&msg); err == nil && len(fds) > 0 {
			return fds[0], nil
		}
	}
	return -1, fmt.Errorf("%s sent no descriptor: %w", helper, io.ErrUnexpectedEOF)
}
