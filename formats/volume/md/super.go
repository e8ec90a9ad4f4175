package md

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/volume/scheme"
)

// maxSectors bounds sizes and offsets, so that sums of a few fit.
const maxSectors = 1 << 52

// A member is a device with a superblock.
type member struct {
	device  scheme.Device
	version string // "0.90", "1.2"
	uuid    string // as mdadm writes it
	name    string // "host:name"; "" for 0.90
	minor   int64  // 0.90: of the device; else -1
	created uint64

	level, layout int32
	chunk         int64 // bytes
	size          int64 // bytes used of each member
	disks         int   // roles
	role          int   // -1 where it has none
	number        int   // in the table of roles
	table         []int // role of each number; -1 where there is none
	events        uint64
	features      uint32
	inSync        bool // the array needs no resync

	dataOff, dataSize int64 // bytes
	superOff          int64 // bytes
	bad               []span
}

// A span is bytes of a device.
type span struct{ off, n int64 }

// readSuper reads the superblock of d; nil where there is none. Of several, the
// one made last counts.
func readSuper(ctx context.Context, d scheme.Device, warn func(error)) (*member, error) {
	sectors := d.Dev.Size() / sector
	var best *member
	var failed error
	try := func(m *member, err error) {
		if err != nil {
			failed = err
		} else if m != nil && (best == nil || m.created > best.created) {
			best = m
		}
	}
	if ok := sectors >= 16; ok {
		try(readOne(ctx, d, 8*sector, "1.2"))
		try(readOne(ctx, d, 0, "1.1"))
		try(readOne(ctx, d, (sectors-16)&^7*sector, "1.0"))
	}
	if at := d.Dev.Size()&^(reserved0-1) - reserved0; at > 0 {
		try(readZero(ctx, d, at))
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if best == nil {
		return nil, failed
	}
	if failed != nil {
		warn(fmt.Errorf("%w; another superblock is used", failed))
	}
	return best, nil
}

// readOne reads a superblock of version 1 at off.
func readOne(ctx context.Context, d scheme.Device, off int64, version string) (*member, error) {
	b := make([]byte, block.Clamp(off, superOneBytes, d.Dev.Size()))
	if len(b) < superSize1 {
		return nil, nil
	}
	if err := block.ReadFull(ctx, d.Dev, b, off); err != nil {
		return nil, fmt.Errorf("read the MD superblock at byte %d: %w", off, err)
	}
	if u32(b, 0) != magic || u32(b, major) != 1 {
		return nil, nil
	}
	const what = "MD superblock"
	n := u32(b, maxDev)
	if n > maxRoles || superSize1+2*int(n) > len(b) {
		return nil, ondisk.Corrupt(what, off, "it has %d roles", n)
	}
	if u64(b, superOffset) != uint64(off/sector) {
		return nil, nil // a copy: of the disk that a partition lies on, or the other way round
	}
	stored := u32(b, checksum)
	clear(b[checksum : checksum+4])
	if sum := fold(b[:superSize1+2*n]); sum != stored {
		return nil, ondisk.BadChecksum(what, off, stored, sum)
	}
	m := &member{device: d, version: version, uuid: colons(b[setUUID : setUUID+16]), minor: -1, created: u64(b, created) & (1<<40 - 1),
		level: int32(u32(b, level)), layout: int32(u32(b, layout)), chunk: int64(u32(b, chunkSize)) * sector, events: u64(b, events),
		features: u32(b, features), inSync: u64(b, resync) >= u64(b, usedSize), role: -1, number: int(u32(b, devNumber) & 0xffff), superOff: off}
	m.name, _, _ = strings.Cut(string(b[setName:setName+setNameSize]), "\x00")
	size, data, length := u64(b, usedSize), u64(b, dataOffset), u64(b, dataSize)
	if size > maxSectors || data > maxSectors || length > maxSectors || u32(b, raidDisks) > maxRoles {
		return nil, ondisk.Corrupt(what, off, "%d members with %d sectors, %d of data at %d", u32(b, raidDisks), size, length, data)
	}
	m.size, m.dataOff, m.dataSize, m.disks = int64(size)*sector, int64(data)*sector, int64(length)*sector, int(u32(b, raidDisks))
	for i := range int(n) {
		r := int(u16(b, roles+2*i))
		if r >= m.disks {
			r = -1
		}
		m.table = append(m.table, r)
	}
	if m.number < len(m.table) {
		m.role = m.table[m.number]
	}
	// What was only partly rebuilt, and what stands in for another, is not relied on.
	if m.features&featReplacement != 0 || m.features&featRecovery != 0 && u64(b, recovered) < size {
		m.role = -1
	}
	if m.features&featBadBlocks != 0 {
		if err := m.readBad(ctx, b, off); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readBad reads the list of sectors that the member could not keep.
func (m *member) readBad(ctx context.Context, b []byte, off int64) error {
	n := int64(u16(b, badSize)) * sector
	at := off + int64(int32(u32(b, badOffset)))*sector
	shift := b[badShift]
	if n == 0 {
		return nil
	}
	if !ondisk.Fits(at, n, m.device.Dev.Size()) || shift > 32 {
		return ondisk.Corrupt("MD superblock", off, "its list of bad blocks has %d bytes at %d", n, at)
	}
	list := make([]byte, n)
	if err := block.ReadFull(ctx, m.device.Dev, list, at); err != nil {
		return fmt.Errorf("read the bad blocks at byte %d: %w", at, err)
	}
	for ; len(list) >= 8; list = list[8:] {
		v := u64(list, 0)
		if v == math.MaxUint64 {
			return nil
		}
		first, count := v>>10<<shift, (v&1023)<<shift
		if first <= maxSectors && count <= maxSectors {
			m.bad = append(m.bad, span{int64(first) * sector, int64(count) * sector})
		}
	}
	return nil
}

// readZero reads a superblock 0.90 at off.
func readZero(ctx context.Context, d scheme.Device, off int64) (*member, error) {
	b := make([]byte, superSize0)
	if err := block.ReadFull(ctx, d.Dev, b, off); err != nil {
		return nil, fmt.Errorf("read the MD superblock at byte %d: %w", off, err)
	}
	const what = "MD superblock 0.90"
	if string(b[:8]) == "\xa9\x2b\x4e\xfc\x00\x00\x00\x00" {
		return nil, ondisk.Unsupported(what, "the byte order of a big-endian machine")
	}
	if u32(b, 0) != magic || u32(b, major) != 0 || u32(b, minor0) < 90 || u32(b, minor0) > 91 {
		return nil, nil
	}
	stored := u32(b, checksum0)
	clear(b[checksum0 : checksum0+4])
	if sum := fold(b); sum != stored {
		return nil, ondisk.BadChecksum(what, off, stored, sum)
	}
	uuid := make([]byte, 0, 16)
	for _, at := range []int{uuid0, uuid1, uuid2, uuid3} {
		// mdadm prints each word as a number.
		uuid = append(uuid, b[at+3], b[at+2], b[at+1], b[at])
	}
	m := &member{device: d, version: "0.90", uuid: colons(uuid), minor: int64(u32(b, mdMinor0)), created: uint64(u32(b, created0)),
		level: int32(u32(b, level0)), layout: int32(u32(b, layout0)), chunk: int64(u32(b, chunk0)), size: int64(u32(b, size0)) * 1024,
		disks: int(u32(b, raidDisks0)), role: -1, events: u64(b, events0), superOff: off, dataSize: off,
		inSync: u32(b, state0)&stateClean0 != 0 || u32(b, recovery0) == math.MaxUint32}
	if m.disks > diskCount0 || m.minor > 1<<20 {
		return nil, ondisk.Corrupt(what, off, "%d members of md%d", m.disks, m.minor)
	}
	if u32(b, minor0) == 91 {
		m.features |= featReshape
	}
	role := func(disk []byte) int {
		state := u32(disk, diskState0)
		if r := u32(disk, diskRole0); state&(diskFaulty0|diskRemoved0) == 0 && state&diskSync0 != 0 && r < uint32(m.disks) {
			return int(r)
		}
		return -1
	}
	for i := range diskCount0 {
		m.table = append(m.table, role(b[disks0+i*diskSize0:]))
	}
	this := b[thisDisk0 : thisDisk0+diskSize0]
	m.number, m.role = int(u32(this, diskNumber0)&0xffff), role(this)
	return m, nil
}

// colons writes a UUID as mdadm does.
func colons(b []byte) string {
	s := hex.EncodeToString(b)
	return s[:8] + ":" + s[8:16] + ":" + s[16:24] + ":" + s[24:]
}

// isDamage says whether err is about the bytes and not about reading them.
func isDamage(err error) bool {
	corrupt, unsupported := (*ondisk.CorruptError)(nil), (*ondisk.UnsupportedError)(nil)
	return errors.As(err, &corrupt) || errors.As(err, &unsupported)
}

// part is what the member gives to the array, of n bytes as far as it has them.
func (m *member) part(n int64) (block.Device, error) {
	n = block.Clamp(m.dataOff, n, m.device.Dev.Size())
	dev, err := block.Section(m.device.Dev, m.dataOff, n)
	if err != nil || len(m.bad) == 0 {
		return dev, err
	}
	return &holed{Device: dev, base: m.dataOff, bad: m.bad}, nil
}
