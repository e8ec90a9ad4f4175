package service

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
)

// Attach opens an image set, or adds a reference to it where it is attached. A
// user who may only read opens images in the allowed folders, and lets them
// name files there only. Without open it is opened at its first use.
func (b *Broker) Attach(ctx context.Context, by Peer, a api.Attach, open bool) (api.Image, error) {
	img, err := b.attach(ctx, by, a, open)
	if err != nil {
		return api.Image{}, err
	}
	b.mu.Lock()
	r := img.record()
	b.mu.Unlock()
	return withMemory(r), nil
}

func (b *Broker) attach(ctx context.Context, by Peer, a api.Attach, open bool) (*image, error) {
	keys, err := takeKeys(&a)
	if err != nil {
		return nil, err
	}
	a, spec, err := canonical(a)
	if err != nil {
		return nil, err
	}
	if err := b.mayOpen(by, a); err != nil {
		return nil, err
	}
	id := a.ID()
	if len(keys) > 0 {
		if id, err = b.keyedID(a, keys); err != nil {
			return nil, err
		}
	}
	img, first, err := b.refer(ctx, by, id, a, spec, keys)
	if err != nil {
		return nil, err
	}
	if open {
		u, err := b.use(ctx, id)
		if err != nil {
			b.mu.Lock()
			img.release(by.UID)
			b.mu.Unlock()
			b.settle(img)
			return nil, err
		}
		u.done()
	}
	if first {
		uid := by.UID
		b.mu.Lock()
		summary := img.opened.Summary
		b.mu.Unlock()
		b.events.say(api.Event{Kind: api.EventAttached, Image: id, Path: a.Images[0].Path, UID: &uid, Detail: summary})
	}
	return img, nil
}

