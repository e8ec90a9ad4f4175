// Package image is the contract that every image format meets: how one is
// recognised and opened, and what an opened one is. Package formats shows the
// same types under its own name; they stand here so that the formats can
// import them and formats can list the formats.
package image

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/crypt"
)

// A Format is one kind of disk image.
type Format struct {
	// Name is what --format takes: qemu's name where it has one.
	Name string

	// Probe says whether src is of this format: nil, an
	// *ondisk.NotThisError, or what stopped it from telling.
	Probe func(ctx context.Context, src block.Device) error

	// Open opens src. There is one Image but for containers of several disks.
	// The images borrow src; closing them does not close it.
	Open func(ctx context.Context, src block.Device, opt Options) ([]Image, error)
}

// Options are the choices of opening an image.
type Options struct {
	Writable bool   // the images are block.Writers, or Open refuses and has written nothing
	Snapshot string // internal snapshot to read, by name or id; "" is the current state
	Log      *slog.Logger

	// Related opens another file that the image names, as the disk that it
	// holds: name as the image has it, format "" where the image does not
	// say. raw asks for the bytes of the file, whatever they look like. It is
	// nil where no other file may be opened. The caller keeps what it opened
	// until the image is closed, and bounds how deep a chain may be.
	Related func(ctx context.Context, name, format string) (block.Device, error)

	// RelatedWriter opens the file that holds the disk's bytes outside the
	// image, qcow2's external data file, for writing. It is asked only where
	// Writable, and only for that file: a backing file is never written.
	RelatedWriter func(ctx context.Context, name string) (block.Writer, error)

	// Name is that of the file, without its folder, for formats whose files
	// do not name each other; "" where it is not known. No Probe sees it.
	Name string

	// Keys unlock an encrypted image; nil for none.
	Keys *crypt.Keys

	// CacheBytes bounds what this image keeps in memory; 0 is the format's default.
	CacheBytes int64
}

// An Image is an opened disk.
type Image interface {
	block.Device
	Info() Info
	// Close frees the image's memory and waits for its goroutines. An image
	// that is open for writing first makes all that was written durable and
	// marks the image as closed; where that fails, the image is as a crash
	// leaves it. It does not close the Device that the image was opened on.
	Close() error
}

// Info describes an opened image.
type Info struct {
	Format      string     // Format.Name
	VirtualSize int64      // bytes of the disk
	ClusterSize int64      // bytes; 0 where the format has none
	Backing     string     // the parent file as the image names it; "" where none
	BackingFmt  string     // its format, where the image says
	DataFile    string     // external data file; "" where none
	Snapshots   []Snapshot // internal snapshots
	Compression string     // "zlib", "zstd"; "" where the format has none
	Version     string     // of the format: "2", "3"
	Damaged     string     // the image is marked as damaged or not closed: how; "" where fine
}

// A NoSnapshotError says that an image has no snapshot of that name or id. It
// is no fs.ErrNotExist: the image is there.
type NoSnapshotError struct {
	Want string
	Have []string // the ids and names that there are, perhaps not all
}

func (e *NoSnapshotError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("no snapshot %q: the image has none", e.Want)
	}
	return fmt.Sprintf("no snapshot %q: the image has %s", e.Want, strings.Join(e.Have, ", "))
}

// A Snapshot is one state kept inside an image.
type Snapshot struct {
	ID, Name string
	Size     int64 // bytes of the disk at that time
	Unix     int64 // seconds since 1970 when it was taken
}
