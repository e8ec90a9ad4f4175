package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// logger logs to the journal where systemd reads stderr, or where a daemon in
// the background has no stderr but a journal; else to stderr.
func (o *options) logger(background bool) *slog.Logger {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	if o.trace {
		level = slog.LevelDebug
	}
	onJournal, _ := journal.StderrIsJournalStream() // an error is a no
	if onJournal || background && !o.verbose && !o.trace && journal.Enabled() {
		return slog.New(&journalHandler{handler{level: level}})
	}
	return slog.New(&lineHandler{handler: handler{level: level}, w: os.Stderr})
}

// A handler keeps what log handlers keep.
type handler struct {
	level  slog.Level
	prefix string // of the groups: "a.b."
	attrs  []slog.Attr
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h handler) with(attrs []slog.Attr) handler {
	h.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		h.attrs = append(h.attrs, a)
	}
	return h
}

// each calls f with all attributes of a record and answers its text with them.
func (h *handler) each(r slog.Record, f func(a slog.Attr)) string {
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) {
		fmt.Fprintf(&b, ", %s %q", a.Key, a.Value.String())
		f(a)
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(func(a slog.Attr) bool {
		a.Key = h.prefix + a.Key
		add(a)
		return true
	})
	return b.String()
}

// A lineHandler writes for the person at the terminal, as the program's other
// messages are.
type lineHandler struct {
	handler
	w io.Writer
}

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	kind := ""
	switch {
	case r.Level >= slog.LevelError:
		kind = "error: "
	case r.Level >= slog.LevelWarn:
		kind = "warning: "
	}
	_, err := fmt.Fprintf(h.w, "guestmount: %s%s\n", kind, h.each(r, func(slog.Attr) {}))
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.with(attrs), h.w}
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	c := h.handler
	c.prefix += name + "."
	return &lineHandler{c, h.w}
}

// A journalHandler sends each record to systemd's journal with its attributes
// as fields.
type journalHandler struct{ handler }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "guestmount"}
	text := h.each(r, func(a slog.Attr) { fields[fieldName(a.Key)] = a.Value.String() })
	return journal.Send(text, priority(r.Level), fields)
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.with(attrs)}
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	c := h.handler
	c.prefix += name + "."
	return &journalHandler{c}
}

// fieldName makes a key one that the journal takes: upper case letters, digits
// and underscores, none in front, systemd.journal-fields(7).
func fieldName(key string) string {
	return "GUESTCTL_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
