package xfs

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
)

// ACLs are stored in the form of IRIX: a count, and entries of a tag, an id
// and permissions. Linux shows a version and entries of tag, permissions and
// id.
const (
	aclLinuxVersion = 2
	aclLinuxHeader  = 4
	aclLinuxEntry   = 8
	aclNoID         = 1<<32 - 1

	aclUser  = 0x02
	aclGroup = 0x08
)

// aclSize is the size in Linux's form of an ACL of n stored bytes.
func aclSize(n int) int64 {
	return aclLinuxHeader + int64(max(0, n-layout.ACLHeader))/layout.ACLEntrySize*aclLinuxEntry
}

// linuxACL converts a stored ACL.
func (n *inode) linuxACL(v []byte) ([]byte, error) {
	acl := layout.ACL(v)
	if len(v) < layout.ACLHeader || uint64(acl.Count())*layout.ACLEntrySize != uint64(len(v)-layout.ACLHeader) {
		return nil, n.corrupt("an ACL of %d bytes", len(v))
	}
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, aclSize(len(v))), aclLinuxVersion)
	for i := range int(acl.Count()) {
		tag, id, perm := acl.Entry(i)
		if tag != aclUser && tag != aclGroup {
			id = aclNoID
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(tag))
		out = binary.LittleEndian.AppendUint16(out, perm)
		out = binary.LittleEndian.AppendUint32(out, id)
	}
	return out, nil
}
