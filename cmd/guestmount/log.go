package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/systemd"
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
	if systemd.OnJournal() || background && !o.verbose && !o.trace && systemd.HasJournal() {
		return slog.New(systemd.NewJournal("guestmount", level))
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
