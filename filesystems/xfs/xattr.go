package xfs

import (
	"context"
	"fmt"
	"iter"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	whatAttrs = "xfs attribute block"

	// maxAttrValue bounds a value, in bytes.
	maxAttrValue = 64 << 10

	aclFile    = "SGI_ACL_FILE"
	aclDefault = "SGI_ACL_DEFAULT"
)

// attr is an attribute as the disk has it.
type attr struct {
	flags uint8
	name  string
	local []byte // the value; nil where it is remote
	block uint64 // remote: first block in the fork
	size  int    // bytes of the value
}

// Xattrs lists the attributes with the prefixes of Linux. An ACL is listed
// under both of its names.
func (n *inode) Xattrs(ctx context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(yield func(vfs.Xattr, error) bool) {
		for a, err := range n.attrs(ctx) {
			if err != nil {
				yield(vfs.Xattr{}, err)
				return
			}
			if a.flags&(layout.AttrIncomplete|layout.AttrParent) != 0 {
				continue
			}
			prefix := "user."
			switch {
			case a.flags&layout.AttrRoot != 0:
				prefix = "trusted."
				if acl := aclName(a.name); acl != "" {
					x := vfs.Xattr{Name: acl, Size: aclSize(a.size), Read: func(ctx context.Context) ([]byte, error) {
						v, err := n.attrValue(ctx, a)
						if err != nil {
							return nil, err
						}
						return n.linuxACL(v)
					}}
					if !yield(x, nil) {
						return
					}
				}
			case a.flags&layout.AttrSecure != 0:
				prefix = "security."
			}
			x := vfs.Xattr{Name: prefix + a.name, Size: int64(a.size), Read: func(ctx context.Context) ([]byte, error) { return n.attrValue(ctx, a) }}
			if !yield(x, nil) {
				return
			}
		}
	}
}

func aclName(name string) string {
	switch name {
	case aclFile:
		return "system.posix_acl_access"
	case aclDefault:
		return "system.posix_acl_default"
	}
	return ""
}

// attrs goes through the attributes of an inode, the hidden ones included.
func (n *inode) attrs(ctx context.Context) iter.Seq2[attr, error] {
	f := n.fork(attrFork)
	switch {
	case n.provesNoXattr():
		return func(func(attr, error) bool) {}
	case f.format == layout.FormatLocal:
		return n.shortAttrs(f)
	}
	return n.leafAttrs(ctx, f)
}

// shortAttrs goes through attributes that are in the inode.
func (n *inode) shortAttrs(f fork) iter.Seq2[attr, error] {
	return func(yield func(attr, error) bool) {
		s := layout.ShortAttrs(f.bytes)
		if len(s) < layout.ShortAttrsHeader || s.TotalSize() > len(s) || s.TotalSize() < layout.ShortAttrsHeader {
			yield(attr{}, f.corrupt("attributes that do not fit"))
			return
		}
		rest := s[layout.ShortAttrsHeader:s.TotalSize()]
		for i := range s.Count() {
			a := layout.ShortAttr(rest)
			if len(a) < layout.ShortAttrName || a.Size() > len(a) || a.NameLen() == 0 {
				yield(attr{}, f.corrupt("attribute %d of %d does not fit", i, s.Count()))
				return
			}
			if err := n.checkAttrName(a.Name()); err != nil {
				yield(attr{}, err)
				return
			}
			if !yield(attr{flags: a.Flags(), name: string(a.Name()), local: a.Value(), size: a.ValueLen()}, nil) {
				return
			}
			rest = rest[a.Size():]
		}
	}
}

// checkAttrName refuses what is no name to anybody. The names of parent
// pointers are names of files.
func (n *inode) checkAttrName(name []byte) error {
	for _, c := range name {
		if c == 0 {
			return n.corrupt("an attribute named %q", name)
		}
	}
	return nil
}

// leafAttrs goes through the leaves, which are linked, from the one with the
// lowest hashes on.
func (n *inode) leafAttrs(ctx context.Context, f fork) iter.Seq2[attr, error] {
	return func(yield func(attr, error) bool) {
		d, off, err := n.firstLeaf(ctx, f)
		// Each leaf has at least one block of the inode.
		for left := n.blocks() + 1; err == nil; left-- {
			for i := range d.Count() {
				a, e := n.leafAttr(d, i, off)
				if !yield(a, e) || e != nil {
					return
				}
			}
			if d.Forward() == 0 {
				return
			}
			if left <= 0 {
				err = f.corrupt("the leaves of the attributes come back to one of them")
			} else {
				d, off, err = n.attrBlock(ctx, f, uint64(d.Forward()))
				if err == nil && isNode(d) {
					err = ondisk.Corrupt(whatAttrs, off, "inode %d: a node among the leaves", n.num)
				}
			}
		}
		yield(attr{}, err)
	}
}

// firstLeaf walks down to the leaf with the lowest hashes.
func (n *inode) firstLeaf(ctx context.Context, f fork) (d layout.DABlock, off int64, err error) {
	d, off, err = n.attrBlock(ctx, f, 0)
	for err == nil && isNode(d) {
		level := d.Level()
		d, off, err = n.attrBlock(ctx, f, uint64(d.Before(0)))
		if err == nil && (isNode(d) == (level == 1) || isNode(d) && d.Level() != level-1) {
			err = ondisk.Corrupt(whatAttrs, off, "inode %d: magic %#x below level %d", n.num, d.Magic(), level)
		}
	}
	return d, off, err
}

