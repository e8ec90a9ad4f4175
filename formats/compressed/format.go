package compressed

import (
	"context"
	"errors"
	"io"
	"sort"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// The formats' names.
const (
	NameGzip = "gzip"
	NameXZ   = "xz"
	NameZstd = "zstd"
)

const (
	gzipMagic = "\x1f\x8b\x08"
	xzMagic   = "\xfd7zXZ\x00"
	zstdMagic = "\x28\xb5\x2f\xfd"

	// maxPiece is the most of a disk that is decoded at once, in bytes: a block
	// of xz -9 -T0.
	maxPiece = 192 << 20
	// maxPieces bounds the table of pieces.
	maxPieces = 1 << 22
)

// Inside says which format the disk of a compressed file has, by its beginning;
// "" where it is a raw one.
type Inside func(ctx context.Context, disk block.Device) (string, error)

// Gzip is gzip's format.
func Gzip(inside Inside) image.Format {
	return format(NameGzip, begins(gzipMagic), inside, indexGzip)
}

// XZ is that of the .xz files.
func XZ(inside Inside) image.Format {
	return format(NameXZ, begins(xzMagic), inside, indexXZ)
}

// Zstd is Zstandard's.
func Zstd(inside Inside) image.Format {
	return format(NameZstd, beginsZstd, inside, indexZstd)
}

// A piece is a stretch of the disk that is decoded at once.
type piece struct {
	off, len int64 // on the disk
	at, size int64 // in the file
	zero     bool  // all its bytes are
}

// An index is what is known of a file once it was opened.
type index struct {
	pieces  []piece // in order, without gaps
	unpack  func(i int, raw []byte) ([]byte, error)
	damaged string
}

// add puts a piece behind the others.
func (x *index) add(what string, p piece) error {
	p.off = x.size()
	switch {
	case p.len == 0:
		return nil
	case p.len > maxPiece:
		return &ondisk.UnsupportedError{What: what, Detail: "a block of more than 192 MiB, whose end cannot be read without all of it", Remedy: "unpack it, or compress it in blocks (xz -T0, pzstd)"}
	case len(x.pieces) == maxPieces:
		return ondisk.Unsupported(what, "more than %d blocks", maxPieces)
	}
	x.pieces = append(x.pieces, p)
	return nil
}

// size is that of the disk, as far as it is known.
func (x *index) size() int64 {
	if len(x.pieces) == 0 {
		return 0
	}
	last := x.pieces[len(x.pieces)-1]
	return last.off + last.len
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	src  block.Device
	x    *index
	info image.Info
}

func (d *disk) Info() image.Info { return d.info }

// begins says whether a file begins with magic.
func begins(magic string) func(ctx context.Context, src block.Device) (bool, error) {
	return func(ctx context.Context, src block.Device) (bool, error) {
		b := make([]byte, len(magic))
		n, err := src.ReadAt(ctx, b, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		return string(b[:n]) == magic, nil
	}
}

func format(name string, probe func(ctx context.Context, src block.Device) (bool, error), inside Inside, read func(ctx context.Context, src block.Device) (*index, error)) image.Format {
	what := name + " file"
	return image.Format{
		Name: name,
		Probe: func(ctx context.Context, src block.Device) error {
			is, err := probe(ctx, src)
			if err == nil && !is {
				err = ondisk.NotThis(name)
			}
			return err
		},
		Open: func(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
			switch {
			case opt.Writable:
				return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only, or unpack it"}
			case opt.Snapshot != "":
				return nil, ondisk.Unsupported(what, "an internal snapshot (%q)", opt.Snapshot)
			}
			x, err := read(ctx, src)
			if err != nil {
				return nil, err
			}
			d := newDisk(name, src, x, opt)
			kind, err := inside(ctx, d)
			if err == nil && kind != "" {
				err = &ondisk.UnsupportedError{What: what, Detail: "an image of the format " + kind + " inside", Remedy: "unpack it"}
			}
			if err != nil {
				return nil, errors.Join(err, d.Close())
			}
			return []image.Image{d}, nil
		},
	}
}

func newDisk(name string, src block.Device, x *index, opt image.Options) *disk {
	d := &disk{src: src, x: x}
	largest := int64(1)
	for _, p := range x.pieces {
		largest = max(largest, p.len)
	}
	_, blocks := extent.CacheLimits(opt.CacheBytes)
	d.info = image.Info{Format: name, VirtualSize: x.size(), ClusterSize: largest, Compression: name, Damaged: x.damaged}
	// Of large pieces two must be there at once, or each read would decode one.
	d.Disk = extent.New(extent.Config{Size: x.size(), Map: d.mapAt, Unpack: d.unpack, BlockSize: largest,
		CacheBytes: max(blocks, 2*largest), What: name, Log: opt.Log})
	return d
}

// mapAt is the rest of the piece that has off.
func (d *disk) mapAt(_ context.Context, off, n int64) (extent.Extent, error) {
	i := sort.Search(len(d.x.pieces), func(i int) bool { return d.x.pieces[i].off > off }) - 1
	p := d.x.pieces[i]
	in := off - p.off
	e := extent.Extent{Len: min(n, p.len-in)}
	if p.zero {
		return e, nil
	}
	e.Kind, e.Dev, e.Off, e.Size, e.In, e.Tag = extent.Packed, d.src, p.at, p.size, in, int64(i)
	return e, nil
}

// unpack gives a piece whose checksum matches.
func (d *disk) unpack(e extent.Extent, raw []byte) ([]byte, error) {
	b, err := d.x.unpack(int(e.Tag), raw)
	if err == nil && int64(len(b)) != d.x.pieces[e.Tag].len {
		err = ondisk.Corrupt(d.info.Format+" block", e.Off, "it gives %d bytes, not %d", len(b), d.x.pieces[e.Tag].len)
	}
	return b, err
}
