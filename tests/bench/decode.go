package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
)

// decode opens the image as the daemon does and reads its first disk from the first byte to the last, 1 MiB at a time, one
// read after the other, passing over what the image says is zero: what qemu-img convert does with it.
func decode(img images.Image) (seconds float64, err error) {
	ctx := context.Background()
	start := time.Now()
	g, err := daemon.Open(ctx, daemon.Spec{Images: []daemon.ImageSpec{{Path: img.Path, Format: img.Format}}, View: daemon.ViewPartitions})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.Close(ctx)) }()
	dev := g.Disks()[0].Dev
	buf := make([]byte, 1<<20)
	for at := int64(0); at < dev.Size(); {
		run, err := dev.Locate(ctx, at, dev.Size()-at)
		if err != nil {
			return 0, err
		}
		if run.Kind == block.Zero {
			at += run.Len
			continue
		}
		for end := at + run.Len; at < end; {
			n, err := dev.ReadAt(ctx, buf[:min(int64(len(buf)), end-at)], at)
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			at += int64(n)
		}
	}
	return time.Since(start).Seconds(), nil
}
