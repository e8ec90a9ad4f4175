// Package signature recognises what a volume carries by its magic bytes, for
// naming it only: to say "zfs_member is not read yet" instead of "unknown",
// and to tell a plausible partition table from one that is misread.
//
// Names are blkid's TYPE. Nothing here parses: a name is no promise that the
// rest is intact, and no driver relies on it.
//
// This package may change.
package signature

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
)

// head is how much of a volume's start is read, in bytes: up to the btrfs and
// reiserfs superblocks at 64 KiB.
const head = 68 << 10

// Found is what Find recognises; all is "" where that is nothing.
type Found struct {
	Type  string // blkid's TYPE
	UUID  string // as blkid prints it; "" where it is not known here
	Label string // "" where it is not known here
}

// Find names what dev carries. It reads the first 68 KiB, and, where that says
// nothing, little more. The error is that of reading.
func Find(ctx context.Context, dev block.Device) (Found, error) {
	size := dev.Size()
	b := make([]byte, min(head, size))
	if err := block.ReadFull(ctx, dev, b, 0); err != nil {
		return Found{}, fmt.Errorf("read the first %d bytes: %w", len(b), err)
	}
	for _, m := range containers() {
		if m.matches(b) {
			return identify(m.name, b), nil
		}
	}
	if isRaid, err := raidAtEnd(ctx, dev); err != nil {
		return Found{}, err
	} else if isRaid {
		return Found{Type: "linux_raid_member"}, nil
	}
	for _, m := range filesystems() {
		if m.matches(b) {
			return identify(m.name, b), nil
		}
	}
	switch {
	case isFAT(b):
		return identify("vfat", b), nil
	case isZFS(ctx, dev):
		return Found{Type: "zfs_member"}, nil
	}
	return Found{}, nil
}

// IsContainer says whether a volume of that name holds other volumes or
// encrypted bytes, so that a filesystem which seems to be on it is not to be
// read there: the start of a RAID member looks like what the array carries.
func IsContainer(name string) bool {
	for _, m := range containers() {
		if m.name == name {
			return true
		}
	}
	return name == "linux_raid_member" || name == "zfs_member"
}

// A magic is bytes at a place.
type magic struct {
	name  string
	off   int
	bytes string
}

func (m magic) matches(b []byte) bool {
	return len(b) >= m.off+len(m.bytes) && string(b[m.off:m.off+len(m.bytes)]) == m.bytes
}

