package ext4

import (
	"encoding/binary"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// POSIX ACLs are stored in a form of their own, version 1: entries without an
// id are short. Linux shows version 2, in which all have eight bytes.
const (
	aclDiskVersion  = 1
	aclLinuxVersion = 2
	aclHeader       = 4
	aclShort        = 4 // tag and permissions
	aclLong         = 8 // and an id
	aclNoID         = 1<<32 - 1

	aclUser  = 0x02
	aclGroup = 0x08
)

// aclSize is the size in Linux's form of an ACL of n stored bytes. The first
// four entries without an id are short, as the kernel counts them.
func aclSize(n int64) int64 {
	n -= aclHeader
	if n < 4*aclShort {
		return aclHeader + max(n, 0)/aclShort*aclLong
	}
	return aclHeader + ((n-4*aclShort)/aclLong+4)*aclLong
}

// linuxACL converts a stored ACL.
func linuxACL(v []byte, a xattrArea) ([]byte, error) {
	if len(v) < aclHeader || u32(v, 0) != aclDiskVersion {
		return nil, ondisk.Corrupt(a.name, a.off, "POSIX ACL of %d bytes, or not of version %d", len(v), aclDiskVersion)
	}
	stored := int64(len(v))
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, aclSize(stored)), aclLinuxVersion)
	for v = v[aclHeader:]; len(v) > 0; {
		if len(v) < aclShort {
			return nil, ondisk.Corrupt(a.name, a.off, "POSIX ACL with %d bytes left", len(v))
		}
		id, size := uint32(aclNoID), aclShort
		if tag := u16(v, 0); tag == aclUser || tag == aclGroup {
			if len(v) < aclLong {
				return nil, ondisk.Corrupt(a.name, a.off, "POSIX ACL with %d bytes left", len(v))
			}
			id, size = u32(v, 4), aclLong
		}
		out = append(out, v[:aclShort]...)
		out = binary.LittleEndian.AppendUint32(out, id)
		v = v[size:]
	}
	if int64(len(out)) != aclSize(stored) {
		return nil, ondisk.Corrupt(a.name, a.off, "POSIX ACL of %d bytes with other entries than its size says", stored)
	}
	return out, nil
}
