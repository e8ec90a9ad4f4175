package redo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A Sidecar is where a log lies.
type Sidecar interface {
	// Size is its length in bytes, 0 where there is none.
	Size() (int64, error)
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt makes it where there is none.
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes all that was written durable, and that it is there.
	Sync(ctx context.Context) error
	// Remove takes it away. It need not be durable.
	Remove() error
	// String names it, for errors.
	String() string
}

// File is a Sidecar in a host file, which is there only while it holds
// something.
type File struct {
	path string
	f    *os.File
	made bool // the folder does not have it durably yet
}

var _ Sidecar = (*File)(nil)

// NewFile makes a File of a path, at which no file need be. Close it.
func NewFile(path string) *File { return &File{path: path} }

func (f *File) String() string { return f.path }

// open opens the file where it is there.
func (f *File) open() error {
	if f.f != nil {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.Open(f.path) // enough to replay it in memory
	}
	if err == nil {
		f.f = file
	}
	return err
}

// Size is the file's length.
func (f *File) Size() (int64, error) {
	if err := f.open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	st, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// ReadAt reads from the file.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if err := f.open(); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, off)
}

// WriteAt writes to the file, which only its owner may read: it holds parts of
// the guest's files.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.open(); errors.Is(err, fs.ErrNotExist) {
		if f.f, err = os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return 0, err
		}
		f.made = true
	} else if err != nil {
		return 0, err
	}
	return f.f.WriteAt(p, off)
}

// Sync makes the file durable, and its name.
func (f *File) Sync(context.Context) error {
	if f.f == nil {
		return nil
	}
	if err := f.f.Sync(); err != nil || !f.made {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return err
	}
	f.made = false
	return nil
}

// Remove removes the file.
func (f *File) Remove() error {
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close closes the file. What is called later opens it again.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
