package service

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"syscall"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/mount"
)

// problemOf is err as the socket says it. It is the only place where an error
// becomes a code.
func problemOf(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) {
		return p
	}
	var (
		inUse      *raw.InUseError
		refused    *daemon.RefusedError
		outside    *daemon.OutsideError
		unreadable *daemon.NotReadableError
		mounting   *mount.Error
		inGuest    *files.Error
		noSnapshot *formats.NoSnapshotError
	)
	switch {
	case errors.As(err, &inUse):
		return api.NewProblem(http.StatusConflict, api.CodeImageInUse, inUse.Detail(), inUse.Remedy())
	case errors.As(err, &refused):
		return api.NewProblem(http.StatusForbidden, api.CodeBacking, refused.Detail(), refused.Remedy())
	case errors.As(err, &outside):
		return api.NewProblem(http.StatusForbidden, api.CodeOutside, outside.Detail(), outside.Remedy())
	case errors.As(err, &unreadable):
		return api.NewProblem(http.StatusForbidden, api.CodeImageUnreadable, unreadable.Detail(), unreadable.Remedy())
	case errors.As(err, &mounting):
		return mountProblem(mounting)
	case errors.As(err, &inGuest):
		p := fileProblem(err, inGuest.Err)
		p.File = &api.FileFault{Op: inGuest.Op, Cause: inGuest.Err.Error()}
		p.File.Path, p.File.PathRaw = text(inGuest.Path)
		return p
	case errors.Is(err, context.DeadlineExceeded):
		return api.NewProblem(http.StatusGatewayTimeout, api.CodeTimeout, err.Error(), "")
	case errors.Is(err, context.Canceled):
		return api.NewProblem(499, api.CodeCanceled, err.Error(), "")
	case errors.Is(err, daemon.ErrNoSystem):
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeNoSystem, err.Error(), "attach it with the view partitions")
	case errors.Is(err, daemon.ErrSeveralSystems):
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeSeveralSystems, err.Error(), "attach it with the view partitions, or explicit with mounts")
	case errors.Is(err, syscall.EOPNOTSUPP):
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeUnsupported, err.Error(), "")
	case damaged(err):
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeDamaged, err.Error(), "")
	case errors.As(err, &noSnapshot):
		return api.NewProblem(http.StatusNotFound, api.CodeNoSnapshot, err.Error(), "")
	case errors.Is(err, fs.ErrNotExist):
		return api.NewProblem(http.StatusNotFound, api.CodeImageMissing, err.Error(), "the name of an image is an absolute path on the daemon's host")
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTBLK):
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeImageMissing, err.Error(), "name an image file or a block device")
	}
	return api.NewProblem(http.StatusUnprocessableEntity, api.CodeReadFailed, err.Error(), "")
}

func damaged(err error) bool {
	var corrupt *ondisk.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, syscall.EUCLEAN) || errors.Is(err, syscall.EBADMSG)
}

// fileProblem is what failed at a file of the guest.
func fileProblem(err, cause error) *api.Problem {
	for _, c := range []struct {
		is     error
		status int
		code   api.Code
	}{
		{syscall.ENOENT, http.StatusNotFound, api.CodeNoFile},
		{syscall.ENOTDIR, http.StatusUnprocessableEntity, api.CodeNotDirectory},
		{syscall.EISDIR, http.StatusUnprocessableEntity, api.CodeIsDirectory},
		{syscall.ELOOP, http.StatusUnprocessableEntity, api.CodeLoop},
		{syscall.ENAMETOOLONG, http.StatusUnprocessableEntity, api.CodeNameTooLong},
		{syscall.EINVAL, http.StatusUnprocessableEntity, api.CodeNotFile},
		{syscall.EOPNOTSUPP, http.StatusUnprocessableEntity, api.CodeUnsupported},
	} {
		if errors.Is(cause, c.is) {
			return api.NewProblem(c.status, c.code, err.Error(), "")
		}
	}
	if damaged(cause) {
		return api.NewProblem(http.StatusUnprocessableEntity, api.CodeDamaged, err.Error(), "")
	}
	return api.NewProblem(http.StatusUnprocessableEntity, api.CodeReadFailed, err.Error(), "")
}

func mountProblem(e *mount.Error) *api.Problem {
	status, code, remedy := http.StatusUnprocessableEntity, api.CodeMountPoint, ""
	switch e.Reason {
	case mount.NoDevice:
		status, code, remedy = http.StatusServiceUnavailable, api.CodeNoFUSE, "load the kernel's fuse module (modprobe fuse), or give the container the device"
	case mount.DeviceDenied, mount.NoHelper:
		status, code, remedy = http.StatusServiceUnavailable, api.CodeNoFUSE, "the daemon's user needs /dev/fuse with mode 0666 and the program fusermount3"
	case mount.NoDir:
		remedy = "make the folder first"
	case mount.NotDir:
		remedy = "name a folder"
	case mount.NotEmpty:
		remedy = "choose an empty folder, or cover what it holds with the option nonempty"
	case mount.AlreadyMounted, mount.Stale:
		status, remedy = http.StatusConflict, "unmount that first, or choose another folder"
	case mount.Busy, mount.Held:
		status, code, remedy = http.StatusConflict, api.CodeMountBusy, "end who uses it (fuser -vm DIR), or unmount with lazy=true"
	case mount.Denied, mount.OtherDenied, mount.TooMany:
		status, code = http.StatusForbidden, api.CodeMountDenied
	case mount.BadOption:
		code, remedy = api.CodeMountOption, "`guestmount --fuse-help` lists the options"
	}
	return api.NewProblem(status, code, e.Error(), remedy)
}

// noticeOf is what a stream says of a file that failed.
func noticeOf(kind string, err error) api.Notice {
	p := problemOf(err)
	n := api.Notice{Schema: api.ProblemSchema, Kind: kind, Code: p.Code, Detail: p.Detail, Remedy: p.Remedy}
	if of := (*files.Error)(nil); errors.As(err, &of) {
		n.Op = of.Op
		n.Path, n.PathRaw = text(of.Path)
		n.Detail = of.Err.Error()
	}
	return n
}
