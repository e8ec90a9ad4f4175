package btrfs

import (
	"context"
	"fmt"
	"io"
	"math"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// A run is a part of a file that is of one kind.
type run struct {
	from, end uint64     // bytes of the file
	item      extentItem // nil for a hole
}

// runAt finds the run that holds byte off.
func (n *inode) runAt(ctx context.Context, off uint64) (run, error) {
	c, err := n.sv.floor(ctx, key{n.num, extentDataType, off})
	if err != nil {
		return run{}, err
	}
	from := uint64(0)
	if c.ok && c.key.id == n.num && c.key.typ == extentDataType {
		r, err := n.runOf(&c)
		if err != nil {
			return run{}, err
		}
		if off < r.end {
			return r, nil
		}
		from = r.end
	}
	if err := c.next(ctx); err != nil {
		return run{}, err
	}
	end := uint64(math.MaxInt64)
	if c.ok && c.key.id == n.num && c.key.typ == extentDataType {
		if c.key.off <= off {
			return run{}, n.corrupt("the extent at byte %d comes behind one at %d", c.key.off, off)
		}
		end = min(end, c.key.off)
	}
	return run{from: from, end: end}, nil
}

// runOf compares the numbers of the extent that c stands on.
func (n *inode) runOf(c *cursor) (run, error) {
	e, from := extentItem(c.data), c.key.off
	bad := func(format string, args ...any) (run, error) {
		return run{}, n.corrupt("the extent at byte %d: %s", from, fmt.Sprintf(format, args...))
	}
	sector := uint64(n.fs.geo.sector)
	if len(e) < extentInlineSize {
		return bad("an item of %d bytes", len(e))
	}
	if e.encryption() != 0 || e.encoding() != 0 {
		return run{}, ondisk.Unsupported(n.name(), "encryption %d, encoding %d", e.encryption(), e.encoding())
	}
	if e.compression() > compressZSTD {
		return run{}, ondisk.Unsupported(n.name(), "compression %d", e.compression())
	}
	if e.typ() == extentInline {
		if from != 0 || e.compression() == compressNone && e.ramBytes() != uint64(len(e.inline())) || e.ramBytes() > maxDecoded {
			return bad("%d inline bytes in an item of %d", e.ramBytes(), len(e))
		}
		return run{0, e.ramBytes(), e}, nil
	}
	if e.typ() > extentPrealloc || len(e) < extentItemSize {
		return bad("type %d in an item of %d bytes", e.typ(), len(e))
	}
	length := e.numBytes()
	if length == 0 || from > math.MaxInt64 || length > math.MaxInt64-from || from%sector != 0 || length%sector != 0 {
		return bad("%d bytes", length)
	}
	r := run{from, from + length, e}
	if e.diskBytenr() == 0 {
		r.item = nil
		return r, nil
	}
	stored := e.diskNumBytes()
	if e.compression() != compressNone {
		stored = e.ramBytes()
		if e.typ() == extentPrealloc || e.ramBytes() > maxDecoded || e.diskNumBytes() > maxDecoded || e.diskNumBytes() == 0 || e.diskNumBytes()%sector != 0 {
			return bad("%d bytes compressed to %d", e.ramBytes(), e.diskNumBytes())
		}
	}
	if e.offset() > stored || length > stored-e.offset() || e.offset()%sector != 0 ||
		e.diskBytenr()%sector != 0 || e.diskBytenr() > math.MaxInt64 || e.diskNumBytes() > math.MaxInt64-e.diskBytenr() {
		return bad("%d bytes from %d of one of %d at %d", length, e.offset(), stored, e.diskBytenr())
	}
	return r, nil
}

func (n *inode) name() string { return fmt.Sprintf("btrfs inode %d of subvolume %d", n.num, n.sv.id) }

// Map says where the bytes at off lie. What has a checksum is Encoded: its
// Decode reads and verifies.
func (n *inode) Map(ctx context.Context, off, count int64) (vfs.Extent, error) {
	switch n.fileType() {
	case syscall.S_IFREG, syscall.S_IFLNK:
	default:
		return vfs.Extent{}, syscall.EINVAL
	}
	if count = block.Clamp(off, count, n.size()); count == 0 {
		return vfs.Extent{}, syscall.EINVAL
	}
	r, err := n.runAt(ctx, uint64(off))
	if err != nil {
		return vfs.Extent{}, err
	}
	in := uint64(off) - r.from
	count = int64(min(uint64(count), r.end-uint64(off)))
	e := r.item
	switch {
	case e == nil:
		return vfs.Extent{Kind: vfs.Hole, Len: count}, nil
	case e.typ() == extentPrealloc:
		return vfs.Extent{Kind: vfs.Hole, Len: count, Unwritten: true}, nil
	case e.typ() == extentInline && e.compression() == compressNone:
		return vfs.Extent{Kind: vfs.Inline, Len: count, Inline: e.inline()[in : in+uint64(count)]}, nil
	case e.compression() != compressNone:
		x := &compressedExtent{n: n, item: e, off: int64(in), len: count}
		if e.typ() != extentInline {
			x.off += int64(e.offset())
		}
		x.all = x.off == 0 && uint64(count) == min(r.end, n.raw.size())-r.from
		return vfs.Extent{Kind: vfs.Encoded, Len: count, Decode: x.decode}, nil
	}
	logical := e.diskBytenr() + e.offset() + in
	sums := n.verifies()
	if !sums {
		if ext, ok := n.fs.chunks.plain(logical, count); ok {
			return ext, nil
		}
	}
	return vfs.Extent{Kind: vfs.Encoded, Len: count, Decode: func(ctx context.Context, p []byte, at int64) (int, error) {
		if err := n.fs.readData(ctx, p, logical+uint64(at), sums); err != nil {
			return 0, err
		}
		return len(p), nil
	}}, nil
}

// verifies says whether the data of the inode has checksums.
func (n *inode) verifies() bool {
	return n.raw.flags()&inodeNoDataSum == 0 && !n.fs.opts.noSums
}

// plain is where bytes without a checksum lie, if there is one copy of them
// and it is there.
func (m *chunkMap) plain(logical uint64, count int64) (vfs.Extent, bool) {
	c, err := m.find(logical)
	if err != nil || c.copies != 1 || c.parity != 0 {
		return vfs.Extent{}, false
	}
	first, off, most := c.place(logical - c.start)
	s := c.stripes[first]
	if s.on.dev == nil {
		return vfs.Extent{}, false
	}
	at := int64(s.off + off)
	if count = block.Clamp(at, int64(min(uint64(count), most)), s.on.dev.Size()); count == 0 {
		return vfs.Extent{}, false
	}
	return vfs.Extent{Kind: vfs.Mapped, Len: count, Dev: s.on.dev, Off: at}, true
}

// maxSymlink bounds a target, in bytes.
const maxSymlink = 4096

// Readlink is the target of a symlink.
func (n *inode) Readlink(ctx context.Context) (string, error) {
	if n.fileType() != syscall.S_IFLNK {
		return "", syscall.EINVAL
	}
	if n.size() == 0 || n.size() > maxSymlink {
		return "", n.corrupt("a symlink of %d bytes, expected 1 to %d", n.size(), maxSymlink)
	}
	b := make([]byte, n.size())
	if got, err := vfs.ReadAt(ctx, n, b, 0); got < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	for _, c := range b {
		if c == 0 {
			return "", n.corrupt("a symlink target with a NUL")
		}
	}
	return string(b), nil
}
