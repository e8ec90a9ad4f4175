package files

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

const (
	// tarRecord is the unit of an archive's length: 20 blocks, as GNU tar has it.
	tarRecord = 20 * tarBlock
	// tarBuffer is how much is collected before it is written.
	tarBuffer = 1 << 20
	// sparseMin is how many bytes of holes make a file a sparse member.
	sparseMin = 1 << 20
	// sparseHole is the smallest hole that a sparse member leaves out.
	sparseHole = 64 << 10
	// sparseSegments bounds the map of a sparse member; what follows is data.
	sparseSegments = 1 << 18
)

// TarOptions are the choices of Tar.
type TarOptions struct {
	NoXattrs bool
	NoSparse bool // write holes as zeros
	// Copy makes an archive for Extract, which then does what Copy does: a
	// symlink at the end of the path is archived itself, and sockets, times of
	// access and all holes are in it.
	Copy     bool
	Workers  int // 0: GOMAXPROCS
	Problem  func(error)
	Warn     func(error)       // what was left out on purpose
	Progress func(bytes int64) // called with the bytes written since; may be nil
}

// Tar writes the tree at path as a pax archive: names relative to path and
// beginning with "./", times to the nanosecond, owners as numbers, extended
// attributes as SCHILY.xattr, files with holes in GNU's sparse format 1.0, a
// file's second name as a hard link. The same tree gives the same bytes.
//
// What cannot be read of a file is zeros in the archive and handed to Problem,
// once for each file. Sockets, which tar has no member for, are left out and
// handed to Warn. The error is that of w or of the context.
func Tar(ctx context.Context, ns *vfs.Namespace, path string, w io.Writer, opt TarOptions) error {
	from, err := Resolve(ctx, ns, path, !opt.Copy || strings.HasSuffix(path, "/"))
	if err != nil {
		return err
	}
	t := &tarWriter{ctx: ctx, ns: ns, opt: opt, w: w, root: from.Path, buf: make([]byte, 0, tarBuffer+64<<10), names: map[uint64]string{}}
	if from.Type() != syscall.S_IFDIR {
		t.root = strings.TrimSuffix(from.Path, "/"+from.Name)
	}
	walk := func(ctx context.Context, visit func(*Entry) error) error {
		return Walk(ctx, ns, from, WalkOptions{MaxDepth: -1}, visit)
	}
	seen := map[uint64]bool{} // of the walk's goroutine
	p := plan{workers: opt.Workers, keep: true, work: t.prepare, wants: func(e *Entry) bool {
		if e.Attr.Nlink < 2 {
			return true
		}
		n := ns.Number(e.Node)
		again := seen[n]
		seen[n] = true
		return !again
	}}
	if err := bulk(ctx, p, walk, t.add); err != nil {
		return err
	}
	return t.close()
}

type tarWriter struct {
	ctx     context.Context
	ns      *vfs.Namespace
	opt     TarOptions
	w       io.Writer
	root    string // the guest's path that "." stands for
	buf     []byte
	written int64
	names   map[uint64]string // the first name of files with several
}

// name is how a path stands in the archive.
func (t *tarWriter) name(e *Entry) string {
	rel := strings.TrimPrefix(e.Path, strings.TrimSuffix(t.root, "/"))
	if !strings.HasPrefix(rel, "/") {
		rel = "/" + rel
	}
	if e.Type() == syscall.S_IFDIR && rel != "/" {
		rel += "/"
	}
	return "." + rel
}

// A prepared is the header of a regular file, and what did not work on the way.
type prepared struct {
	header []byte
	data   [][2]int64 // of a sparse member: offset and length
	sparse []byte     // its map
	errs   []error
}

// prepare makes a file's header, by a worker.
func (t *tarWriter) prepare(ctx context.Context, it *item) any {
	var p prepared
	m := t.member(ctx, it.Entry, &p)
	m.size = it.Attr.Size
	least, hole := int64(sparseMin), int64(sparseHole)
	if t.opt.Copy {
		least, hole = copyHole, copyHole
	}
	if !t.opt.NoSparse && it.Attr.Size-it.Attr.Blocks*512 >= least {
		p.data = dataSegments(ctx, it.Inode, it.Attr.Size, hole)
		p.sparse = sparseMap(p.data)
		m.real = it.Attr.Size
		m.size = int64(len(p.sparse))
		for _, d := range p.data {
			m.size += d[1]
		}
	}
	p.header = m.appendTo(make([]byte, 0, 3*tarBlock))
	return &p
}

