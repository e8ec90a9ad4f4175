package files

import "fmt"

// guard turns a panic of the goroutine it is deferred on into an error: a
// damaged image must not end a process that serves others.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic while reading: %v", r)
	}
}

// atByte says where in a file reading failed.
func atByte(off int64, err error) error { return fmt.Errorf("at byte %d: %w", off, err) }
