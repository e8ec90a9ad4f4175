package xfs

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// readSuper reads the primary superblock. It checks the magic only.
func readSuper(ctx context.Context, dev block.Device) (layout.Superblock, error) {
	if dev.Size() < layout.SuperSize {
		return nil, ondisk.NotThis("xfs")
	}
	sb := make(layout.Superblock, layout.SuperSize)
	if err := block.ReadFull(ctx, dev, sb, 0); err != nil {
		return nil, fmt.Errorf("reading the superblock: %w", err)
	}
	if sb.Magic() != layout.SuperMagic {
		return nil, ondisk.NotThis("xfs")
	}
	return sb, nil
}

// openSuper reads the primary superblock, refuses what cannot be read and
// compares its numbers.
func openSuper(ctx context.Context, dev block.Device, headers *layout.Headers) (layout.Superblock, *layout.Geometry, error) {
	sb, err := readSuper(ctx, dev)
	if err != nil {
		return nil, nil, err
	}
	if err := checkVersion(sb); err != nil {
		return nil, nil, err
	}
	if sb.Version() == 5 {
		if err := verifySuper(ctx, dev, sb, headers); err != nil {
			return nil, nil, fmt.Errorf("%w; xfs_repair can restore it from the copies in the other groups", err)
		}
	}
	if err := checkFeatures(sb); err != nil {
		return nil, nil, err
	}
	geo, err := layout.NewGeometry(sb, 0)
	if err != nil {
		return nil, nil, err
	}
	return sb, geo, nil
}

// verifySuper compares the checksum, which covers the whole sector.
func verifySuper(ctx context.Context, dev block.Device, sb layout.Superblock, headers *layout.Headers) error {
	size := int(sb.SectSize())
	if size < 1<<layout.MinSectorLog || size > 1<<layout.MaxSectorLog || size&(size-1) != 0 {
		return ondisk.Corrupt("xfs superblock", 0, "sb_sectsize %d", size)
	}
	sector := make([]byte, size)
	if err := block.ReadFull(ctx, dev, sector, 0); err != nil {
		return fmt.Errorf("reading the superblock: %w", err)
	}
	return headers.Of(sector).Verify(sector, 0, sb.UUID(), 0)
}

// checkVersion refuses what this package cannot read.
func checkVersion(sb layout.Superblock) error {
	switch v := sb.Version(); {
	case v < 4 || v > 5:
		return ondisk.Unsupported("xfs filesystem", "version %d", v)
	case sb.VersionNum()&layout.VersionDirV2 == 0:
		return ondisk.Unsupported("xfs filesystem", "version 1 of directories")
	case sb.VersionNum()&layout.VersionShared != 0:
		return ondisk.Unsupported("xfs filesystem", "the shared version bit")
	}
	return nil
}

// checkFeatures refuses by name what this package cannot read. Features that
// only a writer must know do not matter here.
func checkFeatures(sb layout.Superblock) error {
	if sb.InProgress() != 0 {
		return &ondisk.UnsupportedError{What: "xfs filesystem", Detail: "a mkfs.xfs or growfs that was not completed (sb_inprogress)",
			Remedy: "make the filesystem anew, or complete the copy"}
	}
	if sb.Version() < 5 {
		return nil
	}
	if sb.Incompat()&layout.IncompatNeedsRepair != 0 {
		return &ondisk.UnsupportedError{What: "xfs filesystem", Detail: "needsrepair: the filesystem was left half changed and",
			Remedy: "run xfs_repair on it"}
	}
	if sb.Incompat()&layout.IncompatMetadir != 0 {
		return ondisk.Unsupported("xfs filesystem", "feature metadir (metadata directories and realtime groups)")
	}
	if unknown := sb.Incompat() &^ incompatRead; unknown != 0 {
		return ondisk.Unsupported("xfs filesystem", "feature %s", strings.Join(incompatNames(unknown), ", "))
	}
	return nil
}

// superInfo is what a superblock tells. geo is nil where its numbers are wild.
func superInfo(sb layout.Superblock, geo *layout.Geometry) vfs.Info {
	label, _, _ := bytes.Cut(sb.Name(), []byte{0})
	u := sb.UUID()
	info := vfs.Info{
		Type: "xfs", NameMax: nameMax, ReadOnly: true, HasXattrs: true, Label: string(label),
		UUID:            fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]),
		CaseInsensitive: sb.VersionNum()&layout.VersionASCIICI != 0,
		Features:        featureNames(sb),
	}
	if geo != nil {
		info.Size, info.BlockSize = geo.Bytes(), geo.BlockSize
	}
	return info
}
