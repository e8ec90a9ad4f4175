package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options choose what Walk looks at.
type Options struct {
	Workers  int                    // 0 is 2
	NoSum    bool                   // do not read files
	NoXattrs bool                   // do not ask for extended attributes
	Skip     func(path string) bool // leaves out an entry and what is below it; nil skips nothing
}

// Walk writes down the tree mounted or standing at root, without crossing into another filesystem. What the directory says
// of an entry's type must be what the entry itself says; otherwise, and where anything cannot be read, Walk fails.
func Walk(ctx context.Context, root string, opt Options) (Manifest, error) {
	if opt.Workers == 0 {
		opt.Workers = 2
	}
	w := &walker{ctx: ctx, opt: opt, spare: make(chan struct{}, opt.Workers-1)}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", root, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat %q: %w", root, err)
	}
	w.dev = st.Dev
	e, err := w.entry(fd, "", ".")
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	w.entries = append(w.entries, e)
	w.tree(fd, ".")
	w.running.Wait()
	if w.err != nil {
		return nil, w.err
	}
	return finish(w.entries), nil
}

type walker struct {
	ctx     context.Context
	opt     Options
	dev     uint64
	spare   chan struct{} // one slot a goroutine beside the first
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	entries []Entry
	err     error // the first
}

func (w *walker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *walker) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	return w.err != nil
}

// tree walks the directory open as fd, which it closes.
func (w *walker) tree(fd int, dir string) {
	defer unix.Close(fd)
	names, err := list(fd)
	if err != nil {
		w.fail(fmt.Errorf("readdir %q: %w", dir, err))
		return
	}
	for _, n := range names {
		if w.stopped() {
			return
		}
		p := path.Join(dir, n.name)
		if w.opt.Skip != nil && w.opt.Skip(p) {
			continue
		}
		e, err := w.entry(fd, n.name, p)
		if err != nil {
			w.fail(err)
			return
		}
		if have := uint8(e.Mode & unix.S_IFMT >> 12); n.kind != unix.DT_UNKNOWN && n.kind != have {
			w.fail(fmt.Errorf("%q: readdir says type %d, stat says %d", p, n.kind, have))
			return
		}
		w.mu.Lock()
		w.entries = append(w.entries, e)
		w.mu.Unlock()
		if e.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		sub, err := unix.Openat(fd, n.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			w.fail(fmt.Errorf("open directory %q: %w", p, err))
			return
		}
		select {
		case w.spare <- struct{}{}:
			w.running.Add(1)
			go func() {
				defer w.running.Done()
				defer func() { <-w.spare }()
				w.tree(sub, p)
			}()
		default:
			w.tree(sub, p)
		}
	}
}

type dirent struct {
	name string
	kind uint8 // DT_*
}

// list reads the names in a directory, each of which must come once.
func list(fd int) ([]dirent, error) {
	var all []dirent
	seen := map[string]bool{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return all, nil
		}
		for b := buf[:n]; len(b) > 0; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name
			reclen := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := strings.Cut(string(b[19:reclen]), "\x00")
			kind := b[18]
			b = b[reclen:]
			if name == "." || name == ".." {
				continue
			}
			if seen[name] {
				return nil, fmt.Errorf("the name %q comes twice", name)
			}
			seen[name] = true
			all = append(all, dirent{name, kind})
		}
	}
}

// entry looks at one name in the directory dirfd; "" is the directory itself.
func (w *walker) entry(dirfd int, name, p string) (Entry, error) {
	var st unix.Statx_t
	if err := unix.Statx(dirfd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH|unix.AT_STATX_SYNC_AS_STAT,
		unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return Entry{}, fmt.Errorf("stat %q: %w", p, err)
	}
	if dev := unix.Mkdev(st.Dev_major, st.Dev_minor); dev != w.dev {
		return Entry{}, fmt.Errorf("%q is on another filesystem", p)
	}
	at := func(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }
	e := Entry{Path: p, Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid, Nlink: st.Nlink, Size: int64(st.Size),
		Mtime: at(st.Mtime), Ctime: at(st.Ctime), Ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		e.Btime = at(st.Btime)
	}
	var err error
	switch e.Mode & unix.S_IFMT {
	case unix.S_IFBLK, unix.S_IFCHR:
		e.Rdev = unix.Mkdev(st.Rdev_major, st.Rdev_minor)
	case unix.S_IFLNK:
		buf := make([]byte, 64<<10)
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return e, fmt.Errorf("readlink %q: %w", p, err)
		}
		e.Target = string(buf[:n])
	case unix.S_IFREG:
		if !w.opt.NoSum {
			e.Sum, err = w.sum(dirfd, name, e.Size)
			if e.NoKey = errors.Is(err, unix.ENOKEY); err != nil && !e.NoKey {
				return e, fmt.Errorf("reading %q: %w", p, err)
			}
		}
	}
	if !w.opt.NoXattrs {
		// The l-calls take no directory descriptor; its name in /proc stands for it.
		if e.Xattrs, err = xattrs(fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, name)); err != nil {
			return e, fmt.Errorf("xattrs of %q: %w", p, err)
		}
	}
	return e, nil
}

func xattrs(p string) (map[string]string, error) {
	size, err := unix.Llistxattr(p, nil)
	if err == unix.ENOTSUP || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	buf := make([]byte, size)
	if size, err = unix.Llistxattr(p, buf); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	m := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:size]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(p, name, nil)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		value := make([]byte, n)
		if n > 0 {
			if n, err = unix.Lgetxattr(p, name, value); err != nil {
				return nil, fmt.Errorf("%q: %w", name, err)
			}
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("the attribute %q is listed twice", name)
		}
		m[name] = string(value[:n])
	}
	return m, nil
}

// buffers are for reading files; a walk of 70,000 files would allocate gigabytes.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// sum reads a file as Entry.Sum says.
func (w *walker) sum(dirfd int, name string, size int64) (sum [sha256.Size]byte, err error) {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return sum, err
	}
	defer unix.Close(fd)
	h := sha256.New()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for at := int64(0); ; {
		if err := w.ctx.Err(); err != nil {
			return sum, err
		}
		if size >= Sparse {
			next, err := unix.Seek(fd, at, unix.SEEK_DATA)
			if err == unix.ENXIO {
				break
			}
			if err == nil {
				at = next &^ 4095
			} else if err != unix.EINVAL && err != unix.EOPNOTSUPP {
				return sum, fmt.Errorf("SEEK_DATA: %w", err)
			}
		}
		n, err := fill(fd, *buf, at)
		if err != nil {
			return sum, fmt.Errorf("at %d: %w", at, err)
		}
		if n == 0 {
			break
		}
		if size >= Sparse {
			sumSparse(h, (*buf)[:n], at)
		} else {
			h.Write((*buf)[:n])
		}
		at += int64(n)
	}
	h.Sum(sum[:0])
	return sum, nil
}

// fill reads until buf is full or the file ends.
func fill(fd int, buf []byte, at int64) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := unix.Pread(fd, buf[n:], at+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		if m == 0 {
			break
		}
		n += m
	}
	return n, nil
}

var zeros [4096]byte

// sumSparse adds those blocks of b, which stands at an aligned position, that are not all zero.
func sumSparse(h hash.Hash, b []byte, at int64) {
	for len(b) > 0 {
		block := b[:min(4096, len(b))]
		if string(block) != string(zeros[:len(block)]) {
			var pos [8]byte
			binary.LittleEndian.PutUint64(pos[:], uint64(at))
			h.Write(pos[:])
			h.Write(block)
		}
		b = b[len(block):]
		at += int64(len(block))
	}
}
