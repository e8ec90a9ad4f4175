package differential

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsoprea/go-ext4"
	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// github.com/dsoprea/go-ext4 is a weak second opinion: it stops at the first hashed directory, misreads holes and knows
// neither extended attributes nor nanoseconds. What it reads by number it reads right: the superblock, inodes, and the
// contents of small files without holes.
func TestSecondOpinion(t *testing.T) {
	img := images.Ext(t, "ext4")
	f, err := os.Open(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(ext4.Superblock0Offset, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	sb, err := ext4.NewSuperblockWithReader(f)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := ext4.NewBlockGroupDescriptorListWithReadSeeker(f, sb)
	if err != nil {
		t.Fatal(err)
	}

	m := whole(t, img)
	var st unix.Statfs_t
	if err := unix.Statfs(m.Dir, &st); err != nil {
		t.Fatal(err)
	}
	if d := sb.Data(); st.Bsize != int64(sb.BlockSize()) || st.Files != uint64(d.SInodesCount) || st.Ffree != uint64(d.SFreeInodesCount) || st.Bfree != uint64(d.SFreeBlocksCountLo) {
		t.Errorf("statfs is %+v; the superblock has blocks of %d, %d inodes, %d free, %d blocks free", st, sb.BlockSize(), d.SInodesCount, d.SFreeInodesCount, d.SFreeBlocksCountLo)
	}

	tree, err := manifest.Walk(t.Context(), m.Dir, manifest.Options{NoSum: true, NoXattrs: true})
	if err != nil {
		t.Fatal(err)
	}
	inodes, contents := 0, 0
	for _, e := range tree[1:] { // the root of a mount has a number of its own
		group, err := groups.GetWithAbsoluteInode(int(e.Ino))
		if err != nil {
			continue // it rounds the number of groups down
		}
		inode, err := ext4.NewInodeWithReadSeeker(group, f, int(e.Ino))
		if err != nil && (strings.Contains(err.Error(), "hash-tree directories not currently supported") ||
			strings.Contains(err.Error(), "only inodes having extent trees are supported")) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		d := inode.Data()
		if uint32(d.IMode) != e.Mode || d.IUid != uint16(e.UID) || d.IGid != uint16(e.GID) || uint32(d.ILinksCount) != e.Nlink ||
			d.ISizeLo != uint32(e.Size) || d.IMtime != uint32(e.Mtime.Unix()) || d.IMtimeExtra>>2 != uint32(e.Mtime.Nanosecond()) || d.ICtime != uint32(e.Ctime.Unix()) {
			t.Errorf("%q, inode %d, is %+v; the second opinion is %+v", e.Path, e.Ino, e, d)
		}
		inodes++
		if !strings.HasPrefix(e.Path, "small/") || e.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		theirs, err := io.ReadAll(ext4.NewInodeReader(ext4.NewExtentNavigatorWithReadSeeker(f, inode)))
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.ReadFile(filepath.Join(m.Dir, e.Path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%q differs", e.Path)
		}
		contents++
	}
	if inodes < 1000 || contents < 100 {
		t.Errorf("only %d inodes and %d files were compared", inodes, contents)
	}
}
