package vhd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"unicode/utf16"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/extent"
	"github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// Name is the format's name, as QEMU has it.
const Name = "vpc"

const (
	headerName = "VHD dynamic disk header"
	batName    = "VHD block allocation table"
)

// Format is VHD.
func Format() image.Format {
	return image.Format{Name: Name, Probe: probe, Open: open}
}

// disk is an opened image.
type disk struct {
	*extent.Disk
	src    block.Device
	f      *footer
	pages  *extent.Pages
	bat    int64
	block  int64
	bitmap int64 // bytes of a block's sector bitmap
	parent block.Device
	info   image.Info
}

func (d *disk) Info() image.Info { return d.info }

func open(ctx context.Context, src block.Device, opt image.Options) ([]image.Image, error) {
	switch {
	case opt.Writable:
		return nil, &ondisk.UnsupportedError{What: what, Detail: "writing", Remedy: "open it read-only"}
	case opt.Snapshot != "":
		return nil, &ondisk.UnsupportedError{What: what, Detail: fmt.Sprintf("an internal snapshot (%q)", opt.Snapshot),
			Remedy: "a snapshot is a file of its own (.avhd): open that one"}
	}
	f, err := readFooter(ctx, src)
	if err != nil {
		return nil, err
	}
	d := &disk{src: src, f: f, info: image.Info{Format: Name, VirtualSize: f.size, Version: "1"}}
	if f.copied {
		d.info.Damaged = "the footer at its end is damaged; the copy of it is used"
	}
	tables, blocks := extent.CacheLimits(opt.CacheBytes)
	c := extent.Config{Size: f.size, Map: d.mapFixed, CacheBytes: blocks, What: Name, Log: opt.Log}
	if f.kind == typeFixed {
		if f.size > src.Size()-footerLen {
			return nil, ondisk.Corrupt(footerName, src.Size()-footerLen, "a fixed disk of %d bytes in a file of %d", f.size, src.Size())
		}
	} else {
		d.pages = extent.NewPages(src, tables)
		c.Map = d.mapAt
		if err := d.openDynamic(ctx, opt); err != nil {
			return nil, err
		}
	}
	d.Disk = extent.New(c)
	return []image.Image{d}, nil
}

// openDynamic reads the dynamic disk header and opens the parent.
func (d *disk) openDynamic(ctx context.Context, opt image.Options) error {
	if d.f.header > uint64(max(d.src.Size()-headerLen, 0)) {
		return ondisk.Corrupt(footerName, 0, "the dynamic disk header at %d is outside the file of %d bytes", d.f.header, d.src.Size())
	}
	at := int64(d.f.header)
	b := make([]byte, headerLen)
	if err := block.ReadFull(ctx, d.src, b, at); err != nil {
		return err
	}
	bad := func(off int64, format string, args ...any) error {
		return ondisk.Corrupt(headerName, at+off, format, args...)
	}
	if string(b[:len(headerCookie)]) != headerCookie {
		return bad(0, "it begins with %q", b[:len(headerCookie)])
	}
	if stored, s := be32(b, offHeaderSum), sum(b, offHeaderSum); stored != s {
		return ondisk.BadChecksum(headerName, at, stored, s)
	}
	if v := be32(b, offHeaderVer); v>>16 != version1>>16 {
		return ondisk.Unsupported(what, "version %d.%d of the dynamic disk header", v>>16, v&0xffff)
	}
	d.block = int64(be32(b, offBlockSize))
	if d.block < minBlock || d.block > maxBlock || d.block&(d.block-1) != 0 {
		return bad(offBlockSize, "blocks of %d bytes", d.block)
	}
	d.bitmap = (d.block/sector + sectorsPerBlock - 1) / sectorsPerBlock * sector
	bat, entries := be64(b, offTableOffset), int64(be32(b, offMaxEntries))
	if need := (d.f.size + d.block - 1) / d.block; entries < need {
		return bad(offMaxEntries, "a table of %d entries; the disk needs %d", entries, need)
	} else if bat > 1<<62 || bat%batEntryLen != 0 || !ondisk.Fits(int64(bat), need*batEntryLen, d.src.Size()) {
		return bad(offTableOffset, "the table of %d entries at %d is not aligned, or outside the file of %d bytes", need, bat, d.src.Size())
	}
	d.bat, d.info.ClusterSize = int64(bat), d.block
	if d.f.kind == typeDiff {
		return d.openParent(ctx, opt, b, at)
	}
	return nil
}

