package ntfs

import (
	"bytes"
	"context"
	"syscall"
)

// setType makes the inode something else than a file or directory, with the
// permissions it has.
func (n *inode) setType(kind uint32) { n.attr.Mode = n.attr.Mode&0o7777 | kind }

// setLink makes the inode a symlink.
func (n *inode) setLink(target string) {
	n.setType(syscall.S_IFLNK)
	n.target = target
	n.attr.Size = int64(len(target))
}

// setDevice makes the inode a device.
func (n *inode) setDevice(kind, major, minor uint32) {
	n.setType(kind)
	n.attr.Rdev = minor&0xFF | major&0xFFF<<8 | minor&^0xFF<<12
}

// loadSpecial finds out what is no plain file or directory: reparse points,
// Interix special files and what the attributes of WSL say.
func (n *inode) loadSpecial(ctx context.Context) error {
	if n.f.fs.opt.permissions {
		if err := n.loadPermissions(ctx); err != nil {
			return err
		}
	}
	attrs := n.info.attributes()
	if attrs&attrReparsePoint != 0 {
		if err := n.loadReparse(ctx); err != nil {
			return err
		}
	} else if attrs&(attrSystem|attrHidden) == attrSystem && n.attr.Mode&syscall.S_IFMT == syscall.S_IFREG && n.f.num >= firstUserFile {
		return n.loadInterix(ctx)
	}
	return n.loadWSL(ctx)
}

// Interix, Windows' own Unix subsystem, keeps special files as system files
// with these first eight bytes; ntfs-3g writes them so by default.
const (
	interixLink  = "IntxLNK\x01"
	interixBlock = "IntxBLK\x00"
	interixChar  = "IntxCHR\x00"

	interixMagic  = 8
	interixDevice = 24 // magic, then 64 bits of major and of minor
	interixMax    = interixMagic + 2*4096
)

// loadInterix recognises a special file of Interix: an empty system file is a
// FIFO, one of a byte a socket; the others begin with what they are.
func (n *inode) loadInterix(ctx context.Context) error {
	size := n.data.size
	switch {
	case !n.hasData || n.data.encrypted():
		return nil
	case size == 0:
		n.setType(syscall.S_IFIFO)
		return nil
	case size == 1:
		n.setType(syscall.S_IFSOCK)
		return nil
	case size <= interixMagic || size > interixMax:
		return nil
	}
	var buf [interixDevice]byte
	head := buf[:min(size, interixDevice)]
	if err := n.data.readFull(ctx, head, 0); err != nil {
		return err
	}
	switch magic := head[:interixMagic]; {
	case bytes.Equal(magic, []byte(interixLink)):
		b := make([]byte, (size-interixMagic)&^1)
		if err := n.data.readFull(ctx, b, interixMagic); err != nil {
			return err
		}
		n.setLink(cutNUL(decodeText(b)))
	case size == interixDevice && bytes.Equal(magic, []byte(interixBlock)):
		n.setDevice(syscall.S_IFBLK, uint32(le.Uint64(head[8:])), uint32(le.Uint64(head[16:])))
	case size == interixDevice && bytes.Equal(magic, []byte(interixChar)):
		n.setDevice(syscall.S_IFCHR, uint32(le.Uint64(head[8:])), uint32(le.Uint64(head[16:])))
	}
	return nil
}

// decodeText is UTF-16LE of any length as UTF-8.
func decodeText(b []byte) string { return string(appendName(nil, b)) }

// cutNUL is s up to its first NUL.
func cutNUL(s string) string {
	if i := bytes.IndexByte([]byte(s), 0); i >= 0 {
		return s[:i]
	}
	return s
}
