package daemon

import (
	"errors"
	"fmt"
	"syscall"
)

// MaxChain is how many files one image may go through: itself, its backing
// file, that one's, and so on.
const MaxChain = 64

var (
	// ErrChainTooDeep says that an image's chain of backing files is longer
	// than MaxChain.
	ErrChainTooDeep = fmt.Errorf("the chain of backing files is longer than %d: %w", MaxChain, syscall.ELOOP)
	// ErrChainLoop says that a file is its own backing file, perhaps through others.
	ErrChainLoop = fmt.Errorf("a file is in its own chain of backing files: %w", syscall.ELOOP)
	// ErrNoSystem says that no operating system was found where one was asked for.
	ErrNoSystem = errors.New("no operating system was found")
	// ErrSeveralSystems says that more than one was found.
	ErrSeveralSystems = errors.New("more than one operating system was found")
)

// A RefusedError says that an image names a file outside the folders where
// such files may be opened. It unwraps to EPERM.
type RefusedError struct {
	Image  string // the image that names it
	Name   string // the name, as it stands in the image
	Path   string // the file it leads to, symlinks resolved
	Folder string // what to allow
}

func (e *RefusedError) Error() string { return e.Detail() + "; " + e.Remedy() }

// Detail says what was refused and why.
func (e *RefusedError) Detail() string {
	what := fmt.Sprintf("%q", e.Path)
	if e.Name != e.Path {
		what = fmt.Sprintf("%q (%q)", e.Name, e.Path)
	}
	return fmt.Sprintf("image %q needs the file %s, which is outside its own folder, and a guest can write that name", e.Image, what)
}

// Remedy is the option that allows it.
func (e *RefusedError) Remedy() string {
	return "if the image comes from you, allow it with --allow-backing " + shellQuote(e.Folder)
}

// Unwrap is EPERM.
func (e *RefusedError) Unwrap() error { return syscall.EPERM }

// A HoldsError says that a volume has no files of its own but holds other
// volumes, which are listed beside it.
type HoldsError struct {
	Scheme string // "lvm2", "luks", "md"
}

func (e *HoldsError) Error() string { return "it holds other volumes (" + e.Scheme + ")" }

// Unwrap is EMEDIUMTYPE: there is another kind of thing on it.
func (e *HoldsError) Unwrap() error { return syscall.EMEDIUMTYPE }

// An UnreadError says that what is on a volume is known by its signature, and
// that nothing reads it yet. It unwraps to EOPNOTSUPP.
type UnreadError struct {
	Type string // as blkid names it
}

func (e *UnreadError) Error() string { return e.Type + " is not read yet" }

// Unwrap is EOPNOTSUPP.
func (e *UnreadError) Unwrap() error { return syscall.EOPNOTSUPP }
