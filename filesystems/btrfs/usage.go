package btrfs

import (
	"context"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Usage is what the kernel's statfs says, but for the reserve for metadata that
// it also takes off: the bytes of all devices by the number of copies of data,
// and what the block groups say is in use. Available is what data can still
// take: what is free in its chunks and on no chunk at all. There is no bound on
// the number of files.
func (fs *FileSystem) Usage(ctx context.Context) (vfs.Usage, error) {
	used, err := fs.groupUsage(ctx)
	if err != nil {
		return vfs.Usage{}, err
	}
	copies := uint64(1)
	var allocated, rawUsed, dataFree uint64
	perRaw := [2]uint64{1, 1} // bytes of data in bytes of devices
	for i := range fs.chunks.chunks {
		c := &fs.chunks.chunks[i]
		raw := c.onDevices(c.length)
		allocated += min(raw, ^allocated)
		// Parity does not count as used, as in the kernel.
		rawUsed += min(used[i]*uint64(c.copies), ^rawUsed)
		if c.typ&groupData != 0 {
			copies = max(copies, uint64(c.copies))
			perRaw = [2]uint64{uint64(c.data() / c.copies), uint64(len(c.stripes))}
			dataFree += c.length - used[i]
		}
	}
	sector, total := uint64(fs.geo.sector), fs.sb.totalBytes()
	u := vfs.Usage{BlockSize: int(sector), Blocks: total / copies / sector}
	u.Free = u.Blocks - min(u.Blocks, rawUsed/copies/sector)
	unallocated := total - min(total, allocated)
	u.Available = min(u.Free, (dataFree+unallocated/perRaw[1]*perRaw[0])/sector)
	return u, nil
}

// onDevices is how many bytes of devices n bytes of a chunk take.
func (c *chunk) onDevices(n uint64) uint64 {
	data := uint64(c.data() / c.copies)
	return n / data * uint64(len(c.stripes))
}

// groupUsage is how many bytes of each chunk are in use.
func (fs *FileSystem) groupUsage(ctx context.Context) ([]uint64, error) {
	id := uint64(extentTreeID)
	if fs.sb.compatRO()&compatBlockGroupTree != 0 {
		id = blockGroupTree
	}
	t, _, err := fs.rootOf(ctx, id)
	if err != nil {
		return nil, err
	}
	chunks := fs.chunks.chunks
	keys := make([]key, len(chunks))
	for i := range chunks {
		keys[i] = key{chunks[i].start, blockGroupType, chunks[i].length}
	}
	fs.prefetchBlocks(ctx, t.leaves(ctx, keys))
	used := make([]uint64, len(chunks))
	for i, k := range keys {
		data, ok, err := t.get(ctx, k)
		if err != nil {
			return nil, err
		}
		if !ok || len(data) < blockGroupItemSize || blockGroupItem(data).used() > k.off {
			return nil, ondisk.Corrupt("btrfs block group (logical)", int64(k.id), "%d bytes, of which it says nothing or more to be used", k.off)
		}
		used[i] = blockGroupItem(data).used()
	}
	return used, nil
}
