// Package split reads a raw disk that was cut in files of one size: disk.001,
// disk.002 and so on, as forensic tools and split(1) with -d write them.
//
// The files have nothing in them that says so, and a format is never found by
// a name: the first one is opened with --format=split, whose number, 0 or 1,
// and its digits are counted on from. A file that has another size than the
// first, but for the last, and a number that is left out are damage; that the
// last files are missing cannot be seen.
//
// QEMU does not know the format; the tests compare with the bytes that were
// cut.
//
// Locks: none.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package split

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// Name is the format's name.
	Name = "split"
	what = "split raw image"
	// maxParts bounds the files, which are open at the same time.
	maxParts = 4096
	// maxDigits bounds those of a number.
	maxDigits = 6
)

// Format is the raw disk in several files.
func Format() image.Format {
	return image.Format{
		Name:  Name,
		Probe: func(context.Context, block.Device) error { return ondisk.NotThis(Name) },
		Open:  open,
	}
}

// disk is the files in a row.
type disk struct {
	block.Device
	info image.Info
}

func (d disk) Info() image.Info { return d.info }

func (d disk) Prefetch(off, n int64) { block.Prefetch(d.Device, off, n) }

func (d disk) Close() error { return nil }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, ondisk.Unsupported(what, "an internal snapshot (%q)", opt.Snapshot)
	}
	dot := strings.LastIndexByte(opt.Name, '.')
	digits := opt.Name[dot+1:]
	first, err := strconv.ParseUint(digits, 10, 32)
	if dot <= 0 || err != nil || first > 1 || len(digits) > maxDigits {
		return nil, &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("the name %q of the first file", opt.Name),
			Remedy: "open the file whose name ends in .001, or in another number 0 or 1"}
	}
	name := func(i int) string { return fmt.Sprintf("./%s.%0*d", opt.Name[:dot], len(digits), int(first)+i) }
	parts, err := openParts(ctx, src, opt, name)
	if err != nil {
		return nil, err
	}
	all, err := block.Concat(parts...)
	if err != nil {
		return nil, err
	}
	return []image.Image{disk{all, image.Info{Format: Name, VirtualSize: all.Size()}}}, nil
}

// openParts opens the files behind the first one, which is src.
func openParts(ctx context.Context, src block.Device, opt image.Options, name func(i int) string) ([]block.Device, error) {
	parts := []block.Device{src}
	for {
		i := len(parts)
		dev, err := extent.Related(ctx, opt, "part", name(i), "raw")
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := extent.Related(ctx, opt, "part", name(i+1), "raw"); err == nil {
				return nil, ondisk.Corrupt(what, src.Size()*int64(i), "the file %q is missing, and one behind it is there", name(i))
			}
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		if last := parts[i-1].Size(); last != src.Size() {
			return nil, ondisk.Corrupt(what, src.Size()*int64(i-1), "the file %q has %d bytes, the first %d", name(i-1), last, src.Size())
		}
		if i == maxParts {
			return nil, ondisk.Unsupported(what, "more than %d files", maxParts)
		}
		parts = append(parts, extent.Named("part", name(i), dev))
		if dev.Size() > src.Size() {
			return nil, ondisk.Corrupt(what, src.Size()*int64(i), "the file %q has %d bytes, the first %d", name(i), dev.Size(), src.Size())
		}
	}
}
