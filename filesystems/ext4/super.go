package ext4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// readSuper reads the primary superblock. It checks the magic only.
func readSuper(ctx context.Context, dev block.Device) (superblock, error) {
	if dev.Size() < superOffset+superSize {
		return nil, ondisk.NotThis("ext4")
	}
	sb := make(superblock, superSize)
	if err := block.ReadFull(ctx, dev, sb, superOffset); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	if sb.magic() != superMagic {
		return nil, ondisk.NotThis("ext4")
	}
	return sb, nil
}

// verifySuper checks a superblock's own checksum, if it has one.
func verifySuper(sb superblock, off int64) error {
	if !sb.hasRoCompat(roMetadataCsum) {
		return nil
	}
	if t := sb.checksumType(); t != checksumCRC32C {
		return ondisk.Unsupported("ext4 filesystem", "metadata checksum type %d", t)
	}
	if sum := ondisk.CRC32C(^uint32(0), sb[:superChecksum]); sum != sb.checksum() {
		return ondisk.BadChecksum("ext4 superblock", off, sb.checksum(), sum)
	}
	return nil
}

// checkFeatures refuses by name what this package cannot read. Features that
// only a writer must know do not matter here.
func checkFeatures(sb superblock) error {
	if sb.hasIncompat(incompatJournalDev) {
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "journal_dev: this is the external journal of another filesystem and",
			Remedy: "mount the filesystem whose journal it is"}
	}
	if unknown := sb.featureIncompat() &^ incompatRead; unknown != 0 {
		return ondisk.Unsupported("ext4 filesystem", "feature %s", strings.Join(featureNames('I', unknown), ", "))
	}
	if sb.hasIncompat(incompatCasefold) && sb.encoding() != encodingUTF8 {
		return ondisk.Unsupported("ext4 filesystem", "casefold encoding %d", sb.encoding())
	}
	return nil
}

// hasSuper says whether a group has a copy of the superblock.
func hasSuper(sb superblock, group uint32) bool {
	if group == 0 {
		return true
	}
	if sb.hasCompat(compatSparseSuper2) {
		b := sb.backupBgs()
		return group == b[0] || group == b[1]
	}
	if group == 1 || !sb.hasRoCompat(roSparseSuper) {
		return true
	}
	for _, base := range [...]uint64{3, 5, 7} {
		n := base
		for n < uint64(group) {
			n *= base
		}
		if n == uint64(group) {
			return true
		}
	}
	return false
}

// backups names the backup superblocks at the places where mke2fs puts the
// first one, for an error: those that look whole.
func backups(ctx context.Context, dev block.Device) string {
	var found []string
	sb := make(superblock, superSize)
	for bits := uint(minBlockBits); bits <= maxBlockBits; bits++ {
		at := uint64(8) << bits // blocks of a full group
		if bits == minBlockBits {
			at++
		}
		if block.ReadFull(ctx, dev, sb, int64(at<<bits)) != nil || sb.magic() != superMagic || sb.blockGroupNr() != 1 ||
			sb.logBlockSize() != uint32(bits-minBlockBits) || verifySuper(sb, int64(at<<bits)) != nil {
			continue
		}
		found = append(found, fmt.Sprintf("block %d (of %d bytes)", at, 1<<bits))
	}
	if len(found) == 0 {
		return "no backup superblock found at the usual places"
	}
	return "there is a backup superblock at " + strings.Join(found, ", ") + ", which e2fsck -b can restore"
}

// openSuper reads and checks the superblock of a device that is to be opened.
// Damage is an error that names the backups; none of them is used silently.
func openSuper(ctx context.Context, dev block.Device) (superblock, *geometry, error) {
	sb, err := readSuper(ctx, dev)
	if not := (*ondisk.NotThisError)(nil); errors.As(err, &not) {
		if dev.Size() < superOffset+superSize {
			return nil, nil, fmt.Errorf("ext4 superblock: the device has %d bytes only: %w", dev.Size(), io.ErrUnexpectedEOF)
		}
		err = ondisk.Corrupt("ext4 superblock", superOffset, "s_magic is not %#x", superMagic)
	}
	var g *geometry
	if err == nil {
		err = verifySuper(sb, superOffset)
	}
	if err == nil {
		err = checkFeatures(sb)
	}
	if err == nil {
		g, err = newGeometry(sb, superOffset)
	}
	if damage := (*ondisk.CorruptError)(nil); errors.As(err, &damage) {
		return nil, nil, &ondisk.CorruptError{Struct: damage.Struct, Off: damage.Off, Checksum: damage.Checksum,
			Detail: damage.Detail + "; " + backups(ctx, dev)}
	}
	if err != nil {
		return nil, nil, err
	}
	return sb, g, nil
}

// kind is ext2, ext3 or ext4, as blkid decides: by the features that the older
// drivers do not know.
func (s superblock) kind() string {
	const (
		oldRo = roSparseSuper | roLargeFile | roBtreeDir
		old2  = incompatFiletype | incompatMetaBg
		old3  = old2 | incompatRecover
	)
	switch {
	case s.hasIncompat(incompatJournalDev):
		return "jbd"
	case !s.hasCompat(compatHasJournal) && s.featureRoCompat()&^oldRo == 0 && s.featureIncompat()&^old2 == 0:
		return "ext2"
	case s.hasCompat(compatHasJournal) && s.featureRoCompat()&^oldRo == 0 && s.featureIncompat()&^old3 == 0:
		return "ext3"
	}
	return "ext4"
}

// label is the volume name, cut at the first NUL.
func (s superblock) label() string {
	name := s.volumeName()
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return string(name)
}

// uuidString is the UUID as blkid prints it; empty where it is all zeros.
func (s superblock) uuidString() string {
	u := s.uuid()
	if bytes.Equal(u, make([]byte, len(u))) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
