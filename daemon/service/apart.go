package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
)

// An operation that opens images itself (operation.apart) is done in a worker
// that is started for it and ends with it: it may need two image sets, and one
// that cannot be opened as it is attached, and whatever damage it meets is no
// business of the worker that serves the image.

// useFor keeps what an operation needs open, as long as it runs.
func (b *Broker) useFor(ctx context.Context, by Peer, op, id string, query url.Values) (*use, error) {
	ids := []string{id}
	if with := query.Get("with"); with != "" && with != id && operations()[op].apart {
		ids = append(ids, with)
	}
	for _, id := range ids {
		if err := b.mayRead(by, id); err != nil {
			return nil, err
		}
	}
	if !operations()[op].apart {
		return b.use(ctx, id)
	}
	return b.apart(ctx, ids)
}

// apart starts a worker that knows some image sets, and holds them.
func (b *Broker) apart(ctx context.Context, ids []string) (*use, error) {
	var first *use
	for _, id := range slices.Sorted(slices.Values(ids)) { // in one order, since each waits for its turn
		u, err := b.hold(ctx, id)
		if err != nil {
			if first != nil {
				first.done()
			}
			return nil, err
		}
		u.with, first = first, u
	}
	b.mu.Lock()
	paths, files := map[string][]api.ImageSpec{}, map[string]*daemon.HostFiles{}
	for u := first; u != nil; u = u.with {
		paths[u.img.id], files[u.img.id] = u.img.attach.Images, u.img.newFiles(b.log)
	}
	b.mu.Unlock()
	proc, err := b.startWorker(func(q ask) (*os.File, error) {
		switch host := files[q.Guest]; {
		case host == nil:
		case q.Kind == "image" && slices.ContainsFunc(paths[q.Guest], func(i api.ImageSpec) bool { return i.Path == q.Path }):
			return host.Image(b.ctx, q.Path)
		case q.Kind == "related" && q.File != nil:
			return host.Related(b.ctx, *q.File)
		}
		return nil, api.NewProblem(http.StatusForbidden, api.CodeForbidden, fmt.Sprintf("a worker asked for %q", q.Path), "")
	})
	if err != nil {
		first.done()
		return nil, err
	}
	first.proc, first.apart = proc, true
	b.mu.Lock()
	for u := first; u != nil; u = u.with {
		if u.img.apart == nil {
			u.img.apart = map[*process]bool{}
		}
		u.img.apart[proc] = true
	}
	b.mu.Unlock()
	for u := first; u != nil; u = u.with {
		if err := proc.call(ctx, "prepare", b.openRequest(u.img), nil); err != nil {
			first.done()
			return nil, err
		}
	}
	return first, nil
}

// openRequest is what a worker needs to know of an image set.
func (b *Broker) openRequest(img *image) workerOpen {
	spec := img.spec
	spec.CacheBytes = b.config().CacheBytes
	return workerOpen{ID: img.id, Spec: spec, Keys: b.keysFor(img)}
}
