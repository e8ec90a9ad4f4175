package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
)

const (
	// forgotten is how long a daemon may go on after its mount is gone before
	// we look who keeps it.
	forgotten = time.Second
	// silence is how long we wait without saying for what.
	silence = 10 * time.Second
)

// release waits until the daemon of a record has ended, which it does when the
// last user of the mount is gone.
//
// The mount may be left in another mount namespace, as that of a container or
// of a service that was started meanwhile: nobody there knows of it, and it
// would keep the image for as long as they run. Where no process uses it the
// daemon is told to end.
func release(record *mounts.Found, m mounts.Mount, stderr io.Writer) {
	start := time.Now()
	look, speak := start.Add(forgotten), start.Add(silence)
	for pause := time.Millisecond; record.Alive(); pause = min(2*pause, 100*time.Millisecond) {
		wait(record, pause)
		now := time.Now()
		if now.After(look) {
			look = now.Add(forgotten)
			if seesAll(m) && len(holders(m.Dev, m.Point)) == 0 {
				dismiss(record)
			}
		}
		if now.After(speak) {
			speak = now.Add(silence)
			fmt.Fprintf(stderr, "guestunmount: unmounted %s; waiting for the daemon (process %d) to release the image%s\n",
				record.Mount, record.PID, elsewhere(m.Dev))
		}
	}
	// The lock is free when the process has closed its files: wait for its very end too.
	wait(record, 5*time.Second)
}

// wait waits for the end of the daemon, but no longer than d.
func wait(record *mounts.Found, d time.Duration) {
	fd, err := record.Process()
	if err != nil {
		if record.Alive() {
			time.Sleep(min(d, 100*time.Millisecond)) // not visible here: in another pid namespace, perhaps
		}
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(1, int(d.Milliseconds())))
}

// seesAll says whether holders sees every process that could use the mount:
// root sees all, and a mount without allow_other is for its own user.
func seesAll(m mounts.Mount) bool {
	return os.Geteuid() == 0 || !strings.Contains(","+m.Super+",", ",allow_other,")
}

// dismiss makes a daemon end whose mount is out of this tree: guestmount leaves
// at the second signal. Two of one kind could arrive as one.
func dismiss(record *mounts.Found) {
	fd, err := record.Process()
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		_ = unix.PidfdSendSignal(fd, s, nil, 0) // it may be gone
	}
}
