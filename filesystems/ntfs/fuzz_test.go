package ntfs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/vfs"
)

// fresh is an opened empty volume of mkntfs, whose system files have a little of
// everything: the decoders' seeds are taken from it.
func fresh(f *testing.F) *FileSystem {
	f.Helper()
	images.NeedTool(f, "mkntfs")
	img := filepath.Join(f.TempDir(), "img")
	if err := os.WriteFile(img, make([]byte, 2<<20), 0o644); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command("mkntfs", "-q", "-F", "-Q", "-c", "512", img).CombinedOutput(); err != nil {
		f.Fatalf("mkntfs: %v: %s", err, out)
	}
	b, err := os.ReadFile(img)
	if err != nil {
		f.Fatal(err)
	}
	fs, err := Driver().Open(context.Background(), []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return fs.(*FileSystem)
}

// attributes calls use with each attribute of the system files.
func attributes(f *testing.F, fs *FileSystem, use func(a attribute)) {
	f.Helper()
	n := 0
	for num := range uint64(12) {
		r, err := fs.record(context.Background(), num)
		if err != nil {
			continue
		}
		for at := int(r.attrsOffset()); ; n++ {
			a, problem := r.attr(at)
			if problem != "" {
				f.Fatalf("record %d: %s", num, problem)
			}
			if a == nil {
				break
			}
			use(a)
			at += len(a)
		}
	}
	if n < 20 {
		f.Fatalf("%d attributes", n)
	}
}

// FuzzRunlist decodes mapping pairs: the runs follow each other, and no number
// is beyond what can be summed.
func FuzzRunlist(f *testing.F) {
	attributes(f, fresh(f), func(a attribute) {
		if a.nonResident() {
			f.Add(append([]byte(nil), a.pairs()...))
		}
	})
	f.Add([]byte{0x21, 0x10, 0x00, 0x02, 0x01, 0x08, 0x31, 0x10, 0xff, 0xff, 0x7f, 0x11, 0x04, 0x80, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := runReader{b: b}
		vcn := int64(0)
		for n := 0; ; n++ {
			out, ok, problem := r.next()
			if !ok {
				if problem == "" && (len(r.b) == 0 || r.b[0] != 0) {
					t.Fatal("it ends without a reason")
				}
				return
			}
			if out.vcn != vcn || out.len <= 0 || out.vcn+out.len > maxVCN || out.lcn < sparse || out.lcn > maxVCN || n > len(b)/2 {
				t.Fatalf("run %d is %+v, after cluster %d", n, out, vcn)
			}
			vcn += out.len
		}
	})
}

// FuzzRecord decodes an MFT record: its fixups, attributes, lists and runs.
func FuzzRecord(f *testing.F) {
	fs := fresh(f)
	for num := range uint64(12) {
		if r, err := fs.record(context.Background(), num); err == nil {
			f.Add(append([]byte(nil), r...))
		}
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1024 {
			return
		}
		b = b[:1024:1024]
		r := record(b)
		if first, used := int64(r.attrsOffset()), int64(r.bytesInUse()); first < recordHeader || first&7 != 0 || used > int64(len(r)) || first > used-8 {
			return // what record refuses before anybody sees it
		}
		n := &inode{f: file{fs: fs, num: 64, rec: r}}
		if n.f.loadList(ctx) != nil || n.load(ctx) != nil {
			return
		}
		buf := make([]byte, 4096)
		for off := int64(0); off < min(n.attr.Size, 64<<10); off += int64(len(buf)) {
			if _, err := vfs.ReadAt(ctx, n, buf, off); err != nil {
				break
			}
		}
		for x, err := range n.Xattrs(ctx) {
			if err != nil {
				break
			}
			if x.Size < 64<<10 {
				_, _ = x.Read(ctx)
			}
		}
		names := 0
		for range n.Entries(ctx, vfs.Cursor{}) {
			if names++; names > 100 {
				break
			}
		}
	})
}

