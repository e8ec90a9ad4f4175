package systemd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// systemd is the other end of NOTIFY_SOCKET.
func listen(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return l
}

func hear(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	_ = l.SetReadDeadline(time.Now().Add(30 * time.Second)) // a socket has deadlines
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotify(t *testing.T) {
	n := NewNotifier(slog.New(slog.DiscardHandler))
	n.Ready("nobody listens")
	l := listen(t)
	n.Ready("2 mounts\nSTOPPING=1")
	if got := hear(t, l); got != "READY=1\nSTATUS=2 mounts STOPPING=1" {
		t.Errorf("ready: %q", got)
	}
	n.Reloading()
	if got := hear(t, l); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=0") {
		t.Errorf("reloading: %q", got)
	}
	n.Stopping()
	if got := hear(t, l); got != "STOPPING=1" {
		t.Errorf("stopping: %q", got)
	}
}

// A life sign is given after a check that is well, and only then.
func TestWatchdog(t *testing.T) {
	n := NewNotifier(slog.New(slog.DiscardHandler))
	n.Watch(func(context.Context) error { panic("nobody wants it") })()
	l := listen(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	checks := 0
	stop := n.Watch(func(ctx context.Context) error {
		checks++
		switch checks {
		case 1:
			return errors.New("not well")
		case 2:
			<-ctx.Done() // too late
			return ctx.Err()
		}
		return nil
	})
	if got := hear(t, l); got != "WATCHDOG=1" {
		t.Errorf("the life sign is %q", got)
	}
	stop()
	if checks < 3 {
		t.Errorf("a life sign after %d checks, of which the third is the first that is well", checks)
	}
}

func TestJournalEntry(t *testing.T) {
	h := NewJournal("guestctld", slog.LevelInfo)
	j, ok := h.WithAttrs([]slog.Attr{slog.String("image", "3f2a")}).WithGroup("inner").(*journalHandler)
	if !ok || j.Enabled(t.Context(), slog.LevelDebug) || !j.Enabled(t.Context(), slog.LevelInfo) {
		t.Fatal("levels")
	}
	r := slog.NewRecord(time.Time{}, slog.LevelWarn, "mounted", 0)
	r.AddAttrs(slog.String("op", "mounted"), slog.Int("a.b-c", 7))
	text, fields := j.entry(r)
	if text != `mounted, image "3f2a", inner.a.b-c "7"` {
		t.Errorf("the text is %s", text)
	}
	want := map[string]string{"SYSLOG_IDENTIFIER": "guestctld", "GUESTCTL_IMAGE": "3f2a", "GUESTCTL_INNER_OP": "mounted", "GUESTCTL_INNER_A_B_C": "7"}
	if d := cmp.Diff(want, fields); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
	for key, want := range map[string]string{"err": "GUESTCTL_ERR", "Ä": "GUESTCTL__"} {
		if got := fieldName(key); got != want {
			t.Errorf("%s: %s", key, got)
		}
	}
}