func (t *tarWriter) member(ctx context.Context, e *Entry, p *prepared) *member {
	m := &member{name: t.name(e), mode: e.Attr.Mode & 0o7777, uid: e.Attr.UID, gid: e.Attr.GID, rdev: e.Attr.Rdev,
		mtime: e.Attr.Mtime, real: -1}
	m.flag, _ = t.flagOf(e.Type())
	if t.opt.Copy {
		m.copied, m.atime = true, e.Attr.Atime
		m.socket = e.Type() == syscall.S_IFSOCK
		if e.Type() != syscall.S_IFDIR {
			m.links = e.Attr.Nlink
		}
	}
	if !t.opt.NoXattrs && !e.Attr.NoXattr {
		var errs []error
		m.xattrs, errs = xattrs(ctx, e)
		p.errs = append(p.errs, errs...)
	}
	return m
}

// flagOf is the type flag of a file. A socket is a FIFO that says what it is,
// where the archive is a copy.
func (t *tarWriter) flagOf(kind uint32) (byte, bool) {
	if kind == syscall.S_IFSOCK && t.opt.Copy {
		return tarFifo, true
	}
	return flagOf(kind)
}

// verb is what is done with the guest's files, and what comes of it.
func (t *tarWriter) verb() string {
	if t.opt.Copy {
		return "copy"
	}
	return "archive"
}

// xattrs reads all of a file's extended attributes.
func xattrs(ctx context.Context, e *Entry) (map[string]string, []error) {
	var errs []error
	m := map[string]string{}
	for x, err := range e.Inode.Xattrs(ctx) {
		if err != nil {
			errs = append(errs, &Error{Op: "list the extended attributes of", Path: e.Path, Err: err})
			break
		}
		if x.Hidden {
			continue
		}
		value, err := x.Read(ctx)
		if err != nil {
			errs = append(errs, &Error{Op: fmt.Sprintf("read the extended attribute %q of", x.Name), Path: e.Path, Err: err})
			continue
		}
		m[x.Name] = string(value)
	}
	return m, errs
}

// dataSegments says where a file's data is, without its holes of at least so
// many bytes. Where
// that cannot be told, the rest is data: reading it shows why. The last segment
// ends at the end of the file, if with no bytes.
func dataSegments(ctx context.Context, f vfs.Inode, size, least int64) [][2]int64 {
	var data [][2]int64
	for off := int64(0); off < size; {
		ext, err := f.Map(ctx, off, size-off)
		if err != nil || ext.Len <= 0 || len(data) >= sparseSegments {
			ext = vfs.Extent{Kind: vfs.Encoded, Len: size - off}
		}
		if ext.Kind != vfs.Hole || ext.Len < least {
			if n := len(data); n > 0 && data[n-1][0]+data[n-1][1] == off {
				data[n-1][1] += ext.Len
			} else {
				data = append(data, [2]int64{off, ext.Len})
			}
		}
		off += ext.Len
	}
	if n := len(data); n == 0 || data[n-1][0]+data[n-1][1] < size {
		data = append(data, [2]int64{size, 0})
	}
	return data
}

