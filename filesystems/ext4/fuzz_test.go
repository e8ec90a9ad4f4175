package ext4

import (
	"bytes"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/vfs"
)

// FuzzImage opens and reads a whole small image, one piece of which was
// replaced: at is its place, b its bytes.
func FuzzImage(f *testing.F) {
	var seeds [][]byte
	for _, options := range [][]string{
		{"-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal"},
		{"-t", "ext4", "-O", "^metadata_csum,^resize_inode,^has_journal,inline_data,dir_index", "-I", "256"},
		{"-t", "ext2", "-I", "128"},
	} {
		seeds = append(seeds, smallImage(f, options...))
	}
	for i := range seeds {
		f.Add(uint8(i), uint32(superOffset+0x18), []byte{9, 0, 0, 0})
		f.Add(uint8(i), uint32(2048), []byte{0xff, 0xff})
		f.Add(uint8(i), uint32(0x28000), bytes.Repeat([]byte{0xff}, 64))
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint32, b []byte) {
		seed := seeds[int(which)%len(seeds)]
		img := append([]byte(nil), seed...)
		copy(img[int(at)%len(img):], b)
		fsys, err := openBytes(img, nil)
		if err != nil {
			return
		}
		for _, err := range readAllOf(fsys) {
			if strings.Contains(err.Error(), "too long") {
				t.Fatal(err)
			}
		}
	})
}

// fuzzOn opens an image for the fuzz targets of single blocks.
func fuzzOn(f *testing.F, options ...string) (*FileSystem, []byte) {
	b := smallImage(f, options...)
	fsys, err := openBytes(b, nil)
	if err != nil {
		f.Fatal(err)
	}
	return fsys, b
}

// FuzzExtent searches a node that passed verification.
func FuzzExtent(f *testing.F) {
	fsys, b := fuzzOn(f, "-t", "ext4", "-O", "^metadata_csum")
	root, err := fsys.iget(f.Context(), rootIno)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte(nil), root.raw.iBlock()...), uint32(0))
	f.Add(append([]byte(nil), b[4096:5120]...), uint32(1000))
	f.Fuzz(func(t *testing.T, b []byte, lblk uint32) {
		if len(b) < iBlockSize {
			return
		}
		e := extentNode(b)
		if fsys.checkExtentNode(e, 0) != nil {
			return
		}
		i := e.search(lblk)
		if i < 0 {
			return
		}
		if e.block(i) > lblk {
			t.Fatalf("search gave entry %d, which begins at %d, for %d", i, e.block(i), lblk)
		}
		if e.depth() > 0 {
			return
		}
		end := uint64(maxLogical)
		if i+1 < e.entries() {
			end = uint64(e.block(i + 1))
		}
		r := e.runAt(i, uint64(lblk), end)
		if r.len == 0 || uint64(lblk)+r.len > maxLogical || !r.hole() && r.start+r.len > fsys.geo.blocks {
			t.Fatalf("run %+v at %d", r, lblk)
		}
	})
}

// FuzzDirBlock walks a block that passed verification, and takes it for an
// index node.
func FuzzDirBlock(f *testing.F) {
	fsys, _ := fuzzOn(f, "-t", "ext4", "-O", "^metadata_csum")
	root, err := fsys.iget(f.Context(), rootIno)
	if err != nil {
		f.Fatal(err)
	}
	for lblk := range uint64(3) {
		if b, ok, err := root.dirBlock(f.Context(), lblk); err == nil && ok {
			f.Add(append([]byte(nil), b...), "file-00-nnnnnnnnnnnnnnnnnnnn")
		}
	}
	node := make([]byte, 1024)
	put16(node, 4, 1024)
	put16(node, dxNodeEntries, 127)
	put16(node, dxNodeEntries+2, 3)
	f.Add(node, "x")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		if len(b) != fsys.geo.blockSize {
			return
		}
		_ = fsys.verifyDirChecksum(b, txn.Addr{}) // it must not panic; its verdict is TestChecksums'
		if from, ok := dxPlace(b); ok {
			w := dxWalk{dir: root, hash: 12345}
			if w.push(b[from:], 0, false) == nil && w.frames[0].at >= w.frames[0].entries.count() {
				t.Fatalf("place %d of %d", w.frames[0].at, w.frames[0].entries.count())
			}
		}
		if fsys.checkDirents(b, 0, 2) != nil {
			return
		}
		num := root.search(b, root.nameMatch(name))
		if num > fsys.geo.inodes {
			t.Fatalf("inode %d", num)
		}
	})
}

// FuzzHtree looks names up in a directory of many, one block of which was
// replaced in part.
func FuzzHtree(f *testing.F) {
	clean := smallImage(f, "-t", "ext4", "-O", "^metadata_csum,^has_journal,large_dir")
	fsys, err := openBytes(clean, nil)
	if err != nil {
		f.Fatal(err)
	}
	root := fsys.lookup(f)
	f.Add(uint16(24), []byte{0, 0, 0, 0, 1, 8, 2, 0, 124, 0, 3, 0})
	f.Fuzz(func(t *testing.T, at uint16, b []byte) {
		img := append([]byte(nil), clean...)
		r, err := root.runAt(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		block0 := img[r.start<<fsys.geo.blockBits:]
		// The root of a hash tree, over whatever blocks the directory has.
		put16(block0, direntMin+4, uint16(fsys.geo.blockSize-direntMin))
		copy(block0[dxRootInfo:], []byte{0, 0, 0, 0, hashHalfMD4, dxInfoLength, 0, 0, 124, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0x40, 2, 0, 0, 0})
		copy(block0[int(at)%fsys.geo.blockSize:fsys.geo.blockSize], b)
		img[fsys.inodeOffset(t.Context(), rootIno)+0x21] |= flagIndex >> 8
		damaged, err := openBytes(img, nil)
		if err != nil {
			return
		}
		dir, err := damaged.iget(t.Context(), rootIno)
		if err != nil {
			return
		}
		for _, name := range []string{"dir", "file-07-nnnnnnnnnnnnnnnnnnnn", "none", ".."} {
			_, _ = dir.Lookup(t.Context(), name)
		}
	})
}

// FuzzXattr reads the attributes of an inode and of a block.
func FuzzXattr(f *testing.F) {
	fsys, _ := fuzzOn(f, "-t", "ext4", "-O", "^metadata_csum,ea_inode")
	list := []byte{4, xattrUser, 40, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 'n', 'a', 'm', 'e', 0, 0, 0, 0}
	acl := []byte{0, xattrACLAccess, 20, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 0x10, 0, 7, 0, 0x20, 0, 4, 0}
	f.Add(list)
	f.Add(acl)
	f.Fuzz(func(t *testing.T, b []byte) {
		raw := make(rawInode, 512)
		put16(raw, inodeExtraSize, 32)
		put32(raw, oldInodeSize+32, xattrMagic)
		copy(raw[oldInodeSize+32+xattrBodyStart:], b)
		n := &inode{fs: fsys, raw: raw, num: 12}
		body, err := n.xattrBody(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		n.xattrsOf(body, func(x vfs.Xattr, err error) bool {
			if err == nil {
				shown++
				if v, err := x.Read(t.Context()); err == nil && int64(len(v)) != x.Size {
					t.Fatalf("%q has %d bytes, Size says %d", x.Name, len(v), x.Size)
				}
			}
			return err == nil
		})
		if shown > 0 && n.provesNoXattr() {
			t.Fatal("it is said to have none")
		}
	})
}
