package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/metrics"
	"github.com/guestctl/guestctl/daemon/trace"
)

// An image is an attached image set. turn is held, before Broker.mu, while it
// is opened or closed.
type image struct {
	id       string
	attach   api.Attach // canonical
	spec     daemon.Spec
	keys     []api.Key
	owner    Peer
	attached time.Time
	turn     chan struct{} // a token
	slots    chan struct{} // one for each operation that runs

	// Guarded by Broker.mu.
	restricted bool // its images must lie in the allowed folders
	within     []string
	backing    []string
	files      *daemon.HostFiles // of the opening that is under way or was last
	refs       map[int]int       // by uid
	proc       *process          // nil: closed
	opened     workerOpened      // of the last opening
	users      int
	mounts     int
	used       time.Time
	failure    string // why its worker ended
	crashes    []time.Time
	apart      map[*process]bool // workers of operations that open it themselves
	removed    bool
}

func (img *image) references() int {
	n := 0
	for _, c := range img.refs {
		n += c
	}
	return n
}

// idle says whether it is open and nobody uses it. Preconditions: Broker.mu.
func (img *image) idle() bool { return img.proc != nil && img.users == 0 && img.mounts == 0 }

func (img *image) state() string {
	switch {
	case img.proc != nil:
		return api.StateOpen
	case img.failure != "":
		return api.StateFailed
	}
	return api.StateIdle
}

func noImage(id string) error {
	return api.NewProblem(http.StatusNotFound, api.CodeNoImage, fmt.Sprintf("no image %q is attached", id), "`guestctl list` shows those that are")
}

// canonical checks what is to be attached and writes it in one way, so that
// the same is the same.
func canonical(a api.Attach) (api.Attach, daemon.Spec, error) {
	spec := daemon.Spec{ForceShare: a.ForceShare, NoRecovery: a.NoRecovery, Partial: a.Partial}
	a = a.Canonical()
	views := map[string]daemon.View{"auto": daemon.ViewAuto, "partitions": daemon.ViewPartitions, "inspect": daemon.ViewInspect, "explicit": daemon.ViewExplicit}
	view, ok := views[a.View]
	if !ok {
		return a, spec, invalid("the view %q is not known", a.View)
	}
	spec.View = view
	if len(a.Images) == 0 {
		return a, spec, invalid("no image is named")
	}
	for _, img := range a.Images {
		if !filepath.IsAbs(img.Path) {
			return a, spec, invalid("image %q: a path on the daemon's host begins with /", img.Path)
		}
		if img.SectorSize != 0 && img.SectorSize != 512 && img.SectorSize != 4096 {
			return a, spec, invalid("image %q: a sector size of %d bytes: it is 512 or 4096", img.Path, img.SectorSize)
		}
		spec.Images = append(spec.Images, daemon.ImageSpec{Path: img.Path, Format: img.Format, SectorSize: img.SectorSize, Snapshot: img.Snapshot})
	}
	if (len(a.Mounts) > 0) != (view == daemon.ViewExplicit) {
		return a, spec, invalid("mounts go with the view explicit, and it with them")
	}
	for i, m := range a.Mounts {
		parsed, err := daemon.ParseMount(m.Device + ":" + m.Path)
		if err != nil {
			return a, spec, invalid("%s", err)
		}
		m.Path, a.Mounts[i].Path = parsed.Path, parsed.Path
		spec.Mounts = append(spec.Mounts, daemon.MountSpec{Device: m.Device, Path: m.Path, Options: m.Options, FSType: m.FSType})
	}
	for _, dir := range a.AllowBacking {
		if !filepath.IsAbs(dir) {
			return a, spec, invalid("the folder %q for backing files: a path on the daemon's host begins with /", dir)
		}
	}
	spec.AllowBacking = a.AllowBacking
	return a, spec, nil
}

