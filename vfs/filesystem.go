package vfs

import (
	"context"
	"iter"
	"log/slog"

	"github.com/guestctl/guestctl/formats/block"
)

// A Driver is one kind of filesystem.
type Driver struct {
	Name string // as blkid names it: "ext4" also probes ext2 and ext3

	// Probe says whether dev carries this filesystem, and what it is called.
	// It answers *ondisk.NotThisError where it does not, and reads little. A
	// filesystem that is recognised but cannot be opened gets an Info here
	// and its error at Open.
	Probe func(ctx context.Context, dev block.Device) (Info, error)

	// Open opens the filesystem on devs: one, but for those that span
	// several. It reads the least that makes the root readable. The
	// FileSystem borrows devs.
	Open func(ctx context.Context, devs []block.Device, opt Options) (FileSystem, error)
}

// Options are the choices of opening a filesystem.
type Options struct {
	Writable   bool
	NoRecovery bool   // do not replay the journal, as the kernel's norecovery
	CacheBytes int64  // bound of the metadata cache; 0 is the driver's default
	Mount      string // the filesystem's own mount options, "subvol=@,..."
	// Sidecar is where the changes of a filesystem without a journal are logged;
	// nil makes such a filesystem read-only.
	Sidecar Sidecar
	Log     *slog.Logger
}

// Info describes a filesystem.
type Info struct {
	Type            string // "ext4", "ext3", "xfs", "vfat", as blkid says
	UUID            string // as blkid prints it
	Label           string // bytes as on disk, cut at the first NUL
	Size            int64  // bytes the filesystem spans, by its own account
	BlockSize       int    // bytes, the unit of allocation
	NameMax         int    // bytes of the longest name
	ReadOnly        bool   // it is open read-only, or can only be
	Dirty           bool   // it was not unmounted cleanly
	Replayed        bool   // a journal was replayed, in memory or home
	HasXattrs       bool   // some inode may carry an extended attribute
	NoACLs          bool   // no POSIX ACLs, "security." or "trusted." attributes can be: asking for one is EOPNOTSUPP
	CaseInsensitive bool   // names may be found under another case
	Features        []string
}

// An Ino names an inode in a FileSystem. It is comparable. The zero Ino names
// nothing.
type Ino struct {
	Tree uint64 // btrfs subvolume; 0 elsewhere
	Num  uint64 // inode number, MFT record number, position of a FAT entry
	Gen  uint64 // generation; 0 where the caller does not know, which a driver accepts
}

// A Sidecar is a place beside a volume for the changes of a filesystem that
// has no journal of its own: a redo.Sidecar.
type Sidecar interface {
	Size() (int64, error) // 0 where there is none
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error) // makes it where there is none
	Sync(ctx context.Context) error
	Remove() error
	String() string
}

// A FileSystem is an opened filesystem. It is safe for any number of
// goroutines. Where it is writable the caller holds the lock of every inode
// that a call names; drivers never lock inodes.
type FileSystem interface {
	Info() Info
	Root() Ino

	// Devices are what extents speak of. A replay overlay is included and
	// answers Opaque where it overlays.
	Devices() []block.Device

	// Inode reads one inode. ENOENT or ESTALE where ino names none.
	Inode(ctx context.Context, ino Ino) (Inode, error)

	// Usage says how full the filesystem is.
	Usage(ctx context.Context) (Usage, error)

	// Begin starts a change: EROFS where the filesystem is read-only. It is
	// the only place that waits for room in a log.
	Begin(ctx context.Context, op Op) (Tx, error)

	// Sync makes all that was committed durable.
	Sync(ctx context.Context) error

	// Close leaves the filesystem clean, if it was writable, and frees it.
	// Nothing may be in use any more.
	Close(ctx context.Context) error
}

// A Prefetcher is a FileSystem that can read the metadata of many inodes at
// once, in few large sorted reads. Prefetch returns when the inodes are in
// memory or their reading failed, which shows again at Inode. Of directories the
// first blocks may be read along: whoever prefetches a directory's children is
// likely to list them.
type Prefetcher interface {
	Prefetch(ctx context.Context, inos []Ino)
}

// An Inode is a file, directory or anything else with a number. It does not
// change while its FileSystem is read-only. It is safe for any number of
// goroutines.
type Inode interface {
	Ino() Ino
	Attr() Attr

	// Lookup finds name in a directory, by index where there is one. ENOENT
	// where it is not, ENOTDIR where the inode is no directory. The Ino's Gen
	// may be 0.
	Lookup(ctx context.Context, name string) (Ino, error)

	// Entries lists a directory from after the cursor on, without . and ..,
	// in an order in which a Cursor keeps its place. The zero Cursor starts
	// at the beginning. It ends at the first error.
	Entries(ctx context.Context, after Cursor) iter.Seq2[Entry, error]

	// Map says where the n bytes at off lie: the longest extent at off with
	// one answer, at most n bytes, and possibly shorter than the truth.
	// 0 <= off < Attr().Size and n > 0.
	Map(ctx context.Context, off, n int64) (Extent, error)

	// Readlink is the target of a symlink; EINVAL for anything else.
	Readlink(ctx context.Context) (string, error)

	// Xattrs lists the extended attributes as Linux names them: "user.x",
	// "system.posix_acl_access" in the xattr format of Linux.
	Xattrs(ctx context.Context) iter.Seq2[Xattr, error]
}

