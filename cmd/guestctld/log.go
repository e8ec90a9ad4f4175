package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/journal"

	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
)

// newLog logs to stderr; lines for systemd's journal begin with their priority,
// sd-daemon(3), and leave the time to it.
func newLog(verbose int) *slog.Logger {
	level := []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}[min(verbose, 2)]
	options := &slog.HandlerOptions{Level: level}
	var w io.Writer = os.Stderr
	if on, _ := journal.StderrIsJournalStream(); on { // an error is a no
		w = priorities{os.Stderr}
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// priorities puts the priority in front of each record of a text handler,
// which writes a record at a time, its level first where there is no time.
type priorities struct{ w io.Writer }

func (p priorities) Write(line []byte) (int, error) {
	prefix := "<6>"
	for _, l := range []struct{ level, prefix string }{{"level=DEBUG", "<7>"}, {"level=WARN", "<4>"}, {"level=ERROR", "<3>"}} {
		if bytes.HasPrefix(line, []byte(l.level)) {
			prefix = l.prefix
		}
	}
	if _, err := p.w.Write(append([]byte(prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// watchdog tells systemd that we are alive for as long as our own socket says
// so, where it wants to be told. Call the function it answers to end it.
func watchdog(socket string, log *slog.Logger) (stop func()) {
	every, err := systemd.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		c := client.New(socket)
		defer c.Close()
		tick := time.NewTicker(every / 2)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			asked, done := context.WithTimeout(ctx, every/2)
			_, err := c.Health(asked)
			done()
			if err != nil {
				log.Error("the control socket does not answer itself", "error", err)
				continue
			}
			_, _ = systemd.SdNotify(false, systemd.SdNotifyWatchdog) // the next one may arrive
		}
	})
	return func() {
		cancel()
		ended.Wait()
	}
}

// printConfig prints a configuration as its file has it.
func printConfig(w io.Writer, cfg service.Config) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(cfg)
}
