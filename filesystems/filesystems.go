// Package filesystems lists the drivers and finds the one for a device.
//
// A filesystem is one folder below this one and one line in All.
package filesystems

import (
	"context"
	"errors"
	"fmt"

	"github.com/guestctl/guestctl/filesystems/btrfs"
	"github.com/guestctl/guestctl/filesystems/ext4"
	"github.com/guestctl/guestctl/filesystems/fat"
	"github.com/guestctl/guestctl/filesystems/ntfs"
	"github.com/guestctl/guestctl/filesystems/xfs"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// All lists the drivers in the order in which they are asked: the one with the
// weakest signature stands last.
func All() []vfs.Driver {
	return []vfs.Driver{
		ext4.Driver(),
		xfs.Driver(),
		btrfs.Driver(),
		ntfs.Driver(),
		fat.ExDriver(),
		fat.Driver(),
	}
}

// ErrUnknown says that no driver recognises the bytes.
var ErrUnknown = errors.New("no known filesystem")

// Probe finds the driver for dev. ErrUnknown where there is none.
func Probe(ctx context.Context, dev block.Device) (vfs.Driver, vfs.Info, error) {
	for _, d := range All() {
		info, err := d.Probe(ctx, dev)
		if err == nil {
			return d, info, nil
		}
		if not := (*ondisk.NotThisError)(nil); !errors.As(err, &not) {
			return vfs.Driver{}, vfs.Info{}, fmt.Errorf("probing for %s: %w", d.Name, err)
		}
	}
	return vfs.Driver{}, vfs.Info{}, ErrUnknown
}
