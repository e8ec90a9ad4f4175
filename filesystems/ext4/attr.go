package ext4

import (
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// statFlags are the bits of i_flags that statx reports, with the same values.
const statFlags = flagCompressed | flagImmutable | flagAppend | flagNoDump | flagEncrypt | flagVerity

// Attr decodes the inode's bytes.
func (n *inode) Attr() vfs.Attr {
	r := n.raw
	a := vfs.Attr{
		Mode: uint32(r.mode()), Nlink: uint32(r.links()), UID: r.uid(), GID: r.gid(),
		Size: n.size(), Blocks: n.blocks512(), Flags: vfs.Flags(r.flags() & statFlags),
		Atime: n.time(r.atime(), inodeAtimeExtra), Mtime: n.time(r.mtime(), inodeMtimeExtra), Ctime: n.time(r.ctime(), inodeCtimeExtra),
		NoXattr: n.provesNoXattr(),
	}
	if r.has(inodeCrtime, 4) {
		a.Btime = n.time(r.crtime(), inodeCrtimeExtra)
	}
	if n.fs.sb.hasRoCompat(roProject) && r.has(inodeProjectID, 4) {
		a.Project = r.projectID()
	}
	switch n.fileType() {
	case syscall.S_IFREG:
		if n.flag(flagInlineData) {
			a.Blocks += (a.Size + 511) >> 9 // as the kernel says, so that nobody takes the file for a hole
		}
	case syscall.S_IFCHR, syscall.S_IFBLK:
		a.Rdev = n.rdev()
	case syscall.S_IFLNK:
		if n.flag(flagEncrypt) {
			a.Size = int64(noKeyLen(int(min(a.Size, maxSymlink)) - encryptedLinkHeader))
		}
	}
	return a
}

// time joins seconds with the extra word at a place, if the inode has it: two
// more bits of seconds below thirty of nanoseconds.
func (n *inode) time(sec uint32, extraAt int) vfs.Time {
	t := vfs.Time{Sec: int64(int32(sec))}
	if n.raw.has(extraAt, 4) {
		extra := u32(n.raw, extraAt)
		t.Sec += int64(extra&3) << 32
		t.Nsec = min(extra>>2, 999_999_999)
	}
	return t
}

// blocks512 is i_blocks in units of 512 bytes.
func (n *inode) blocks512() int64 {
	blocks := int64(n.raw.blocksLo())
	if n.fs.sb.hasRoCompat(roHugeFile) {
		blocks |= int64(n.raw.blocksHigh()) << 32
		if n.flag(flagHugeFile) {
			blocks <<= n.fs.geo.blockBits - 9
		}
	}
	return blocks
}

// rdev is the device number of a device node. The first word of i_block is the
// old encoding, eight bits each; where it is 0 the second is the new one, which
// is vfs.Attr's. The old one reads as the new one too.
func (n *inode) rdev() uint32 {
	if old := u32(n.raw.iBlock(), 0); old != 0 {
		return old & 0xFFFF
	}
	return u32(n.raw.iBlock(), 4)
}
