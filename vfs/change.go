package vfs

import "github.com/guestctl/guestctl/formats/block"

// A New says what Tx.Create makes.
type New struct {
	Mode   uint32 // type and permission bits of inode(7)
	Mask   uint32 // the umask, which counts where the directory has no default ACL
	UID    uint32
	GID    uint32 // the directory's where that has the set-group-ID bit
	Rdev   uint32 // of a device node, as Attr has it
	Target string // of a symlink
}

// A Change says what Tx.Setattr changes: what is not nil.
type Change struct {
	Mode  *uint32 // permission bits
	UID   *uint32
	GID   *uint32
	Atime *Time
	Mtime *Time
	Ctime *Time // the time of the change otherwise
}

// RenameFlags are those of renameat2(2).
type RenameFlags uint32

const (
	RenameNoReplace RenameFlags = 1
	RenameExchange  RenameFlags = 2
)

// A Reservation is where bytes of a file are to be written, before its map says
// so. Places follow one another, from the block that holds Off on.
type Reservation struct {
	Ino    Ino
	Off    int64
	Places []Place
	Driver any // the driver's own
}

// A Place is a stretch of whole blocks of a file on a device.
type Place struct {
	FileOff int64 // of its first byte in the file
	Dev     block.Writer
	Off     int64 // of its first byte in Dev
	Len     int64
	Fresh   bool // it reads as zeros: what the caller does not write must be written as zeros
}

// A Fallocation is a mode of fallocate(2).
type Fallocation uint32

// The values are Linux's.
const (
	FallocateKeepSize  Fallocation = 0x1
	FallocatePunchHole Fallocation = 0x2
	FallocateZeroRange Fallocation = 0x10
)
