package qcow2

import (
	"context"

	"github.com/guestctl/guestctl/formats/ahead"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const packedName = "qcow2 compressed cluster"

// packedRead is the most that is read of the file at once for compressed
// clusters that lie side by side, in bytes.
const packedRead = 1 << 20

// packed is a piece of a compressed cluster that a reader wants.
type packed struct {
	entry uint64
	in    int64  // offset in the cluster of what is wanted
	dst   []byte // nil: the cluster is only wanted in the cache
}

// place is where the compressed bytes of an L2 entry lie in the file, section
// "Compressed Clusters Descriptor". The last sector may be cut off by the
// file's end, since it is filled only where another cluster follows.
func (d *disk) place(entry uint64) (off, n int64, err error) {
	x := 62 - (d.h.clusterBits - 8)
	at := entry & (1<<x - 1)
	sectors := int64(entry & (l2Compressed - 1) >> x)
	if at > compressedMaxOff || int64(at) >= d.src.Size() {
		return 0, 0, ondisk.Corrupt(packedName, int64(at), "outside the file of %d bytes", d.src.Size())
	}
	off = int64(at)
	n = (sectors+1)*compressedSector - off%compressedSector
	return off, min(n, d.src.Size()-off), nil
}

// unpack decodes the compressed bytes of a cluster, which lie at off.
func (d *disk) unpack(raw []byte, off int64) ([]byte, error) {
	b := make([]byte, d.h.cluster())
	n, err := d.codec.Decode(b, raw)
	if err != nil {
		return nil, ondisk.Corrupt(packedName, off, "%v, after %d of %d bytes", err, n, len(b))
	}
	if n < len(b) {
		return nil, ondisk.Corrupt(packedName, off, "it gives %d bytes, not %d", n, len(b))
	}
	return b, nil
}

// load is the decompressed cluster of entry, from the cache or else from raw,
// its compressed bytes, which lie at off.
func (d *disk) load(ctx context.Context, entry uint64, off int64, raw []byte) ([]byte, error) {
	return d.clusters.Get(ctx, entry, func(ctx context.Context) ([]byte, int64, error) {
		b, err := d.unpack(raw, off)
		return b, int64(len(b)), err
	})
}

// batch is compressed clusters that lie side by side and are read at once.
type batch struct {
	off, end int64
	pieces   []packed
}

// readPacked reads pieces of compressed clusters: what is not in the cache is
// read in as few reads as it lies together, and decoded by several goroutines.
func (d *disk) readPacked(ctx context.Context, pieces []packed, workers int) error {
	var batches []*batch
	var last *batch
	for _, p := range pieces {
		if b, ok := d.clusters.Peek(p.entry); ok {
			copy(p.dst, b[p.in:])
			continue
		}
		off, n, err := d.place(p.entry)
		if err != nil {
			return err
		}
		// Two clusters may share a sector.
		if last != nil && off >= last.off && off <= last.end+compressedSector && off+n-last.off <= packedRead {
			last.end = max(last.end, off+n)
			last.pieces = append(last.pieces, p)
			continue
		}
		last = &batch{off: off, end: off + n, pieces: []packed{p}}
		batches = append(batches, last)
	}
	for _, b := range batches {
		if err := d.readBatch(ctx, b, workers); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads the file once and decodes the clusters of b.
func (d *disk) readBatch(ctx context.Context, b *batch, workers int) error {
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	if int64(len(*buf)) < b.end-b.off {
		*buf = make([]byte, b.end-b.off)
	}
	raw := (*buf)[:b.end-b.off]
	if err := block.ReadFull(ctx, d.src, raw, b.off); err != nil {
		return err
	}
	return ahead.Parallel(len(b.pieces), workers, func(i int) error {
		p := b.pieces[i]
		off, n, err := d.place(p.entry)
		if err != nil {
			return err
		}
		cluster, err := d.load(ctx, p.entry, off, raw[off-b.off:off-b.off+n])
		if err != nil {
			return err
		}
		copy(p.dst, cluster[p.in:])
		return nil
	})
}
