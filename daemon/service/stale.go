package service

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/mount"
)

// deviceAt is the device number of what is mounted at dir. The kernel knows it
// without asking the mount's server.
func deviceAt(dir string) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, 0, &st); err != nil {
		return 0
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor)
}

// A savedMount is a mount in the file that outlives a killed daemon.
type savedMount struct {
	Dir     string     `json:"dir"`
	Dev     uint64     `json:"dev"`
	Attach  api.Attach `json:"attach"`
	Options []string   `json:"options"`
	UID     int        `json:"uid"` // owner
	GID     int        `json:"gid"`
	// Keyed says that the image was opened with keys that came with it. They
	// are not written down, so it cannot be mounted again as it was.
	Keyed bool `json:"keyed,omitempty"`
}

func (b *Broker) mountsFile() string {
	if b.config().Socket == "" {
		return ""
	}
	return b.config().Socket + ".mounts"
}

// saveMountsLocked writes down the mounts there are. Preconditions: Broker.mu.
func (b *Broker) saveMountsLocked() {
	list := []savedMount{}
	for _, m := range b.mounts {
		list = append(list, savedMount{m.dir, m.dev, m.attach, m.options, m.owner.UID, m.owner.GID, len(m.image.keys) > 0})
	}
	b.tellSweeperLocked(list)
	name := b.mountsFile()
	if name == "" {
		return
	}
	text, err := json.Marshal(list)
	if err == nil {
		if err = os.WriteFile(name+".new", text, 0o600); err == nil {
			err = os.Rename(name+".new", name)
		}
	}
	if err != nil {
		b.log.Warn("the list of mounts cannot be written down: a killed daemon's mounts would be left", "file", name, "error", err)
	}
}

func (b *Broker) removeMountsFile() error {
	if err := os.Remove(b.mountsFile()); err != nil && !errors.Is(err, os.ErrNotExist) && b.mountsFile() != "" {
		return err
	}
	return nil
}

// dead says whether nobody serves the mount at dir any more. One that does not
// answer may be ending.
func dead(dir string) bool {
	answer := make(chan error, 1)
	go func() { // it ends when the mount does
		var st unix.Statfs_t
		answer <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN)
	case <-time.After(time.Second):
		return false
	}
}

// staleTime is how long workers of a killed daemon may take to unmount.
const staleTime = endTime

// clearStale takes away the mounts of a daemon that was killed. Its workers
// unmount by themselves when it is gone; what is left of those that were
// killed too is dead. It answers them all, to be made again.
func (b *Broker) clearStale() (all []savedMount) {
	text, err := os.ReadFile(b.mountsFile())
	if err != nil {
		return nil
	}
	var list []savedMount
	if err := json.Unmarshal(text, &list); err != nil {
		b.log.Warn("the list of mounts of the daemon before cannot be read", "file", b.mountsFile(), "error", err)
		return nil
	}
	all = slices.Clone(list)
	for end := time.Now().Add(staleTime); ; time.Sleep(20 * time.Millisecond) {
		left := list[:0]
		for _, m := range list {
			if deviceAt(m.Dir) != m.Dev || m.Dev == 0 {
				continue
			}
			if time.Now().Before(end) && !dead(m.Dir) {
				left = append(left, m)
				continue
			}
			b.log.Warn("a mount that a killed daemon left is taken away", "mount", m.Dir)
			if err := mount.Clear(m.Dir); err != nil {
				b.log.Error("a mount that a killed daemon left cannot be taken away", "mount", m.Dir, "error", err)
			}
		}
		if list = left; len(list) == 0 {
			break
		}
	}
	return all
}

// restore makes the mounts of a daemon that was killed again.
func (b *Broker) restore(list []savedMount) {
	for _, m := range list {
		if b.ctx.Err() != nil {
			return
		}
		if m.Keyed {
			b.log.Error("a mount of the daemon that was killed is not made again: the keys that came with its image are gone with the daemon", "mount", m.Dir)
			continue
		}
		_, err := b.Mount(b.ctx, Peer{UID: m.UID, GID: m.GID}, api.MountRequest{Attach: &m.Attach, Dir: m.Dir, Options: m.Options})
		if err != nil {
			b.log.Error("a mount of the daemon that was killed cannot be made again", "mount", m.Dir, "error", err)
			continue
		}
		b.log.Warn("a mount of the daemon that was killed is made again", "mount", m.Dir)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saveMountsLocked()
}
