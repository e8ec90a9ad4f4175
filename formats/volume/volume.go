// Package volume finds the volumes on disks: the partitions of a table, logical
// volumes, arrays and unlocked containers, in any order upon each other.
//
// # Terms
//
//   - A Device is an input: a disk, or a volume that was found.
//   - A Scheme looks at devices and answers volumes, which are devices again: a
//     partition that is a physical volume is the input of the scheme that reads
//     volume groups, and so on, over as many disks as there are.
//   - A member is a device that holds volumes. It is listed, and is not to be
//     read as a filesystem.
//
// A volume that is known but cannot be used is listed with the reason in Err,
// never dropped.
//
// # Scanning
//
// Every scheme is offered the devices that nobody has claimed, in the order of
// All, again and again until none finds more. A device that a scheme names as
// its member is offered to this scheme only, and to none once it is part of a
// volume. As long as others still find devices, a scheme keeps to itself what
// is incomplete, since the missing member may yet come out of a container;
// when nobody finds more, Options.Final says so, and the incomplete is told or,
// where it can be, used. So the order of schemes decides only what a device is
// that could be two things: RAID goes before the tables that are inside of it.
//
// # Names
//
// Names are libguestfs's: disks are sda, sdb ... sdz, sdaa in the order given;
// partition N of sda is sda<N>, logical partitions count from 5; a disk that
// has no table is the volume sda itself. The extended partition of an MBR
// holds no filesystem and is not listed. A logical volume is vg-lv, with
// device-mapper's doubled dashes; the unlocked sda2 is cryptsda2; an array is
// md0 or md127. Of two volumes with one name the second gets "~2" and so on,
// with a warning.
//
// # Writing
//
// The Dev of a disk and of its partitions is a block.Writer where the disk's
// Device is one. That of any other volume never is, and so nothing on it is,
// though it lie in one stretch: logical volumes may have a snapshot, and arrays
// have copies that would differ.
//
// # Order
//
// Volumes are listed disk by disk, each before those that lie on it, partitions
// by number; what lies on several stands under the first.
//
// Each scheme is one folder below this one and one line in All.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package volume

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/bitlocker"
	"github.com/guestctl/guestctl/formats/volume/gpt"
	"github.com/guestctl/guestctl/formats/volume/ldm"
	"github.com/guestctl/guestctl/formats/volume/luks"
	"github.com/guestctl/guestctl/formats/volume/lvm2"
	"github.com/guestctl/guestctl/formats/volume/mbr"
	"github.com/guestctl/guestctl/formats/volume/md"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// The contract, under the name by which the other layers know it.
type (
	Volume  = scheme.Volume
	Device  = scheme.Device
	Options = scheme.Options
	Scheme  = scheme.Scheme
)

// TypeDisk is the Type of the volume that is a whole disk.
const TypeDisk = "disk"

// maxDepth bounds how many volumes lie upon each other.
const maxDepth = 32

// All lists the schemes in the order in which they are asked. What claims a
// whole disk stands before the tables, since it may hold one, and GPT before
// MBR, since every GPT disk also has an MBR.
func All() []Scheme {
	return []Scheme{md.Scheme(), luks.Scheme(), bitlocker.Scheme(), lvm2.Scheme(), ldm.Scheme(), gpt.Scheme(), mbr.Scheme()}
}

// IsTable says whether the scheme of that name is a partition table.
func IsTable(name string) bool { return name == gpt.Name || name == mbr.Name }

// Scan finds the volumes of all disks. A disk without a table is one volume; so
// is one whose table is unreadable, with the reason in Err. The warnings say,
// one each, what is damaged and was worked around. The error is ctx's.
func Scan(ctx context.Context, disks []Device, opt Options) (vols []Volume, warnings []error, err error) {
	s := &scanner{byName: make(map[string]*node)}
	var mu sync.Mutex
	told := make(map[string]bool) // a device is looked at more than once
	opt.Warn = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if text := err.Error(); !told[text] {
			told[text] = true
			warnings = append(warnings, err)
		}
	}
	for _, d := range disks {
		s.add(&node{device: d, volume: Volume{Name: d.Name, Type: TypeDisk, Disk: d.Name, Dev: d.Dev}}, opt)
	}
	for {
		opt.Final = false
		found, err := s.pass(ctx, opt)
		if err == nil && !found {
			opt.Final = true
			found, err = s.pass(ctx, opt)
		}
		if err != nil {
			return nil, nil, err
		}
		if !found {
			return s.list(), warnings, ctx.Err()
		}
	}
}

