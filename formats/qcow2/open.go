package qcow2

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/guestctl/guestctl/formats/ahead"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "qcow2"

const (
	maxTableCache   = 32 << 20 // bytes of L2 tables that are kept
	maxClusterCache = 64 << 20 // bytes of decompressed clusters that are kept
)

// Format is qcow2, versions 2 and 3.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

// probe knows every version by its magic, so that open can name the ones that
// it does not read.
func probe(ctx context.Context, src block.Device) error {
	var b [len(magic)]byte
	n, err := src.ReadAt(ctx, b[:], offMagic)
	if err != nil && err != io.EOF {
		return err
	}
	if n < len(b) || string(b[:]) != magic {
		return ondisk.NotThis(Name)
	}
	return nil
}

// disk is an opened image, or one snapshot of it.
type disk struct {
	h        *header
	src      block.Device // the qcow2 file
	data     block.Device // where plain clusters are: src, or
	external bool         // the external data file
	backing  block.Device // nil where there is none
	info     image.Info
	log      *slog.Logger

	l1       []uint64
	tables   *block.Cache[int64, []byte]  // slices of L2 tables, by host offset
	clusters *block.Cache[uint64, []byte] // decompressed, by L2 entry
	codec    *codec.Codec
	buffers  sync.Pool // of *[]byte: compressed bytes on their way to the codec

	w *writing // nil where the image is not open for writing

	streams ahead.Streams
	ahead   *ahead.Queue
	window  int64 // of read-ahead, in bytes of the disk
}

var (
	_ image.Image      = (*disk)(nil)
	_ block.Prefetcher = (*disk)(nil)
)

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	h, err := readHeader(ctx, src)
	if err != nil {
		return nil, err
	}
	snapshots, err := readSnapshots(ctx, src, h)
	if err != nil {
		return nil, err
	}
	if opt.Snapshot != "" {
		s, err := find(snapshots, opt.Snapshot)
		if err != nil {
			return nil, err
		}
		if err := h.use(s, src.Size()); err != nil {
			return nil, err
		}
	}
	d := &disk{h: h, src: src, data: src, log: opt.Log}
	d.describe(snapshots)
	if err := d.openRelated(ctx, opt); err != nil {
		return nil, err
	}
	if d.l1, err = readL1(ctx, src, h); err != nil {
		return nil, err
	}
	if h.luks != nil {
		if d.data, err = d.unlock(ctx, opt); err != nil {
			return nil, err
		}
	}
	d.makeCaches(opt.CacheBytes)
	if opt.Writable {
		if err := d.openWriting(ctx, opt, snapshots); err != nil {
			return nil, err
		}
	}
	d.ahead = ahead.NewQueue(d.fetch)
	if opt.Writable {
		return []image.Image{writable{d}}, nil
	}
	return []image.Image{d}, nil
}

// openRelated opens the external data file, for writing where the image is, and
// the backing file.
func (d *disk) openRelated(ctx context.Context, opt image.Options) (err error) {
	if d.h.incompatible&incompatDataFile != 0 {
		if d.h.dataFile == "" {
			return ondisk.Unsupported(what, "an external data file without a name in the header")
		}
		if opt.Writable && opt.RelatedWriter != nil {
			if d.data, err = opt.RelatedWriter(ctx, d.h.dataFile); err != nil {
				return fmt.Errorf("external data file %q: %w", d.h.dataFile, err)
			}
		} else if d.data, err = related(ctx, opt, "external data file", d.h.dataFile, "raw"); err != nil {
			return err
		}
		d.external = true
	}
	if d.h.backing != "" {
		d.backing, err = related(ctx, opt, "backing file", d.h.backing, d.h.backingFormat)
	}
	return err
}

// related opens a file that the image names, for reading.
func related(ctx context.Context, opt image.Options, role, name, format string) (block.Device, error) {
	if opt.Related == nil {
		return nil, fmt.Errorf("the %s %q that the image names may not be opened: %w", role, name, fs.ErrPermission)
	}
	dev, err := opt.Related(ctx, name, format)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", role, name, err)
	}
	return dev, nil
}

// makeCaches divides limit, or the default for 0.
func (d *disk) makeCaches(limit int64) {
	tables, clusters := int64(maxTableCache), int64(maxClusterCache)
	if limit > 0 {
		tables = min(tables, limit/3)
		clusters = min(clusters, limit-tables)
	}
	d.tables = block.NewCache[int64, []byte](tables)
	d.clusters = block.NewCache[uint64, []byte](clusters)
	// What is read ahead must not push out itself.
	d.window = max(min(ahead.Window, clusters/4), d.h.cluster())
	d.codec = codec.Deflate()
	if d.h.compression == compressionZstd {
		d.codec = codec.Zstd()
	}
	d.buffers.New = func() any { return new([]byte) }
}

// describe fills Info.
func (d *disk) describe(snapshots []snapshot) {
	d.info = image.Info{
		Format: Name, VirtualSize: d.h.size, ClusterSize: d.h.cluster(),
		Backing: d.h.backing, BackingFmt: d.h.backingFormat, DataFile: d.h.dataFile,
		Compression: "zlib", Version: fmt.Sprint(d.h.version), Damaged: d.h.damaged(),
	}
	if d.h.compression == compressionZstd {
		d.info.Compression = "zstd"
	}
	for _, s := range snapshots {
		d.info.Snapshots = append(d.info.Snapshots, s.Snapshot)
	}
}

// CacheStats say how the caches of tables and decompressed clusters do.
func (d *disk) CacheStats() block.CacheStats {
	all := d.tables.Stats()
	all.Add(d.clusters.Stats())
	return all
}

// Info describes the image.
func (d *disk) Info() image.Info { return d.info }

// Size is the disk's.
func (d *disk) Size() int64 { return d.h.size }

// Close stops the read-ahead. EINVAL where it was closed before.
func (d *disk) Close() error {
	return d.ahead.Close()
}
