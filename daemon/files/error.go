package files

import "fmt"

// An Error says what was tried on which file of the guest, and why it failed.
// Errors about files of the host are the host's own *fs.PathError.
type Error struct {
	Op   string // a verb, behind "cannot": "read", "list"
	Path string // in the guest
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s %q: %v", e.Op, e.Path, e.Err) }

func (e *Error) Unwrap() error { return e.Err }
