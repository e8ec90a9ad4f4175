package service

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/guestctl/guestctl/mount"
)

// sweeperIn is the descriptor that a sweeper is born with.
const sweeperIn = 3

// sweeperTime is how long the sweeper may take to read what it is told.
const sweeperTime = time.Second

// A sweeper is a process that takes the mounts away when the broker is gone
// without having done so, killed perhaps: workers cannot, since no path leads
// out of their sandbox. It knows of the mounts what it was told. It is started
// at the first mount.
type sweeper struct {
	cmd  *exec.Cmd
	in   *os.File
	told map[string]uint64 // device numbers by folder
}

// A sweeperLine says that there is a mount, or, without a device, none any more.
type sweeperLine struct {
	Dir string `json:"dir"`
	Dev uint64 `json:"dev,omitempty"`
}

// tellSweeperLocked tells the sweeper what has changed. Preconditions:
// Broker.mu.
func (b *Broker) tellSweeperLocked(list []savedMount) {
	if b.sweeper == nil {
		if len(list) == 0 {
			return
		}
		s, err := b.startSweeper()
		if err != nil {
			b.log.Warn("should this daemon be killed, its mounts stay until the next one starts", "error", err)
			return
		}
		b.sweeper = s
	}
	now := map[string]uint64{}
	var lines []sweeperLine
	for _, m := range list {
		now[m.Dir] = m.Dev
		if b.sweeper.told[m.Dir] != m.Dev {
			lines = append(lines, sweeperLine{m.Dir, m.Dev})
		}
	}
	for dir := range b.sweeper.told {
		if _, there := now[dir]; !there {
			lines = append(lines, sweeperLine{Dir: dir})
		}
	}
	b.sweeper.told = now
	_ = b.sweeper.in.SetWriteDeadline(time.Now().Add(sweeperTime)) // a pipe has deadlines
	for _, l := range lines {
		if err := json.NewEncoder(b.sweeper.in).Encode(l); err != nil {
			b.log.Warn("the sweeper is lost: should this daemon be killed, its mounts stay until the next one starts", "error", err)
			return
		}
	}
}

func (b *Broker) startSweeper() (*sweeper, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := b.command(roleSweeper)
	cmd.ExtraFiles = []*os.File{r}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	return &sweeper{cmd: cmd, in: w, told: map[string]uint64{}}, nil
}

// endSweeper ends it in order: no mount is left, or what is left is its own to
// take away.
func (b *Broker) endSweeper() {
	b.mu.Lock()
	s := b.sweeper
	b.mu.Unlock()
	if s == nil {
		return
	}
	s.in.Close()
	_ = s.cmd.Wait() // whatever it says
}

// sweep is the whole life of a sweeper. in ends with the broker. A mount that
// its worker still serves is unmounted, so that what was written reaches it;
// one in use is taken out of the tree.
func sweep(in *os.File, log *slog.Logger) {
	mounts := map[string]uint64{}
	for lines := json.NewDecoder(in); ; {
		var l sweeperLine
		if lines.Decode(&l) != nil {
			break
		}
		if l.Dev == 0 {
			delete(mounts, l.Dir)
		} else {
			mounts[l.Dir] = l.Dev
		}
	}
	var sweeping sync.WaitGroup
	for dir, dev := range mounts {
		sweeping.Go(func() {
			gone := func(wait time.Duration) bool {
				for end := time.Now().Add(wait); ; time.Sleep(min(settleTime, wait)) {
					if deviceAt(dir) != dev {
						return true
					}
					if !time.Now().Before(end) {
						return false
					}
				}
			}
			if mount.Unmount(dir, gone) == nil {
				return
			}
			if err := mount.Clear(dir); err != nil {
				log.Error("a mount of the daemon that was killed cannot be taken away", "mount", dir, "error", err.Error())
			}
		})
	}
	sweeping.Wait()
}