// Attr is what stat shows. It is a value.
type Attr struct {
	Mode    uint32 // type and permission bits of inode(7): S_IFREG | 0o644
	Nlink   uint32
	UID     uint32
	GID     uint32
	Rdev    uint32 // new_encode_dev: minor low 8, major 12, minor high 12 bits
	Project uint32
	Flags   Flags
	Size    int64 // bytes
	Blocks  int64 // units of 512 bytes allocated
	Atime   Time
	Mtime   Time
	Ctime   Time
	Btime   Time // zero where not recorded
	NoXattr bool // provably without extended attributes
}

// Time is seconds and nanoseconds since 1970, UTC.
type Time struct {
	Sec  int64
	Nsec uint32 // < 1e9
}

// Flags are the attributes of an inode that statx(2) reports.
type Flags uint32

// The values are statx's STATX_ATTR_*.
const (
	FlagCompressed Flags = 0x4
	FlagImmutable  Flags = 0x10
	FlagAppend     Flags = 0x20
	FlagNoDump     Flags = 0x40
	FlagEncrypted  Flags = 0x800
	FlagVerity     Flags = 0x100000
)

// A Cursor is a place in a directory. A driver uses Off where it can, and Name
// where only the last name keeps the place under changes.
type Cursor struct {
	Off  uint64
	Name string
}

// An Entry is one name in a directory.
type Entry struct {
	Name string
	Ino  Ino
	Type uint32 // S_IFMT bits; 0 where the directory does not say
	Next Cursor // what continues after this entry
}

// ExtentKind says what an Extent is.
type ExtentKind uint8

const (
	Hole    ExtentKind = iota // reads as zeros: never written, or unwritten
	Mapped                    // at Off of Dev
	Inline                    // the bytes are in Inline
	Encoded                   // compressed or encrypted: Decode gives the bytes
)

// An Extent is the answer of Map.
type Extent struct {
	Kind   ExtentKind
	Len    int64        // bytes of the file, > 0
	Dev    block.Device // Mapped
	Off    int64        // Mapped: byte offset in Dev
	Inline []byte       // Inline: Len bytes
	// Encoded: Decode fills p from off bytes into the extent, by io.ReaderAt's
	// rules: all of p counts as good where n is len(p), whatever err is.
	Decode func(ctx context.Context, p []byte, off int64) (n int, err error)
	// Unwritten marks a Hole that has blocks reserved.
	Unwritten bool
}

// An Xattr is one extended attribute.
type Xattr struct {
	Name string
	Size int64
	// Hidden attributes are read by name and are in no listing that a person
	// or a copying program sees, as ntfs-3g has it with "system.ntfs_*".
	Hidden bool
	Read   func(ctx context.Context) ([]byte, error)
}

// Usage is what statfs shows.
type Usage struct {
	BlockSize int    // bytes, the unit of the block counts
	Blocks    uint64 // in all, without the filesystem's own metadata as statfs has it
	Free      uint64
	Available uint64 // to an ordinary user
	Files     uint64
	FilesFree uint64
}

// Op says what a Tx is about to do, so that Begin can reserve for it.
type Op struct {
	Name  string
	Inos  []Ino
	Bytes int64
	Time  Time // the time of the change, which mtime and ctime get
}

// A Tx is one change: all of it or none. Nobody sees any of it before Commit,
// and Abort forgets it at any time. While it is open no other is: it is short,
// and it waits for nobody. After an error of any method it is to be aborted.
//
// Permissions are the caller's to check; the immutable and append-only flags
// are the driver's.
type Tx interface {
	// Create makes a file, directory, symlink or node. EEXIST where the name is
	// there; ENOSPC, EMLINK, ENAMETOOLONG as the kernel.
	Create(ctx context.Context, dir Ino, name string, what New) (Ino, error)

	// CreateUnnamed makes a file without a name, which Link may give it.
	CreateUnnamed(ctx context.Context, dir Ino, what New) (Ino, error)

	// Link gives a file that is no directory another name.
	Link(ctx context.Context, ino, dir Ino, name string) error

	// Unlink takes a name away, of a directory where isDir says so, which must
	// be empty. An inode without a name is kept until Evict.
	Unlink(ctx context.Context, dir Ino, name string, isDir bool) (Ino, error)

	// Rename is renameat2(2). It answers the inode that lost its name, or none.
	Rename(ctx context.Context, fromDir Ino, from string, toDir Ino, to string, flags RenameFlags) (gone Ino, err error)

	// Setattr changes what c names.
	Setattr(ctx context.Context, ino Ino, c Change) error

	// SetXattr sets an attribute, or removes it where value is nil; flags are
	// those of setxattr(2). A new access ACL changes the mode too.
	SetXattr(ctx context.Context, ino Ino, name string, value []byte, flags int) error

	// Extend maps what was reserved and written, and makes the file at least
	// size bytes long.
	Extend(ctx context.Context, r *Reservation, size int64) error

	// Commit makes the change, visible when it returns and durable where wait
	// says so. An error means that nothing was changed, but for one of waiting.
	Commit(wait bool) error
	Abort()
}
