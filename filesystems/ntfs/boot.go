package ntfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// geometry is what the boot sector says, compared.
type geometry struct {
	sector      int64 // bytes
	cluster     int64 // bytes
	sectors     uint64
	clusters    int64
	record      int64 // bytes of an MFT record
	indexBlock  int64 // bytes of an index block, by default
	mft, mirr   int64 // byte offsets of $MFT and $MFTMirr
	serial      uint64
	truncatedTo int64 // the device's size where it is smaller than the volume, else 0
}

// size is what the volume spans by its own account, without the backup of the
// boot sector behind it.
func (g *geometry) size() int64 { return int64(g.sectors) * g.sector }

const (
	minSector, maxSector   = 256, 4096
	minCluster, maxCluster = 256, 2 << 20
	minRecord, maxRecord   = 512, 64 << 10
)

// readBoot reads the boot sector. Bytes that are none are *ondisk.NotThisError,
// unless the backup in the last sector is one: then the damage is named.
func readBoot(ctx context.Context, dev block.Device) (*geometry, error) {
	b := make([]byte, 512)
	if err := block.ReadFull(ctx, dev, b, 0); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, ondisk.NotThis("ntfs")
		}
		return nil, err
	}
	boot := bootSector(b)
	if isBoot(boot) {
		g, err := parseBoot(boot, 0)
		if err != nil {
			if at := findBackup(ctx, dev); at >= 0 {
				err = fmt.Errorf("%w; an intact backup of it lies at byte %d", err, at)
			}
			return nil, err
		}
		if dev.Size() < g.size() {
			g.truncatedTo = dev.Size()
		}
		return g, nil
	}
	// Whoever overwrote the start, with zeros or otherwise, left the backup. It is
	// only named: what it describes may be something else by now.
	return nil, ondisk.NotThis("ntfs")
}

// isBoot says whether b is meant as an NTFS boot sector.
func isBoot(b bootSector) bool { return bytes.Equal(b.oemID(), []byte("NTFS    ")) }

// findBackup is the offset of an intact backup boot sector at the end of the
// device, or -1. It is the volume's last sector.
func findBackup(ctx context.Context, dev block.Device) int64 {
	for sector := int64(512); sector <= maxSector; sector *= 2 {
		b := make([]byte, 512)
		at := dev.Size()&^(sector-1) - sector
		if at <= 0 || block.ReadFull(ctx, dev, b, at) != nil {
			continue
		}
		if isBoot(b) {
			if _, err := parseBoot(b, at); err == nil {
				return at
			}
		}
	}
	return -1
}

// parseBoot compares the numbers of the boot sector at byte off.
func parseBoot(b bootSector, off int64) (*geometry, error) {
	bad := func(format string, args ...any) (*geometry, error) {
		return nil, ondisk.Corrupt("NTFS boot sector", off, format, args...)
	}
	if b.signature() != 0xAA55 {
		return bad("the signature is %#04x, expected 0xaa55", b.signature())
	}
	g := &geometry{sector: int64(b.bytesPerSector()), sectors: b.totalSectors(), serial: b.serial()}
	if g.sector < minSector || g.sector > maxSector || g.sector&(g.sector-1) != 0 {
		return bad("%d bytes a sector", g.sector)
	}
	// Above 128 the byte is a negative power of two: clusters of 128 KiB and more.
	perCluster := int64(b.sectorsPerCluster())
	if perCluster > 0x80 {
		shift := 256 - perCluster
		if shift > 31 {
			return bad("sectors per cluster are 2^%d", shift)
		}
		perCluster = 1 << shift
	}
	if perCluster == 0 || perCluster&(perCluster-1) != 0 || perCluster*g.sector > maxCluster || perCluster*g.sector < minCluster {
		return bad("%d sectors of %d bytes a cluster", perCluster, g.sector)
	}
	g.cluster = perCluster * g.sector
	if size, ok := ondisk.Mul(g.sectors, uint64(g.sector)); !ok || size == 0 {
		return bad("%d sectors of %d bytes", g.sectors, g.sector)
	}
	g.clusters = int64(g.sectors / uint64(perCluster))
	var ok bool
	if g.record, ok = unitSize(b.clustersPerRecord(), g.cluster); !ok || g.record < minRecord || g.record > maxRecord {
		return bad("the size of an MFT record is given as %d", b.clustersPerRecord())
	}
	if g.indexBlock, ok = unitSize(b.clustersPerIndex(), g.cluster); !ok || g.indexBlock < minRecord {
		return bad("the size of an index block is given as %d", b.clustersPerIndex())
	}
	if b.mftLCN() >= uint64(g.clusters) || b.mftMirrLCN() >= uint64(g.clusters) {
		return bad("$MFT at cluster %d and $MFTMirr at cluster %d of %d", b.mftLCN(), b.mftMirrLCN(), g.clusters)
	}
	g.mft, g.mirr = int64(b.mftLCN())*g.cluster, int64(b.mftMirrLCN())*g.cluster
	return g, nil
}

// unitSize decodes the size of MFT records and index blocks: clusters, or the
// negative of a power of two of bytes.
func unitSize(n int8, cluster int64) (int64, bool) {
	if n < 0 {
		if n < -30 {
			return 0, false
		}
		return 1 << -n, true
	}
	size := int64(n) * cluster
	return size, size > 0 && size&(size-1) == 0
}
