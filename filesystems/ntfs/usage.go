package ntfs

import (
	"context"
	"encoding/binary"
	"math/bits"

	"github.com/guestctl/guestctl/vfs"
)

// Usage counts the bits of $Bitmap and of $MFT's bitmap, once.
func (fs *FileSystem) Usage(ctx context.Context) (vfs.Usage, error) {
	fs.usageMu.Lock()
	defer fs.usageMu.Unlock()
	if fs.usage != nil {
		return *fs.usage, nil
	}
	u := vfs.Usage{BlockSize: int(fs.geo.cluster), Blocks: uint64(fs.geo.clusters)}
	used, err := fs.countBits(ctx, fileBitmap, typeData, fs.geo.clusters)
	if err != nil {
		return vfs.Usage{}, err
	}
	u.Free = u.Blocks - used
	u.Available = u.Free
	records := fs.mft.size / fs.geo.record
	if used, err = fs.countBits(ctx, fileMFT, typeBitmap, records); err != nil {
		return vfs.Usage{}, err
	}
	// $MFT grows into free clusters.
	u.Files = uint64(records) + u.Free*uint64(fs.geo.cluster)/uint64(fs.geo.record)
	u.FilesFree = u.Files - used
	fs.usage = &u
	return u, nil
}

// countBits counts the set ones among the first n bits of a bitmap.
func (fs *FileSystem) countBits(ctx context.Context, num uint64, typ uint32, n int64) (uint64, error) {
	f, err := fs.openRecord(ctx, num)
	if err != nil {
		return 0, err
	}
	s, err := f.mustFind(ctx, typ, nil)
	if err != nil {
		return 0, err
	}
	buf := fs.buffer(1 << 20)
	defer fs.buffers.Put(buf)
	set := uint64(0)
	end := min((n+7)/8, s.size)
	for off := int64(0); off < end; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		b := (*buf)[:min(int64(len(*buf)), end-off)]
		if err := s.readFull(ctx, b, off); err != nil {
			return 0, err
		}
		off += int64(len(b))
		if off*8 > n { // the bits behind the last one
			b[len(b)-1] &= 1<<(8-(off*8-n)) - 1
		}
		for ; len(b) >= 8; b = b[8:] {
			set += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
		}
		for _, v := range b {
			set += uint64(bits.OnesCount8(v))
		}
	}
	return set, nil
}
