package xfs

import (
	"bytes"
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Map says where the bytes at off lie.
func (n *inode) Map(ctx context.Context, off, count int64) (vfs.Extent, error) {
	switch n.fileType() {
	case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK:
	default:
		return vfs.Extent{}, syscall.EINVAL
	}
	if n.fileType() == syscall.S_IFREG && n.raw.Flags()&layout.FlagRealtime != 0 {
		return vfs.Extent{}, ondisk.Unsupported(n.name(), "a file on the realtime device")
	}
	if count = block.Clamp(off, count, n.size()); count == 0 {
		return vfs.Extent{}, syscall.EINVAL
	}
	f := n.fork(dataFork)
	if f.format == layout.FormatLocal {
		return vfs.Extent{Kind: vfs.Inline, Len: count, Inline: f.bytes[off : off+count : off+count]}, nil
	}
	bits := n.fs.geo.BlockLog
	r, err := f.runAt(ctx, uint64(off)>>bits)
	if err != nil {
		return vfs.Extent{}, err
	}
	in := off & (1<<bits - 1)
	const most = 1 << 46 // blocks; more bytes than a file has
	count = min(count, int64(min(r.len, most)<<bits)-in)
	if !r.mapped || r.unwritten {
		return vfs.Extent{Kind: vfs.Hole, Len: count, Unwritten: r.unwritten}, nil
	}
	start, ok := n.fs.geo.Offset(r.start, r.len)
	if !ok {
		ag, bno := n.fs.geo.Split(r.start)
		return vfs.Extent{}, n.corrupt("the data at byte %d is at block %d of group %d, %d blocks, which are not there", off, bno, ag, r.len)
	}
	have := block.Clamp(start+in, count, n.fs.dev.Size())
	if have == 0 {
		return vfs.Extent{}, n.fs.beyond(fmt.Sprintf("xfs data of inode %d", n.num), start+in)
	}
	return vfs.Extent{Kind: vfs.Mapped, Len: have, Dev: n.fs.dev, Off: start + in}, nil
}

const (
	// maxSymlink bounds a target, in bytes.
	maxSymlink = 1024
	// maxSymlinkBlocks bounds its blocks, of which the smallest have 512 bytes.
	maxSymlinkBlocks = 4
)

// Readlink is the target of a symlink.
func (n *inode) Readlink(ctx context.Context) (string, error) {
	if n.fileType() != syscall.S_IFLNK {
		return "", syscall.EINVAL
	}
	size := n.size()
	if size == 0 || size > maxSymlink {
		return "", n.corrupt("a symlink of %d bytes, expected 1 to %d", size, maxSymlink)
	}
	target := n.fork(dataFork).bytes
	if n.fork(dataFork).format != layout.FormatLocal {
		var err error
		if target, err = n.remoteTarget(ctx, int(size)); err != nil {
			return "", err
		}
	}
	target = target[:size]
	if bytes.IndexByte(target, 0) >= 0 {
		return "", n.corrupt("a symlink target with a NUL")
	}
	return string(target), nil
}

// remoteTarget reads a target from blocks. In version 5 each extent begins
// with a header.
func (n *inode) remoteTarget(ctx context.Context, size int) ([]byte, error) {
	f, fs := n.fork(dataFork), n.fs
	target := make([]byte, 0, size)
	for blk := uint64(0); len(target) < size; {
		r, err := f.runAt(ctx, blk)
		if err != nil {
			return nil, err
		}
		// A target has few blocks; a damaged extent is cut.
		count := min(r.len, maxSymlinkBlocks)
		if !r.mapped || r.unwritten {
			return nil, f.corrupt("a symlink with a hole at block %d", blk)
		}
		at, err := n.blockAddr(r.start, count, "a symlink")
		if err != nil {
			return nil, err
		}
		b := make([]byte, at.Len)
		if err := block.ReadFull(ctx, fs.dev, b, at.Off); err != nil {
			return nil, fmt.Errorf("reading the symlink %d at byte %d: %w", n.num, at.Off, err)
		}
		if fs.geo.CRC {
			h := layout.Remote(b)
			if h.Magic() != layout.RemoteSymlinkMagic {
				return nil, ondisk.Corrupt("xfs remote symlink", at.Off, "magic %#x", h.Magic())
			}
			if err := fs.verifyHeader(b, at); err != nil {
				return nil, err
			}
			if int64(h.Offset()) != int64(len(target)) || int64(h.Bytes()) > int64(len(b)-layout.RemoteHeader) || h.Bytes() == 0 {
				return nil, ondisk.Corrupt("xfs remote symlink", at.Off, "%d bytes at %d of the target, expected at %d", h.Bytes(), h.Offset(), len(target))
			}
			b = b[layout.RemoteHeader : layout.RemoteHeader+int(h.Bytes())]
		}
		target = append(target, b[:min(len(b), size-len(target))]...)
		blk += count
	}
	return target, nil
}
