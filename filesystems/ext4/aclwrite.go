package ext4

import (
	"context"
	"encoding/binary"
	"slices"
	"syscall"
)

// The tags of ACL entries beside those of named users and groups.
const (
	aclUserObj  = 0x01
	aclGroupObj = 0x04
	aclMask     = 0x10
	aclOther    = 0x20
)

// aclEntry is one entry of an ACL, in any form.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// parseLinuxACL reads an ACL in Linux's form and checks it as the kernel does.
func parseLinuxACL(v []byte) ([]aclEntry, error) {
	if len(v) < aclHeader || u32(v, 0) != aclLinuxVersion || (len(v)-aclHeader)%aclLong != 0 {
		return nil, syscall.EINVAL
	}
	var acl []aclEntry
	for v = v[aclHeader:]; len(v) > 0; v = v[aclLong:] {
		acl = append(acl, aclEntry{u16(v, 0), u16(v, 2), u32(v, 4)})
	}
	if !validACL(acl) {
		return nil, syscall.EINVAL
	}
	return acl, nil
}

// validACL says whether the entries are in order and complete.
func validACL(acl []aclEntry) bool {
	state, needMask := uint16(aclUserObj), false
	for _, e := range acl {
		if e.perm&^7 != 0 {
			return false
		}
		switch {
		case e.tag == aclUserObj && state == aclUserObj:
			state = aclUser
		case e.tag == aclUser && state == aclUser:
			needMask = true
		case e.tag == aclGroupObj && state == aclUser:
			state = aclGroup
		case e.tag == aclGroup && state == aclGroup:
			needMask = true
		case e.tag == aclMask && state == aclGroup:
			state = aclOther
		case e.tag == aclOther && (state == aclOther || state == aclGroup && !needMask):
			state = 0
		default:
			return false
		}
	}
	return state == 0
}

// plainACL says whether an ACL says no more than a mode.
func plainACL(acl []aclEntry) bool { return len(acl) == 3 }

// aclMode puts what an ACL says of the owner, the group class and others into
// a mode.
func aclMode(acl []aclEntry, mode uint16) uint16 {
	group, masked := uint16(0), false
	mode &^= 0o777
	for _, e := range acl {
		switch e.tag {
		case aclUserObj:
			mode |= e.perm << 6
		case aclGroupObj:
			if !masked {
				group = e.perm
			}
		case aclMask:
			group, masked = e.perm, true
		case aclOther:
			mode |= e.perm
		}
	}
	return mode | group<<3
}

// setClasses makes an ACL say of the three classes what perm says, or no more
// than that where only limit is set.
func setClasses(acl []aclEntry, perm uint16, limit bool) {
	hasMask := slices.ContainsFunc(acl, func(e aclEntry) bool { return e.tag == aclMask })
	for i := range acl {
		var bits uint16
		switch e := acl[i]; {
		case e.tag == aclUserObj:
			bits = perm >> 6 & 7
		case e.tag == aclMask, e.tag == aclGroupObj && !hasMask:
			bits = perm >> 3 & 7
		case e.tag == aclOther:
			bits = perm & 7
		default:
			continue
		}
		if limit {
			bits &= acl[i].perm
		}
		acl[i].perm = bits
	}
}

// diskACL is an ACL as it is stored.
func diskACL(acl []aclEntry) []byte {
	out := binary.LittleEndian.AppendUint32(nil, aclDiskVersion)
	for _, e := range acl {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		if e.tag == aclUser || e.tag == aclGroup {
			out = binary.LittleEndian.AppendUint32(out, e.id)
		}
	}
	return out
}

// storeACL is the stored form of an ACL that is being set; nil where the mode,
// which it changes, says as much.
func (x *tx) storeACL(n *inode, index uint8, value []byte) ([]byte, error) {
	acl, err := parseLinuxACL(value)
	if err != nil {
		return nil, err
	}
	if n.fileType() == syscall.S_IFLNK {
		return nil, syscall.EOPNOTSUPP
	}
	if index == xattrACLDefault {
		if n.fileType() != syscall.S_IFDIR {
			return nil, syscall.EACCES
		}
		return diskACL(acl), nil
	}
	n.raw.setMode(aclMode(acl, n.raw.mode()))
	if plainACL(acl) {
		return nil, nil
	}
	return diskACL(acl), nil
}

// acl reads an inode's ACL; nil where it has none.
func (n *inode) acl(ctx context.Context, index uint8) ([]aclEntry, error) {
	if n.provesNoXattr() {
		return nil, nil
	}
	all, err := n.attributes(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.index != index {
			continue
		}
		v, err := linuxACL(a.value, xattrArea{name: "ext4 ACL", off: n.fs.inodeOffset(ctx, n.num)})
		if err != nil {
			return nil, err
		}
		return parseLinuxACL(v)
	}
	return nil, nil
}

// putACL stores an ACL in an inode.
func (x *tx) putACL(ctx context.Context, n *inode, index uint8, acl []aclEntry) error {
	all, err := n.attributes(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(a attribute) bool { return a.index == index })
	return x.storeAttributes(ctx, n, append(all, attribute{index: index, value: diskACL(acl)}))
}

// chmodACL makes the access ACL say what a new mode says.
func (x *tx) chmodACL(ctx context.Context, n *inode, mode uint32) error {
	acl, err := n.acl(ctx, xattrACLAccess)
	if err != nil || acl == nil {
		return err
	}
	setClasses(acl, uint16(mode), false)
	return x.putACL(ctx, n, xattrACLAccess, acl)
}

// inheritACL gives a new inode the default ACL of its directory, as far as its
// mode allows; without one the mask takes bits away.
func (x *tx) inheritACL(ctx context.Context, dir, n *inode, mask uint32) error {
	if n.fileType() == syscall.S_IFLNK {
		return nil
	}
	acl, err := dir.acl(ctx, xattrACLDefault)
	if err != nil {
		return err
	}
	if acl == nil {
		n.raw.setMode(n.raw.mode() &^ uint16(mask&0o777))
		return nil
	}
	if n.fileType() == syscall.S_IFDIR {
		if err := x.putACL(ctx, n, xattrACLDefault, acl); err != nil {
			return err
		}
	}
	access := slices.Clone(acl)
	setClasses(access, n.raw.mode(), true)
	n.raw.setMode(aclMode(access, n.raw.mode()))
	if plainACL(access) {
		return nil
	}
	return x.putACL(ctx, n, xattrACLAccess, access)
}
