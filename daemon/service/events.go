package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

const (
	// keptEvents is how many events are kept for those who ask later.
	keptEvents = 4096
	// eventBacklog is how far a reader may fall behind.
	eventBacklog = 1024
)

// A bus keeps the last events and gives new ones to whoever follows. A reader
// that is too slow loses events and is told how many; nobody waits for it.
type bus struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows; a leaf
	last   uint64     // sequence of the last event
	kept   []api.Event
	wake   chan struct{} // closed at the next event
	closed bool
}

func newBus(log *slog.Logger) *bus { return &bus{log: log, wake: make(chan struct{})} }

// say makes an event of e and answers its sequence.
func (b *bus) say(e api.Event) uint64 {
	e.Schema, e.Time = api.EventSchema, time.Now().UTC()
	b.mu.Lock()
	b.last++
	e.Sequence = b.last
	b.kept = append(b.kept, e)
	if len(b.kept) > keptEvents {
		b.kept = append(b.kept[:0:0], b.kept[len(b.kept)-keptEvents/2:]...)
	}
	close(b.wake)
	b.wake = make(chan struct{})
	b.mu.Unlock()
	b.tell(e)
	return e.Sequence
}

// tell logs an event: the log line is one rendering of it.
func (b *bus) tell(e api.Event) {
	level := slog.LevelInfo
	switch e.Kind {
	case api.EventDamage, api.EventFailed, api.EventMountLost, api.EventReadOnly:
		level = slog.LevelWarn
	case api.EventProgress:
		level = slog.LevelDebug
	}
	var attrs []slog.Attr
	for _, a := range []struct{ key, value string }{
		{"op", string(e.Kind)}, {"image", e.Image}, {"mount", e.Mount}, {"job", e.Job}, {"path", e.Path}, {"volume", e.Volume}, {"detail", e.Detail},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if e.UID != nil {
		attrs = append(attrs, slog.Int("uid", *e.UID))
	}
	b.log.LogAttrs(context.Background(), level, string(e.Kind), attrs...)
}

// after are the kept events after a sequence number, eventBacklog at most, and
// a channel that is closed when there are more; ended says that no more come.
// What was lost stands first, as an event of its own.
func (b *bus) after(since uint64) (list []api.Event, wake <-chan struct{}, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range b.kept {
		if e.Sequence <= since {
			continue
		}
		if e.Sequence > since+1 && since > 0 {
			list = append(list, api.Event{Schema: api.EventSchema, Sequence: e.Sequence - 1, Time: time.Now().UTC(), Kind: api.EventDropped,
				Detail: "events were lost: this reader is too slow, or came too late"})
		}
		list = append(list, b.kept[i:min(len(b.kept), i+eventBacklog)]...)
		break
	}
	return list, b.wake, b.closed
}

// sequence is that of the last event.
func (b *bus) sequence() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// close ends all followers.
func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.wake)
		b.wake = make(chan struct{})
	}
}

// follow gives events after a sequence number to each until it fails, ctx
// ends, or, without more, the kept ones are told.
func (b *bus) follow(ctx context.Context, since uint64, more bool, each func(*api.Event) error) error {
	for {
		list, wake, ended := b.after(since)
		for i := range list {
			if err := each(&list[i]); err != nil {
				return err
			}
			since = list[i].Sequence
		}
		if len(list) > 0 {
			continue
		}
		if !more || ended {
			return nil
		}
		if err := each(nil); err != nil { // all there is was told
			return err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
