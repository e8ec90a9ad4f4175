package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/mount"
)

// A Broker holds image sets, their workers, mounts and jobs.
type Broker struct {
	settings atomic.Pointer[settings]
	secret   [32]byte // that the ids of images with keys depend on
	log      *slog.Logger
	sandbox  *api.Sandbox // what a worker has found in force
	events   *bus
	audit    *Audit
	meter    *meter
	start    time.Time
	ctx      context.Context // ends with the broker
	cancel   context.CancelFunc
	tasks    sync.WaitGroup // goroutines of the broker
	watch    sync.WaitGroup // those that wait for a worker's end

	sharing chan struct{} // a token: the shared worker is being started

	mu      sync.Mutex // guards what follows and what image and mounted say it guards
	images  map[string]*image
	mounts  map[string]*mounted
	jobs    map[string]*job
	fuse    map[string]*os.File // descriptors of mounts that wait for their worker
	workers map[*process]bool
	shared  *process
	sweeper *sweeper // nil until the first mount
	checked string   // id of the mount that CheckMount looked at last
	closing bool
}

// NewBroker makes a Broker and takes away the dead mounts that a killed one
// left.
func NewBroker(cfg Config) (*Broker, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cfg.Program = self
	}
	keys, err := readKeys(&cfg)
	if err != nil {
		return nil, err
	}
	audit, err := openAudit(cfg.auditPath())
	if err != nil {
		return nil, err
	}
	b := &Broker{log: cfg.Log, events: newBus(cfg.Log), audit: audit, meter: newMeter(), start: time.Now().UTC(),
		sharing: make(chan struct{}, 1), images: map[string]*image{}, mounts: map[string]*mounted{}, jobs: map[string]*job{},
		fuse: map[string]*os.File{}, workers: map[*process]bool{}}
	b.settings.Store(&settings{cfg, keys})
	if _, err := rand.Read(b.secret[:]); err != nil {
		return nil, err
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if b.sandbox, err = b.probeSandbox(); err != nil {
		b.cancel()
		return nil, errors.Join(err, audit.close())
	}
	left := b.clearStale()
	b.tasks.Go(b.tidy)
	b.tasks.Go(func() { b.restore(left) })
	b.events.say(api.Event{Kind: api.EventStarted, Detail: cfg.Version})
	return b, nil
}

// tidyEvery is how often the broker looks for what nobody uses any more.
const tidyEvery = time.Second

// tidy evicts images and forgets jobs.
func (b *Broker) tidy() {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
			b.evict(time.Now())
			b.forgetJobs(time.Now())
		}
	}
}

// evict closes the images that nobody has used for a while. Their ids stay, and
// the next use opens them again.
func (b *Broker) evict(now time.Time) {
	if b.config().IdleAfter == 0 {
		return
	}
	b.mu.Lock()
	var idle []*image
	for _, img := range b.images {
		if img.idle() && now.Sub(img.used) >= time.Duration(b.config().IdleAfter) {
			idle = append(idle, img)
		}
	}
	b.mu.Unlock()
	for _, img := range idle {
		select {
		case img.turn <- struct{}{}:
		default:
			continue // somebody opens or closes it
		}
		b.mu.Lock()
		still := img.idle() && now.Sub(img.used) >= time.Duration(b.config().IdleAfter)
		b.mu.Unlock()
		if still {
			b.closeImage(img)
			b.events.say(api.Event{Kind: api.EventEvicted, Image: img.id})
		}
		<-img.turn
	}
}

// worker is a worker for an image: one of its own, or the shared one.
func (b *Broker) worker(ctx context.Context, img *image) (*process, error) {
	if b.config().Isolation != "shared" {
		return b.startWorker(b.open)
	}
	select {
	case b.sharing <- struct{}{}:
		defer func() { <-b.sharing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	p := b.shared
	b.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := b.startWorker(b.open)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.workers[p] { // it may have died already
		b.shared = p
	}
	return p, nil
}

// logLevel is the level that workers log from on: the broker's own.
func (b *Broker) logLevel() slog.Level {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if b.log.Enabled(b.ctx, l) {
			return l
		}
	}
	return slog.LevelWarn // damage is an event, whatever is logged
}

// startWorker starts a worker; open answers what it asks for.
func (b *Broker) startWorker(open func(ask) (*os.File, error)) (*process, error) {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return nil, errShutdown()
	}
	b.watch.Add(1)
	b.mu.Unlock()
	p, err := startProcess(b.config().Program, b.logLevel(), b.sandboxFor(), open, b.workerLog)
	if err != nil {
		b.watch.Done()
		return nil, err
	}
	b.mu.Lock()
	b.workers[p] = true
	b.mu.Unlock()
	go func() {
		defer b.watch.Done()
		<-p.done
		b.workerEnded(p)
	}()
	return p, nil
}

