package daemon

import (
	"log/slog"

	"github.com/guestctl/guestctl/formats/crypt"
)

// A Spec says what to open and how to show it.
type Spec struct {
	Images []ImageSpec // in order: the first disk is sda
	View   View
	Mounts []MountSpec // ViewExplicit: what is mounted where

	// Writable opens the images, and the filesystems that the view shows, for
	// writing: all of them, or Open fails with a *NotWritableError. A
	// MountSpec with the option ro is left out of it.
	Writable bool
	// Partly leaves those read-only that cannot be written, as long as one can;
	// Guest.NotWritten says which.
	Partly bool

	ForceShare bool // no locks: read images that a VM may be writing
	NoRecovery bool // do not replay journals

	// AllowBacking lists folders, besides each image's own, below which files
	// that an image names may be opened.
	AllowBacking []string

	// Keys unlock encrypted volumes; nil for none. They are used while Open
	// runs only, and whoever made them wipes them.
	Keys *crypt.Keys `json:"-"`

	// Partial shows volumes of which members are missing, as far as they go.
	Partial bool

	// Files opens the host's files; nil: this process does, by NewHostFiles
	// with AllowBacking.
	Files Opener `json:"-"`

	// CacheBytes bounds the metadata cache of each filesystem and image; 0
	// leaves it to each.
	CacheBytes int64

	Log *slog.Logger `json:"-"` // nil: nothing is logged
}

// An ImageSpec is one image to open.
type ImageSpec struct {
	Path       string
	Format     string // "raw", "qcow2"; "" finds it by content
	SectorSize int    // 512 or 4096; 0 finds it
	Snapshot   string // internal snapshot, by name or id; "" is the current state
}

// A View is the way a Guest is shown as one tree.
type View uint8

const (
	// ViewAuto is ViewInspect where exactly one operating system is found, else
	// ViewPartitions.
	ViewAuto View = iota
	// ViewPartitions has one folder for each filesystem: sda1, sda2.
	ViewPartitions
	// ViewInspect is the guest as it sees itself: its root at /, what its
	// fstab names below. It fails where no system or more than one is found.
	ViewInspect
	// ViewExplicit mounts what Spec.Mounts says and nothing else.
	ViewExplicit
)

// String names the view for messages.
func (v View) String() string {
	switch v {
	case ViewAuto:
		return "auto"
	case ViewPartitions:
		return "partitions"
	case ViewInspect:
		return "inspect"
	case ViewExplicit:
		return "explicit"
	}
	return "unknown"
}