// FuzzIndex verifies an index block and goes through its entries.
func FuzzIndex(f *testing.F) {
	fs := fresh(f)
	root, err := fs.openRecord(context.Background(), fileRoot)
	if err != nil {
		f.Fatal(err)
	}
	var alloc stream
	name, _ := encodeName(nil, "$I30")
	ok, err := root.find(context.Background(), typeIndexAllocation, name, &alloc)
	if err != nil || !ok {
		f.Fatalf("the root has no $INDEX_ALLOCATION: %v", err)
	}
	b := make([]byte, alloc.size)
	if err := alloc.readFull(context.Background(), b, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b[:4096])
	f.Add(b[:512])
	f.Fuzz(func(t *testing.T, b []byte) {
		size := len(b) / usaStride * usaStride
		if size == 0 {
			return
		}
		b = append([]byte(nil), b[:size]...)
		// The ends of strides are made right, so that what lies behind is reached.
		if off := int(multiSector(b).usaOffset()); off >= 8 && off+2 <= len(b) {
			for at := usaStride; at <= size; at += usaStride {
				copy(b[at-2:at], b[off:off+2])
			}
		}
		if fs.verifyIndex(b, txn.Addr{Len: len(b)}) != nil {
			return
		}
		n := node{what: "NTFS index block"}
		var err error
		if n.b, err = indexBlock(b).header().entries(len(b)-indexBlockHeader, n); err != nil {
			t.Fatalf("it was verified: %v", err)
		}
		for at := 0; ; {
			e, err := n.entry(at)
			if err != nil {
				t.Fatalf("it was verified: %v", err)
			}
			if e.last() {
				return
			}
			if e.hasChild() {
				e.child()
			}
			decodeName(e.key())
			at += len(e)
		}
	})
}

// FuzzSecurity takes a mode and owners from a security descriptor.
func FuzzSecurity(f *testing.F) {
	fs := fresh(f)
	attributes(f, fs, func(a attribute) {
		if a.typ() == typeSecurityDescriptor && !a.nonResident() {
			f.Add(append([]byte(nil), a.value()...))
		}
	})
	for id := uint32(256); id < 260; id++ {
		sec, err := fs.openSecurity(context.Background())
		if err != nil {
			f.Fatal(err)
		}
		if b, err := sec.read(context.Background(), id); err == nil && b != nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := securityDescriptor(b)
		if len(d) < descriptorHeader {
			return
		}
		owner, group := d.sid(d.owner()), d.sid(d.group())
		owner.id(false)
		group.id(true)
		if mode, ok := d.mode(owner, group); mode > 0o7777 || !ok && mode != 0 {
			t.Fatalf("mode %o", mode)
		}
	})
}

// FuzzReparse gives a record a reparse point and extended attributes, which
// make links, special files and files of WOF of it.
func FuzzReparse(f *testing.F) {
	fs := fresh(f)
	link := func(tag uint32, data string) []byte {
		b := le.AppendUint32(nil, tag)
		b = le.AppendUint32(b, uint32(len(data)))
		return append(b, data...)
	}
	f.Add(link(tagSymlink, "\x00\x00\x06\x00\x06\x00\x06\x00\x01\x00\x00\x00a\x00\\\x00b\x00a\x00\\\x00b\x00"), []byte{})
	f.Add(link(tagMountPoint, "\x00\x00\x0e\x00\x10\x00\x00\x00\\\x00?\x00?\x00\\\x00C\x00:\x00\\\x00\x00\x00\x00\x00"), []byte{})
	f.Add(link(tagLXSymlink, "\x02\x00\x00\x00target/of"), []byte{})
	f.Add(link(tagLXChar, ""), []byte("\x00\x00\x00\x00\x00\x06\x08\x00$LXDEV\x00\x05\x00\x00\x00\x01\x00\x00\x00"))
	f.Add(link(tagNFS, "CHR\x01\x00\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00"), []byte("\x14\x00\x00\x00\x00\x06\x04\x00$LXUID\x00\xe8\x03\x00\x00\x00\x00\x00\x00\x00\x06\x04\x00$LXMOD\x00\xed\x81\x00\x00"))
	f.Add(link(tagWOF, "\x01\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"), []byte{})
	// resident is an attribute of that value.
	resident := func(typ uint32, v []byte) []byte {
		a := make([]byte, residentHeader, (residentHeader+len(v)+7)&^7)
		le.PutUint32(a, typ)
		le.PutUint32(a[4:], uint32(cap(a)))
		le.PutUint32(a[16:], uint32(len(v)))
		le.PutUint16(a[20:], residentHeader)
		return append(a, v...)[:cap(a)]
	}
	base, err := fs.record(context.Background(), fileRoot)
	if err != nil {
		f.Fatal(err)
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, point, ea []byte) {
		if len(point)+len(ea) > 3000 {
			return
		}
		r := append(record(nil), base[:int(base.attrsOffset())]...)
		r = append(r, resident(typeReparsePoint, point)...)
		r = append(r, resident(typeEA, ea)...)
		r = le.AppendUint32(r, typeEnd)
		r = append(r, make([]byte, 4)...)
		le.PutUint32(r[24:], uint32(len(r))) // the bytes in use
		n := &inode{f: file{fs: fs, num: fileRoot, rec: r}, info: make(standardInfo, standardInfoSize)}
		_ = n.loadReparse(ctx)
		_ = n.loadWSL(ctx)
		for _, ch := range []byte(n.target) {
			if ch == 0 {
				t.Fatalf("the target %q", n.target)
			}
		}
	})
}
