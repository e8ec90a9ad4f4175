package main

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestLogLines(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(&lineHandler{handler: handler{level: slog.LevelWarn}, w: &b})
	log.Info("not said")
	log.Warn("short", "size", 7)
	log.With("volume", "sda1").WithGroup("inner").Error("broken", "name", "a b")
	const want = "guestmount: warning: short, size \"7\"\nguestmount: error: broken, volume \"sda1\", inner.name \"a b\"\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
	}
}
