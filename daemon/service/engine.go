package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/metrics"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/mount"
)

// An Engine holds opened guests and their mounts in this process. A guest is
// opened once, whoever uses it, and is not closed while it is used.
type Engine struct {
	log   *slog.Logger
	apart bool // another process takes mounts away

	mu      sync.Mutex // guards what follows and every guest's fields; a leaf
	guests  map[string]*engineGuest
	mounts  map[string]*engineMount
	closing bool
	changed *sync.Cond // a guest's users went down
}

// engineGuest is a guest that is open or being opened.
type engineGuest struct {
	id     string
	guest  *daemon.Guest // nil until it is open
	err    error         // why it could not be
	ready  chan struct{} // closed when it is known which
	users  int
	ending bool
}

type engineMount struct {
	id, guest string
	server    *mount.Server
	made      time.Time
	lease     *Lease
}

// NewEngine makes an Engine that holds nothing.
func NewEngine(log *slog.Logger) *Engine {
	e := &Engine{log: log, guests: map[string]*engineGuest{}, mounts: map[string]*engineMount{}}
	e.changed = sync.NewCond(&e.mu)
	return e
}

// A Lease keeps a guest open until Done.
type Lease struct {
	*daemon.Guest
	engine *Engine
	of     *engineGuest
	once   sync.Once
}

// Done lets go of the guest; a second call does nothing.
func (l *Lease) Done() {
	l.once.Do(func() {
		l.engine.mu.Lock()
		l.of.users--
		l.engine.changed.Broadcast()
		l.engine.mu.Unlock()
	})
}

// Open opens the guest called id, once; whoever else asks meanwhile waits.
func (e *Engine) Open(ctx context.Context, id string, spec daemon.Spec) (*Lease, error) {
	e.mu.Lock()
	if e.closing {
		e.mu.Unlock()
		return nil, errShutdown()
	}
	g, there := e.guests[id]
	if !there {
		g = &engineGuest{id: id, ready: make(chan struct{})}
		e.guests[id] = g
	}
	if g.ending {
		e.mu.Unlock()
		return nil, api.NewProblem(http.StatusConflict, api.CodeBusy, "the image is being closed", "try again")
	}
	g.users++
	e.mu.Unlock()
	lease := &Lease{engine: e, of: g}
	if !there {
		guest, err := daemon.Open(ctx, spec)
		e.mu.Lock()
		if g.guest, g.err = guest, err; err != nil {
			delete(e.guests, id)
		}
		e.mu.Unlock()
		close(g.ready)
	}
	select {
	case <-g.ready:
	case <-ctx.Done():
		lease.Done()
		return nil, ctx.Err()
	}
	if g.err != nil {
		lease.Done()
		return nil, g.err
	}
	lease.Guest = g.guest
	return lease, nil
}

// Use is a lease of a guest that is open.
func (e *Engine) Use(id string) (*Lease, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.guests[id]
	if g == nil || g.guest == nil || g.ending || e.closing {
		return nil, api.NewProblem(http.StatusNotFound, api.CodeNoImage, fmt.Sprintf("no image %q is open", id), "")
	}
	g.users++
	return &Lease{Guest: g.guest, engine: e, of: g}, nil
}

// Close closes a guest. It waits until nobody uses it any more; ctx ends the
// waiting, and the guest stays open then.
func (e *Engine) Close(ctx context.Context, id string) error {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		e.changed.Broadcast()
		e.mu.Unlock()
	})
	defer stop()
	e.mu.Lock()
	g := e.guests[id]
	if g == nil || g.guest == nil || g.ending {
		e.mu.Unlock()
		return nil
	}
	g.ending = true
	for g.users > 0 && ctx.Err() == nil {
		e.changed.Wait()
	}
	if g.users > 0 {
		g.ending = false
		e.mu.Unlock()
		return ctx.Err()
	}
	delete(e.guests, id)
	e.mu.Unlock()
	return g.guest.Close(context.WithoutCancel(ctx))
}

// Mount serves a mount that was made at dir.
func (e *Engine) Mount(id, guest, dir string, fd int, opt mount.Options) error {
	lease, err := e.Use(guest)
	if err != nil {
		closeFD(fd)
		return err
	}
	server, err := mount.Serve(fd, dir, lease.Namespace(), opt)
	if err != nil {
		lease.Done()
		return err
	}
	m := &engineMount{id: id, guest: guest, server: server, made: time.Now(), lease: lease}
	e.mu.Lock()
	e.mounts[id] = m
	e.mu.Unlock()
	return nil
}

// Wait returns when a mount is gone, whoever took it away.
func (e *Engine) Wait(ctx context.Context, id string) error {
	m := e.mount(id)
	if m == nil {
		return nil
	}
	select {
	case <-m.server.Done():
		e.forget(m)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) mount(id string) *engineMount {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mounts[id]
}

func (e *Engine) forget(m *engineMount) {
	e.mu.Lock()
	delete(e.mounts, m.id)
	e.mu.Unlock()
	m.lease.Done()
}

// Stats are what an Engine counts.
type Stats struct {
	Mounts map[string]api.MountStats              `json:"mounts"` // what each was asked for
	Caches map[string]map[string]block.CacheStats `json:"caches"` // by guest and cache, daemon.CacheImage ...
}

// Stats says what each mount was asked for, and how each guest's caches do.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	stats := Stats{map[string]api.MountStats{}, map[string]map[string]block.CacheStats{}}
	for id, m := range e.mounts {
		stats.Mounts[id] = metrics.MountStats(m.server)
	}
	for id, g := range e.guests {
		if g.guest != nil && !g.ending {
			stats.Caches[id] = g.guest.CacheStats()
		}
	}
	return stats
}

// drainTime is how long Shutdown waits for what runs, and then again for the
// users of mounts.
const drainTime = 5 * time.Second

// Shutdown ends it in order: nothing new begins, what runs is waited for,
// mounts are taken away, those in use out of the tree, or, apart, waited for,
// then guests are closed.
// What still uses a guest after ctx and drainTime loses it with the process.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.closing = true
	var mounts []*engineMount
	for _, m := range e.mounts {
		mounts = append(mounts, m)
	}
	var guests []*engineGuest
	for _, g := range e.guests {
		guests = append(guests, g)
	}
	e.mu.Unlock()

	var errs []error
	var wg sync.WaitGroup
	for _, m := range mounts {
		wg.Go(func() {
			if e.apart {
				select {
				case <-m.server.Done():
					e.forget(m)
				case <-time.After(2 * drainTime):
				}
				return
			}
			if err := m.server.Unmount(); err != nil {
				e.log.Warn("a mount is in use: it is taken out of the tree", "mount", m.server.Dir(), "error", err)
				if err := m.server.Detach(); err != nil {
					e.log.Error("a mount cannot be taken away", "mount", m.server.Dir(), "error", err)
				}
				select {
				case <-m.server.Done():
				case <-time.After(drainTime):
					return
				}
			}
			e.forget(m)
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for _, g := range guests {
		if err := e.Close(ctx, g.id); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", g.id, err))
		}
	}
	return errors.Join(errs...)
}

func errShutdown() error {
	return api.NewProblem(http.StatusServiceUnavailable, api.CodeShutdown, "the daemon is shutting down", "")
}
