package layout

import "encoding/binary"

// Inode is one inode of sb_inodesize bytes (xfs_dinode).
type Inode []byte

func (n Inode) Magic() uint16          { return be16(n, 0) }
func (n Inode) Mode() uint16           { return be16(n, 2) }
func (n Inode) Version() uint8         { return n[4] }
func (n Inode) Format() uint8          { return n[5] }
func (n Inode) OldLinks() uint16       { return be16(n, 6) } // of version 1
func (n Inode) UID() uint32            { return be32(n, 8) }
func (n Inode) GID() uint32            { return be32(n, 12) }
func (n Inode) Links() uint32          { return be32(n, 16) }
func (n Inode) ProjectLo() uint16      { return be16(n, 20) }
func (n Inode) ProjectHi() uint16      { return be16(n, 22) }
func (n Inode) BigExtents() uint64     { return be64(n, 24) } // with Nrext64
func (n Inode) FlushIter() uint16      { return be16(n, 30) } // of versions 1 and 2
func (n Inode) Atime() uint64          { return be64(n, 32) }
func (n Inode) Mtime() uint64          { return be64(n, 40) }
func (n Inode) Ctime() uint64          { return be64(n, 48) }
func (n Inode) Size() uint64           { return be64(n, 56) }
func (n Inode) Blocks() uint64         { return be64(n, 64) }
func (n Inode) Extents() uint32        { return be32(n, 76) } // without Nrext64
func (n Inode) BigAttrExtents() uint32 { return be32(n, 76) } // with Nrext64
func (n Inode) AttrExtents() uint16    { return be16(n, 80) } // without Nrext64
func (n Inode) ForkOff() uint8         { return n[82] }       // units of 8 bytes
func (n Inode) AttrFormat() uint8      { return n[83] }
func (n Inode) Flags() uint16          { return be16(n, 90) }
func (n Inode) Generation() uint32     { return be32(n, 92) }
func (n Inode) NextUnlinked() uint32   { return be32(n, 96) }

// The fields below exist in version 3 only.

func (n Inode) Checksum() uint32 { return le32(n, inodeChecksum) }
func (n Inode) LSN() uint64      { return be64(n, inodeLSN) }
func (n Inode) Flags2() uint64   { return be64(n, 120) }
func (n Inode) Crtime() uint64   { return be64(n, 144) }
func (n Inode) Ino() uint64      { return be64(n, 152) }
func (n Inode) UUID() []byte     { return n[160:176] }

func (n Inode) SetNextUnlinked(v uint32) { put32(n, InodeNextUnlinked, v) }
func (n Inode) SetRdev(v uint32) {
	if b := n[n.HeaderSize():]; len(b) >= 4 {
		put32(b, 0, v)
	}
}

// SetNew makes the bytes an inode that was never used. ino and uuid are for
// version 3.
func (n Inode) SetNew(version uint8, generation uint32, ino uint64, uuid []byte) {
	clear(n)
	put16(n, 0, InodeMagic)
	n[4] = version
	put32(n, 92, generation)
	put32(n, InodeNextUnlinked, NullAGIno)
	if version >= 3 {
		put64(n, 152, ino)
		copy(n[160:176], uuid)
		n.Seal()
	}
}

// Sum is the checksum of an inode of version 3, taken as if the stored one
// were zero.
func (n Inode) Sum() uint32 { return Checksum(n, inodeChecksum) }

// Seal makes the checksum of an inode of version 3 right.
func (n Inode) Seal() { binary.LittleEndian.PutUint32(n[inodeChecksum:], n.Sum()) }

// HeaderSize is the length of what stands before the forks.
func (n Inode) HeaderSize() int {
	if n.Version() >= 3 {
		return InodeHeader3
	}
	return InodeHeader2
}

// Nrext64 says that the counts of extents are the large ones.
func (n Inode) Nrext64() bool { return n.Version() >= 3 && n.Flags2()&Flag2Nrext64 != 0 }

// Bigtime says that times count nanoseconds.
func (n Inode) Bigtime() bool { return n.Version() >= 3 && n.Flags2()&Flag2Bigtime != 0 }

// DataFork and AttrFork are the two forks, cut where the inode says. The
// attribute fork is empty where there is none. ForkOff must have been compared.

func (n Inode) DataFork() []byte {
	if off := int(n.ForkOff()) * 8; off > 0 {
		return n[n.HeaderSize() : n.HeaderSize()+off : n.HeaderSize()+off]
	}
	return n[n.HeaderSize():]
}