// refer adds a reference to the image called id, and makes it where there is
// none.
func (b *Broker) refer(ctx context.Context, by Peer, id string, a api.Attach, spec daemon.Spec, keys []api.Key) (img *image, first bool, err error) {
	b.mu.Lock()
	for {
		if b.closing {
			b.mu.Unlock()
			return nil, false, errShutdown()
		}
		img = b.images[id]
		if img == nil || !img.removed {
			break
		}
		// It is being closed by whoever had it last.
		b.mu.Unlock()
		select {
		case img.turn <- struct{}{}:
			<-img.turn
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if img == nil {
		if len(b.images) >= b.config().MaxImages {
			return nil, false, api.NewProblem(http.StatusServiceUnavailable, api.CodeBusy, fmt.Sprintf("%d images are attached already", b.config().MaxImages),
				"detach some, or raise max_images in the daemon's configuration")
		}
		img = &image{id: id, attach: a, spec: spec, keys: keys, owner: by, attached: time.Now().UTC(), used: time.Now(), turn: make(chan struct{}, 1),
			slots: make(chan struct{}, b.config().Operations), refs: map[int]int{}, restricted: true, within: b.config().Images, backing: b.config().Backing}
		b.images[id] = img
	}
	if by.mayWrite() {
		img.restricted = false
	}
	first = img.references() == 0
	img.refs[by.UID]++
	return img, first, nil
}

// release takes one reference of uid away. Preconditions: Broker.mu.
func (img *image) release(uid int) {
	if img.refs[uid]--; img.refs[uid] <= 0 {
		delete(img.refs, uid)
	}
}

// mayOpen refuses a reader what is outside the allowed folders.
func (b *Broker) mayOpen(by Peer, a api.Attach) error {
	if by.mayWrite() {
		return nil
	}
	allowed := append(slices.Clone(b.config().Images), b.config().Backing...)
	for _, dir := range a.AllowBacking {
		if !slices.ContainsFunc(allowed, func(f string) bool {
			return dir == filepath.Clean(f) || filepath.Clean(dir) == dir && strings.HasPrefix(dir, strings.TrimSuffix(f, "/")+"/")
		}) {
			return api.NewProblem(http.StatusForbidden, api.CodeForbidden, fmt.Sprintf("user %d may not allow backing files in %q", by.UID, dir),
				"root or the daemon's own user can attach the image")
		}
	}
	within := b.config().Images
	if within == nil {
		within = []string{}
	}
	for _, i := range a.Images {
		files := daemon.NewHostFiles(nil, within, b.log)
		if a.ForceShare {
			files.ShareLocked()
		}
		f, err := files.Image(b.ctx, i.Path)
		if err != nil {
			return err
		}
		f.Close()
	}
	return nil
}

// Detach takes a reference away; the last one closes the image, and it returns
// when it is released. It is refused while mounts or operations use it, unless
// force ends them, for which the right to write is needed.
func (b *Broker) Detach(ctx context.Context, by Peer, id string, force bool) (err error) {
	if force {
		if err := by.needWrite("end what others do with an image"); err != nil {
			return err
		}
		return b.detachAll(ctx, by, id)
	}
	b.mu.Lock()
	img := b.images[id]
	if img == nil || img.removed {
		b.mu.Unlock()
		return noImage(id)
	}
	uid := by.UID
	if img.refs[uid] == 0 {
		if !by.mayWrite() || img.references() == 0 {
			b.mu.Unlock()
			return api.NewProblem(http.StatusForbidden, api.CodeForbidden, fmt.Sprintf("user %d has not attached this image", uid), "")
		}
		for other := range img.refs { // whoever may write gives back another's
			uid = other
			break
		}
	}
	// An operation that its client has left ends in a moment.
	for end := time.Now().Add(forceTime); img.references() == 1 && img.mounts == 0 && img.users > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		b.mu.Unlock()
		time.Sleep(settleTime)
		b.mu.Lock()
	}
	if img.references() == 1 && (img.mounts > 0 || img.users > 0) {
		mounts, users := img.mounts, img.users
		b.mu.Unlock()
		return api.NewProblem(http.StatusConflict, api.CodeImageHeld, fmt.Sprintf("the image is in use by %d mounts and %d operations", mounts, users),
			"unmount it and wait for them, or use force")
	}
	if img.refs[uid] == 0 {
		b.mu.Unlock()
		return noImage(id) // another took it away meanwhile
	}
	img.release(uid)
	b.mu.Unlock()
	b.settle(img)
	return nil
}

// detachAll ends everything that is done with an image.
func (b *Broker) detachAll(ctx context.Context, by Peer, id string) (err error) {
	b.mu.Lock()
	img := b.images[id]
	if img == nil || img.removed {
		b.mu.Unlock()
		return noImage(id)
	}
	var mounts []string
	for mid, m := range b.mounts {
		if m.image == img {
			mounts = append(mounts, mid)
		}
	}
	clear(img.refs)
	b.mu.Unlock()
	defer func() {
		b.audited(by, AuditEntry{Op: "detach", Image: id, Paths: imagePaths(img.attach.Images)}, err)
	}()
	for _, mid := range mounts {
		if err := b.unmount(ctx, mid, false); err != nil {
			if err := b.unmount(ctx, mid, true); err != nil {
				return err
			}
		}
	}
	b.mu.Lock()
	ending := slices.Collect(maps.Keys(img.apart))
	if img.users > 0 && img.proc != nil && b.config().Isolation != "shared" {
		ending = append(ending, img.proc)
	}
	b.mu.Unlock()
	soon, cancel := context.WithTimeout(context.Background(), forceTime)
	defer cancel()
	for _, proc := range ending {
		proc.end(soon)
	}
	b.settle(img)
	return nil
}

// forceTime is how long the operations on an image that is taken away have to
// end by themselves.
const forceTime = time.Second

// settleTime is how often it is looked whether they have.
const settleTime = 5 * time.Millisecond

// settle forgets an image that nobody has any more, and closes it first.
func (b *Broker) settle(img *image) {
	img.turn <- struct{}{}
	defer func() { <-img.turn }()
	b.mu.Lock()
	over := !img.removed && img.references() == 0 && img.mounts == 0 && img.users == 0
	if over {
		img.removed = true // nobody begins to use it
	}
	b.mu.Unlock()
	if !over {
		return
	}
	b.closeImage(img)
	b.mu.Lock()
	delete(b.images, img.id)
	b.mu.Unlock()
	wipeKeys(img.keys)
	b.meter.forget(img.id)
	b.events.say(api.Event{Kind: api.EventDetached, Image: img.id, Path: img.attach.Images[0].Path})
}

// Image is one image.
func (b *Broker) Image(id string) (api.Image, error) {
	b.mu.Lock()
	img := b.images[id]
	if img == nil {
		b.mu.Unlock()
		return api.Image{}, noImage(id)
	}
	r := img.record()
	b.mu.Unlock()
	return withMemory(r), nil
}

// Images are a page of the images, by id.
func (b *Broker) Images(page api.Page) api.Images {
	b.mu.Lock()
	ids, next := pageOf(b.images, page)
	list := api.Images{Images: []api.Image{}, Next: next}
	for _, id := range ids {
		list.Images = append(list.Images, b.images[id].record())
	}
	b.mu.Unlock()
	for i, r := range list.Images {
		list.Images[i] = withMemory(r)
	}
	return list
}

// pageOf are the keys of a page of m, in order, and where the next begins.
func pageOf[T any](m map[string]T, page api.Page) (keys []string, next string) {
	for k := range m {
		if k > page.After {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if limit := max(1, page.Limit); len(keys) > limit {
		keys = keys[:limit]
		next = keys[limit-1]
	}
	return keys, next
}

// Filesystems is what is on the disks of an image, which is opened for it.
func (b *Broker) Filesystems(ctx context.Context, by Peer, id string) (api.Filesystems, error) {
	u, err := b.useFor(ctx, by, "", id, nil)
	if err != nil {
		return api.Filesystems{}, err
	}
	defer u.done()
	b.mu.Lock()
	defer b.mu.Unlock()
	return u.img.opened.Filesystems, nil
}
