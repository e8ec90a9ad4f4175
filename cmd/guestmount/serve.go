package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
	engine "github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/mount"
)

// The heap of a daemon is mostly caches that bound themselves. Measured on a
// Debian root of 77,000 entries after find, ls -lR and a tar of 20,000 files:
// 129 MiB resident at Go's own 100 %, 105 at 50 % and 95 at 30 %, at the same
// cost of CPU; with the contents of every file besides, 170 at 40 % and 153 at
// 30 %, of 49 and 51 s of CPU. The limit makes the collector work harder before a host that is
// short of memory has to; it stands above what the caches of two compressed
// images hold.
const (
	gcPercent   = 30
	memoryLimit = 192 << 20
)

// serve mounts and serves until the mount is gone. ready is told when the
// mount answers; nil in the foreground. It answers the exit status.
func serve(o *options, ready *os.File) int {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	log := o.logger(ready != nil)

	told := false
	err := o.serve(ready, signals, log, &told)
	switch {
	case err == nil:
		return exitDone
	case told:
		log.Error("the mount ended with an error", "error", err)
	default:
		fmt.Fprintf(os.Stderr, "guestmount: %v\n", explain(err, o))
	}
	return exitFailed
}

// serve sets told when the mount has been announced: stderr may not be
// anybody's any more then.
func (o *options) serve(ready *os.File, signals <-chan os.Signal, log *slog.Logger, told *bool) (err error) {
	var held *mounts.Held
	defer func() { held.Remove() }() // last: guestunmount takes it for the release of the image

	keys, err := o.readKeys(os.Stdin)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	ctx, opened := interruptible(signals)
	o.spec.Log, o.spec.Keys = log, keys
	guest, err := o.open(ctx)
	keys.Wipe()
	if err != nil {
		opened()
		return cause(ctx, err)
	}
	inUse := false
	defer func() {
		if inUse {
			err = errors.Join(err, guest.Sync(context.Background()))
		} else {
			err = errors.Join(err, guest.Close(context.Background())) // not to be cut short
		}
	}()
	for _, w := range guest.Warnings() {
		fmt.Fprintf(os.Stderr, "guestmount: warning: %v\n", w)
	}
	if err := o.nothing(guest); err != nil {
		return err
	}
	if o.mount.FSName == "" {
		o.mount.FSName = o.spec.Images[0].Path
	}
	o.mount.Log, o.mount.Writable = log, guest.Writable()
	server, err := mount.Mount(ctx, o.dir, guest.Namespace(), o.mount)
	opened()
	if err != nil {
		return cause(ctx, err)
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), server.Unmount())
	}
	held = o.record(server, log)
	spec, listener := absolute(o.spec), listen(held, log)
	if err := o.announce(server, guest, ready, log); err != nil {
		return errors.Join(err, server.Unmount())
	}
	*told = true
	mounts.Clean()
	socket := control(listener, spec, guest, server, held, log)
	inUse = !o.await(server, signals, log)
	socket.Close()
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	return nil
}

// cause is err, or the signal that made it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// interruptible is a context that a signal ends; call the function when there
// is nothing left to interrupt.
func interruptible(signals <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("stopped by the signal %q before the mount was ready", s))
		case <-done:
		}
	}()
	return ctx, func() { close(done); <-over }
}

// record writes down what guestunmount needs to wait for the end.
func (o *options) record(server *mount.Server, log *slog.Logger) *mounts.Held {
	r := mounts.Record{Mount: server.Dir()}
	for _, i := range o.spec.Images {
		r.Images = append(r.Images, i.Path)
	}
	table, err := mounts.Table()
	if err == nil {
		if m, ok := mounts.On(table, server.Dir()); ok {
			r.Dev = m.Dev
		}
		var held *mounts.Held
		if held, err = mounts.Hold(r); err == nil {
			return held
		}
	}
	log.Warn("guestunmount will not be able to wait for this daemon", "error", err)
	return nil
}

// announce tells everybody that the mount is ready, and lets go of the
// terminal.
func (o *options) announce(server *mount.Server, guest *engine.Guest, ready *os.File, log *slog.Logger) error {
	if o.pidFile != "" {
		if err := os.WriteFile(o.pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return fmt.Errorf("writing the pid file: %w", err)
		}
	}
	if terminal(os.Stdout) {
		fmt.Println(o.summary(guest.Summary(), server.Dir()))
	}
	state := daemon.SdNotifyReady
	if ready != nil {
		state += "\nMAINPID=" + strconv.Itoa(os.Getpid())
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told that the mount is ready", "error", err)
	}
	if ready == nil {
		return o.tellReady()
	}
	if err := o.leaveTerminal(); err != nil {
		return err
	}
	if _, err := ready.Write([]byte{'r'}); err != nil {
		return fmt.Errorf("the process that started this one is gone: %w", err)
	}
	return ready.Close()
}

// summary says what was mounted, how, and how to unmount.
func (o *options) summary(what, dir string) string {
	s := fmt.Sprintf("%s; mounted on %s. Unmount with: guestunmount %s", what, dir, quote(dir))
	if os.Geteuid() == 0 && !o.mount.AllowOther {
		s += "\nOnly root can look into it; with -o allow_other every user can."
	}
	return s
}

// leaveTerminal makes the daemon independent of whoever started it: of its
// working directory, which would stay in use, and of its terminal or pipe.
func (o *options) leaveTerminal() error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for _, fd := range []int{0, 1} {
		if err := unix.Dup2(int(null.Fd()), fd); err != nil {
			return err
		}
	}
	if o.verbose || o.trace {
		return nil
	}
	return unix.Dup2(int(null.Fd()), 2)
}

// await returns true when the mount is gone, which a signal brings about, and
// false when a second signal will not wait for the mount's last users.
func (o *options) await(server *mount.Server, signals <-chan os.Signal, log *slog.Logger) bool {
	asked := false
	for {
		select {
		case <-server.Done():
			return true
		case s := <-signals:
			if asked {
				log.Warn("the mount is still in use; its users get errors now", "signal", s.String(), "mount", server.Dir())
				return false
			}
			asked = true
			daemon.SdNotify(false, daemon.SdNotifyStopping)
			log.Info("unmounting", "signal", s.String(), "mount", server.Dir())
			go func() {
				err := server.Unmount()
				if err == nil {
					return
				}
				log.Warn("the mount is in use: it is taken out of the tree and ends with its last user", "mount", server.Dir(), "error", err)
				if err := server.Detach(); err != nil {
					log.Error("the mount cannot be taken away", "mount", server.Dir(), "error", err)
				}
			}()
		}
	}
}

func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// quote writes s so that a shell reads it as one word.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%=", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
