package btrfs

import (
	"bytes"
	"context"
	"iter"

	"github.com/guestctl/guestctl/vfs"
)

// Xattrs lists the attributes. Their names and values are stored as Linux
// shows them, ACLs included.
func (n *inode) Xattrs(ctx context.Context) iter.Seq2[vfs.Xattr, error] {
	return func(yield func(vfs.Xattr, error) bool) {
		if n.noXattr {
			return
		}
		c, err := n.sv.ceil(ctx, key{n.num, xattrItemType, 0})
		for ; err == nil && c.ok && c.key.id == n.num && c.key.typ == xattrItemType; err = c.next(ctx) {
			for rest := c.data; len(rest) > 0; {
				d := entryAt(rest)
				if d == nil || d.nameLen() == 0 || bytes.IndexByte(d.name(), 0) >= 0 {
					yield(vfs.Xattr{}, n.corrupt("an attribute at hash %d that does not fit its item", c.key.off))
					return
				}
				value := append([]byte{}, d.data()...)
				x := vfs.Xattr{Name: string(d.name()), Size: int64(len(value)),
					Read: func(context.Context) ([]byte, error) { return bytes.Clone(value), nil }}
				if !yield(x, nil) {
					return
				}
				rest = rest[len(d):]
			}
		}
		if err != nil {
			yield(vfs.Xattr{}, err)
		}
	}
}
