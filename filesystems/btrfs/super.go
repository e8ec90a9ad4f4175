package btrfs

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

const (
	whatFS    = "btrfs filesystem"
	whatSuper = "btrfs superblock"
)

// readSuperAt reads the superblock at off. It checks the magic only.
func readSuperAt(ctx context.Context, dev block.Device, off int64) (superblock, error) {
	if dev.Size() < off+superSize {
		return nil, ondisk.NotThis("btrfs")
	}
	sb := make(superblock, superSize)
	if err := block.ReadFull(ctx, dev, sb, off); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	if string(sb.magic()) != superMagic {
		return nil, ondisk.NotThis("btrfs")
	}
	return sb, nil
}

// verifySuper compares the checksum and the address of a superblock read at
// off.
func verifySuper(sb superblock, off int64) error {
	sum, err := summerOf(sb.csumType())
	if err != nil {
		return err
	}
	if !sum.matches(sb.csum(), sb.covered()) {
		return sum.mismatch(whatSuper, uint64(off), sb.csum(), sb.covered())
	}
	if sb.bytenr() != uint64(off) {
		return ondisk.Corrupt(whatSuper, off, "it says that it is at byte %d", sb.bytenr())
	}
	return nil
}

// bestSuper gives the superblock of a device: the first where it is good, as
// Linux has it, else the copy with the highest generation.
func bestSuper(ctx context.Context, dev block.Device) (superblock, error) {
	first, err := readSuperAt(ctx, dev, superFirst)
	if err == nil {
		if err = verifySuper(first, superFirst); err == nil {
			return first, nil
		}
	}
	var best superblock
	for _, off := range []int64{superSecond, superThird} {
		sb, e := readSuperAt(ctx, dev, off)
		if e != nil || verifySuper(sb, off) != nil {
			continue
		}
		if first != nil && !bytes.Equal(first.fsid(), sb.fsid()) {
			continue // left by a filesystem that was here before
		}
		if best == nil || sb.generation() > best.generation() {
			best = sb
		}
	}
	if best == nil {
		return nil, err
	}
	return best, nil
}

// A geometry is the sizes of a filesystem, compared.
type geometry struct {
	sector uint32 // the unit of data and of its checksums
	node   uint32 // a tree block
	sum    summer
}

// newGeometry compares the sizes in a verified superblock.
func newGeometry(sb superblock) (g geometry, err error) {
	if g.sum, err = summerOf(sb.csumType()); err != nil {
		return g, err
	}
	g.sector, g.node = sb.sectorSize(), sb.nodeSize()
	powerOfTwo := func(n uint32) bool { return n&(n-1) == 0 }
	if g.sector < 4096 || g.sector > 64<<10 || !powerOfTwo(g.sector) {
		return g, ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "sectorsize %d", g.sector)
	}
	if g.node < g.sector || g.node > 64<<10 || !powerOfTwo(g.node) {
		return g, ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "nodesize %d with sectors of %d bytes", g.node, g.sector)
	}
	if sb.rootLevel() > maxLevel || sb.chunkLevel() > maxLevel || sb.logLevel() > maxLevel {
		return g, ondisk.Corrupt(whatSuper, int64(sb.bytenr()), "trees of the levels %d, %d and %d", sb.rootLevel(), sb.chunkLevel(), sb.logLevel())
	}
	return g, nil
}

// checkFeatures refuses by name what this package cannot read. Features that
// only a writer must know do not matter here.
func checkFeatures(sb superblock) error {
	if sb.flags()&(superFlagMetadump|superFlagMetadumpV2) != 0 {
		return ondisk.Unsupported(whatFS, "an image of metadata only (btrfs-image)")
	}
	if sb.flags()&superFlagChanging != 0 {
		return &ondisk.UnsupportedError{What: whatFS, Detail: "a change of its UUID that was not completed", Remedy: "complete it with btrfstune"}
	}
	if refused := sb.incompat() &^ incompatRead; refused != 0 {
		return ondisk.Unsupported(whatFS, "feature %s", strings.Join(incompatNames(refused), ", "))
	}
	return nil
}

// superInfo is what a superblock tells.
func superInfo(sb superblock) vfs.Info {
	label, _, _ := bytes.Cut(sb.label(), []byte{0})
	return vfs.Info{
		Type: "btrfs", UUID: uuidString(sb.fsid()), Label: string(label),
		Size: int64(min(sb.totalBytes(), math.MaxInt64)), BlockSize: int(min(sb.sectorSize(), 64<<10)), NameMax: nameMax,
		ReadOnly: true, HasXattrs: true, Dirty: sb.logRoot() != 0, Features: featureNames(sb),
	}
}