// containers go before filesystems: what was there before may still show.
func containers() []magic {
	return []magic{
		{"crypto_LUKS", 0, "LUKS\xba\xbe"},
		{"BitLocker", 3, "-FVE-FS-"},
		// The label is in one of the first four sectors, and its type 24 bytes in.
		{"LVM2_member", 24, "LVM2 001"},
		{"LVM2_member", 512 + 24, "LVM2 001"},
		{"LVM2_member", 1024 + 24, "LVM2 001"},
		{"LVM2_member", 1536 + 24, "LVM2 001"},
		// Superblocks 1.1 and 1.2: magic and major version.
		{"linux_raid_member", 0, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"},
		{"linux_raid_member", 4096, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"},
		{"bcache", 4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
		{"DM_verity_hash", 0, "verity\x00\x00"},
		{"DM_integrity", 0, "integrt\x00"},
		{"DM_snapshot_cow", 0, "SnAp"},
		{"stratis", 512 + 4, "!Stra0tis\x86\xff\x02\x5e\x41rh"},
	}
}

func filesystems() []magic {
	m := []magic{
		{"xfs", 0, "XFSB"},
		{"btrfs", 64<<10 + 64, "_BHRfS_M"},
		{"ntfs", 3, "NTFS    "},
		{"exfat", 3, "EXFAT   "},
		{"ReFS", 3, "ReFS\x00"},
		{"squashfs", 0, "hsqs"},
		{"iso9660", 32768 + 1, "CD001"},
		{"udf", 32768 + 1, "BEA01"},
		{"f2fs", 1024, "\x10\x20\xf5\xf2"},
		{"erofs", 1024, "\xe2\xe1\xf5\xe0"},
		{"jfs", 32768, "JFS1"},
		{"reiserfs", 64<<10 + 52, "ReIsErFs"},
		{"reiserfs", 64<<10 + 52, "ReIsEr2Fs"},
		{"reiserfs", 64<<10 + 52, "ReIsEr3Fs"},
		{"reiserfs", 8<<10 + 52, "ReIsErFs"},
		{"apfs", 32, "NXSB"},
		{"hfsplus", 1024, "H+\x00\x04"},
		{"hfsplus", 1024, "HX\x00\x05"},
		{"hfs", 1024, "BD"},
		{"nilfs2", 1024 + 6, "\x34\x34"},
		{"gfs2", 64 << 10, "\x01\x16\x19\x70"},
		{"ocfs2", 1024, "OCFSV2"},
		{"ocfs2", 2048, "OCFSV2"},
		{"ocfs2", 4096, "OCFSV2"},
		{"cramfs", 0, "\x45\x3d\xcd\x28"},
		{"bcachefs", 4096 + 24, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"},
		{"ufs", 8<<10 + 1372, "\x54\x19\x01\x00"},
		{"ufs", 64<<10 + 1372, "\x19\x01\x54\x19"},
		{"ext4", 1024 + 56, "\x53\xef"},
	}
	// The signature of swap ends its first page, whatever its size.
	for _, page := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		m = append(m, magic{"swap", page - 10, "SWAPSPACE2"}, magic{"swap", page - 10, "SWAP-SPACE"}, magic{"swsuspend", page - 10, "S1SUSPEND\x00"})
	}
	return m
}

// isFAT says whether b starts with the BIOS parameter block of FAT.
func isFAT(b []byte) bool { return len(b) >= 512 && BootSector(b) }

// BootSector says whether the sector b, of 512 bytes, is the boot sector of a
// FAT or NTFS volume: its parameter block is valid. Such a sector ends as an
// MBR does.
func BootSector(b []byte) bool {
	if b[510] != 0x55 || b[511] != 0xAA {
		return false
	}
	if oem := string(b[3:11]); oem == "NTFS    " || oem == "EXFAT   " || oem == "-FVE-FS-" {
		return true
	}
	var (
		jump      = b[0] == 0xEB && b[2] == 0x90 || b[0] == 0xE9
		sector    = binary.LittleEndian.Uint16(b[11:])
		cluster   = b[13]
		reserved  = binary.LittleEndian.Uint16(b[14:])
		fats      = b[16]
		media     = b[21]
		sectorOK  = sector >= 512 && sector <= 4096 && sector&(sector-1) == 0
		clusterOK = cluster != 0 && cluster&(cluster-1) == 0
		mediaOK   = media == 0xF0 || media >= 0xF8
	)
	return jump && sectorOK && clusterOK && reserved != 0 && (fats == 1 || fats == 2) && mediaOK
}

// raidAtEnd says whether a superblock of Linux's RAID stands at the end of
// dev: version 0.90, in the last whole 64 KiB, or 1.0, 8 to 12 KiB before the
// end.
func raidAtEnd(ctx context.Context, dev block.Device) (bool, error) {
	size := dev.Size()
	b := make([]byte, 8)
	if at := size&^(64<<10-1) - 64<<10; at > 0 {
		if err := block.ReadFull(ctx, dev, b, at); err != nil {
			return false, fmt.Errorf("read 8 bytes at %d: %w", at, err)
		}
		if magic := string(b[:4]); (magic == "\xfc\x4e\x2b\xa9" || magic == "\xa9\x2b\x4e\xfc") && (string(b[4:]) == "\x00\x00\x00\x00") {
			return true, nil
		}
	}
	if at := (size/512 - 16) &^ 7 * 512; at > 0 {
		if err := block.ReadFull(ctx, dev, b, at); err != nil {
			return false, fmt.Errorf("read 8 bytes at %d: %w", at, err)
		}
		return string(b) == "\xfc\x4e\x2b\xa9\x01\x00\x00\x00", nil
	}
	return false, nil
}

// isZFS says whether the first label of dev has at least four uberblocks, as
// blkid asks for, since single ones outlive many a filesystem made later.
func isZFS(ctx context.Context, dev block.Device) bool {
	const first, end = 128 << 10, 256 << 10
	if dev.Size() < 64<<20 { // ZFS takes no smaller device
		return false
	}
	b := make([]byte, end-first)
	if block.ReadFull(ctx, dev, b, first) != nil {
		return false
	}
	found := 0
	for ; len(b) > 0; b = b[1024:] {
		const magic = 0x00bab10c
		if binary.LittleEndian.Uint64(b) == magic || binary.BigEndian.Uint64(b) == magic {
			found++
		}
	}
	return found >= 4
}
