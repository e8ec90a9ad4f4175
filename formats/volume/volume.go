// Package volume finds the volumes on disks: the partitions of a table, and,
// with more schemes, logical volumes, arrays and unlocked containers.
//
// A Scheme looks at a disk and answers volumes, which are devices again, so
// that schemes nest: a partition that is a physical volume is the input of the
// scheme that reads volume groups. A volume that is known but cannot be used
// is listed with the reason in Err, never dropped.
//
// Names are libguestfs's: disks are sda, sdb ... sdz, sdaa in the order given;
// partition N of sda is sda<N>, logical partitions count from 5; a disk that
// has no table is the volume sda itself. The extended partition of an MBR
// holds no filesystem and is not listed.
//
// Each scheme is one folder below this one and one line in All.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package volume

import (
	"context"
	"fmt"
	"sync"

	"github.com/guestctl/guestctl/formats/volume/gpt"
	"github.com/guestctl/guestctl/formats/volume/mbr"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// The contract, under the name by which the other layers know it.
type (
	Volume = scheme.Volume
	Disk   = scheme.Disk
	Scheme = scheme.Scheme
)

// TypeDisk is the Type of the volume that is a whole disk.
const TypeDisk = "disk"

// All lists the schemes in the order in which they are asked. GPT stands
// before MBR, since every GPT disk also has an MBR.
func All() []Scheme {
	return []Scheme{gpt.Scheme(), mbr.Scheme()}
}

// Scan finds the volumes of all disks, those of the first disk first and those
// of one disk by number. A disk without a table is one volume; so is one whose
// table is unreadable, with the reason in Err. The warnings say, one each, what
// is damaged and was worked around. The error is ctx's.
func Scan(ctx context.Context, disks []Disk) (vols []Volume, warnings []error, err error) {
	type result struct {
		vols []Volume
		warn []error
	}
	found := make([]result, len(disks))
	var wg sync.WaitGroup
	for i, d := range disks {
		wg.Go(func() {
			r := &found[i]
			r.vols = scanDisk(ctx, d, func(err error) { r.warn = append(r.warn, fmt.Errorf("disk %s: %w", d.Name, err)) })
		})
	}
	wg.Wait()
	for _, r := range found {
		vols = append(vols, r.vols...)
		warnings = append(warnings, r.warn...)
	}
	return vols, warnings, ctx.Err()
}

func scanDisk(ctx context.Context, d Disk, warn func(error)) (vols []Volume) {
	// A scheme's own bug must not end the process from a goroutine that
	// nobody guards.
	defer func() {
		if r := recover(); r != nil {
			vols = []Volume{{Name: d.Name, Type: TypeDisk, Disk: d.Name, Err: fmt.Errorf("panic while scanning disk %s: %v", d.Name, r)}}
		}
	}()
	for _, s := range All() {
		vols, err := s.Scan(ctx, d, warn)
		if err != nil {
			return []Volume{{Name: d.Name, Type: s.Name, Disk: d.Name, Err: err}}
		}
		if len(vols) > 0 {
			return vols
		}
	}
	return []Volume{{Name: d.Name, Type: TypeDisk, Disk: d.Name, Dev: d.Dev}}
}

// DiskName is the name of the n-th disk, from 0: sda ... sdz, sdaa ...
func DiskName(n int) string {
	s := ""
	for n++; n > 0; n = (n - 1) / 26 {
		s = string(rune('a'+(n-1)%26)) + s
	}
	return "sd" + s
}
