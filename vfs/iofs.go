package vfs

import (
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// FS shows a Namespace as an io/fs, for fstest and for readers that take one.
// Symlinks are followed inside the guest. Names that are not UTF-8 are listed
// but cannot be opened through it, by io/fs's own rule.
func FS(ctx context.Context, ns *Namespace) fs.FS { return ioFS{ctx, ns} }

// ioFS keeps ctx because io/fs has no place for one.
type ioFS struct {
	ctx context.Context
	ns  *Namespace
}

var (
	_ fs.ReadDirFS  = ioFS{}
	_ fs.StatFS     = ioFS{}
	_ fs.ReadLinkFS = ioFS{}
)

func (f ioFS) resolve(op, name string, follow bool) (Inode, Node, error) {
	if !fs.ValidPath(name) {
		return nil, Node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n, err := f.ns.Walk(f.ctx, name, follow)
	if err == nil {
		var ino Inode
		if ino, err = f.ns.Inode(f.ctx, n); err == nil {
			return ino, n, nil
		}
	}
	return nil, Node{}, &fs.PathError{Op: op, Path: name, Err: err}
}

func (f ioFS) Open(name string) (fs.File, error) {
	ino, n, err := f.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	info := fileInfo{path.Base(name), ino.Attr()}
	if info.IsDir() {
		return &ioDir{fsys: f, node: n, info: info, name: name}, nil
	}
	return &ioFile{SectionReader: NewReader(f.ctx, ino), info: info}, nil
}

func (f ioFS) Stat(name string) (fs.FileInfo, error) {
	ino, _, err := f.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return fileInfo{path.Base(name), ino.Attr()}, nil
}

func (f ioFS) Lstat(name string) (fs.FileInfo, error) {
	ino, _, err := f.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return fileInfo{path.Base(name), ino.Attr()}, nil
}

func (f ioFS) ReadLink(name string) (string, error) {
	ino, _, err := f.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	target, err := ino.Readlink(f.ctx)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

func (f ioFS) ReadDir(name string) ([]fs.DirEntry, error) {
	_, n, err := f.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	list, err := f.list(n, name)
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

func (f ioFS) list(dir Node, name string) ([]fs.DirEntry, error) {
	var list []fs.DirEntry
	for e, err := range f.ns.Entries(f.ctx, dir, Cursor{}) {
		if err != nil {
			return list, &fs.PathError{Op: "readdir", Path: name, Err: err}
		}
		ino, err := f.ns.Inode(f.ctx, f.ns.Cross(Node{dir.Tree, e.Ino}))
		if err != nil {
			return list, &fs.PathError{Op: "readdir", Path: path.Join(name, e.Name), Err: err}
		}
		list = append(list, fs.FileInfoToDirEntry(fileInfo{e.Name, ino.Attr()}))
	}
	return list, nil
}

type ioFile struct {
	*io.SectionReader
	info fileInfo
}

func (f *ioFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *ioFile) Close() error               { return nil }

type ioDir struct {
	fsys ioFS
	node Node
	info fileInfo
	name string
	list []fs.DirEntry
	read bool
}

func (d *ioDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *ioDir) Close() error               { return nil }

func (d *ioDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: syscall.EISDIR}
}

func (d *ioDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.fsys.list(d.node, d.name)
		if err != nil {
			return list, err
		}
		d.list, d.read = list, true
	}
	if n <= 0 {
		list := d.list
		d.list = nil
		return list, nil
	}
	if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	list := d.list[:n]
	d.list = d.list[n:]
	return list, nil
}

type fileInfo struct {
	name string
	attr Attr
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.attr.Size }
func (i fileInfo) ModTime() time.Time { return i.attr.Mtime.Go() }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i fileInfo) Sys() any           { return i.attr }
func (i fileInfo) Mode() fs.FileMode  { return i.attr.FileMode() }

// Go is t as a time.Time, in UTC.
func (t Time) Go() time.Time { return time.Unix(t.Sec, int64(t.Nsec)).UTC() }

// FileMode is the mode as package io/fs writes it.
func (a Attr) FileMode() fs.FileMode {
	m := fs.FileMode(a.Mode & 0o777)
	switch a.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		m |= fs.ModeDir
	case syscall.S_IFLNK:
		m |= fs.ModeSymlink
	case syscall.S_IFIFO:
		m |= fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		m |= fs.ModeSocket
	case syscall.S_IFBLK:
		m |= fs.ModeDevice
	case syscall.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case syscall.S_IFREG:
	default:
		m |= fs.ModeIrregular
	}
	if a.Mode&syscall.S_ISUID != 0 {
		m |= fs.ModeSetuid
	}
	if a.Mode&syscall.S_ISGID != 0 {
		m |= fs.ModeSetgid
	}
	if a.Mode&syscall.S_ISVTX != 0 {
		m |= fs.ModeSticky
	}
	return m
}
