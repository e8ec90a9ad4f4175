package mount

import "fmt"

// A Reason says why a mount or unmount failed, in a way a command can give advice on.
type Reason uint8

const (
	Other          Reason = iota
	NoDevice              // there is no /dev/fuse
	DeviceDenied          // /dev/fuse may not be opened
	NoHelper              // fusermount3, which ordinary users need, is not installed
	NoDir                 // the mount point does not exist
	NotDir                // it is no directory
	NotEmpty              // it holds files
	AlreadyMounted        // a FUSE filesystem is mounted there
	Stale                 // one is, and its daemon is gone
	Busy                  // the mount is in use
	Held                  // it is unmounted here, but a copy in another mount namespace lives on
	Denied                // the user may not mount there
	OtherDenied           // allow_other, and /etc/fuse.conf does not permit it to users
	TooMany               // /etc/fuse.conf's mount_max is reached
	BadOption             // the kernel or fusermount3 does not take an option
)

// An Error is a failed mount or unmount.
type Error struct {
	Op     string // "mount", "unmount"
	Dir    string
	Reason Reason
	Detail string // what fusermount3 said, or empty
	Err    error
}

func (e *Error) Error() string {
	text := reasons[e.Reason]
	switch {
	case e.Detail != "" && text != "":
		text += ": " + e.Detail
	case e.Detail != "":
		text = e.Detail
	case text == "" && e.Err != nil:
		text = e.Err.Error()
	case e.Err != nil && (e.Reason == DeviceDenied || e.Reason == Denied || e.Reason == NoDir):
		text += ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s %q: %s", e.Op, e.Dir, text)
}

func (e *Error) Unwrap() error { return e.Err }

var reasons = [...]string{
	Other:          "",
	NoDevice:       "there is no /dev/fuse on this system",
	DeviceDenied:   "/dev/fuse cannot be opened",
	NoHelper:       "the program fusermount3 is not installed",
	NoDir:          "the mount point cannot be reached",
	NotDir:         "the mount point is not a directory",
	NotEmpty:       "the mount point is not empty",
	AlreadyMounted: "something is mounted there already",
	Stale:          "a mount whose daemon is gone is in the way",
	Busy:           "the mount is in use",
	Held:           "it is out of the tree, but a copy in another mount namespace still holds it",
	Denied:         "permission denied",
	OtherDenied:    "option allow_other needs the line user_allow_other in /etc/fuse.conf",
	TooMany:        "the limit mount_max of /etc/fuse.conf is reached",
	BadOption:      "a mount option is not accepted",
}
