package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/cmd/internal/mounts"
	"golang.org/x/sys/unix"
)

// version is set by the linker.
var version = "unknown"

// What guestunmount(1) promises.
const (
	exitDone       = 0
	exitError      = 1 // usage included
	exitBusy       = 2
	exitNotMounted = 3
)

const usageText = `guestunmount unmounts what guestmount mounted; it returns when the image is released.

  guestunmount [options] DIR

      --retry=N    try again N times while the folder is in use, after 1, 2, 4 ... seconds (default 5)
      --no-retry   try once
  -q, --quiet      do not say why it failed
      --fd=FD      first wait until the other end of this pipe is closed
  -V, --version    print the version
      --help       print this

Exit status: 0 unmounted, 1 an error or a wrong command line, 2 still in use, 3 nothing is mounted there.
`

func flags() []args.Flag {
	return []args.Flag{
		{Names: []string{"fd"}, Arg: args.Required},
		{Names: []string{"help"}},
		{Names: []string{"long-options"}},
		{Names: []string{"no-retry"}},
		{Names: []string{"quiet", "q"}},
		{Names: []string{"retry"}, Arg: args.Required},
		{Names: []string{"short-options"}},
		{Names: []string{"verbose", "v"}},
		{Names: []string{"version", "V"}},
	}
}

type options struct {
	show  string // print that and leave
	dir   string
	fd    int // -1: none
	retry int
	quiet bool
}

func parse(argv []string) (*options, error) {
	line, err := args.Parse(flags(), argv)
	if err != nil {
		return nil, err
	}
	o := &options{fd: -1, retry: 5}
	for _, opt := range line.Options {
		switch opt.Name {
		case "help", "version", "long-options", "short-options":
			o.show = opt.Name
			return o, nil
		case "fd":
			if o.fd, err = strconv.Atoi(opt.Value); err != nil || o.fd < 0 {
				return nil, args.Usage("--fd %q is not the number of a file descriptor", opt.Value)
			}
		case "retry":
			// More than 20 doublings would be more than a week.
			if o.retry, err = strconv.Atoi(opt.Value); err != nil || o.retry < 0 || o.retry > 20 {
				return nil, args.Usage("--retry %q is not a number from 0 to 20", opt.Value)
			}
		case "no-retry":
			o.retry = 0
		case "quiet":
			o.quiet = true
		}
	}
	if len(line.Args) != 1 || line.Args[0] == "" {
		return nil, args.Usage("name one folder, the one that was given to guestmount")
	}
	o.dir = line.Args[0]
	return o, nil
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(argv []string, stdout, stderr io.Writer) int {
	o, err := parse(argv)
	if err != nil {
		fmt.Fprintf(stderr, "guestunmount: %v\nTry `guestunmount --help`.\n", err)
		return exitError
	}
	switch o.show {
	case "help":
		fmt.Fprint(stdout, usageText)
		return exitDone
	case "version":
		fmt.Fprintln(stdout, "guestunmount", version)
		return exitDone
	case "long-options", "short-options":
		for _, f := range flags() {
			for _, n := range f.Names {
				switch {
				case o.show == "short-options" && len(n) == 1:
					fmt.Fprintln(stdout, "-"+n)
				case o.show == "long-options" && len(n) > 1 && n != "long-options" && n != "short-options":
					fmt.Fprintln(stdout, "--"+n)
				}
			}
		}
		return exitDone
	}
	if o.quiet {
		stderr = io.Discard
	}
	if err := o.unmount(stderr); err != nil {
		fmt.Fprintf(stderr, "guestunmount: %v\n", err)
		var busy *busyError
		var not *notMountedError
		switch {
		case errors.As(err, &busy):
			return exitBusy
		case errors.As(err, &not):
			return exitNotMounted
		}
		return exitError
	}
	return exitDone
}

// unmount does all of it.
func (o *options) unmount(stderr io.Writer) error {
	if o.fd >= 0 {
		if err := waitClosed(o.fd); err != nil {
			return err
		}
	}
	table, err := mounts.Table()
	if err != nil {
		return err
	}
	m, at, ok, err := mounts.Find(table, o.dir)
	if err != nil {
		return fmt.Errorf("looking for the mount on %q: %w", o.dir, err)
	}
	if !ok {
		return &notMountedError{o.dir}
	}
	if m.Type != "fuse" && m.Type != "fuseblk" && !hasPrefix(m.Type, "fuse.") {
		return fmt.Errorf("%s is a mount of type %s, which guestmount did not make; unmount it with: umount %s", at, m.Type, at)
	}
	// The record is opened before, because the daemon removes its name at its end.
	record := mounts.Look(m)
	if record != nil {
		defer record.Close()
	}
	if err := detach(m, at, o.retry); err != nil {
		return err
	}
	if record == nil {
		return nil
	}
	release(record, m, stderr)
	record.Remove()
	return nil
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }

// waitClosed waits until the other end of a pipe is closed, as guestunmount's
// --fd has it: a program that mounted something keeps the other end open for as
// long as it lives.
func waitClosed(fd int) error {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("waiting for --fd=%d: %w", fd, err)
		}
		switch got := p[0].Revents; {
		case got&unix.POLLNVAL != 0:
			return fmt.Errorf("--fd=%d is not an open file descriptor", fd)
		case got&unix.POLLIN != 0:
			// What is written does not matter; its end does.
			n, err := unix.Read(fd, make([]byte, 4096))
			if n == 0 && err == nil {
				return nil
			}
			if err != nil && err != unix.EINTR && err != unix.EAGAIN {
				return fmt.Errorf("waiting for --fd=%d: %w", fd, err)
			}
		case got&(unix.POLLHUP|unix.POLLERR) != 0:
			return nil
		}
	}
}