// openParent opens what has the sectors that a differencing disk does not, by
// the first of its names that is there.
func (d *disk) openParent(ctx context.Context, opt image.Options, header []byte, at int64) error {
	names, err := d.parentNames(ctx, header, at)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return ondisk.Corrupt(headerName, at+offLocators, "a differencing disk without a parent's name")
	}
	var first error
	for _, name := range names {
		dev, err := extent.Related(ctx, opt, "parent", extent.HostName(name), Name)
		if err == nil {
			return d.useParent(name, dev, header, at)
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return first
}

func (d *disk) useParent(name string, dev block.Device, header []byte, at int64) error {
	want := [uuidLen]byte(header[offParentID:])
	if p, ok := dev.(*disk); ok && p.f.id != want {
		return ondisk.Corrupt(headerName, at+offParentID, "the parent %q has the unique ID %x, not %x", name, p.f.id, want)
	}
	d.info.Backing, d.info.BackingFmt = name, Name
	d.parent = extent.Named("parent", name, dev)
	return nil
}

// parentNames gives the names of the parent: the relative ones first, those of
// a host that is not this one last.
func (d *disk) parentNames(ctx context.Context, header []byte, at int64) ([]string, error) {
	byCode := make(map[string]string)
	for i := range locators {
		l := header[offLocators+i*locatorLen:][:locatorLen]
		code, n, off := string(l[:4]), int64(be32(l, locatorDataLen)), be64(l, locatorDataOff)
		switch code {
		case platformRel, platformAbs, platformURL:
		default:
			continue // of systems that are long gone, or unused
		}
		if n > maxLocator || off > 1<<62 || !ondisk.Fits(int64(off), n, d.src.Size()) {
			return nil, ondisk.Corrupt(headerName, at+offLocators+int64(i)*locatorLen, "the locator %q of %d bytes at %d is outside the file of %d", code, n, off, d.src.Size())
		}
		b := make([]byte, n)
		if err := block.ReadFull(ctx, d.src, b, int64(off)); err != nil {
			return nil, err
		}
		if code == platformURL {
			name := strings.TrimRight(string(b), "\x00")
			if u, err := url.PathUnescape(name); err == nil {
				name = u
			}
			byCode[code] = name
			continue
		}
		byCode[code] = utf16Text(b, 1)
	}
	var names []string
	for _, name := range []string{byCode[platformRel], byCode[platformURL], utf16Text(header[offParentName:offParentName+parentNameLen], 0), byCode[platformAbs]} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// utf16Text is UTF-16 text up to a zero; high is where in each pair of bytes
// the higher one stands.
func utf16Text(b []byte, high int) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		c := uint16(b[i+high])<<8 | uint16(b[i+1-high])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}

func (d *disk) mapFixed(_ context.Context, off, n int64) (extent.Extent, error) {
	return extent.Extent{Kind: extent.Plain, Len: n, Dev: d.src, Off: off}, nil
}

// mapAt is the extent at off by the block allocation table.
func (d *disk) mapAt(ctx context.Context, off, n int64) (extent.Extent, error) {
	number := off / d.block
	at := d.bat + number*batEntryLen
	b, err := d.pages.At(ctx, at)
	if err != nil {
		return extent.Extent{}, err
	}
	return extent.Scan(n, len(b)/batEntryLen, d.block-off%d.block, d.block, func(i int) (extent.Extent, error) {
		pos := (number + int64(i)) * d.block
		in := int64(0)
		if i == 0 {
			in = off - pos
		}
		return d.decode(ctx, be32(b, i*batEntryLen), at+int64(i)*batEntryLen, pos, in)
	})
}

// decode is the extent from in to the end of the block at pos, or to where its
// sectors change, by the entry e, which stands at at.
func (d *disk) decode(ctx context.Context, e uint32, at, pos, in int64) (extent.Extent, error) {
	n := min(d.block, d.f.size-pos) - in
	if e == unused {
		return extent.FromParent(d.parent, pos+in, n), nil
	}
	host := int64(e) * sector
	if host+d.bitmap >= d.src.Size() {
		return extent.Extent{}, ondisk.Corrupt(batName, at, "the block at sector %d is outside the file of %d bytes", e, d.src.Size())
	}
	data := extent.Extent{Kind: extent.Plain, Len: n, Dev: d.src, Off: host + d.bitmap + in}
	if d.f.kind != typeDiff {
		// The bitmap says which sectors were written; the others are zero
		// in the file too.
		return data, nil
	}
	first := in / sector
	b, err := d.pages.At(ctx, host+first/bitsPerByte)
	if err != nil {
		return extent.Extent{}, err
	}
	b = b[:min(int64(len(b)), d.bitmap-first/bitsPerByte)]
	set, run := extent.BitRun(b, int(first%bitsPerByte), int((in%sector+n+sector-1)/sector), true)
	n = min(n, int64(run)*sector-in%sector)
	if !set {
		return extent.FromParent(d.parent, pos+in, n), nil
	}
	data.Len = n
	return data, nil
}
