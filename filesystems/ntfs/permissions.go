package ntfs

import (
	"context"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// securityDescriptor is a self-relative security descriptor ([MS-DTYP] 2.4.6).
type securityDescriptor []byte

func (d securityDescriptor) owner() uint32 { return le.Uint32(d[4:]) }
func (d securityDescriptor) group() uint32 { return le.Uint32(d[8:]) }
func (d securityDescriptor) dacl() uint32  { return le.Uint32(d[16:]) }

const (
	descriptorHeader = 20
	aclHeader        = 8
	aceHeader        = 8 // type, flags, size, mask
	sidHeader        = 8 // revision, count, authority

	aceAllow       = 0
	aceDeny        = 1
	aceInheritOnly = 0x08

	// Access rights ([MS-DTYP] 2.4.3): the specific ones of files, which those
	// of directories share, and the generic ones.
	rightRead    = 0x0001 | 0x80000000 | 0x10000000
	rightWrite   = 0x0002 | 0x40000000 | 0x10000000
	rightExecute = 0x0020 | 0x20000000 | 0x10000000
)

// sid gives the security identifier ([MS-DTYP] 2.4.2) at byte at, or nil.
func (d securityDescriptor) sid(at uint32) sid {
	head, ok := ondisk.Slice(d, int(at), sidHeader)
	if !ok || at == 0 || head[0] != 1 || head[1] == 0 || head[1] > 15 {
		return nil
	}
	s, _ := ondisk.Slice(d, int(at), sidHeader+4*int(head[1]))
	return s
}

// A sid is a security identifier: an authority and up to 15 numbers below it.
type sid []byte

// is says whether s is the identifier of the authority and the numbers.
func (s sid) is(authority byte, numbers ...uint32) bool {
	return len(s) == sidHeader+4*len(numbers) && s.below(authority, numbers...)
}

// below says whether s begins with the authority and the numbers.
func (s sid) below(authority byte, numbers ...uint32) bool {
	if len(s) < sidHeader+4*len(numbers) || s[7] != authority || string(s[2:7]) != "\x00\x00\x00\x00\x00" {
		return false
	}
	for i, n := range numbers {
		if le.Uint32(s[sidHeader+4*i:]) != n {
			return false
		}
	}
	return true
}

func (s sid) last() uint32 { return le.Uint32(s[len(s)-4:]) }

// world says whether everyone, each local user or each authenticated one is
// meant.
func (s sid) world() bool { return s.is(1, 0) || s.is(5, 11) || s.is(5, 32, 545) }

// admin says whether the administrators are meant.
func (s sid) admin() bool { return s.is(5, 32, 544) }

// id is the number of the user, or where group is set of the group, that s
// stands for: those of ntfs-3g's default mapping, of Samba (S-1-22-1-uid and
// S-1-22-2-gid) and of the NFS server (S-1-5-88-1-uid and S-1-5-88-2-gid).
// Administrators, the system and all whom Linux does not know are 0.
func (s sid) id(group bool) uint32 {
	kind, odd := uint32(1), uint32(0)
	if group {
		kind, odd = 2, 1
	}
	switch {
	case len(s) == sidHeader+4*2 && s.below(22, kind), len(s) == sidHeader+4*3 && s.below(5, 88, kind):
		return s.last()
	case len(s) == sidHeader+4*5 && s.below(5, 21, 0xBB40E64D, 0x232787D6, 0x1B966DF7) && s.last() >= 10000 && s.last()%2 == odd:
		return (s.last() - 10000) / 2
	}
	return 0
}

// loadPermissions takes owner, group and mode from the security descriptor, as
// ntfs-3g does with its option permissions and without a mapping file.
func (n *inode) loadPermissions(ctx context.Context) error {
	b, err := n.descriptor(ctx)
	if err != nil || b == nil {
		return err
	}
	d := securityDescriptor(b)
	if len(d) < descriptorHeader {
		return n.f.corrupt("a security descriptor of %d bytes", len(d))
	}
	owner, group := d.sid(d.owner()), d.sid(d.group())
	n.attr.UID, n.attr.GID = owner.id(false), group.id(true)
	mode, ok := d.mode(owner, group)
	if ok {
		n.attr.Mode = n.attr.Mode&syscall.S_IFMT | mode
	}
	return nil
}

// rights are what the entries of an access control list say of somebody.
type rights struct {
	allow, deny uint32
	entries     int
}

func (r *rights) add(kind byte, mask uint32) {
	r.entries++
	if kind == aceDeny {
		r.deny |= mask &^ r.allow
		return
	}
	r.allow |= mask &^ r.deny
}

// bits are the three of a mode.
func (r rights) bits() (mode uint32) {
	if r.allow&rightRead != 0 {
		mode |= 4
	}
	if r.allow&rightWrite != 0 {
		mode |= 2
	}
	if r.allow&rightExecute != 0 {
		mode |= 1
	}
	return mode
}

// mode makes a mode of the access control list. ok is false where there is
// none. Whoever has no entry of his own has the rights of everyone. Of the
// entries of administrators, who always have one that allows all, the first is
// meant where they own the file, and so it is for the group; where they are both,
// the second is the group's. The entry of nobody (S-1-0-0) holds the
// set-user-ID, set-group-ID and sticky bits.
func (d securityDescriptor) mode(owner, group sid) (mode uint32, ok bool) {
	acl, ok := ondisk.Slice(d, int(d.dacl()), aclHeader)
	if !ok || d.dacl() == 0 {
		return 0, false
	}
	if acl, ok = ondisk.Slice(d, int(d.dacl()), int(le.Uint16(acl[2:]))); !ok || len(acl) < aclHeader {
		return 0, false
	}
	var own, grp, all rights
	special, same := uint32(0), string(owner) == string(group)
	rest := acl[aclHeader:]
	for range le.Uint16(acl[4:]) {
		if len(rest) < aceHeader {
			break
		}
		size := int(le.Uint16(rest[2:]))
		if size < aceHeader+sidHeader || size > len(rest) {
			break
		}
		ace := rest[:size]
		rest = rest[size:]
		kind, mask := ace[0], le.Uint32(ace[4:])
		if kind > aceDeny || ace[1]&aceInheritOnly != 0 {
			continue
		}
		who := securityDescriptor(ace).sid(aceHeader)
		switch {
		case who == nil:
		case string(who) == string(owner) && !(same && own.allow != 0):
			if !who.admin() || own.allow == 0 {
				own.add(kind, mask)
			}
		case string(who) == string(group):
			if !who.admin() || grp.allow == 0 {
				grp.add(kind, mask)
			}
		case who.world():
			all.add(kind, mask)
		case who.is(0, 0) && kind == aceAllow:
			special |= mask & 7
		}
	}
	if own.entries == 0 {
		own = all
	}
	if grp.entries == 0 {
		grp = all
	}
	return special<<9 | own.bits()<<6 | grp.bits()<<3 | all.bits(), true
}
