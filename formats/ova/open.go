package ova

import (
	"context"
	"fmt"
	"io"
	"path"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name.
const Name = "ova"

// probeLen is how much of a file is looked at for a description.
const probeLen = 4096

// Inside opens an image by what is in it, and no OVA.
type Inside func(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error)

// Format is OVA and OVF; inside opens the disks.
func Format(inside Inside) image.Format {
	return image.Format{Name: Name, Probe: probe, Open: func(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
		return open(ctx, src, opt, inside)
	}}
}

func head(ctx context.Context, src block.Device) ([]byte, error) {
	b := make([]byte, probeLen)
	n, err := src.ReadAt(ctx, b, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:n], nil
}

func probe(ctx context.Context, src block.Device) error {
	b, err := head(ctx, src)
	if err != nil {
		return err
	}
	if isEnvelope(b) {
		return nil
	}
	if isTar(b) {
		// Damage among the members is for open to say, or for another format.
		all, _ := members(ctx, src, probeMembers)
		if _, ok := description(all); ok {
			return nil
		}
	}
	return ondisk.NotThis(Name)
}

// disk is an image that is one of a machine's.
type disk struct {
	image.Image
	name string
}

// Info is that of the image, with the file's name.
func (d disk) Info() image.Info {
	i := d.Image.Info()
	i.Version, i.Format = i.Format+" "+i.Version, Name
	i.DataFile = d.name
	return i
}

func (d disk) Prefetch(off, n int64) { block.Prefetch(d.Image, off, n) }

func open(ctx context.Context, src block.Device, opt image.Options, inside Inside) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: "OVA", Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, ondisk.Unsupported("OVA", "an internal snapshot (%q)", opt.Snapshot)
	}
	b, err := head(ctx, src)
	if err != nil {
		return nil, err
	}
	if isEnvelope(b) {
		names, err := diskFiles(ctx, src, 0)
		if err != nil {
			return nil, err
		}
		return openAll(names, func(name string) ([]image.Image, error) {
			dev, err := extent.Related(ctx, opt, "disk", extent.HostName(name), "")
			if err != nil {
				return nil, err
			}
			if img, ok := dev.(image.Image); ok {
				return []image.Image{borrowed{img}}, nil
			}
			return nil, ondisk.Unsupported("OVF", "a disk that is no image")
		})
	}
	if !isTar(b) {
		return nil, ondisk.Corrupt(tarName, 0, "neither a tar nor an OVF description")
	}
	all, err := members(ctx, src, maxMembers)
	if err != nil {
		return nil, err
	}
	ovf, ok := description(all)
	if !ok {
		return nil, ondisk.Corrupt(tarName, 0, "no OVF description (.ovf) in it")
	}
	text, err := block.Section(src, ovf.off, ovf.n)
	if err != nil {
		return nil, err
	}
	names, err := diskFiles(ctx, text, ovf.off)
	if err != nil {
		return nil, err
	}
	in := opt
	in.Related, in.Name = nil, ""
	in.CacheBytes /= int64(len(names))
	return openAll(names, func(name string) ([]image.Image, error) {
		for _, m := range all {
			if m.name != path.Clean(name) {
				continue
			}
			dev, err := block.Section(src, m.off, m.n)
			if err != nil {
				return nil, err
			}
			return inside(ctx, dev, in)
		}
		return nil, ondisk.Corrupt(tarName, ovf.off, "the file %q that the description names is not there", name)
	})
}

// openAll opens the named disks, or none.
func openAll(names []string, open func(name string) ([]image.Image, error)) ([]image.Image, error) {
	var disks []image.Image
	fail := func(err error) ([]image.Image, error) {
		for _, d := range disks {
			// What is wrong with the image outranks what closing says.
			_ = d.Close()
		}
		return nil, err
	}
	for _, name := range names {
		images, err := open(name)
		if err != nil {
			return fail(fmt.Errorf("disk %q: %w", name, err))
		}
		for _, img := range images {
			disks = append(disks, disk{img, name})
		}
		if len(disks) > maxDisks {
			return fail(ondisk.Unsupported("OVA", "more than %d disks", maxDisks))
		}
	}
	return disks, nil
}

// borrowed is an image that who opened it closes.
type borrowed struct{ image.Image }

func (borrowed) Close() error { return nil }

func (b borrowed) Prefetch(off, n int64) { block.Prefetch(b.Image, off, n) }
