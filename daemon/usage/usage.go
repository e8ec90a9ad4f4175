// Package usage says how full the filesystems of disk images are: df over many
// images at once, without mounting one.
//
// An image is open only while it is asked, so that ten thousand of them need no
// more descriptors and memory than a few. What fails at one image or one
// filesystem stands beside it and keeps no other from being asked.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package usage

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/vfs"
)

// Of says how full each filesystem of an open guest is, in the order of its
// volumes. It must have been opened with daemon.ViewPartitions.
func Of(ctx context.Context, g *daemon.Guest) []api.Usage {
	trees := map[string]*vfs.Tree{}
	for _, at := range g.Namespace().Attachments() {
		trees[at.Path] = at.Tree
	}
	var list []api.Usage
	for _, f := range g.Filesystems() {
		disk := slices.IndexFunc(g.Disks(), func(d daemon.Disk) bool { return d.Name == f.Volume.Disk })
		u := api.Usage{Schema: api.UsageSchema, Filesystem: f.Name, Type: f.Info.Type, Label: f.Info.Label, UUID: f.Info.UUID}
		if disk >= 0 {
			u.Image = g.Disks()[disk].Path
		}
		err := f.Err
		if tree := trees["/"+f.Name]; err == nil && tree != nil {
			var got vfs.Usage
			if got, err = tree.FileSystem().Usage(ctx); err == nil {
				fill(&u, got)
			}
		} else if err == nil {
			err = errors.New("it is not open")
		}
		if err != nil {
			u.Error = err.Error()
		}
		list = append(list, u)
	}
	return list
}

// Many asks one image after the other, several at a time, and gives what each
// answered in the order of specs. err says that the image could not be opened.
// each runs on the caller's goroutine; its error ends it.
func Many(ctx context.Context, specs []daemon.Spec, each func(i int, list []api.Usage, err error) error) error {
	return Each(ctx, len(specs), func(ctx context.Context, i int) ([]api.Usage, error) { return One(ctx, specs[i]) }, each)
}

// Each is Many for n images of which one asks, wherever they are.
func Each(ctx context.Context, n int, one func(ctx context.Context, i int) ([]api.Usage, error), each func(i int, list []api.Usage, err error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	type answer struct {
		list []api.Usage
		err  error
	}
	answers := make([]chan answer, n)
	for i := range answers {
		answers[i] = make(chan answer, 1)
	}
	next := make(chan int)
	wg.Go(func() {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	// More than there are processors, since they wait for the disk.
	for range min(n, 2*runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				var a answer
				a.list, a.err = one(ctx, i)
				answers[i] <- a
			}
		})
	}
	for i := range n {
		select {
		case a := <-answers[i]:
			if err := each(i, a.list, a.err); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// One opens an image, asks it, and closes it.
func One(ctx context.Context, spec daemon.Spec) ([]api.Usage, error) {
	spec.View, spec.Mounts = daemon.ViewPartitions, nil
	g, err := daemon.Open(ctx, spec)
	if err != nil {
		return nil, err
	}
	list := Of(ctx, g)
	return list, g.Close(context.WithoutCancel(ctx))
}

func fill(u *api.Usage, got vfs.Usage) {
	bytes := func(blocks uint64) int64 {
		if got.BlockSize <= 0 || blocks > math.MaxInt64/uint64(got.BlockSize) {
			return math.MaxInt64 // a hostile superblock's
		}
		return int64(blocks) * int64(got.BlockSize)
	}
	count := func(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
	u.Readable, u.BlockSize = true, got.BlockSize
	u.Size, u.Used, u.Available = bytes(got.Blocks), bytes(got.Blocks-min(got.Free, got.Blocks)), bytes(got.Available)
	u.Inodes, u.InodesUsed, u.InodesFree = count(got.Files), count(got.Files-min(got.FilesFree, got.Files)), count(got.FilesFree)
}
