package files

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A hostDir is an open directory of the host below which a copy is written.
// Everything in it is named by a single name relative to an open directory, and
// no symlink is ever followed, whoever made it.
type hostDir struct{ fd int }

// openHostDir opens a directory that the user named; his symlinks are followed.
func openHostDir(path string) (hostDir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return hostDir{-1}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return hostDir{fd}, nil
}

func (d hostDir) close() { unix.Close(d.fd) }

// errName is the refusal of a name that is not a single one.
var errName = errors.New("not the name of a file")

// single refuses a name that would lead out of its directory.
func single(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return errName
	}
	return nil
}

// mkdir makes the directory name, for its owner alone, or opens it where it is
// there already.
func (d hostDir) mkdir(name string) (sub hostDir, made bool, err error) {
	if err := single(name); err != nil {
		return hostDir{-1}, false, err
	}
	err = unix.Mkdirat(d.fd, name, 0o700)
	if err != nil && err != unix.EEXIST {
		return hostDir{-1}, false, err
	}
	made = err == nil
	sub, err = d.dir(name)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		err = syscall.ENOTDIR
	}
	return sub, made, err
}

// dir opens the directory name.
func (d hostDir) dir(name string) (hostDir, error) {
	if err := single(name); err != nil {
		return hostDir{-1}, err
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	return hostDir{fd}, err
}

// walk opens the directory at a path below d, name by name.
func (d hostDir) walk(rel string) (hostDir, error) {
	fd, err := unix.Dup(d.fd)
	if err != nil {
		return hostDir{-1}, err
	}
	unix.CloseOnExec(fd)
	at := hostDir{fd}
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" {
			continue
		}
		next, err := at.dir(name)
		at.close()
		if err != nil {
			return hostDir{-1}, err
		}
		at = next
	}
	return at, nil
}

// create makes the file name, for its owner alone. What is there already, if
// no directory, is removed first.
func (d hostDir) create(name string) (*os.File, error) {
	var fd int
	err := d.replacing(name, func() (err error) {
		fd, err = retry(func() (int, error) {
			return unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d hostDir) symlink(target, name string) error {
	return d.replacing(name, func() error { return unix.Symlinkat(target, d.fd, name) })
}

func (d hostDir) mknod(name string, mode uint32, dev int) error {
	return d.replacing(name, func() error { return unix.Mknodat(d.fd, name, mode, dev) })
}

// link gives what is called name in from another name here.
func (d hostDir) link(from hostDir, oldName, name string) error {
	if err := single(oldName); err != nil {
		return err
	}
	return d.replacing(name, func() error { return unix.Linkat(from.fd, oldName, d.fd, name, 0) })
}

// chmod sets the mode of what is no symlink, through a descriptor, since only
// Linux 6.6 and later can do it by name without following one.
func (d hostDir) chmod(name string, mode uint32) error {
	if err := single(name); err != nil {
		return err
	}
	fd, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(procPath(fd), mode)
}

// replacing runs make, and once more without what stood in its way.
func (d hostDir) replacing(name string, make func() error) error {
	if err := single(name); err != nil {
		return err
	}
	err := make()
	if err != unix.EEXIST {
		return err
	}
	if err := unix.Unlinkat(d.fd, name, 0); err != nil && err != unix.ENOENT {
		return err
	}
	return make()
}

// retry calls f again as long as a signal ends it.
func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}