// add writes one file.
func (t *tarWriter) add(it *item) error {
	e := it.Entry
	if e.Err != nil {
		t.opt.Problem(e.Err)
		return nil
	}
	if _, ok := t.flagOf(e.Type()); !ok {
		if t.opt.Copy {
			t.opt.Problem(&Error{Op: "copy", Path: e.Path, Err: fmt.Errorf("of the unknown type %#o", e.Type())})
			return nil
		}
		t.opt.Warn(&Error{Op: "archive", Path: e.Path, Err: fmt.Errorf("tar has no %s: left out", typeName(e.Type()))})
		return nil
	}
	if e.Type() != syscall.S_IFDIR && e.Attr.Nlink > 1 {
		n := t.ns.Number(e.Node)
		if first, ok := t.names[n]; ok {
			m := &member{name: t.name(e), link: first, flag: tarHardLink, mode: e.Attr.Mode & 0o7777, uid: e.Attr.UID,
				gid: e.Attr.GID, mtime: e.Attr.Mtime, real: -1}
			t.buf = m.appendTo(t.buf)
			return t.flush(tarBuffer)
		}
		t.names[n] = t.name(e)
	}
	if it.task == nil {
		return t.special(e)
	}
	p, ok := it.result.(*prepared)
	if !ok { // a panic in the worker
		t.opt.Problem(&Error{Op: t.verb(), Path: e.Path, Err: it.err})
		return nil
	}
	for _, err := range p.errs {
		t.opt.Problem(err)
	}
	t.buf = append(t.buf, p.header...)
	switch {
	case p.sparse != nil:
		return t.sparse(e, p)
	case it.small:
		if it.err != nil {
			t.opt.Problem(it.err)
		}
		t.buf = append(t.buf, it.data...)
		t.buf = appendPadding(t.buf, e.Attr.Size)
		return t.flush(tarBuffer)
	}
	return t.large(e, [][2]int64{{0, e.Attr.Size}}, 0)
}

// special writes what has no data.
func (t *tarWriter) special(e *Entry) error {
	var p prepared
	m := t.member(t.ctx, e, &p)
	if e.Type() == syscall.S_IFLNK {
		target, err := e.Inode.Readlink(t.ctx)
		if err != nil {
			t.opt.Problem(&Error{Op: "read the symlink", Path: e.Path, Err: err})
			return nil
		}
		m.link = target
	}
	for _, err := range p.errs {
		t.opt.Problem(err)
	}
	t.buf = m.appendTo(t.buf)
	return t.flush(tarBuffer)
}

func (t *tarWriter) sparse(e *Entry, p *prepared) error {
	t.buf = append(t.buf, p.sparse...)
	return t.large(e, p.data, int64(len(p.sparse)))
}

// large writes the given parts of a file, of which lead bytes stand in the
// archive already.
func (t *tarWriter) large(e *Entry, parts [][2]int64, lead int64) error {
	told := false
	total := lead
	for _, part := range parts {
		total += part[1]
		err := stream(t.ctx, e.Inode, part[0], part[0]+part[1], noHoles, func(s *segment) error {
			if s.err != nil && !told {
				told = true
				t.opt.Problem(&Error{Op: "read", Path: e.Path,
					Err: fmt.Errorf("in the %d bytes at %d, and perhaps behind: %w; they are zeros in the %s", s.n, s.off, s.err, t.verb())})
			}
			if err := t.flush(0); err != nil {
				return err
			}
			return t.write(s.p)
		})
		if err != nil {
			return err
		}
	}
	t.buf = appendPadding(t.buf, total)
	return t.flush(tarBuffer)
}

// flush writes what is collected, if it is more than keep bytes.
func (t *tarWriter) flush(keep int) error {
	if len(t.buf) <= keep {
		return nil
	}
	err := t.write(t.buf)
	t.buf = t.buf[:0]
	return err
}

func (t *tarWriter) write(b []byte) error {
	n, err := t.w.Write(b)
	t.written += int64(n)
	if t.opt.Progress != nil {
		t.opt.Progress(int64(n))
	}
	return err
}

// close writes the end of the archive: two blocks of zeros, and what fills the
// last record.
func (t *tarWriter) close() error {
	end := t.written + int64(len(t.buf)) + 2*tarBlock
	t.buf = append(t.buf, make([]byte, 2*tarBlock+(tarRecord-end%tarRecord)%tarRecord)...)
	return t.flush(0)
}

// typeName is the name of a file type, as find and stat say it.
func typeName(kind uint32) string {
	switch kind {
	case syscall.S_IFREG:
		return "file"
	case syscall.S_IFDIR:
		return "directory"
	case syscall.S_IFLNK:
		return "symlink"
	case syscall.S_IFCHR:
		return "chardev"
	case syscall.S_IFBLK:
		return "blockdev"
	case syscall.S_IFIFO:
		return "fifo"
	case syscall.S_IFSOCK:
		return "socket"
	}
	return "unknown"
}
