package ondisk

import (
	"fmt"
	"syscall"
)

// A CorruptError says that a structure on the disk is damaged: which one,
// where, and what is wrong with it. It unwraps to EUCLEAN, or to EBADMSG where
// a checksum does not match.
type CorruptError struct {
	Struct   string // the specification's name: "ext4 extent header", "qcow2 L2 table"
	Off      int64  // byte offset in the device that the reader was given
	Detail   string // what was found and what was expected
	Checksum bool   // the bytes do not match their checksum
}

func (e *CorruptError) Error() string {
	what := "damaged"
	if e.Checksum {
		what = "bad checksum"
	}
	return fmt.Sprintf("%s at byte %d: %s: %s", e.Struct, e.Off, what, e.Detail)
}

// Unwrap gives the errno that the Linux kernel answers for the same finding.
func (e *CorruptError) Unwrap() error {
	if e.Checksum {
		return syscall.EBADMSG
	}
	return syscall.EUCLEAN
}

// Corrupt is a CorruptError with a formatted detail.
func Corrupt(what string, off int64, format string, args ...any) error {
	return &CorruptError{Struct: what, Off: off, Detail: fmt.Sprintf(format, args...)}
}

// BadChecksum is the CorruptError for stored and computed checksums that differ.
func BadChecksum(what string, off int64, stored, computed uint32) error {
	return &CorruptError{Struct: what, Off: off, Checksum: true,
		Detail: fmt.Sprintf("stored %#x, computed %#x", stored, computed)}
}

// An UnsupportedError names a format, version or feature that is known but not
// read. It unwraps to EOPNOTSUPP.
type UnsupportedError struct {
	What   string // the thing that has it: "ext4 filesystem", "qcow2 image"
	Detail string // the feature, by the specification's name
	Remedy string // what the person can do instead; may be empty
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("%s: %s is not supported", e.What, e.Detail)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap is EOPNOTSUPP.
func (e *UnsupportedError) Unwrap() error { return syscall.EOPNOTSUPP }

// Unsupported is an UnsupportedError with a formatted feature.
func Unsupported(what, format string, args ...any) error {
	return &UnsupportedError{What: what, Detail: fmt.Sprintf(format, args...)}
}

// A NotThisError is a Probe's answer for bytes that are some other format. It
// is no damage and is never shown to a person by itself.
type NotThisError struct{ Name string }

func (e *NotThisError) Error() string { return "not " + e.Name }

// NotThis is the NotThisError of the named format.
func NotThis(name string) error { return &NotThisError{Name: name} }
