package formattest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
)

// maxChain bounds a chain of images that name each other.
const maxChain = 16

// Chain opens images, and the files that they name from their own folder,
// until the test ends.
type Chain struct {
	t     testing.TB
	depth int
	close *[]func() error
}

// NewChain makes a Chain whose files are closed at the end of the test.
func NewChain(t testing.TB) *Chain {
	c := &Chain{t: t, close: new([]func() error)}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return c
}

// Close closes all that was opened, the last one first.
func (c *Chain) Close() (err error) {
	for _, f := range slices.Backward(*c.close) {
		err = errors.Join(err, f())
	}
	*c.close = nil
	return err
}

// Open opens the image at path; format is "" where it is to be detected. A
// name that the image has is looked for in its folder.
func (c *Chain) Open(ctx context.Context, path, format string, opt formats.Options) (formats.Image, error) {
	if c.depth > maxChain {
		return nil, fmt.Errorf("a chain of more than %d images", maxChain)
	}
	file, err := raw.OpenFile(path, raw.Options{})
	if err != nil {
		return nil, err
	}
	*c.close = append(*c.close, file.Close)
	opt.Name = filepath.Base(path)
	return c.OpenOn(ctx, file, filepath.Dir(path), format, opt)
}

// OpenOn opens the image in src; the files that it names are looked for in dir.
func (c *Chain) OpenOn(ctx context.Context, src block.Device, dir, format string, opt formats.Options) (formats.Image, error) {
	f, err := pick(ctx, src, format)
	if err != nil {
		return nil, err
	}
	below := &Chain{t: c.t, depth: c.depth + 1, close: c.close}
	opt.Related = func(ctx context.Context, name, format string) (block.Device, error) {
		ref, err := formats.ParseBacking(name)
		if err != nil {
			return nil, err
		}
		if ref.Format != "" {
			format = ref.Format
		}
		return below.Open(ctx, filepath.Join(dir, filepath.Base(ref.Path)), format, formats.Options{})
	}
	images, err := f.Open(ctx, src, opt)
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		*c.close = append(*c.close, i.Close)
	}
	return images[0], nil
}

func pick(ctx context.Context, src block.Device, name string) (formats.Format, error) {
	if name == "" {
		return formats.Detect(ctx, src)
	}
	for _, f := range formats.All() {
		if f.Name == name {
			return f, nil
		}
	}
	return formats.Format{}, fmt.Errorf("no format %q", name)
}
