package qcow2

import (
	"context"
	"slices"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/image"
)

// SkipBarrier has an image that is open for writing leave out a barrier.
func SkipBarrier(img image.Image, name string) { img.(writable).w.skip = name }

// OpenSlices is the number of L2 slices that wait for a Sync.
func OpenSlices(img image.Image) int {
	w := img.(writable).w
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.slices)
}

// Counts compares the reference counts of the image in src with what refers to
// each cluster: how many are too low, and how many too high.
func Counts(ctx context.Context, src block.Writer, opt image.Options) (low, high int, err error) {
	opt.Writable = true
	images, err := open(ctx, src, opt)
	if err != nil {
		return 0, 0, err
	}
	defer images[0].Close()
	w := images[0].(writable).w
	old := w.refs
	snapshots, err := readSnapshots(ctx, src, w.h)
	if err != nil {
		return 0, 0, err
	}
	if err := w.rebuild(ctx, snapshots); err != nil {
		return 0, 0, err
	}
	for c := range (src.Size() + w.h.cluster() - 1) >> w.h.clusterBits {
		have, err := old.get(ctx, c)
		if err != nil {
			return 0, 0, err
		}
		want, err := w.refs.get(ctx, c)
		if err != nil {
			return 0, 0, err
		}
		if have < want {
			low++
		}
		if have > want {
			high++
		}
	}
	return low, high, nil
}

// BitmapsTrusted says whether the image calls a bitmap that follows its writes
// right.
func BitmapsTrusted(ctx context.Context, src block.Device) (bool, error) {
	h, err := readHeader(ctx, src)
	if err != nil {
		return false, err
	}
	all, _, err := readBitmaps(ctx, src, h)
	return slices.ContainsFunc(all, func(m bitmap) bool { return m.flags&(bitmapAuto|bitmapInUse) == bitmapAuto }), err
}