func (n Inode) AttrFork() []byte {
	if off := int(n.ForkOff()) * 8; off > 0 {
		return n[n.HeaderSize()+off:]
	}
	return nil
}

// ForkOffFits says whether the forks lie within the inode.
func (n Inode) ForkOffFits() bool { return n.HeaderSize()+int(n.ForkOff())*8 < len(n) }

// DataExtents and AttrExtentCount are how many extents the forks claim.

func (n Inode) DataExtents() uint64 {
	if n.Nrext64() {
		return n.BigExtents()
	}
	return uint64(n.Extents())
}

func (n Inode) AttrExtentCount() uint64 {
	if n.Nrext64() {
		return uint64(n.BigAttrExtents())
	}
	return uint64(n.AttrExtents())
}

const (
	InodeMagic   = 0x494e // IN
	InodeHeader2 = 100
	InodeHeader3 = 176
	// LoggedHeader2 is the length of versions 1 and 2 in the log, which leave
	// out the pointer of unlinked inodes.
	LoggedHeader2 = 96

	InodeNextUnlinked = 96 // of the pointer
	inodeChecksum     = 100
	inodeLSN          = 112

	// di_format and di_aformat.
	FormatDev     = 0
	FormatLocal   = 1
	FormatExtents = 2
	FormatBtree   = 3

	// di_flags.
	FlagRealtime  = 1 << 0
	FlagImmutable = 1 << 3
	FlagAppend    = 1 << 4
	FlagNoDump    = 1 << 7

	// di_flags2.
	Flag2Reflink  = 1 << 1
	Flag2Bigtime  = 1 << 3
	Flag2Nrext64  = 1 << 4
	Flag2Metadata = 1 << 5

	// A big time is nanoseconds since this second.
	BigtimeEpoch = -(1 << 31)
)

// SetLogged takes the fields of an inode from the log, which has them in the
// same places but in the byte order of the machine that wrote it
// (xfs_log_dinode). lsn is that of the transaction. logged must be as long as
// the header of its version, LoggedHeader2 or InodeHeader3.
func (n Inode) SetLogged(logged []byte, order binary.ByteOrder, lsn uint64) {
	swap16 := func(at int) { put16(n, at, order.Uint16(logged[at:])) }
	swap32 := func(at int) { put32(n, at, order.Uint32(logged[at:])) }
	swap64 := func(at int) { put64(n, at, order.Uint64(logged[at:])) }
	flags2 := uint64(0)
	if logged[4] >= 3 {
		flags2 = order.Uint64(logged[120:])
	}
	swap16(0)
	swap16(2)
	n[4], n[5] = logged[4], logged[5]
	put16(n, 6, 0)
	if flags2&Flag2Metadata != 0 {
		swap16(6) // di_metatype
	}
	for _, at := range [...]int{8, 12, 16} {
		swap32(at)
	}
	swap16(20)
	swap16(22)
	times := []int{32, 40, 48}
	if logged[4] >= 3 {
		times = append(times, 144)
	}
	for _, at := range times {
		if flags2&Flag2Bigtime != 0 {
			swap64(at)
		} else {
			swap32(at)
			swap32(at + 4)
		}
	}
	swap64(56)
	swap64(64)
	swap32(72)
	swap32(76)
	if flags2&Flag2Nrext64 != 0 {
		swap64(24)
		put16(n, 80, 0)
	} else {
		swap16(80)
		clear(n[24:32])
	}
	n[82], n[83] = logged[82], logged[83]
	swap32(84)
	swap16(88)
	swap16(90)
	swap32(92)
	if logged[4] >= 3 {
		swap64(104)
		put64(n, inodeLSN, lsn)
		swap64(120)
		swap32(128)
		copy(n[132:144], logged[132:144])
		swap64(152)
		copy(n[160:176], logged[160:176])
	}
}

// LoggedMagic, LoggedFlushIter, LoggedVersion, LoggedMode, LoggedForkOff read
// fields of a logged inode.

func LoggedMagic(logged []byte, order binary.ByteOrder) uint16     { return order.Uint16(logged) }
func LoggedVersion(logged []byte) uint8                            { return logged[4] }
func LoggedFlushIter(logged []byte, order binary.ByteOrder) uint16 { return order.Uint16(logged[30:]) }

// DeviceNumber is what the data fork of a device node holds.
func DeviceNumber(fork []byte) uint32 { return be32(fork, 0) }
