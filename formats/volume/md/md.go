package md

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/raid"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// Name is the scheme's name.
const Name = "md"

// Scheme is Linux's software RAID.
func Scheme() scheme.Scheme { return scheme.Scheme{Name: Name, Scan: scan} }

func scan(ctx context.Context, devs []scheme.Device, opt scheme.Options) (scheme.Found, error) {
	var found scheme.Found
	members := make([]*member, len(devs))
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i, d := range devs {
		wg.Go(func() {
			warn := func(err error) { opt.Warn(fmt.Errorf("%s: %w", d.Name, err)) }
			m, err := readSuper(ctx, d, warn)
			if m != nil && m.version == "0.90" && ofPartition(ctx, d, m) {
				return
			}
			members[i] = m
			if m == nil && isDamage(err) {
				mu.Lock()
				defer mu.Unlock()
				// What is damaged may be old, and something else be on the device now.
				warn(err)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return found, err
	}
	byUUID := map[string][]*member{}
	var order []string
	for _, m := range members {
		if m == nil {
			continue
		}
		found.Members = append(found.Members, m.device.Name)
		id := m.uuid + m.version[:1]
		if byUUID[id] == nil {
			order = append(order, id)
		}
		byUUID[id] = append(byUUID[id], m)
	}
	for i, id := range order {
		a := assemble(byUUID[id])
		if len(a.missing()) > 0 && !opt.Final {
			continue
		}
		found.Volumes = append(found.Volumes, a.volume(127-i, opt))
	}
	return found, nil
}

// volume is the array as it is listed. number is what mdadm would call it.
func (a *array) volume(number int, opt scheme.Options) scheme.Volume {
	n := a.newest
	v := scheme.Volume{Type: Name, Kind: a.kind(), UUID: n.uuid, Label: n.name, Disk: n.device.Root()}
	_, short, named := strings.Cut(n.name, ":")
	if !named {
		short = n.name
	}
	switch n, err := strconv.ParseUint(short, 10, 16); {
	case a.newest.minor >= 0:
		v.Name = fmt.Sprintf("md%d", a.newest.minor)
	case err == nil:
		v.Name = fmt.Sprintf("md%d", n)
	case short == "":
		v.Name = fmt.Sprintf("md%d", number)
	default:
		v.Name = "md_" + scheme.Clean(short)
	}
	if n.minor >= 0 {
		short = strconv.FormatInt(n.minor, 10)
	}
	v.Aliases = []string{"md/" + short, "disk/by-id/md-uuid-" + n.uuid}
	if n.name != "" {
		v.Aliases = append(v.Aliases, "md/"+n.name, "disk/by-id/md-name-"+n.name)
	}
	if alias := fmt.Sprintf("md%d", number); alias != v.Name {
		v.Aliases = append(v.Aliases, alias)
	}
	first := true
	for _, m := range a.all {
		v.On = append(v.On, m.device.Name)
		if first {
			v.Disk, first = m.device.Root(), false
		}
	}
	warn := func(err error) { opt.Warn(fmt.Errorf("array %s: %w", v.Name, err)) }
	v.Dev, v.Err = a.device()
	missing := a.missing()
	switch {
	case v.Err != nil:
		v.Dev = nil
	case !raid.Usable(v.Dev) && !opt.Partial:
		v.Dev, v.Err = nil, a.lacks(missing)
	case len(missing) > 0:
		warn(fmt.Errorf("it is read although %w", a.lacks(missing)))
		if !n.inSync && n.level >= 4 {
			warn(errors.New("it was not in sync when it lost a member: what was being written then may be wrong"))
		}
	}
	for _, m := range a.stale {
		warn(fmt.Errorf("%s is left out: it is a copy of a member, or has old contents (%d events, not %d)", m.device.Name, m.events, n.events))
	}
	return v
}

// ofPartition says whether the superblock 0.90 at the end of a disk is that of
// the disk's last partition, which ends there too: the partition begins at a
// multiple of 64 KiB and is as large as the superblock says.
func ofPartition(ctx context.Context, d scheme.Device, m *member) bool {
	if d.Nested || d.Disk != "" {
		return false
	}
	b := make([]byte, sector)
	if block.ReadFull(ctx, d.Dev, b, 0) != nil || b[510] != 0x55 || b[511] != 0xAA {
		return false
	}
	for i := range 4 {
		e := b[446+16*i:]
		start, n := int64(binary.LittleEndian.Uint32(e[8:]))*sector, int64(binary.LittleEndian.Uint32(e[12:]))*sector
		if n == 0 || start%reserved0 != 0 || !ondisk.Fits(m.superOff-start, superSize0, n) {
			continue
		}
		if (start+n)&^(reserved0-1)-reserved0 == m.superOff && m.size <= m.superOff-start {
			return true
		}
	}
	return false
}
