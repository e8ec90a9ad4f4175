package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// OnJournal says whether stderr is systemd's journal.
func OnJournal() bool {
	on, _ := journal.StderrIsJournalStream() // an error is a no
	return on
}

// HasJournal says whether there is a journal at all.
func HasJournal() bool { return journal.Enabled() }

// A journalHandler sends each record to systemd's journal, its attributes in
// the text and as fields.
type journalHandler struct {
	program string
	level   slog.Leveler
	prefix  string // of the groups: "a.b."
	attrs   []slog.Attr
}

// NewJournal makes a handler that logs to the journal as program. An attribute
// called image becomes the field GUESTCTL_IMAGE, and so on.
func NewJournal(program string, level slog.Leveler) slog.Handler {
	return &journalHandler{program: program, level: level}
}

func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	text, fields := h.entry(r)
	return journal.Send(text, priority(r.Level), fields)
}

// entry is a record as the journal takes it.
func (h *journalHandler) entry(r slog.Record) (text string, fields map[string]string) {
	fields = map[string]string{"SYSLOG_IDENTIFIER": h.program}
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) {
		value := a.Value.Resolve().String()
		if value != r.Message { // the kind of an event is its text too
			fmt.Fprintf(&b, ", %s %q", a.Key, value)
		}
		fields[fieldName(a.Key)] = value
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(func(a slog.Attr) bool {
		a.Key = h.prefix + a.Key
		add(a)
		return true
	})
	return b.String(), fields
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.prefix += name + "."
	return &c
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
