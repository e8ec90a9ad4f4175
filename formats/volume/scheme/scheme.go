// Package scheme is the contract that every way to divide disks meets. Package
// volume shows the same types under its own name; they stand here so that the
// schemes can import them and volume can list the schemes.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package scheme

import (
	"context"

	"github.com/guestctl/guestctl/formats/block"
)

// A Volume is a named device that may carry a filesystem.
type Volume struct {
	Name  string       // "sda1"
	Type  string       // the scheme that found it: "gpt", "mbr"; "disk" for a whole disk
	Kind  string       // what the table says is inside: GPT type GUID in upper case, MBR type as "0x83"
	UUID  string       // PARTUUID as the kernel writes it: GPT GUID in lower case, "diskid-NN" for MBR
	Label string       // PARTLABEL
	Disk  string       // the disk it lies on: "sda"
	Off   int64        // bytes from the start of that disk; 0 where the volume is no single stretch
	Dev   block.Device // nil where Err is set and nothing can be read
	Err   error        // known but not usable, and why
}

// A Disk is a named input.
type Disk struct {
	Name       string // "sda"
	Dev        block.Device
	SectorSize int // 512 or 4096 where the caller knows (--blocksize); 0 finds it
}

// A Scheme is one way to divide devices.
type Scheme struct {
	Name string
	// Scan looks for its structures on each disk. No structures is an empty
	// answer, not an error; damage that still leaves something to show is
	// told in warn. A scheme that claims a disk but finds nothing usable
	// answers an error.
	Scan func(ctx context.Context, disk Disk, warn func(error)) ([]Volume, error)
}

// MaxVolumes bounds the volumes of one disk. Linux shows at most 255.
const MaxVolumes = 1024

// SectorSizes are the sizes to consider for d, in bytes, the likelier first.
func (d Disk) SectorSizes() []int64 {
	if d.SectorSize != 0 {
		return []int64{int64(d.SectorSize)}
	}
	return []int64{512, 4096}
}
