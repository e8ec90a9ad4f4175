package ext4

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/vfs"
)

// Map says where the bytes at off lie.
func (n *inode) Map(ctx context.Context, off, count int64) (vfs.Extent, error) {
	switch n.fileType() {
	case syscall.S_IFREG:
		if n.flag(flagEncrypt) {
			return vfs.Extent{}, fmt.Errorf("the contents of inode %d are encrypted (fscrypt), and reading with a key is not supported: %w", n.num, syscall.ENOKEY)
		}
	case syscall.S_IFDIR, syscall.S_IFLNK:
	default:
		return vfs.Extent{}, syscall.EINVAL
	}
	return n.mapBytes(ctx, off, count)
}

// mapBytes is Map for any inode that has blocks.
func (n *inode) mapBytes(ctx context.Context, off, count int64) (vfs.Extent, error) {
	if count = block.Clamp(off, count, n.size()); count == 0 {
		return vfs.Extent{}, syscall.EINVAL
	}
	if n.flag(flagInlineData) {
		return n.inlineExtent(ctx, off, count)
	}
	bits := n.fs.geo.blockBits
	r, err := n.runAt(ctx, uint64(off)>>bits)
	if err != nil {
		return vfs.Extent{}, err
	}
	in := off & (1<<bits - 1)
	count = min(count, int64(r.len<<bits)-in)
	if r.hole() || r.unwritten {
		return vfs.Extent{Kind: vfs.Hole, Len: count, Unwritten: r.unwritten}, nil
	}
	at := int64(r.start<<bits) + in
	have := block.Clamp(at, count, n.fs.dev.Size())
	if have == 0 {
		return vfs.Extent{}, n.fs.beyond(fmt.Sprintf("ext4 data of inode %d", n.num), at)
	}
	return vfs.Extent{Kind: vfs.Mapped, Len: have, Dev: n.fs.dev, Off: at}, nil
}

// inlineExtent maps a file whose bytes are in the inode: the first 60 in
// i_block, the rest in the value of the attribute system.data.
func (n *inode) inlineExtent(ctx context.Context, off, count int64) (vfs.Extent, error) {
	more, err := n.inlineMore(ctx)
	if err != nil {
		return vfs.Extent{}, err
	}
	part, at := n.raw.iBlock(), off
	if off >= iBlockSize {
		part, at = more, off-iBlockSize
	}
	if at >= int64(len(part)) {
		return vfs.Extent{Kind: vfs.Hole, Len: count}, nil
	}
	count = min(count, int64(len(part))-at)
	return vfs.Extent{Kind: vfs.Inline, Len: count, Inline: part[at : at+count : at+count]}, nil
}

// inlineMore is the value of system.data, what of the inline data does not fit
// i_block.
func (n *inode) inlineMore(ctx context.Context) ([]byte, error) {
	body, err := n.xattrBody(ctx)
	if err != nil {
		return nil, err
	}
	for e, err := range body.entries() {
		if err != nil {
			return nil, err
		}
		if e.nameIndex() == xattrSystem && string(e.name()) == inlineDataName {
			return body.value(e)
		}
	}
	return nil, n.corrupt(ctx, "inline data without the attribute system.data")
}

// readAll reads n.size() bytes, at most limit, of any inode that has blocks.
// It is for small contents that are metadata: symlinks and attribute values.
func (n *inode) readAll(ctx context.Context, limit int64) ([]byte, error) {
	size := n.size()
	if size > limit {
		return nil, n.corrupt(ctx, "i_size %d, expected at most %d", size, limit)
	}
	b := make([]byte, size)
	for off := int64(0); off < size; {
		e, err := n.mapBytes(ctx, off, size-off)
		if err != nil {
			return nil, err
		}
		switch e.Kind {
		case vfs.Mapped:
			if err := block.ReadFull(ctx, e.Dev, b[off:off+e.Len], e.Off); err != nil {
				return nil, fmt.Errorf("reading ext4 inode %d at byte %d: %w", n.num, e.Off, err)
			}
		case vfs.Inline:
			copy(b[off:], e.Inline)
		}
		off += e.Len
	}
	return b, nil
}

const (
	// maxSymlink bounds a target, in bytes: a block, and PATH_MAX.
	maxSymlink = 4096
	// encryptedLinkHeader is the length before the bytes of an encrypted
	// target, little-endian.
	encryptedLinkHeader = 2
)

// Readlink is the target of a symlink.
func (n *inode) Readlink(ctx context.Context) (string, error) {
	if n.fileType() != syscall.S_IFLNK {
		return "", syscall.EINVAL
	}
	target, err := n.linkBytes(ctx)
	if err != nil {
		return "", err
	}
	if n.flag(flagEncrypt) {
		if len(target) < encryptedLinkHeader || int(u16(target, 0)) > len(target)-encryptedLinkHeader || u16(target, 0) == 0 {
			return "", n.corrupt(ctx, "encrypted symlink of %d bytes", len(target))
		}
		return noKeyName(0, 0, target[encryptedLinkHeader:encryptedLinkHeader+int(u16(target, 0))]), nil
	}
	for _, c := range target {
		if c == 0 {
			return "", n.corrupt(ctx, "symlink target with a NUL")
		}
	}
	return string(target), nil
}

// linkBytes is a symlink's contents.
func (n *inode) linkBytes(ctx context.Context) ([]byte, error) {
	size := n.size()
	if size == 0 {
		return nil, n.corrupt(ctx, "symlink of no length")
	}
	if n.fastSymlink() {
		if size >= iBlockSize {
			return nil, n.corrupt(ctx, "symlink of %d bytes without blocks", size)
		}
		return n.raw.iBlock()[:size], nil
	}
	return n.readAll(ctx, maxSymlink)
}

// fastSymlink says whether the target is in i_block, as the kernel decides:
// the inode has no blocks but that of its attributes.
func (n *inode) fastSymlink() bool {
	if n.flag(flagInlineData) {
		return false
	}
	if n.flag(flagEAInode) {
		return n.size() < iBlockSize
	}
	acl := int64(0)
	if n.fileACL() != 0 {
		acl = int64(n.fs.geo.clusterRatio << n.fs.geo.blockBits >> 9)
	}
	return n.blocks512() == acl
}
