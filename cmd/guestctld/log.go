package main

import (
	"log/slog"
	"os"

	"github.com/guestctl/guestctl/systemd"
)

// newLog logs to systemd's journal, with fields, where stderr is one, else to
// stderr in lines.
func newLog(level slog.Leveler) *slog.Logger {
	if systemd.OnJournal() {
		return slog.New(systemd.NewJournal("guestctld", level))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == "op" {
			return slog.Attr{} // a line's text says it
		}
		return a
	}}))
}
