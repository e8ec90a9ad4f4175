// Package scheme is the contract that every way to divide or join disks meets.
// Package volume shows the same types under its own name; they stand here so
// that the schemes can import them and volume can list the schemes.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package scheme

import (
	"context"
	"fmt"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/crypt"
)

// A Volume is a named device that may carry a filesystem or other volumes.
type Volume struct {
	Name  string       // "sda1", "vg-root", "cryptsda2", "md0"
	Type  string       // the scheme that found it: "gpt", "mbr", "lvm2", "luks", "md"; "disk" for a whole disk
	Kind  string       // what the scheme says of it: GPT type GUID in upper case, MBR type as "0x83", "striped", "raid5"
	UUID  string       // as the scheme writes it: PARTUUID in lower case, UUID of a logical volume, a LUKS header, an array
	Label string       // PARTLABEL, a LUKS label, the name of an array
	Disk  string       // the disk it lies on, the first of several: "sda"
	Off   int64        // of a partition: bytes from the start of the device that has the table; else 0
	Dev   block.Device // nil where Err is set and nothing can be read
	Err   error        // known but not usable, and why

	// On names the devices that it lies on. They hold volumes and are not to
	// be read as filesystems.
	On []string
	// Aliases are other names, relative to /dev: "vg/root", "mapper/vg-root".
	Aliases []string
	// Holds is the scheme whose member this volume is; "" where it is none.
	Holds string
}

// A Device is a named input: a disk, or a volume found on one.
type Device struct {
	Name       string // "sda"
	Dev        block.Device
	SectorSize int // 512 or 4096 where the caller knows (--blocksize); 0 finds it

	// Of a device that is itself a volume. A disk has the zero values.
	Disk    string   // the disk it lies on
	Aliases []string // as of the Volume
	Nested  bool     // it is not asked for a partition table
}

// Options are what a scan may use.
type Options struct {
	Keys *crypt.Keys // of encrypted volumes; nil for none

	// Partial shows volumes of which members are missing, with read errors
	// where these were. Without it such a volume has an Err.
	Partial bool

	// Final says that no further devices will come, so that what is
	// incomplete stays so. Package volume sets it.
	Final bool

	// Warn takes what is damaged and was worked around. It may be called from
	// any goroutine.
	Warn func(error)
}

// Found is what a scheme says of the devices.
type Found struct {
	// Volumes are those found. One with the name of a device says that this
	// device is unusable: Err.
	Volumes []Volume

	// Members names the devices that are the scheme's, though nothing of them
	// can be shown yet or at all: no other scheme and no filesystem driver is
	// asked about them. What stands in a Volume's On is a member as well.
	Members []string
}

// A Scheme is one way to divide or join devices.
type Scheme struct {
	Name string

	// Scan looks for its structures on the devices. No structures is an empty
	// answer. What can be told of a single volume stands in that volume; the
	// error is ctx's or one of the whole scan.
	Scan func(ctx context.Context, devs []Device, opt Options) (Found, error)
}

// MaxVolumes bounds the volumes that a scheme finds on one device. Linux shows
// at most 255 partitions.
const MaxVolumes = 1024

// MaxDevices bounds the volumes of one scan.
const MaxDevices = 1 << 14

// SectorSizes are the sizes to consider for d, in bytes, the likelier first.
func (d Device) SectorSizes() []int64 {
	if d.SectorSize != 0 {
		return []int64{int64(d.SectorSize)}
	}
	return []int64{512, 4096}
}

// Root is the disk that d lies on.
func (d Device) Root() string {
	if d.Disk != "" {
		return d.Disk
	}
	return d.Name
}

// Each makes the Scan of a scheme that looks at one device at a time. scan
// answers nothing for a device that is not the scheme's, and an error for one
// that is but cannot be used. Devices are looked at at the same time.
func Each(name string, scan func(ctx context.Context, d Device, opt Options) ([]Volume, error)) func(context.Context, []Device, Options) (Found, error) {
	return func(ctx context.Context, devs []Device, opt Options) (Found, error) {
		answers := make([][]Volume, len(devs))
		var wg sync.WaitGroup
		for i, d := range devs {
			wg.Go(func() {
				own := opt
				own.Warn = func(err error) { opt.Warn(fmt.Errorf("%s: %w", d.what(), err)) }
				answers[i] = guarded(ctx, name, d, own, scan)
			})
		}
		wg.Wait()
		var f Found
		for _, vols := range answers {
			f.Volumes = append(f.Volumes, vols...)
		}
		return f, ctx.Err()
	}
}

// guarded scans one device. A scheme's own bug must not end the process from a
// goroutine that nobody guards.
func guarded(ctx context.Context, name string, d Device, opt Options, scan func(context.Context, Device, Options) ([]Volume, error)) (vols []Volume) {
	defer func() {
		if r := recover(); r != nil {
			vols = []Volume{{Name: d.Name, Type: name, Disk: d.Root(), Err: fmt.Errorf("panic while scanning %s: %v", d.Name, r)}}
		}
	}()
	vols, err := scan(ctx, d, opt)
	if err != nil {
		return []Volume{{Name: d.Name, Type: name, Disk: d.Root(), Err: err}}
	}
	for i := range vols {
		if vols[i].Name != d.Name && len(vols[i].On) == 0 {
			vols[i].On = []string{d.Name}
		}
	}
	return vols
}

// what names d in a message.
func (d Device) what() string {
	if d.Nested {
		return d.Name
	}
	return "disk " + d.Name
}
