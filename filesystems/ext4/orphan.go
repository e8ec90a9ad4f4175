package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/formats/block"
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
	b := make([]byte, fs.geo.blockSize)
	for lblk := uint64(0); int64(lblk+1)<<fs.geo.blockBits <= n.size(); lblk++ {
		r, err := n.runAt(ctx, lblk)
		if err != nil {
			return err
		}
		if r.hole() {
			return n.corrupt(ctx, "a hole in the orphan file at block %d", lblk)
		}
		off := int64(r.start << fs.geo.blockBits)
		if err := block.ReadFull(ctx, fs.dev, b, off); err != nil {
			return fmt.Errorf("reading the orphan file at byte %d: %w", off, err)
		}
		if err := fs.verifyOrphanBlock(b, n, r.start); err != nil {
			return err
		}
		for at := 0; at+orphanEntrySize <= len(b)-orphanTailSize; at += orphanEntrySize {
			if num := u32(b, at); num != 0 && !seen[num] {
				if _, err := fs.orphan(ctx, num, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// verifyOrphanBlock checks a block of the orphan file n that lies at blk.
func (fs *FileSystem) verifyOrphanBlock(b []byte, n *inode, blk uint64) error {
	const what = "ext4 orphan block"
	off := int64(blk << fs.geo.blockBits)
	end := len(b) - orphanTailSize
	tail := orphanTail(b[end:])
	if tail.magic() != orphanMagic {
		return ondisk.Corrupt(what, off+int64(end), "ob_magic %#x, expected %#x", tail.magic(), uint32(orphanMagic))
	}
	if !fs.geo.metadataCsum {
		return nil
	}
	var num [8]byte
	binary.LittleEndian.PutUint64(num[:], blk)
	sum := ondisk.CRC32C(fs.geo.inodeSeed(n.num, n.raw.generation()), num[:])
	if sum = ondisk.CRC32C(sum, b[:end]); sum != tail.checksum() {
		return ondisk.BadChecksum(what, off+int64(end), tail.checksum(), sum)
	}
	return nil
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
