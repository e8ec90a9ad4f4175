package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
)

// killTime is how long a killed worker may take to be gone.
const killTime = 2 * time.Second

// CheckMount asks the kernel for the root of one mount, each time another, in a
// way that it has to ask the mount's worker. A worker that does not answer
// before ctx ends is killed, so that one that hangs concerns its own image; it
// is an error where even that does not end the wait.
func (b *Broker) CheckMount(ctx context.Context) error {
	m := b.nextMount()
	if m == nil {
		return nil
	}
	answered := make(chan struct{})
	go func() { // it ends when the mount does
		defer close(answered)
		var st unix.Statx_t
		// Whatever the answer is: somebody gave it.
		_ = unix.Statx(unix.AT_FDCWD, m.dir, unix.AT_STATX_FORCE_SYNC|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
	}
	b.log.Error("a mount does not answer: its worker is killed", "image", m.image.id, "mount", m.dir)
	_ = m.proc.cmd.Process.Kill() // it may be gone
	timer := time.NewTimer(killTime)
	defer timer.Stop()
	select {
	case <-answered:
	case <-m.proc.done:
	case <-timer.C:
		return fmt.Errorf("the mount on %s does not answer, and its worker cannot be killed", m.dir)
	}
	return nil
}

// nextMount is a mount, each time the next; nil where there is none.
func (b *Broker) nextMount() *mounted {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for id, m := range b.mounts {
		if m.ready { // whoever makes one waits for its first answer himself
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	i, _ := slices.BinarySearch(ids, b.checked+"\x00")
	if i == len(ids) {
		i = 0
	}
	b.checked = ids[i]
	return b.mounts[ids[i]]
}

// Status is how the daemon is, in a line for people.
func (b *Broker) Status() string {
	h := b.health(Peer{})
	return fmt.Sprintf("%d images open, %d idle, %d failed; %d mounts; %d jobs", h.Images[api.StateOpen], h.Images[api.StateIdle], h.Images[api.StateFailed], h.Mounts, h.Jobs)
}
