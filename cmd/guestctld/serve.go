package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/daemon/trace"
	"github.com/guestctl/guestctl/systemd"
)

// gcPercent makes the collector work a little harder: the broker holds little
// and passes much through.
const gcPercent = 50

// lastSpans is how long the end may wait for a collector of traces.
const lastSpans = 2 * time.Second

// statusEvery is how often systemd is told how many images and mounts there
// are, where that has changed.
const statusEvery = 5 * time.Second

// A server is the daemon while it runs.
type server struct {
	options *options
	level   *slog.LevelVar
	log     *slog.Logger
	broker  *service.Broker
	notify  *systemd.Notifier
	said    string // the last status
}

// serve runs the daemon until a signal ends it.
func (o *options) serve() error {
	cfg, err := o.configuration()
	if err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	s := &server{options: o, level: o.levelOf(&cfg)}
	s.log = newLog(s.level)
	s.notify = systemd.NewNotifier(s.log)
	cfg.Log = s.log
	if cfg.Tracer, err = trace.FromEnvironment("guestctld", version, cfg.Log); err != nil {
		return err
	}
	held, listener, err := o.listener(&cfg)
	if err != nil {
		return err
	}
	defer held.Release()
	if s.broker, err = service.NewBroker(cfg); err != nil {
		return errors.Join(err, closeIf(listener))
	}
	if listener == nil {
		if listener, err = held.Listen(cfg.Group); err != nil {
			return errors.Join(err, s.broker.Shutdown(context.Background()))
		}
	}
	socket := service.NewServer(s.broker)
	served := make(chan error, 1)
	go func() { served <- socket.Serve(listener) }()
	s.log.Info("ready", "socket", cfg.Socket, "version", version)
	s.said = s.broker.Status()
	s.notify.Ready(s.said)

	asking := client.New(cfg.Socket)
	defer asking.Close()
	stopWatch := s.notify.Watch(func(ctx context.Context) error {
		if _, err := asking.Health(ctx); err != nil {
			return err
		}
		return s.broker.CheckMount(ctx)
	})
	defer stopWatch()
	err = s.run(signals, served)
	s.notify.Stopping()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					s.log.Warn("stopping at once", "signal", sig.String())
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	err = errors.Join(err, socket.Shutdown(ctx))
	last, done := context.WithTimeout(ctx, lastSpans)
	defer done()
	cfg.Tracer.Close(last)
	return err
}

// run returns when a signal asks for the end, or the socket is lost.
func (s *server) run(signals <-chan os.Signal, served <-chan error) error {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-served:
			return err
		case <-tick.C:
			if now := s.broker.Status(); now != s.said {
				s.said = now
				s.notify.Status(now)
			}
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.log.Info("stopping", "signal", sig.String())
				return nil
			}
			s.reload()
		}
	}
}

// reload reads the configuration again. One that is wrong changes nothing, and
// systemd's status says so.
func (s *server) reload() {
	s.notify.Reloading()
	s.said = s.broker.Status()
	cfg, err := s.options.configuration()
	var later []string
	if err == nil {
		_, later, err = s.broker.Reload(cfg)
	}
	switch {
	case err != nil:
		s.log.Error("the configuration is not read again: it stays as it was", "error", err)
		s.said += "; reload failed: " + err.Error()
	case len(later) > 0:
		s.log.Warn("settings have changed that take a restart", "settings", strings.Join(later, " "))
		s.said += "; a restart is needed for: " + strings.Join(later, " ")
		fallthrough
	default:
		s.level.Set(s.options.levelOf(&cfg).Level())
	}
	s.notify.Ready(s.said)
}

// levelOf is the level of a configuration, raised by -v.
func (o *options) levelOf(cfg *service.Config) *slog.LevelVar {
	level, _ := cfg.Level() // it was checked
	if o.verbose > 0 {
		level = min(level, []slog.Level{slog.LevelInfo, slog.LevelDebug}[min(o.verbose, 2)-1])
	}
	v := &slog.LevelVar{}
	v.Set(level)
	return v
}

// checkConfig says whether the configuration can be read, and what of it this
// host does not have.
func (o *options) checkConfig(stdout, stderr io.Writer) int {
	cfg, err := o.configuration()
	if err != nil {
		fmt.Fprintf(stderr, "guestctld: %v\n", err)
		return exitFailed
	}
	name := o.configName()
	if name == "" {
		name = "the default configuration"
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(stderr, "guestctld: warning: %s: %s\n", name, w)
	}
	fmt.Fprintf(stdout, "%s: ok\n", name)
	return exitDone
}
