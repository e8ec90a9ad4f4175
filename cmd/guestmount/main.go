package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/guestctl/guestctl/cmd/internal/args"
)

// version is set by the linker.
var version = "unknown"

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	read := parse
	if isHelper(os.Args[0]) {
		read = parseHelper
	}
	os.Exit(run(read, os.Args[1:], os.Stdout, os.Stderr, func(o *options) int {
		if o.fake {
			return exitDone
		}
		if ready := readyPipe(); ready != nil || o.noFork {
			return serve(o, ready)
		}
		return launch(o, os.Stderr)
	}))
}

// run reads the command line and does what it asks for; mounting is left to
// do. It answers the exit status.
func run(parse func([]string) (*options, error), argv []string, stdout, stderr io.Writer, do func(*options) int) int {
	o, err := parse(argv)
	if err != nil {
		fmt.Fprintf(stderr, "guestmount: %v\n", err)
		var usage *args.UsageError
		if errors.As(err, &usage) {
			fmt.Fprintln(stderr, "Try `guestmount --help`.")
			return exitUsage
		}
		return exitFailed
	}
	switch o.show {
	case "help":
		fmt.Fprint(stdout, usageText)
	case "version":
		fmt.Fprintln(stdout, "guestmount", version)
	case "fuse-help":
		fmt.Fprint(stdout, fuseHelp)
	case "long-options":
		printLong(stdout)
	case "short-options":
		printShort(stdout)
	default:
		return do(o)
	}
	return exitDone
}

const fuseHelp = `Options of the mount, for -o:

  allow_other           every user may read, within the guest's own owners and modes; as an ordinary user this needs the line
                        user_allow_other in /etc/fuse.conf
  default_permissions   the guest's owners and modes are checked; always so with allow_other
  uid=N, gid=N          show this owner or group on everything
  noxattr               show no extended attributes; ls -l is several times faster
  rebase_links          make the guest's absolute symlinks lead to the same place below the mount
  nonempty              cover the files that the mount point holds
  nopush                do not send small files to the kernel before they are asked for
  attr_timeout=S, entry_timeout=S, negative_timeout=S
                        how long the kernel keeps what it was told (default a day: nothing changes)
  fsname=NAME, subtype=NAME
                        what /proc/mounts shows
  noexec, noatime, nodiratime, sync, dirsync, nosymfollow, context=LABEL ...
                        what the kernel knows itself
  ro, rw                as --ro and --rw

kernel_cache, auto_cache, use_ino, big_writes, max_read=N and others of libfuse are accepted and change nothing.
`
