package crypt

import (
	"fmt"
	"syscall"
)

// A LockedError says that something is encrypted and no key given opens it. It
// unwraps to ENOKEY, or to EKEYREJECTED where keys were tried.
type LockedError struct {
	What  string // "LUKS2", "BitLocker"
	Name  string // what --key calls it: "sda2"
	UUID  string
	Tried int // keys that were tried
}

func (e *LockedError) Error() string { return e.Detail() + "; " + e.Remedy() }

// Detail says what is locked.
func (e *LockedError) Detail() string {
	if e.Tried > 0 {
		return fmt.Sprintf("it is encrypted (%s), and none of the %d keys tried opens it", e.What, e.Tried)
	}
	return fmt.Sprintf("it is encrypted (%s), and no key for it was given", e.What)
}

// Remedy is the option that unlocks it.
func (e *LockedError) Remedy() string {
	id := e.Name
	if id == "" {
		id = "all"
	}
	other := ""
	if e.UUID != "" {
		other = " (or " + e.UUID + " in place of " + id + ")"
	}
	return fmt.Sprintf("give its passphrase with --key %s:key:PASSPHRASE or --key %s:file:FILE%s, or on standard input with --keys-from-stdin", id, id, other)
}

// Unwrap is ENOKEY or EKEYREJECTED.
func (e *LockedError) Unwrap() error {
	if e.Tried > 0 {
		return syscall.EKEYREJECTED
	}
	return syscall.ENOKEY
}
