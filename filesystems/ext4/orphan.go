package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Orphans are inodes that were deleted while they were open, or were being
// truncated, when the filesystem was last in use (orphan.rst). The kernel
// frees the former and truncates the latter to i_size when it mounts.
//
// Nothing of an inode without links is shown anyway, and nothing behind
// i_size, so that all there is to do is to count what the kernel would free,
// for statfs, and to say what is damaged. An orphan never stops a mount.

// orphanTail ends a block of the orphan file.
type orphanTail []byte

func (t orphanTail) magic() uint32    { return u32(t, 0) }
func (t orphanTail) checksum() uint32 { return u32(t, 4) }

func (t orphanTail) setChecksum(v uint32) { set32(t, 4, v) }

const (
	orphanTailSize  = 8
	orphanMagic     = 0x0B10CA04
	orphanEntrySize = 4

	// maxOrphans bounds how many are looked at.
	maxOrphans = 1 << 20
)

// orphans are what recovery would free.
type orphans struct {
	deleted   int   // inodes without links
	truncated int   // inodes that keep their links
	blocks    int64 // of the deleted ones, in units of 512 bytes
}

// findOrphans walks the orphan list and the orphan file. What is damaged is a
// warning, and the rest of that list or block is left out.
func (fs *FileSystem) findOrphans(ctx context.Context) {
	seen := make(map[uint32]bool)
	if err := fs.orphanList(ctx, seen); err != nil {
		fs.log.WarnContext(ctx, "ext4: the orphan list is damaged", slog.Any("err", err))
	}
	if err := fs.orphanFile(ctx, seen); err != nil {
		fs.log.WarnContext(ctx, "ext4: the orphan file is damaged", slog.Any("err", err))
	}
	if len(seen) > 0 {
		fs.log.InfoContext(ctx, "ext4: orphans are not shown or only to their size",
			slog.Int("deleted", fs.orphans.deleted), slog.Int("truncated", fs.orphans.truncated))
	}
}

// orphanList follows the list from s_last_orphan through i_dtime.
func (fs *FileSystem) orphanList(ctx context.Context, seen map[uint32]bool) error {
	for num := fs.sb.lastOrphan(); num != 0; {
		if seen[num] {
			return ondisk.Corrupt("ext4 orphan list", superOffset, "it comes back to inode %d", num)
		}
		raw, err := fs.orphan(ctx, num, seen)
		if err != nil {
			return err
		}
		num = raw.dtime()
	}
	return nil
}

// orphanFile reads the orphan file, if it says that it holds something.
func (fs *FileSystem) orphanFile(ctx context.Context, seen map[uint32]bool) error {
	return fs.orphanEntries(ctx, func(num uint32, _ orphanSlot) error {
		if seen[num] {
			return nil
		}
		_, err := fs.orphan(ctx, num, seen)
		return err
	})
}

// An orphanSlot is a place in the orphan file.
type orphanSlot struct {
	block txn.Addr
	at    int
}

// orphanEntries visits the entries of the orphan file.
func (fs *FileSystem) orphanEntries(ctx context.Context, visit func(num uint32, slot orphanSlot) error) error {
	if !fs.sb.hasCompat(compatOrphanFile) || !fs.sb.hasRoCompat(roOrphanPresent) {
		return nil
	}
	n, err := fs.iget(ctx, fs.sb.orphanFileInum())
	if err != nil {
		return err
	}
	if n.size() > maxOrphans*orphanEntrySize {
		return n.corrupt(ctx, "an orphan file of %d bytes", n.size())
	}
	for lblk := uint64(0); int64(lblk+1)<<fs.geo.blockBits <= n.size(); lblk++ {
		r, err := n.runAt(ctx, lblk)
		if err != nil {
			return err
		}
		if r.hole() {
			return n.corrupt(ctx, "a hole in the orphan file at block %d", lblk)
		}
		slot := orphanSlot{block: fs.at(r.start)}
		slot.block.Owner, slot.block.Gen = uint64(n.num), n.raw.generation()
		b, err := fs.store.Read(ctx, slot.block, fs.kinds.orphans)
		if err != nil {
			return fmt.Errorf("reading the orphan file at byte %d: %w", slot.block.Off, err)
		}
		for ; slot.at+orphanEntrySize <= len(b)-orphanTailSize; slot.at += orphanEntrySize {
			if num := u32(b, slot.at); num != 0 {
				if err := visit(num, slot); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// verifyOrphanBlock is the Verify of blocks of the orphan file.
func (fs *FileSystem) verifyOrphanBlock(b []byte, at txn.Addr) error {
	end := len(b) - orphanTailSize
	tail := orphanTail(b[end:])
	if tail.magic() != orphanMagic {
		return ondisk.Corrupt(fs.kinds.orphans.Name, at.Off+int64(end), "ob_magic %#x, expected %#x", tail.magic(), uint32(orphanMagic))
	}
	if !fs.geo.metadataCsum {
		return nil
	}
	if sum := fs.orphanChecksum(b, at); sum != tail.checksum() {
		return ondisk.BadChecksum(fs.kinds.orphans.Name, at.Off+int64(end), tail.checksum(), sum)
	}
	return nil
}

// sealOrphanBlock is the Seal of blocks of the orphan file.
func (fs *FileSystem) sealOrphanBlock(b []byte, at txn.Addr) {
	if fs.geo.metadataCsum {
		orphanTail(b[len(b)-orphanTailSize:]).setChecksum(fs.orphanChecksum(b, at))
	}
}

// orphanChecksum is the checksum of a block of the orphan file, which counts
// where it lies.
func (fs *FileSystem) orphanChecksum(b []byte, at txn.Addr) uint32 {
	var num [8]byte
	binary.LittleEndian.PutUint64(num[:], uint64(at.Off)>>fs.geo.blockBits)
	sum := ondisk.CRC32C(fs.geo.inodeSeed(uint32(at.Owner), at.Gen), num[:])
	return ondisk.CRC32C(sum, b[:len(b)-orphanTailSize])
}

// orphan counts one orphan and gives its bytes.
func (fs *FileSystem) orphan(ctx context.Context, num uint32, seen map[uint32]bool) (rawInode, error) {
	if num < fs.geo.firstIno || num > fs.geo.inodes {
		return nil, ondisk.Corrupt("ext4 orphan", superOffset, "inode %d of %d", num, fs.geo.inodes)
	}
	if len(seen) >= maxOrphans {
		return nil, ondisk.Corrupt("ext4 orphans", superOffset, "more than %d", maxOrphans)
	}
	n, err := fs.iget(ctx, num)
	if err != nil {
		return nil, err
	}
	seen[num] = true
	if n.raw.links() > 0 {
		fs.orphans.truncated++
		return n.raw, nil
	}
	fs.orphans.deleted++
	fs.orphans.blocks += n.blocks512()
	return n.raw, nil
}
