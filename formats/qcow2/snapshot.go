package qcow2

import (
	"context"
	"fmt"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const snapshotName = "qcow2 snapshot table entry"

// snapshot is an entry of the snapshot table.
type snapshot struct {
	image.Snapshot
	at       int64 // of the entry in the file
	end      int64 // of the entry
	l1Offset uint64
	l1Size   uint32
}

// readSnapshots reads the snapshot table.
func readSnapshots(ctx context.Context, src block.Device, h *header) ([]snapshot, error) {
	var all []snapshot
	at := h.snapOffset
	for range h.snapCount {
		if at-h.snapOffset > maxSnapshotBytes {
			return nil, ondisk.Corrupt("qcow2 snapshot table", h.snapOffset, "more than %d bytes", maxSnapshotBytes)
		}
		s, next, err := readSnapshot(ctx, src, h, at)
		if err != nil {
			return nil, err
		}
		s.end = next
		all, at = append(all, s), next
	}
	return all, nil
}

// readSnapshot reads the entry at a place and says where the next one is.
func readSnapshot(ctx context.Context, src block.Device, h *header, at int64) (s snapshot, next int64, err error) {
	if !ondisk.Fits(at, snapHeaderLen, src.Size()) {
		return s, 0, ondisk.Corrupt(snapshotName, at, "beyond the end of the file of %d bytes", src.Size())
	}
	b := make([]byte, snapHeaderLen)
	if err := block.ReadFull(ctx, src, b, at); err != nil {
		return s, 0, err
	}
	extra, id, name := int64(be32(b, snapExtraLen)), int64(be16(b, snapIDLen)), int64(be16(b, snapNameLen))
	if extra > maxSnapshotExtra {
		return s, 0, ondisk.Corrupt(snapshotName, at, "%d bytes of extra data, more than %d", extra, maxSnapshotExtra)
	}
	if n := extra + id + name; !ondisk.Fits(at+snapHeaderLen, n, src.Size()) {
		return s, 0, ondisk.Corrupt(snapshotName, at, "its %d bytes reach beyond the end of the file of %d bytes", n, src.Size())
	}
	rest := make([]byte, extra+id+name)
	if err := block.ReadFull(ctx, src, rest, at+snapHeaderLen); err != nil {
		return s, 0, err
	}
	s = snapshot{at: at, l1Offset: be64(b, snapL1Offset), l1Size: be32(b, snapL1Size)}
	s.ID, s.Name = string(rest[extra:extra+id]), string(rest[extra+id:])
	s.Unix = int64(be32(b, snapSeconds))
	s.Size = h.size
	if extra >= snapExtraSizeEnd {
		size := be64(rest, snapExtraSize)
		if size > math.MaxInt64-maxL1Bytes {
			return s, 0, ondisk.Corrupt(snapshotName, at, "a disk of %d bytes", size)
		}
		s.Size = int64(size)
	}
	return s, at + (snapHeaderLen+int64(len(rest))+7)&^7, nil
}

// find picks the snapshot by its id or, where none has it, by its name, as
// QEMU does.
func find(all []snapshot, want string) (*snapshot, error) {
	for i := range all {
		if all[i].ID == want {
			return &all[i], nil
		}
	}
	for i := range all {
		if all[i].Name == want {
			return &all[i], nil
		}
	}
	missing := &image.NoSnapshotError{Want: want}
	for _, s := range all[:min(len(all), 20)] {
		missing.Have = append(missing.Have, fmt.Sprintf("%s %q", s.ID, s.Name))
	}
	return nil, missing
}

// use makes h describe the disk at the time of the snapshot.
func (h *header) use(s *snapshot, file int64) error {
	need, n := h.l1Needed(s.Size), int64(s.l1Size)
	switch {
	case n*entryLen > maxL1Bytes:
		return ondisk.Corrupt(snapshotName, s.at, "the L1 table has %d entries, more than %d", n, maxL1Bytes/entryLen)
	case n < need:
		return ondisk.Corrupt(snapshotName, s.at, "the L1 table has %d entries, and a disk of %d bytes needs %d", n, s.Size, need)
	case s.l1Offset > math.MaxInt64 || !ondisk.Fits(int64(s.l1Offset), n*entryLen, file):
		return ondisk.Corrupt(snapshotName, s.at, "the L1 table has %d bytes at %d, outside the file of %d bytes", n*entryLen, s.l1Offset, file)
	case int64(s.l1Offset)&(h.cluster()-1) != 0:
		return ondisk.Corrupt(snapshotName, s.at, "the L1 table at %d is not aligned to the clusters of %d bytes", s.l1Offset, h.cluster())
	}
	h.size, h.l1Offset, h.l1Size = s.Size, int64(s.l1Offset), n
	return nil
}
