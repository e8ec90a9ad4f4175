package service

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/mount"
)

// A mounted is a guest shown in a folder by its worker. It does not change, but
// for ready; that and that it is in Broker.mounts is guarded by Broker.mu.
type mounted struct {
	id      string
	image   *image
	attach  api.Attach // what is mounted
	proc    *process
	dir     string // as the kernel names it
	dev     uint64
	options []string
	owner   Peer
	since   time.Time
	ready   bool          // it has answered
	served  chan struct{} // closed when its worker serves it no more
	holds   bool          // a reference of the owner's to the image, which goes with it
}

func (m *mounted) record() api.Mount {
	r := api.Mount{Schema: api.MountSchema, ID: m.id, Image: m.image.id, Dir: m.dir, Options: m.options, Owner: m.owner.UID, Mounted: m.since}
	if r.Options == nil {
		r.Options = []string{}
	}
	return r
}

func newID() (string, error) {
	var b [6]byte
	_, err := rand.Read(b[:])
	return hex.EncodeToString(b[:]), err
}

// Mount shows an image in a folder of the host.
func (b *Broker) Mount(ctx context.Context, by Peer, q api.MountRequest) (r api.Mount, err error) {
	entry := AuditEntry{Op: "mount", Image: q.Image, Dir: q.Dir}
	if q.Attach != nil {
		entry.Paths = imagePaths(q.Attach.Images)
	}
	defer func() { b.audited(by, entry, err) }()
	if err := by.needWrite("mount"); err != nil {
		return r, err
	}
	switch {
	case !filepath.IsAbs(q.Dir):
		return r, invalid("folder %q: a path on the daemon's host begins with /", q.Dir)
	case (q.Image != "") == (q.Attach != nil):
		return r, invalid("name either an attached image or what to attach")
	}
	if _, err := mountOptions(q.Options, ""); err != nil {
		return r, err
	}
	if q.Attach != nil {
		img, err := b.attach(ctx, by, *q.Attach, true)
		if err != nil {
			return r, err
		}
		q.Image, entry.Image = img.id, img.id
		defer func() {
			if err != nil {
				b.mu.Lock()
				img.release(by.UID)
				b.mu.Unlock()
				b.settle(img)
			}
		}()
	}
	u, err := b.use(ctx, q.Image)
	if err != nil {
		return r, err
	}
	defer u.done()
	entry.Paths = imagePaths(u.img.attach.Images)
	m, err := b.mount(ctx, u, by, q)
	if err != nil {
		return r, err
	}
	uid := by.UID
	b.events.say(api.Event{Kind: api.EventMounted, Image: m.image.id, Mount: m.id, Path: m.dir, UID: &uid})
	return m.record(), nil
}

// mount makes the mount here, and has the worker serve it.
func (b *Broker) mount(ctx context.Context, u *use, by Peer, q api.MountRequest) (*mounted, error) {
	id, err := newID()
	if err != nil {
		return nil, err
	}
	name := u.img.attach.Images[0].Path
	opt, err := mountOptions(q.Options, name)
	if err != nil {
		return nil, err
	}
	opt.Log = b.log
	fd, dir, err := mount.Attach(ctx, q.Dir, opt)
	if err != nil {
		return nil, err
	}
	// Written down before it is served: whoever comes after a kill finds it.
	m := &mounted{id: id, image: u.img, served: make(chan struct{}), attach: u.img.attach, proc: u.proc, dir: dir, dev: deviceAt(dir), options: q.Options, owner: by, since: time.Now().UTC(), holds: q.Attach != nil}
	b.mu.Lock()
	b.fuse[id] = os.NewFile(uintptr(fd), "/dev/fuse")
	b.mounts[id] = m
	u.img.mounts++
	b.saveMountsLocked()
	b.mu.Unlock()
	err = u.proc.call(context.WithoutCancel(ctx), "mount", workerMount{Guest: u.img.id, Mount: id, Dir: dir, Options: q.Options, FSName: name}, nil)
	if err == nil {
		err = b.greet(m, opt)
	}
	b.mu.Lock()
	if f := b.fuse[id]; f != nil {
		delete(b.fuse, id)
		f.Close()
	}
	b.mu.Unlock()
	if err != nil {
		if b.forgetMount(m) {
			if cerr := mount.Clear(dir); cerr != nil {
				b.log.Error("a mount that failed cannot be taken away", "mount", dir, "error", cerr)
			}
		}
		return nil, err
	}
	b.mu.Lock()
	m.ready = true
	b.mu.Unlock()
	b.watch.Add(1)
	go func() {
		defer b.watch.Done()
		// An error is the worker's end, which sees to its mounts.
		err := u.proc.call(context.Background(), "wait", id, nil)
		close(m.served)
		if err == nil {
			b.mountGone(m)
		}
	}()
	return m, nil
}

