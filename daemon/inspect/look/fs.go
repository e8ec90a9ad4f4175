package look

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

// MaxText bounds a configuration file, in bytes; libguestfs has the same bound.
const MaxText = 100_000

// MaxEntries bounds the names that are taken of one directory.
const MaxEntries = 20_000

// Errors of what is there and not read.
var (
	ErrNotRegular = errors.New("it is no regular file")
	ErrTooMany    = fmt.Errorf("the directory has more than the %d names that are looked at", MaxEntries)
)

// A TooLargeError says that a file is larger than what is read of its kind.
type TooLargeError struct{ Max int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the file is larger than the %d bytes that are read", e.Max)
}

// An FS is the tree of a guest.
type FS struct{ ns *vfs.Namespace }

// New looks at ns.
func New(ns *vfs.Namespace) *FS { return &FS{ns} }

// Absent says whether err is that nothing is there.
func Absent(err error) bool {
	for _, absent := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG} {
		if errors.Is(err, absent) {
			return true
		}
	}
	return false
}

// A File is an open regular file.
type File struct {
	ctx   context.Context
	inode vfs.Inode
	size  int64
}

// Open opens a regular file of at most max bytes; symlinks are followed.
func (f *FS) Open(ctx context.Context, name string, max int64) (*File, error) {
	i, err := f.inode(ctx, name, true)
	if err != nil {
		return nil, err
	}
	a := i.Attr()
	if a.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, ErrNotRegular
	}
	if a.Size > max {
		return nil, &TooLargeError{max}
	}
	return &File{ctx, i, a.Size}, nil
}

// Size is the file's size in bytes.
func (f *File) Size() int64 { return f.size }

// Attr is what stat shows of it.
func (f *File) Attr() vfs.Attr { return f.inode.Attr() }

// ReadAt is io.ReaderAt's.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	if off >= f.size {
		return 0, io.EOF
	}
	return vfs.ReadAt(f.ctx, f.inode, p, off)
}

// Read reads all of a regular file of at most max bytes.
func (f *FS) Read(ctx context.Context, name string, max int64) ([]byte, error) {
	file, err := f.Open(ctx, name, max)
	if err != nil || file.size == 0 {
		return nil, err
	}
	b := make([]byte, file.size)
	n, err := file.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// Text is the lines of a configuration file.
func (f *FS) Text(ctx context.Context, name string) ([]string, error) {
	b, err := f.Read(ctx, name, MaxText)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
	}
	return lines, nil
}

// Tail is the last n bytes of a regular file of any size.
func (f *FS) Tail(ctx context.Context, name string, n int64) ([]byte, error) {
	file, err := f.Open(ctx, name, 1<<62)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(n, file.size))
	k, err := file.ReadAt(b, file.size-int64(len(b)))
	if errors.Is(err, io.EOF) || len(b) == 0 {
		err = nil
	}
	return b[:k], err
}

// inode finds a path from the root.
func (f *FS) inode(ctx context.Context, name string, follow bool) (vfs.Inode, error) {
	n, err := f.ns.Walk(ctx, name, follow)
	if err != nil {
		return nil, err
	}
	return f.ns.Inode(ctx, n)
}

// Stat is the attributes of what stands at a path, symlinks followed.
func (f *FS) Stat(ctx context.Context, name string) (vfs.Attr, error) {
	i, err := f.inode(ctx, name, true)
	if err != nil {
		return vfs.Attr{}, err
	}
	return i.Attr(), nil
}

// Lstat is the attributes of what stands at a path, a symlink being one.
func (f *FS) Lstat(ctx context.Context, name string) (vfs.Attr, error) {
	i, err := f.inode(ctx, name, false)
	if err != nil {
		return vfs.Attr{}, err
	}
	return i.Attr(), nil
}

// IsFile says whether a regular file, or a symlink to one, stands at name.
func (f *FS) IsFile(ctx context.Context, name string) bool {
	a, err := f.Stat(ctx, name)
	return err == nil && a.Mode&syscall.S_IFMT == syscall.S_IFREG
}

// IsDir says whether a directory, or a symlink to one, stands at name.
func (f *FS) IsDir(ctx context.Context, name string) bool {
	a, err := f.Stat(ctx, name)
	return err == nil && a.Mode&syscall.S_IFMT == syscall.S_IFDIR
}

// Link is the target of the symlink at name.
func (f *FS) Link(ctx context.Context, name string) (string, error) {
	i, err := f.inode(ctx, name, false)
	if err != nil {
		return "", err
	}
	return i.Readlink(ctx)
}

// Resolve is the path of name without symlinks, "." and "..".
func (f *FS) Resolve(ctx context.Context, name string) (string, error) {
	_, p, err := f.ns.Resolve(ctx, name, true)
	return p, err
}

// Names lists a directory, sorted. ErrTooMany comes with the names so far.
func (f *FS) Names(ctx context.Context, dir string) ([]string, error) {
	n, err := f.ns.Walk(ctx, dir, true)
	if err != nil {
		return nil, err
	}
	var names []string
	for e, err := range f.ns.Entries(ctx, n, vfs.Cursor{}) {
		if err != nil {
			return names, err
		}
		if len(names) == MaxEntries {
			slices.Sort(names)
			return names, ErrTooMany
		}
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names, ctx.Err()
}

// Glob lists the names in dir that path.Match gives for pattern, as paths.
// What cannot be listed is empty.
func (f *FS) Glob(ctx context.Context, dir, pattern string) []string {
	names, _ := f.Names(ctx, dir)
	var found []string
	for _, n := range names {
		if ok, _ := path.Match(pattern, n); ok {
			found = append(found, strings.TrimSuffix(dir, "/")+"/"+n)
		}
	}
	return found
}

// NoCase finds the path that is name but for upper and lower case, as Windows
// does; each part is looked up as written first. "" where there is none.
func (f *FS) NoCase(ctx context.Context, name string) string {
	at := ""
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return ""
		}
		if _, err := f.inode(ctx, at+"/"+part, false); err == nil {
			at += "/" + part
			continue
		} else if !Absent(err) {
			return ""
		}
		names, _ := f.Names(ctx, at+"/")
		i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, part) })
		if i < 0 {
			return ""
		}
		at += "/" + names[i]
	}
	return at
}

// Sub is the tree below dir as a tree of its own: absolute symlinks in it start
// at dir. dir must lie in the root's own filesystem.
func (f *FS) Sub(ctx context.Context, dir string) (*FS, error) {
	n, err := f.ns.Walk(ctx, dir, true)
	if err != nil {
		return nil, err
	}
	i, err := f.ns.Inode(ctx, n)
	if err != nil {
		return nil, err
	}
	if i.Attr().Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return nil, syscall.ENOTDIR
	}
	return New(vfs.NewNamespace(n.Tree.Below(n.Tree.Name(), n.Ino))), nil
}

// Namespace is what is looked at.
func (f *FS) Namespace() *vfs.Namespace { return f.ns }
