package vfs

import "context"

// A Subvolumer is a FileSystem that holds several trees of files: subvolumes
// and snapshots. Each can be shown by itself: its Root is an inode of this
// FileSystem, and the option "subvolid=" opens it as another one.
type Subvolumer interface {
	// Subvolumes lists all of them, whether the tree that is shown leads to
	// them or not.
	Subvolumes(ctx context.Context) ([]Subvolume, error)
}

// A Subvolume is one tree of files in a FileSystem.
type Subvolume struct {
	ID           uint64
	Parent       uint64 // ID of the one that it is in; 0 where none
	Path         string // from the top level: "/", "/@/.snapshots/1/snapshot"
	Root         Ino
	UUID         string // "" where not recorded
	ParentUUID   string // of what it is a snapshot of; "" where it is none
	ReceivedUUID string
	ReadOnly     bool
	Default      bool // it is shown where no option says otherwise
	Generation   uint64
	Created      Time // zero where not recorded
}