// forgetMount takes a mount out of the list; false where somebody else has.
func (b *Broker) forgetMount(m *mounted) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mounts[m.id] != m {
		return false
	}
	delete(b.mounts, m.id)
	m.image.mounts--
	m.image.used = time.Now()
	b.saveMountsLocked()
	return true
}

// mountGone is what follows when a mount is gone, whoever took it away.
func (b *Broker) mountGone(m *mounted) {
	if b.forgetMount(m) {
		b.events.say(api.Event{Kind: api.EventUnmounted, Image: m.image.id, Mount: m.id, Path: m.dir})
		b.dropReference(m)
	}
}

// dropReference gives back the reference that a mount held.
func (b *Broker) dropReference(m *mounted) {
	if m.holds {
		b.mu.Lock()
		m.image.release(m.owner.UID)
		b.mu.Unlock()
	}
	b.settle(m.image)
}

// Unmount takes a mount away, and returns when it is gone and its image, if it
// was attached for the mount, is released. lazy takes also one in use out of
// the tree, and does not wait for its users.
func (b *Broker) Unmount(ctx context.Context, by Peer, id string, lazy bool) (err error) {
	b.mu.Lock()
	m := b.mounts[id]
	b.mu.Unlock()
	entry := AuditEntry{Op: "unmount"}
	if m != nil {
		entry.Image, entry.Dir, entry.Paths = m.image.id, m.dir, imagePaths(m.image.attach.Images)
	}
	defer func() { b.audited(by, entry, err) }()
	if err := by.needWrite("unmount"); err != nil {
		return err
	}
	return b.unmount(ctx, id, lazy)
}

// greet waits for a new mount's first answer.
func (b *Broker) greet(m *mounted, opt mount.Options) error {
	answer := make(chan error, 1)
	go func() { answer <- mount.Greet(m.dir, opt) }() // it ends when the mount does
	timer := time.NewTimer(dialTime)
	defer timer.Stop()
	select {
	case err := <-answer:
		if err == nil {
			return nil
		}
		return &mount.Error{Op: "mount", Dir: m.dir, Detail: "the new mount does not answer", Err: err}
	case <-timer.C:
		return &mount.Error{Op: "mount", Dir: m.dir, Detail: "the new mount does not answer", Err: context.DeadlineExceeded}
	}
}

// gone says whether a mount's last request is served, at the latest after wait.
func (m *mounted) gone(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-m.served:
		return true
	case <-timer.C:
		return false
	}
}

// release takes a mount away at the end of the daemon, out of the tree where it
// is in use.
func (b *Broker) release(m *mounted) {
	err := mount.Unmount(m.dir, m.gone)
	if err == nil {
		return
	}
	b.log.Warn("a mount is in use: it is taken out of the tree", "image", m.image.id, "mount", m.dir, "error", err)
	if err := mount.Clear(m.dir); err != nil {
		b.log.Error("a mount cannot be taken away", "image", m.image.id, "mount", m.dir, "error", err)
	}
}

func (b *Broker) unmount(_ context.Context, id string, lazy bool) error {
	b.mu.Lock()
	m := b.mounts[id]
	b.mu.Unlock()
	if m == nil {
		return noMount(id)
	}
	var err error
	if lazy {
		err = mount.Clear(m.dir)
	} else {
		err = mount.Unmount(m.dir, m.gone)
	}
	if err != nil {
		b.mu.Lock()
		gone := b.mounts[id] != m
		b.mu.Unlock()
		if gone {
			return nil // with its worker
		}
		return err
	}
	if !lazy {
		b.mountGone(m)
	}
	return nil
}

func noMount(id string) error {
	return api.NewProblem(http.StatusNotFound, api.CodeNoMount, fmt.Sprintf("no mount %q is known", id), "`guestctl list` shows those that are")
}

// MountAt is the mount with an id.
func (b *Broker) MountAt(ctx context.Context, id string) (api.Mount, error) {
	b.mu.Lock()
	m := b.mounts[id]
	b.mu.Unlock()
	if m == nil {
		return api.Mount{}, noMount(id)
	}
	list := []api.Mount{m.record()}
	b.addStats(ctx, list)
	return list[0], nil
}

// Mounts are a page of the mounts, by id.
func (b *Broker) Mounts(ctx context.Context, page api.Page) api.Mounts {
	b.mu.Lock()
	ids, next := pageOf(b.mounts, page)
	r := api.Mounts{Mounts: []api.Mount{}, Next: next}
	for _, id := range ids {
		r.Mounts = append(r.Mounts, b.mounts[id].record())
	}
	b.mu.Unlock()
	b.addStats(ctx, r.Mounts)
	return r
}
