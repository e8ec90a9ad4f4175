package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/ext4"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

const (
	diskSize   = 64 << 20
	sectorSize = 512
	rootStart  = 1 << 20 // bytes
	rootSize   = 44 << 20
	dataStart  = rootStart + rootSize
	dataSize   = 16 << 20
)

// The partition types of systemd's Discoverable Partitions Specification.
const (
	typeRootX86 gpt.Type = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
	typeSrv     gpt.Type = "3B8F8425-20E0-4F3B-907F-1A25A76F98E8"
)

// Write makes the image at name. It appears there complete or not at all; a
// file that is there already is fs.ErrExist and stays as it is.
func Write(name string) error {
	// Asked first, so that no work is done in vain; Link below decides.
	if _, err := os.Lstat(name); err == nil {
		return &fs.PathError{Op: "make the demo image", Path: name, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".guestctl-demo-*")
	if err != nil {
		return fmt.Errorf("make the demo image %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := fill(f); err != nil {
		return fmt.Errorf("make the demo image %s: %w", name, err)
	}
	if err := publish(f, name); err != nil {
		return fmt.Errorf("make the demo image %s: %w", name, err)
	}
	return nil
}

// publish gives the finished file its name, which must be free.
func publish(f *os.File, name string) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	err := os.Link(f.Name(), name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some filesystems have no hard links; there the check in Write has to do.
	return os.Rename(f.Name(), name)
}

// fill writes the disk.
func fill(f *os.File) error {
	if err := f.Truncate(diskSize); err != nil {
		return err
	}
	disk := file.New(f, false)
	w, err := disk.Writable()
	if err != nil {
		return err
	}
	table := &gpt.Table{
		LogicalSectorSize: sectorSize, PhysicalSectorSize: sectorSize, ProtectiveMBR: true,
		Partitions: []*gpt.Partition{
			{Index: 1, Start: rootStart / sectorSize, End: (rootStart+rootSize)/sectorSize - 1, Type: typeRootX86, Name: "demo-root"},
			{Index: 2, Start: dataStart / sectorSize, End: (dataStart+dataSize)/sectorSize - 1, Type: typeSrv, Name: "demo-srv"},
		},
	}
	if err := table.Write(w, diskSize); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	if err := filesystem(disk, rootStart, rootSize, "demo-root", rootTree()); err != nil {
		return err
	}
	return filesystem(disk, dataStart, dataSize, "demo-srv", srvTree())
}

// An entry is one file, directory (mode with ModeDir) or symlink (mode with
// ModeSymlink, text its target) of the demo guest.
type entry struct {
	name     string
	mode     fs.FileMode
	text     string
	uid, gid int
}

// made is when the guest was set up, as its files say.
func made() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// filesystem makes one ext4 filesystem and its tree. Directories come before
// what is in them.
func filesystem(disk backend.Storage, start, size int64, label string, tree []entry) error {
	efs, err := ext4.Create(disk, size, start, sectorSize, &ext4.Params{
		VolumeName: label, SectorsPerBlock: 8, InodeRatio: 16384, Checksum: true,
		Features: []ext4.FeatureOpt{ext4.WithFeatureReservedGDTBlocksForExpansion(false)},
	})
	if err != nil {
		return fmt.Errorf("making the filesystem %s: %w", label, err)
	}
	for _, e := range tree {
		if err := add(efs, e); err != nil {
			return fmt.Errorf("writing %s into %s: %w", e.name, label, err)
		}
	}
	// Times last: what is made inside a directory changes the directory's.
	for _, e := range tree {
		if err := efs.Chtimes(e.name, made(), made(), made()); err != nil {
			return fmt.Errorf("setting the time of %s in %s: %w", e.name, label, err)
		}
	}
	return efs.Close()
}

func add(efs *ext4.FileSystem, e entry) error {
	name := e.name // io/fs names: no slash in front
	switch e.mode.Type() {
	case fs.ModeSymlink:
		return efs.Symlink(e.text, e.name)
	case fs.ModeDir:
		if err := efs.Mkdir(name); err != nil {
			return err
		}
	default:
		f, err := efs.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return err
		}
		if e.text != "" {
			if _, err := f.Write([]byte(e.text)); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if err := efs.Chmod(e.name, e.mode); err != nil {
		return err
	}
	return efs.Chown(e.name, e.uid, e.gid)
}
