package vhd

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	what       = "VHD image"
	footerName = "VHD footer"
)

// footer is the hard disk footer, checked.
type footer struct {
	kind   uint32
	size   int64 // bytes of the disk
	header uint64
	id     [uuidLen]byte
	copied bool // it is the copy at the beginning: the last one is damaged
}

// sum is the one's complement of the sum of the bytes of b, without those of
// the checksum at off.
func sum(b []byte, off int) (s uint32) {
	for i, c := range b {
		if i < off || i >= off+4 {
			s += uint32(c)
		}
	}
	return ^s
}

// read reads n bytes at off, fewer at the end of src.
func read(ctx context.Context, src block.Device, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := src.ReadAt(ctx, b, off)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return b[:got], nil
}

// readFooter reads the footer at the end of src or, where that is damaged, its
// copy at the beginning.
func readFooter(ctx context.Context, src block.Device) (*footer, error) {
	end := (src.Size() - footerLen) &^ (sector - 1)
	var first error // of what is a footer, if one is
	named := false
	for _, off := range []int64{max(end, 0), 0} {
		b, err := read(ctx, src, off, footerLen)
		if err != nil {
			return nil, err
		}
		f, err := parseFooter(b, off)
		if err == nil {
			f.copied = off != max(end, 0)
			if f.copied && f.kind == typeFixed {
				return nil, ondisk.Corrupt(footerName, off, "that of a fixed disk is at the beginning")
			}
			return f, nil
		}
		if first == nil || !named && hasCookie(b) {
			first, named = err, hasCookie(b)
		}
	}
	return nil, first
}

func hasCookie(b []byte) bool { return len(b) >= len(cookie) && string(b[:len(cookie)]) == cookie }

func parseFooter(b []byte, off int64) (*footer, error) {
	if len(b) < footerLen || !hasCookie(b) {
		return nil, ondisk.Corrupt(footerName, off, "it begins with %q", b[:min(len(b), len(cookie))])
	}
	if stored, s := be32(b, offFooterSum), sum(b, offFooterSum); stored != s {
		return nil, ondisk.BadChecksum(footerName, off, stored, s)
	}
	if v := be32(b, offVersion); v>>16 != version1>>16 {
		return nil, ondisk.Unsupported(what, "version %d.%d", v>>16, v&0xffff)
	}
	f := &footer{kind: be32(b, offDiskType), header: be64(b, offDataOffset), id: [uuidLen]byte(b[offUniqueID:])}
	size := be64(b, offCurrentSize)
	chs := uint64(be16(b, offCylinders)) * uint64(b[offHeads]) * uint64(b[offSectors])
	switch creator := string(b[offCreator : offCreator+creatorLen]); creator {
	case creatorVPC, creatorVS, creatorQEMU:
		// What a guest of these saw is its geometry, which is rounded down;
		// the largest one stands for anything.
		if chs != maxCHS {
			size = chs * sector
		}
	}
	if size > maxSize || size%sector != 0 {
		return nil, ondisk.Corrupt(footerName, off+offCurrentSize, "a disk of %d bytes", size)
	}
	f.size = int64(size)
	switch f.kind {
	case typeFixed, typeDynamic, typeDiff:
	default:
		return nil, ondisk.Unsupported(what, "the disk type %d", f.kind)
	}
	return f, nil
}

// probe knows a dynamic or differencing disk by the copy of its footer at the
// beginning. A fixed one has nothing there. A guest with a raw disk can write
// what it likes into its last sector, so that a footer there says "fixed"
// only, whatever its type, if its checksum is good and the sizes fit: all that
// it can so change is that this sector is no longer seen.
func probe(ctx context.Context, src block.Device) error {
	b, err := read(ctx, src, 0, len(cookie))
	if err != nil {
		return err
	}
	if string(b) == cookie {
		return nil
	}
	if src.Size() < footerLen || src.Size()%sector != 0 {
		return ondisk.NotThis(Name)
	}
	off := src.Size() - footerLen
	if b, err = read(ctx, src, off, footerLen); err != nil {
		return err
	}
	f, err := parseFooter(b, off)
	if err != nil || f.kind != typeFixed || be64(b, offCurrentSize) != uint64(off) || f.size > off {
		return ondisk.NotThis(Name)
	}
	return nil
}
