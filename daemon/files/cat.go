package files

import (
	"context"
	"io"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// Cat writes the bytes of the regular file at path; symlinks are followed in
// the guest. It ends at the first byte that cannot be read, with an error that
// says which.
func Cat(ctx context.Context, ns *vfs.Namespace, path string, w io.Writer) error {
	e, err := Resolve(ctx, ns, path, true)
	if err != nil {
		return err
	}
	if err := Regular(e); err != nil {
		return err
	}
	return stream(ctx, e.Inode, 0, e.Attr.Size, noHoles, func(s *segment) error {
		if s.err != nil {
			return &Error{Op: "read", Path: e.Path, Err: atByte(s.off, s.err)}
		}
		_, err := w.Write(s.p)
		return err
	})
}

// Regular refuses what holds no bytes.
func Regular(e *Entry) error {
	switch e.Type() {
	case syscall.S_IFREG:
		return nil
	case syscall.S_IFDIR:
		return &Error{Op: "read", Path: e.Path, Err: syscall.EISDIR}
	}
	return &Error{Op: "read", Path: e.Path, Err: &notRegularError{typeName(e.Type())}}
}

// A notRegularError says what a file is instead of one with bytes.
type notRegularError struct{ what string }

func (e *notRegularError) Error() string { return "a " + e.what + " holds no bytes" }
func (e *notRegularError) Unwrap() error { return syscall.EINVAL }
