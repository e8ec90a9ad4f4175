package main

import (
	"errors"
	"io"
	"os"
)

type writer = io.Writer

// writeFile makes a file of the host with what write writes. One that could
// not be finished is removed, if it was not there before.
func writeFile(name string, write func(writer) error) error {
	_, statErr := os.Lstat(name)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err != nil && errors.Is(statErr, os.ErrNotExist) {
		os.Remove(name)
	}
	return err
}
