package btrfs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
)

// A member is one of the devices of a filesystem. dev is nil where it was not
// given.
type member struct {
	id    uint64
	uuid  [uuidSize]byte
	dev   block.Device
	stale bool // it missed the last transactions
}

func (m *member) String() string {
	return fmt.Sprintf("%d (%s)", m.id, uuidString(m.uuid[:]))
}

// A MissingError says that bytes lie on devices of the filesystem that were
// not given, and on no others. It unwraps to ENXIO.
type MissingError struct {
	Device  uint64 // its number in the filesystem
	UUID    string // of the device
	Missing int    // devices of the filesystem that were not given
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("device %d (%s) of the btrfs filesystem is missing, one of %d", e.Device, e.UUID, e.Missing)
}

// Unwrap is ENXIO.
func (e *MissingError) Unwrap() error { return syscall.ENXIO }

// members are the devices of a filesystem by their UUID.
type members struct {
	byUUID  map[[uuidSize]byte]*member
	given   []*member
	missing int
}

// gather takes the devices that belong to the filesystem of super, or may be
// seeds of it.
func gather(ctx context.Context, devs []block.Device, supers []superblock, super superblock, log *slog.Logger) *members {
	ms := &members{byUUID: map[[uuidSize]byte]*member{}}
	for i, sb := range supers {
		if sb == nil {
			continue
		}
		own := bytes.Equal(sb.fsid(), super.fsid())
		if !own && sb.flags()&superFlagSeeding == 0 {
			log.WarnContext(ctx, "btrfs: a device belongs to another filesystem and is left out", slog.String("uuid", uuidString(sb.fsid())))
			continue
		}
		m := &member{id: sb.devItem().devid(), dev: devs[i], stale: own && sb.generation() < super.generation()}
		copy(m.uuid[:], sb.devItem().uuid())
		if old := ms.byUUID[m.uuid]; old != nil {
			log.WarnContext(ctx, "btrfs: a device was given twice; the newer copy is used", slog.String("device", m.String()))
			if m.stale || !old.stale {
				continue
			}
			*old = *m
			continue
		}
		if m.stale {
			log.WarnContext(ctx, "btrfs: a device missed the last transactions; the others are preferred", slog.String("device", m.String()))
		}
		ms.byUUID[m.uuid] = m
		ms.given = append(ms.given, m)
	}
	return ms
}

// of gives the device with that UUID, which may not have been given.
func (ms *members) of(id uint64, uuid []byte) *member {
	var u [uuidSize]byte
	copy(u[:], uuid)
	m := ms.byUUID[u]
	if m == nil {
		m = &member{id: id, uuid: u}
		ms.byUUID[u] = m
		ms.missing++
	}
	return m
}

// miss is the error for bytes on a device that was not given.
func (ms *members) miss(m *member) error {
	return &MissingError{Device: m.id, UUID: uuidString(m.uuid[:]), Missing: ms.missing}
}

func uuidString(u []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func hexOf(b []byte) string { return fmt.Sprintf("%x", b) }