// record is the image as the socket shows it. Preconditions: Broker.mu.
func (img *image) record() api.Image {
	r := api.Image{Schema: api.ImageSchema, ID: img.id, Images: img.attach.Images, View: img.attach.View, State: img.state(),
		References: img.references(), Mounts: img.mounts, Users: img.users, Summary: img.opened.Summary, Warnings: img.opened.Filesystems.Warnings,
		Attached: img.attached, Used: img.used.UTC(), Owner: img.owner.UID, Failure: img.failure, Keys: len(img.keys) > 0}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	if img.proc != nil {
		r.Worker = &api.Worker{PID: img.proc.cmd.Process.Pid}
	}
	return r
}

// withMemory looks at a worker's memory, which takes a read of /proc.
func withMemory(r api.Image) api.Image {
	if r.Worker != nil {
		r.Worker.MemoryBytes, r.Worker.SharedBytes = metrics.Memory(r.Worker.PID)
	}
	return r
}

const (
	// maxCrashes in crashWindow make the broker wait before it starts another
	// worker for an image.
	maxCrashes  = 5
	crashWindow = time.Minute
	// slotTime is how long an operation waits for those before it.
	slotTime = 30 * time.Second
)

// A use is an image that is open and stays so until done.
type use struct {
	broker *Broker
	img    *image
	proc   *process
	with   *use // another image, for the same operation
	apart  bool // the process is for this operation alone
	ended  bool
}

// use opens an image where it is closed, and keeps it open.
func (b *Broker) use(ctx context.Context, id string) (*use, error) {
	u, err := b.hold(ctx, id)
	if err != nil {
		return nil, err
	}
	if u.proc, err = b.ensureOpen(ctx, u.img); err != nil {
		u.done()
		return nil, err
	}
	return u, nil
}

// hold keeps an image attached, and as it is, and takes one of the places for
// operations on it.
func (b *Broker) hold(ctx context.Context, id string) (*use, error) {
	b.mu.Lock()
	img := b.images[id]
	if img == nil || img.removed {
		b.mu.Unlock()
		return nil, noImage(id)
	}
	if b.closing {
		b.mu.Unlock()
		return nil, errShutdown()
	}
	img.users++
	b.mu.Unlock()
	u := &use{broker: b, img: img}
	timer := time.NewTimer(slotTime)
	defer timer.Stop()
	select {
	case img.slots <- struct{}{}:
	case <-timer.C:
		b.unuse(img)
		return nil, api.NewProblem(http.StatusServiceUnavailable, api.CodeBusy,
			fmt.Sprintf("%d operations run on this image already", cap(img.slots)), "try again later, or raise operations in the daemon's configuration")
	case <-ctx.Done():
		b.unuse(img)
		return nil, ctx.Err()
	}
	return u, nil
}

func (b *Broker) unuse(img *image) {
	b.mu.Lock()
	img.users--
	img.used = time.Now()
	over := img.users == 0 && img.mounts == 0 && img.references() == 0 && !img.removed && !b.closing
	if over {
		b.tasks.Add(1)
	}
	b.mu.Unlock()
	if over {
		go func() {
			defer b.tasks.Done()
			b.settle(img)
		}()
	}
}

// done lets go of the image. It may be called more than once.
func (u *use) done() {
	if u.ended {
		return
	}
	u.ended = true
	if u.apart {
		u.proc.end(context.Background())
		u.broker.mu.Lock()
		for v := u; v != nil; v = v.with {
			delete(v.img.apart, u.proc)
		}
		u.broker.mu.Unlock()
	}
	<-u.img.slots
	u.broker.unuse(u.img)
	if u.with != nil {
		u.with.done()
	}
}