// A scanner is a scan under way.
type scanner struct {
	nodes  []*node // in the order found
	byName map[string]*node
}

// A node is a disk or volume.
type node struct {
	device   Device
	volume   Volume
	owner    string // the scheme whose member it is; "" for none
	used     bool   // a volume lies on it
	divided  bool   // by a partition table
	listed   bool
	depth    int
	children []*node
}

// pass offers every scheme what is left. found says that anything came of it.
func (s *scanner) pass(ctx context.Context, opt Options) (found bool, err error) {
	for _, sch := range All() {
		var devs []Device
		for _, n := range s.nodes {
			if n.volume.Dev != nil && !n.used && n.depth < maxDepth && (n.owner == "" || n.owner == sch.Name) {
				devs = append(devs, n.device)
			}
		}
		if len(devs) == 0 {
			continue
		}
		answer, err := sch.Scan(ctx, devs, opt)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			opt.Warn(fmt.Errorf("looking for %s: %w", sch.Name, err))
			continue
		}
		for _, name := range answer.Members {
			if n := s.byName[name]; n != nil {
				n.owner, n.volume.Holds = sch.Name, sch.Name
			}
		}
		for _, v := range answer.Volumes {
			found = true
			s.take(sch.Name, v, opt)
		}
		if found && len(answer.Volumes) > 0 {
			return true, nil // those before this scheme look at the new ones first
		}
	}
	return found, nil
}

// take adds a volume, or says of a device that it is unusable.
func (s *scanner) take(name string, v Volume, opt Options) {
	if n := s.byName[v.Name]; n != nil && len(v.On) == 0 {
		n.owner, n.used = name, true
		n.volume.Type, n.volume.Err, n.volume.Dev = v.Type, v.Err, nil
		return
	}
	if len(s.nodes) >= scheme.MaxDevices {
		opt.Warn(ondisk.Unsupported("disks", "more than %d volumes", scheme.MaxDevices))
		return
	}
	if v.Dev != nil && !IsTable(name) {
		v.Dev = block.ReadOnly(v.Dev)
	}
	n := &node{volume: v}
	for _, on := range v.On {
		if below := s.byName[on]; below != nil {
			below.owner, below.used, below.volume.Holds = name, true, name
			below.divided = IsTable(name)
			n.depth = max(n.depth, below.depth+1)
		}
	}
	n.device = Device{Dev: v.Dev, Disk: v.Disk, Aliases: v.Aliases, Nested: v.Type != "md"}
	s.add(n, opt)
	if len(v.On) > 0 && s.byName[v.On[0]] != nil {
		first := s.byName[v.On[0]]
		first.children = append(first.children, n)
	}
}

// add gives the node a name of its own.
func (s *scanner) add(n *node, opt Options) {
	name := n.volume.Name
	for i := 2; s.byName[n.volume.Name] != nil; i++ {
		n.volume.Name = name + "~" + strconv.Itoa(i)
	}
	if n.volume.Name != name {
		opt.Warn(fmt.Errorf("two volumes are called %q: the second, with the UUID %s, is shown as %q", name, n.volume.UUID, n.volume.Name))
		n.volume.Aliases = nil
	}
	n.device.Name = n.volume.Name
	s.nodes = append(s.nodes, n)
	s.byName[n.volume.Name] = n
}

// list is all volumes, each before those that lie on it. A disk that a table
// divides is none.
func (s *scanner) list() []Volume {
	var vols []Volume
	var walk func(n *node)
	walk = func(n *node) {
		if n.listed {
			return
		}
		n.listed = true
		if !n.divided {
			vols = append(vols, n.volume)
		}
		for _, c := range n.children {
			walk(c)
		}
	}
	for _, n := range s.nodes {
		if len(n.volume.On) == 0 {
			walk(n)
		}
	}
	for _, n := range s.nodes {
		walk(n) // what lies on nothing that is known
	}
	return vols
}

// DiskName is the name of the n-th disk, from 0: sda ... sdz, sdaa ...
func DiskName(n int) string {
	s := ""
	for n++; n > 0; n = (n - 1) / 26 {
		s = string(rune('a'+(n-1)%26)) + s
	}
	return "sd" + s
}
