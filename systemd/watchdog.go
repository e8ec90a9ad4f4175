package systemd

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// checksPerPeriod is how often the watchdog's period the program is looked at:
// one look that is late or fails is not the end yet.
const checksPerPeriod = 3

// Watch gives systemd the life signs that its watchdog waits for, each only
// after check has found the program alive in time. Where systemd has no
// watchdog on this program it does nothing. Call stop to end it, which waits
// for a check that runs.
func (n *Notifier) Watch(check func(context.Context) error) (stop func()) {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("the watchdog's period is not known", "error", err)
	}
	if period == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		every := period / checksPerPeriod
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			limited, done := context.WithTimeout(ctx, every)
			err := check(limited)
			done()
			switch {
			case ctx.Err() != nil:
			case err != nil:
				n.log.Error("no life sign for the watchdog", "error", err)
			default:
				n.alive()
			}
		}
	})
	return func() {
		cancel()
		ended.Wait()
	}
}