// ensureOpen answers the worker that has the image open.
func (b *Broker) ensureOpen(ctx context.Context, img *image) (*process, error) {
	b.mu.Lock()
	proc := img.proc
	b.mu.Unlock()
	if proc != nil {
		return proc, nil
	}
	select {
	case img.turn <- struct{}{}:
		defer func() { <-img.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	proc = img.proc
	for len(img.crashes) > 0 && time.Since(img.crashes[0]) > crashWindow {
		img.crashes = img.crashes[1:]
	}
	crashes := len(img.crashes)
	img.files = img.newFiles(b.log)
	b.mu.Unlock()
	if proc != nil {
		return proc, nil
	}
	if crashes >= maxCrashes {
		return nil, api.NewProblem(http.StatusServiceUnavailable, api.CodeWorker,
			fmt.Sprintf("the process that serves this image failed %d times in a minute: %s", crashes, img.failure), "wait a minute, or detach it; please report the daemon's log")
	}
	return b.openImage(ctx, img)
}

// newFiles opens the files of an image by the rules of whoever attached it.
// Preconditions: Broker.mu.
func (img *image) newFiles(log *slog.Logger) *daemon.HostFiles {
	var within []string
	if img.restricted {
		within = img.within
	}
	files := daemon.NewHostFiles(append(append([]string{}, img.backing...), img.attach.AllowBacking...), within, log)
	if img.attach.ForceShare {
		files.ShareLocked()
	}
	return files
}

// openImage starts a worker for an image and has it opened. Preconditions: its turn.
func (b *Broker) openImage(ctx context.Context, img *image) (proc *process, err error) {
	start := time.Now()
	ctx, span := b.config().Tracer.Start(ctx, "open", trace.Internal)
	span.Set("guestctl.image", img.id)
	defer func() { span.Fail(err) }()
	if proc, err = b.worker(ctx, img); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(b.config().OpenTimeout))
	defer cancel()
	var opened workerOpened
	if err := proc.call(limited, "open", b.openRequest(img), &opened); err != nil {
		if limited.Err() != nil && ctx.Err() == nil {
			err = api.NewProblem(http.StatusGatewayTimeout, api.CodeTimeout, fmt.Sprintf("the image was not open after %v", time.Duration(b.config().OpenTimeout)),
				"raise open_timeout in the daemon's configuration where its storage is that slow")
		}
		if b.config().Isolation != "shared" {
			now, cancel := context.WithCancel(context.Background())
			if limited.Err() != nil {
				cancel() // it does not listen
			}
			proc.end(now)
			cancel()
		}
		return nil, b.nameHolder(ctx, img, err)
	}
	b.mu.Lock()
	if !b.workers[proc] {
		b.mu.Unlock()
		return nil, proc.lost(ctx, fmt.Errorf("it ended"))
	}
	img.proc, img.opened, img.failure, img.used = proc, opened, "", time.Now()
	b.mu.Unlock()
	b.meter.opened(time.Since(start))
	b.events.say(api.Event{Kind: api.EventOpened, Image: img.id, Detail: opened.Summary})
	for _, v := range opened.Replayed {
		b.events.say(api.Event{Kind: api.EventReplayed, Image: img.id, Volume: v, Detail: "a journal was replayed in memory; the image is not changed"})
	}
	for _, text := range opened.Damaged {
		b.meter.damage(img.id)
		b.events.say(api.Event{Kind: api.EventDamage, Image: img.id, Detail: text})
	}
	return proc, nil
}

// closeImage closes an image in its worker, and ends the worker that has no
// other. Preconditions: its turn, and nobody uses it.
func (b *Broker) closeImage(img *image) {
	b.mu.Lock()
	proc := img.proc
	img.proc = nil
	last := proc != nil
	for _, other := range b.images {
		last = last && other.proc != proc
	}
	if last && b.shared == proc {
		b.shared = nil
	}
	b.mu.Unlock()
	switch {
	case proc == nil, proc.ending():
	case last:
		proc.end(context.Background())
	default:
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		if err := proc.call(ctx, "close", img.id, nil); err != nil {
			b.log.Error("an image could not be closed", "image", img.id, "error", err)
		}
	}
}