func (n *inode) attrBlock(ctx context.Context, f fork, blk uint64) (layout.DABlock, int64, error) {
	b, off, ok, err := f.read(ctx, blk, 1, n.fs.kinds.attrs)
	if err == nil && !ok {
		err = f.corrupt("no block %d", blk)
	}
	if err == nil {
		err = ctx.Err()
	}
	return layout.DABlock{B: b, CRC: n.fs.geo.CRC}, off, err
}

// leafAttr is attribute i of a verified leaf.
func (n *inode) leafAttr(d layout.DABlock, i int, off int64) (attr, error) {
	e := d.Attr(i)
	a := attr{flags: e.Flags()}
	if e.Flags()&layout.AttrLocal != 0 {
		l := layout.AttrName(d.B[e.NameIndex():])
		a.name, a.local, a.size = string(l.Name()), l.Value(), l.ValueLen()
	} else {
		r := layout.AttrRemote(d.B[e.NameIndex():])
		a.name, a.block, a.size = string(r.Name()), uint64(r.ValueBlock()), int(r.ValueLen())
	}
	if err := n.checkAttrName([]byte(a.name)); err != nil {
		return attr{}, err
	}
	return a, nil
}

// verifyAttrs is the Verify of an attribute leaf, with every name in it, or a
// node above.
func (fs *FileSystem) verifyAttrs(b []byte, at txn.Addr) error {
	d := layout.DABlock{B: b, CRC: fs.geo.CRC}
	bad := func(format string, args ...any) error {
		return ondisk.Corrupt(whatAttrs, at.Off, "inode %d: "+format, append([]any{at.Owner}, args...)...)
	}
	switch m := d.Magic(); m {
	case pick[uint16](fs.geo.CRC, layout.DANodeMagicCRC, layout.DANodeMagic):
		return fs.verifyNode(d, at, whatAttrs)
	case pick[uint16](fs.geo.CRC, layout.AttrLeafMagicCRC, layout.AttrLeafMagic):
	default:
		return bad("magic %#x", m)
	}
	if err := fs.verifyHeader(b, at); err != nil {
		return err
	}
	end := d.AttrHeader() + d.Count()*layout.AttrEntrySize
	if end > len(b) {
		return bad("%d entries", d.Count())
	}
	for i := range d.Count() {
		e := d.Attr(i)
		if i > 0 && e.Hash() < d.Attr(i-1).Hash() {
			return bad("hash %d is below the one before it", i)
		}
		name, ok := b[min(e.NameIndex(), len(b)):], false
		size, value := 0, 0
		if e.Flags()&layout.AttrLocal != 0 {
			if len(name) >= layout.AttrNameHeader {
				l := layout.AttrName(name)
				ok, size = l.NameLen() > 0, layout.AttrNameHeader+l.NameLen()+l.ValueLen()
			}
		} else if len(name) >= layout.AttrRemoteHeader {
			r := layout.AttrRemote(name)
			// An attribute whose value is not yet written has no place for it.
			ok, size, value = r.NameLen() > 0, layout.AttrRemoteHeader+r.NameLen(), int(min(r.ValueLen(), 1<<30))
		}
		if !ok || e.NameIndex() < end || size > len(name) || value > maxAttrValue {
			return bad("entry %d: %d bytes at %d, and %d bytes elsewhere", i, size, e.NameIndex(), value)
		}
	}
	return nil
}

// attrValue reads a value; the bytes are the caller's.
func (n *inode) attrValue(ctx context.Context, a attr) ([]byte, error) {
	if a.local != nil || a.size == 0 {
		return append([]byte{}, a.local...), nil
	}
	f := n.fork(attrFork)
	out := make([]byte, 0, a.size)
	for blk := a.block; len(out) < a.size; blk++ {
		b, off, ok, err := f.read(ctx, blk, 1, n.fs.kinds.remote)
		if err == nil && !ok {
			err = f.corrupt("no block %d", blk)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("value of %q: %w", a.name, err)
		}
		if n.fs.geo.CRC {
			r := layout.Remote(b)
			if int64(r.Offset()) != int64(len(out)) || r.Bytes() == 0 || int(min(r.Bytes(), 1<<30)) > min(len(b)-layout.RemoteHeader, a.size-len(out)) {
				return nil, ondisk.Corrupt(n.fs.kinds.remote.Name, off, "%d bytes at %d of the value %q of %d bytes, expected at %d", r.Bytes(), r.Offset(), a.name, a.size, len(out))
			}
			b = b[layout.RemoteHeader : layout.RemoteHeader+int(r.Bytes())]
		}
		out = append(out, b[:min(len(b), a.size-len(out))]...)
	}
	return out, nil
}

// verifyRemote is the Verify of a block of a remote value, which only version
// 5 describes.
func (fs *FileSystem) verifyRemote(b []byte, at txn.Addr) error {
	if !fs.geo.CRC {
		return nil
	}
	if m := layout.Remote(b).Magic(); m != layout.RemoteAttrMagic {
		return ondisk.Corrupt(fs.kinds.remote.Name, at.Off, "inode %d: magic %#x", at.Owner, m)
	}
	return fs.verifyHeader(b, at)
}
