package systemd

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// A Notifier tells systemd how the program is. What cannot be told is logged.
type Notifier struct{ log *slog.Logger }

// NewNotifier makes a Notifier.
func NewNotifier(log *slog.Logger) *Notifier { return &Notifier{log} }

// Ready says that the program serves, after its start or a reload.
func (n *Notifier) Ready(status string) { n.tell(daemon.SdNotifyReady, "STATUS="+line(status)) }

// Status says how the program is, in a line for people.
func (n *Notifier) Status(status string) { n.tell("STATUS=" + line(status)) }

// Stopping says that the program ends.
func (n *Notifier) Stopping() { n.tell(daemon.SdNotifyStopping) }

// Reloading says that the configuration is being read again; Ready ends it. A
// unit of Type=notify-reload needs to know when it began.
func (n *Notifier) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.log.Warn("there is no monotonic clock", "error", err)
	}
	n.tell(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// alive is the life sign that the watchdog waits for.
func (n *Notifier) alive() { n.tell(daemon.SdNotifyWatchdog) }

func (n *Notifier) tell(states ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(states, "\n")); err != nil {
		n.log.Warn("systemd could not be told", "state", strings.Join(states, " "), "error", err)
	}
}

// line is s without what would begin another assignment.
func line(s string) string { return strings.ReplaceAll(s, "\n", " ") }
