package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/raw"
)

// sources are the host files and images that a Guest stands on. An image may
// open a file that it names at any time until it is closed.
type sources struct {
	spec   *Spec
	opener Opener

	mu     sync.Mutex // guards what follows; a leaf
	closed bool
	files  []*raw.File
	images []formats.Image
}

func newSources(spec *Spec) *sources {
	s := &sources{spec: spec, opener: spec.Files}
	if s.opener == nil {
		files := NewHostFiles(spec.AllowBacking, nil, spec.Log)
		if spec.ForceShare {
			files.ShareLocked()
		}
		s.opener = files
	}
	return s
}

// open opens the image of spec: one disk, but for containers of several.
func (s *sources) open(ctx context.Context, spec ImageSpec) ([]formats.Image, error) {
	f, err := s.hostFile(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := s.keepFile(f); err != nil {
		return nil, err
	}
	named, err := s.ancestor(spec.Path, f)
	if err != nil {
		return nil, err
	}
	var src block.Device = f
	if s.spec.Writable {
		if src, err = f.Writer(); err != nil {
			return nil, err
		}
	}
	images, err := s.openOn(ctx, src, spec.Format, formats.Options{Writable: s.spec.Writable, Snapshot: spec.Snapshot, Related: named.open, Name: filepath.Base(spec.Path)})
	if err != nil && s.spec.Writable {
		return nil, notWritableImage(spec.Path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", spec.Path, err)
	}
	return images, nil
}

func (s *sources) options() raw.Options {
	opt := raw.Options{Log: s.spec.Log}
	if s.spec.ForceShare {
		opt.Lock = raw.ForceShare
	}
	return opt
}

// openOn opens what src holds as the named format, or as what it is found to be.
func (s *sources) openOn(ctx context.Context, src block.Device, format string, opt formats.Options) ([]formats.Image, error) {
	f, err := findFormat(ctx, src, format)
	if err != nil {
		return nil, err
	}
	opt.Log, opt.CacheBytes, opt.Keys = s.spec.Log, s.spec.CacheBytes, s.spec.Keys
	images, err := f.Open(ctx, src, opt)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		for _, img := range images {
			err = errors.Join(err, img.Close())
		}
		return nil, errors.Join(os.ErrClosed, err)
	}
	s.images = append(s.images, images...)
	return images, nil
}

// findFormat is the format called name, or, where name is empty, the one that
// recognises src.
func findFormat(ctx context.Context, src block.Device, name string) (formats.Format, error) {
	if name == "" {
		f, err := formats.Detect(ctx, src)
		if err == nil && f.Name == raw.Name {
			err = refuseUnread(ctx, src)
		}
		return f, err
	}
	known := ""
	for _, f := range formats.All() {
		if f.Name == name {
			return f, nil
		}
		known += " " + f.Name
	}
	return formats.Format{}, &ondisk.UnsupportedError{What: "image format", Detail: fmt.Sprintf("%q", name), Remedy: "there are:" + known}
}

func (s *sources) keepFile(f *raw.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f.Close()
		return os.ErrClosed
	}
	s.files = append(s.files, f)
	return nil
}

// close closes the images, those opened last first, and then the files.
func (s *sources) close() error {
	s.mu.Lock()
	images, files := s.images, s.files
	s.images, s.files, s.closed = nil, nil, true
	s.mu.Unlock()
	var errs []error
	for i := len(images) - 1; i >= 0; i-- {
		errs = append(errs, images[i].Close())
	}
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// unreadable makes the host's refusal a *NotReadableError.
func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return notReadable(path, err)
	}
	return err
}
