package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/formats/crypt"
)

// readKeys are the keys of the command line and of standard input.
func (o *options) readKeys(stdin *os.File) (*crypt.Keys, error) {
	keys := &crypt.Keys{}
	for _, s := range o.keys {
		if err := keys.Add(s); err != nil {
			keys.Wipe()
			return nil, err
		}
	}
	if o.keysFromStdin {
		if err := o.readLines(stdin, os.Stderr, keys.AddLines); err != nil {
			keys.Wipe()
			return nil, err
		}
	}
	return keys, nil
}

// readLines gives what stdin has to take: to its end, or, from a terminal, one
// line, which is not shown.
func (o *options) readLines(stdin *os.File, stderr io.Writer, take func(io.Reader) error) error {
	state, err := unix.IoctlGetTermios(int(stdin.Fd()), unix.TCGETS)
	if err != nil {
		if err := take(stdin); err != nil {
			return fmt.Errorf("reading keys from standard input: %w", err)
		}
		return nil
	}
	fmt.Fprint(stderr, "Passphrase: ")
	if !o.echoKeys {
		quiet := *state
		quiet.Lflag &^= unix.ECHO
		if err := unix.IoctlSetTermios(int(stdin.Fd()), unix.TCSETS, &quiet); err != nil {
			return fmt.Errorf("reading a passphrase without showing it: %w", err)
		}
		defer func() {
			unix.IoctlSetTermios(int(stdin.Fd()), unix.TCSETS, state)
			fmt.Fprintln(stderr)
		}()
	}
	line := make([]byte, crypt.MaxPassphrase+1)
	defer clear(line)
	n, err := stdin.Read(line)
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading a passphrase: %w", err)
	}
	return take(bytes.NewReader(line[:n]))
}

// passKeys is the standard input of the daemon: null, or a pipe with what this
// process reads from its own, since the daemon has no terminal.
func (o *options) passKeys(stdin, null *os.File, stderr io.Writer) (*os.File, error) {
	if !o.keysFromStdin {
		return null, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// What crypt.Keys takes is less than a pipe holds, so that nobody waits.
	err = o.readLines(stdin, stderr, func(from io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(from, 48<<10))
		if err == nil {
			_, err = w.Write(b)
		}
		clear(b)
		return err
	})
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}
