package raw

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "raw"

// Format is the image format without a format: the file is the disk. It takes
// any bytes and so stands last in the list of formats.
func Format() image.Format {
	return image.Format{
		Name:  Name,
		Probe: func(context.Context, block.Device) error { return nil },
		Open: func(_ context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
			if opt.Snapshot != "" {
				return nil, ondisk.Unsupported("raw image", "an internal snapshot (%q)", opt.Snapshot)
			}
			if !opt.Writable {
				return []image.Image{disk{src}}, nil
			}
			w, ok := src.(block.Writer)
			if !ok {
				return nil, fmt.Errorf("opening a raw image for writing: %w", syscall.EROFS)
			}
			return []image.Image{writableDisk{w}}, nil
		},
	}
}

// disk is a raw image over any Device.
type disk struct{ block.Device }

func (d disk) Info() image.Info { return image.Info{Format: Name, VirtualSize: d.Size()} }

func (d disk) Prefetch(off, n int64) { block.Prefetch(d.Device, off, n) }

func (d disk) Close() error { return nil }

// writableDisk is a raw image over a Writer.
type writableDisk struct{ block.Writer }

func (d writableDisk) Info() image.Info { return disk{d.Writer}.Info() }

func (d writableDisk) Prefetch(off, n int64) { block.Prefetch(d.Writer, off, n) }

func (d writableDisk) Close() error { return nil }