// open answers what a worker asks for. A worker gets nothing but the files of
// image sets that the broker has, by the rules of whoever attached them.
func (b *Broker) open(q ask) (*os.File, error) {
	if q.Kind == "fuse" {
		b.mu.Lock()
		defer b.mu.Unlock()
		f := b.fuse[q.Mount]
		if f == nil {
			return nil, api.NewProblem(http.StatusNotFound, api.CodeNoMount, fmt.Sprintf("no mount %q waits", q.Mount), "")
		}
		delete(b.fuse, q.Mount)
		return f, nil
	}
	b.mu.Lock()
	img := b.images[q.Guest]
	var hostFiles *daemon.HostFiles
	if img != nil {
		hostFiles = img.files
	}
	b.mu.Unlock()
	if hostFiles == nil {
		return nil, noImage(q.Guest)
	}
	switch {
	case q.Kind == "image" && slices.ContainsFunc(img.attach.Images, func(i api.ImageSpec) bool { return i.Path == q.Path }):
		return hostFiles.Image(b.ctx, q.Path)
	case q.Kind == "related" && q.File != nil:
		return hostFiles.Related(b.ctx, *q.File)
	}
	return nil, api.NewProblem(http.StatusForbidden, api.CodeForbidden, fmt.Sprintf("a worker asked for %q", q.Path), "")
}

// workerLog makes a worker's log the broker's, and what it says of damage
// events.
func (b *Broker) workerLog(level slog.Level, message string, attrs map[string]any) {
	id, _ := attrs["image"].(string)
	if level >= slog.LevelWarn && id != "" {
		detail := message
		for _, key := range []string{"detail", "err", "error", "mount"} {
			if v, ok := attrs[key]; ok {
				detail += fmt.Sprintf("; %s %v", key, v)
			}
		}
		b.meter.damage(id)
		b.events.say(api.Event{Kind: api.EventDamage, Image: id, Detail: detail})
		return
	}
	var list []any
	for key, v := range attrs {
		list = append(list, slog.Any(key, v))
	}
	b.log.Log(b.ctx, level, message, list...)
}

// workerEnded sees to what a worker leaves that is gone: its images have
// failed, and its mounts are dead and taken away.
func (b *Broker) workerEnded(p *process) {
	how, asked := p.ended()
	b.mu.Lock()
	delete(b.workers, p)
	if b.shared == p {
		b.shared = nil
	}
	var failed []*image
	var dead []*mounted
	for _, img := range b.images {
		if img.proc != p {
			continue
		}
		img.proc = nil
		if !asked {
			img.failure = how
			img.crashes = append(img.crashes, time.Now())
			failed = append(failed, img)
		}
	}
	for id, m := range b.mounts {
		if m.proc == p {
			delete(b.mounts, id)
			m.image.mounts--
			dead = append(dead, m)
		}
	}
	b.saveMountsLocked()
	b.mu.Unlock()
	for _, img := range failed {
		b.log.Error("a worker ended", "image", img.id, "how", how, "output", p.stack())
		b.events.say(api.Event{Kind: api.EventFailed, Image: img.id, Detail: how})
		b.meter.crash()
	}
	for _, m := range dead {
		if err := mount.Clear(m.dir); err != nil {
			b.log.Error("a dead mount cannot be taken away", "mount", m.dir, "error", err)
		}
		if !asked {
			b.events.say(api.Event{Kind: api.EventMountLost, Image: m.image.id, Mount: m.id, Path: m.dir, Detail: how})
		}
		b.dropReference(m)
	}
}

// Shutdown ends it in order: nothing new begins, jobs are canceled, workers
// drain, unmount and close, what is left of their mounts is taken away. ctx
// bounds it; workers that are not done by then are killed.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		return nil
	}
	b.closing = true
	b.mu.Unlock()
	b.events.say(api.Event{Kind: api.EventStopping})
	b.cancel()
	b.tasks.Wait()

	b.mu.Lock()
	workers := make([]*process, 0, len(b.workers))
	for p := range b.workers {
		workers = append(workers, p)
	}
	mounts := slices.Collect(maps.Values(b.mounts))
	b.mu.Unlock()
	var ending sync.WaitGroup
	for _, m := range mounts {
		ending.Go(func() { b.release(m) })
	}
	ending.Wait()
	for _, p := range workers {
		ending.Go(func() { p.end(ctx) })
	}
	ending.Wait()
	b.watch.Wait()
	b.endSweeper()
	b.events.close()
	return errors.Join(b.removeMountsFile(), b.audit.close())
}
