// Package formats turns a file that a hypervisor wrote into the flat disk that
// the guest sees.
//
// A Format recognises and opens one kind of image. It is pure: it gets a
// block.Device with the file's bytes and answers a block.Device with the
// disk's bytes; it knows no paths, mounts or sockets. A file that an image
// names (its backing file, its data file, an extent) is opened only through
// Options.Related, which the caller grants; without it every such image is
// refused, since a guest can write its own image's header.
//
// Each format is one folder below this one and one line in All.
package formats

import (
	"context"
	"errors"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/compressed"
	"github.com/guestctl/guestctl/formats/ewf"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/ova"
	"github.com/guestctl/guestctl/formats/parallels"
	"github.com/guestctl/guestctl/formats/qcow2"
	"github.com/guestctl/guestctl/formats/qed"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/formats/split"
	"github.com/guestctl/guestctl/formats/vdi"
	"github.com/guestctl/guestctl/formats/vhd"
	"github.com/guestctl/guestctl/formats/vhdx"
	"github.com/guestctl/guestctl/formats/vmdk"
)

// The contract, under the name by which the other layers know it.
type (
	Format   = image.Format
	Options  = image.Options
	Image    = image.Image
	Info     = image.Info
	Snapshot = image.Snapshot

	NoSnapshotError = image.NoSnapshotError
)

// All lists the formats in the order in which they are asked. raw, which takes
// anything, stands last.
func All() []Format {
	return []Format{
		qcow2.Format(),
		vmdk.Format(),
		vhdx.Format(),
		vhd.Format(),
		vdi.Format(),
		parallels.Format(),
		qed.Format(),
		ewf.Format(),
		ova.Format(openInside),
		compressed.Gzip(inside),
		compressed.XZ(inside),
		compressed.Zstd(inside),
		split.Format(),
		raw.Format(),
	}
}

// openInside opens an image that lies in an OVA, and no other OVA.
func openInside(ctx context.Context, src block.Device, opt Options) ([]Image, error) {
	f, err := Detect(ctx, src)
	if err != nil {
		return nil, err
	}
	if f.Name == ova.Name {
		return nil, ondisk.Unsupported("OVA", "an OVA in an OVA")
	}
	return f.Open(ctx, src, opt)
}

// inside is the format of an image in a compressed file, or "" for a raw disk.
func inside(ctx context.Context, disk block.Device) (string, error) {
	f, err := Detect(ctx, disk)
	if errors.Is(err, ErrUnknown) || err == nil && f.Name == raw.Name {
		return "", nil
	}
	return f.Name, err
}

// ErrUnknown says that no format recognises the bytes.
var ErrUnknown = errors.New("no known image format")

// Detect finds the format of src. ErrUnknown where there is none.
func Detect(ctx context.Context, src block.Device) (Format, error) {
	for _, f := range All() {
		err := f.Probe(ctx, src)
		if err == nil {
			return f, nil
		}
		if not := (*ondisk.NotThisError)(nil); !errors.As(err, &not) {
			return Format{}, fmt.Errorf("probing for %s: %w", f.Name, err)
		}
	}
	return Format{}, ErrUnknown
}
