package daemon

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A NotReadableError says that the host does not let us read an image. It
// unwraps to what the host answered.
type NotReadableError struct {
	Path   string // the image
	Owner  string // "root:kvm"; "" where the file cannot be seen
	Mode   string // "-rw-r-----"; "" where the file cannot be seen
	Folder string // the folder on the way that lets nobody through; "" where it is the file
	Err    error
}

// notReadable describes err, which is EACCES or EPERM, for path.
func notReadable(path string, err error) error {
	e := &NotReadableError{Path: path, Err: err}
	abs, aerr := filepath.Abs(path)
	if aerr != nil {
		return e
	}
	st, serr := os.Stat(abs)
	if serr == nil {
		e.Mode = st.Mode().String()
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			e.Owner = userName(sys.Uid) + ":" + groupName(sys.Gid)
		}
		return e
	}
	for at := filepath.Dir(abs); at != "/"; at = filepath.Dir(at) {
		// The last one without the right to pass stands nearest to the root.
		if unix.Access(at, unix.X_OK) == unix.EACCES {
			e.Folder = at
		}
	}
	return e
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

func (e *NotReadableError) Error() string { return e.Detail() + "; " + e.Remedy() }

// Detail says what is not readable and whose it is.
func (e *NotReadableError) Detail() string {
	switch {
	case e.Folder != "":
		return fmt.Sprintf("image %q is not readable: the folder %q does not let %s through", e.Path, e.Folder, userName(uint32(os.Geteuid())))
	case e.Mode != "":
		return fmt.Sprintf("image %q is not readable by %s: it belongs to %s with mode %s", e.Path, userName(uint32(os.Geteuid())), e.Owner, e.Mode)
	}
	return fmt.Sprintf("image %q is not readable: %v", e.Path, e.Err)
}

// Remedy is the command that makes it readable for this user alone.
func (e *NotReadableError) Remedy() string {
	right, what := "r", e.Path
	if e.Folder != "" {
		right, what = "x", e.Folder
	}
	return fmt.Sprintf("its owner or root can allow it: setfacl -m u:%s:%s %s", userName(uint32(os.Geteuid())), right, shellQuote(what))
}

// Unwrap is what the host answered.
func (e *NotReadableError) Unwrap() error { return e.Err }

// shellQuote writes s so that a shell reads it as one word.
func shellQuote(s string) string {
	odd := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%=", r)
	}
	if s != "" && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
