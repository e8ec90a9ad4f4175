package files

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// Extract does what Copy does with a guest that is somewhere else: r is what Tar
// gives with TarOptions.Copy, of top, of which the path, the name and the
// attributes are needed. The names and links in it are trusted as little as a
// guest's.
func Extract(ctx context.Context, r io.Reader, top *Entry, target string, opt CopyOptions) error {
	c, err := newCopier(ctx, top, target, opt)
	if err != nil {
		return err
	}
	defer c.close()
	x := &extractor{copier: c, tar: tar.NewReader(r), root: strings.TrimSuffix(top.Path, "/"), linked: map[string]bool{}, buf: make([]byte, pieceBytes)}
	if !top.isDir() {
		x.root = strings.TrimSuffix(x.root, "/"+top.Name)
	}
	for {
		h, err := x.tar.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r) // what fills its last record
			return err
		}
		if err == nil {
			err = x.member(h)
		}
		if err == nil {
			err = x.err
		}
		if err != nil {
			return err
		}
	}
}

type extractor struct {
	*copier
	tar    *tar.Reader
	root   string          // the guest's path that "." stands for
	linked map[string]bool // paths of copied files that have more names
	buf    []byte
	err    error // of reading the archive
}

// path is the guest's path of a name in the archive.
func (x *extractor) path(name string) string {
	return x.root + strings.TrimSuffix(strings.TrimPrefix(name, "."), "/")
}

func (x *extractor) member(h *tar.Header) error {
	e := &Entry{Path: x.path(h.Name)}
	if e.Path == "" {
		e.Path = "/"
	}
	e.Name = e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	e.Attr = vfs.Attr{Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), Nlink: 1, Size: h.Size,
		Atime: vfsTime(h.AccessTime), Mtime: vfsTime(h.ModTime)}
	switch h.Typeflag {
	case tarHardLink:
		first := x.path(h.Linkname)
		if !x.linked[first] {
			x.opt.Problem(&Error{Op: "copy", Path: e.Path, Err: fmt.Errorf("it is another name of %q, which was not copied", first)})
			return nil
		}
		e.Inode = archived{e.Attr, h}
		return x.add(&item{Entry: e, result: hardLink(x.rel(&Entry{Path: first}))})
	case tarRegular:
		e.Attr.Mode |= syscall.S_IFREG
	case tarSymlink:
		e.Attr.Mode |= syscall.S_IFLNK
	case tarChar:
		e.Attr.Mode |= syscall.S_IFCHR
	case tarBlockDev:
		e.Attr.Mode |= syscall.S_IFBLK
	case tarDir:
		e.Attr.Mode |= syscall.S_IFDIR
	case tarFifo:
		e.Attr.Mode |= syscall.S_IFIFO
		if h.PAXRecords[paxType] == "socket" {
			e.Attr.Mode = e.Attr.Mode&^syscall.S_IFMT | syscall.S_IFSOCK
		}
	default:
		return fmt.Errorf("the archive has a member of the type %q", h.Typeflag)
	}
	e.Attr.Rdev = encodeDev(uint32(h.Devmajor), uint32(h.Devminor))
	size := int64(-1)
	if text, ok := h.PAXRecords[paxSize]; ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return ondisk.Corrupt("archive", 0, "the size %q", text)
		}
		size, e.Attr.Size = n, n
	}
	e.Inode = archived{e.Attr, h}
	x.contents = func(f *os.File) error {
		if size >= 0 {
			return x.segments(f, size)
		}
		return x.data(f, 0, h.Size)
	}
	if h.PAXRecords[paxLinks] != "" {
		x.linked[e.Path] = true
	}
	return x.add(&item{Entry: e})
}

// data writes the next n bytes of the archive.
func (x *extractor) data(f *os.File, off, n int64) error {
	for end := off + n; off < end; {
		part := x.buf[:min(int64(len(x.buf)), end-off)]
		if _, err := io.ReadFull(x.tar, part); err != nil {
			x.err = err
			return err
		}
		if _, err := f.WriteAt(part, off); err != nil {
			return err
		}
		off += int64(len(part))
		x.progress(int64(len(part)))
	}
	return nil
}

// segments writes a file with holes: its map, then its segments.
func (x *extractor) segments(f *os.File, size int64) error {
	list, err := x.readMap(size)
	if err != nil {
		x.err = err
		return err
	}
	for _, s := range list {
		if err := x.data(f, s[0], s[1]); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}

// readMap reads what sparseMap writes: decimal lines that fill whole blocks.
func (x *extractor) readMap(size int64) ([][2]int64, error) {
	var block [tarBlock]byte
	at := len(block)
	number := func() (n int64, err error) {
		for digits := 0; ; digits++ {
			if at == len(block) {
				if _, err := io.ReadFull(x.tar, block[:]); err != nil {
					return 0, err
				}
				at = 0
			}
			c := block[at]
			at++
			switch {
			case c == '\n' && digits > 0:
				return n, nil
			case c < '0' || c > '9' || digits == 18:
				return 0, ondisk.Corrupt("archive", 0, "a map of segments that is none")
			}
			n = n*10 + int64(c-'0')
		}
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	if n > sparseSegments+2 {
		return nil, ondisk.Corrupt("archive", 0, "a map of %d segments", n)
	}
	list := make([][2]int64, 0, min(n, 1024))
	for last := int64(0); int64(len(list)) < n; {
		off, err := number()
		if err != nil {
			return nil, err
		}
		length, err := number()
		if err != nil {
			return nil, err
		}
		if off < last || off > size || length > size-off {
			return nil, ondisk.Corrupt("archive", 0, "a segment of %d bytes at %d of %d", length, off, size)
		}
		last = off + length
		list = append(list, [2]int64{off, length})
	}
	return list, nil
}

func vfsTime(t time.Time) vfs.Time {
	return vfs.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}

// archived is a member of an archive as an inode that has attributes alone.
type archived struct {
	attr   vfs.Attr
	header *tar.Header
}

func (a archived) Ino() vfs.Ino                             { return vfs.Ino{} }
func (a archived) Attr() vfs.Attr                           { return a.attr }
func (a archived) Readlink(context.Context) (string, error) { return a.header.Linkname, nil }
func (archived) Lookup(context.Context, string) (vfs.Ino, error) {
	return vfs.Ino{}, syscall.EOPNOTSUPP
}
func (archived) Map(context.Context, int64, int64) (vfs.Extent, error) {
	return vfs.Extent{}, syscall.EOPNOTSUPP
}
func (archived) Entries(context.Context, vfs.Cursor) iter.Seq2[vfs.Entry, error] {
	return func(yield func(vfs.Entry, error) bool) { yield(vfs.Entry{}, syscall.EOPNOTSUPP) }
}

// Xattrs gives those in the member's records.
func (a archived) Xattrs(context.Context) iter.Seq2[vfs.Xattr, error] {
	decode := strings.NewReplacer("%25", "%", "%3D", "=")
	return func(yield func(vfs.Xattr, error) bool) {
		for key, value := range a.header.PAXRecords {
			name, ok := strings.CutPrefix(key, paxXattrs)
			if !ok {
				continue
			}
			x := vfs.Xattr{Name: decode.Replace(name), Size: int64(len(value)), Read: func(context.Context) ([]byte, error) { return []byte(value), nil }}
			if !yield(x, nil) {
				return
			}
		}
	}
}
