package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/vfs"
)

// A Guest is an opened set of images and the tree that shows it.
type Guest struct {
	spec     Spec
	src      *sources
	disks    []Disk
	volumes  []volume.Volume
	found    []*found // one for each volume
	ns       *vfs.Namespace
	warnings []error
	left     []error // of Spec.Partly: what is shown and not written
	summary  string

	mu     sync.Mutex // guards closed; a leaf
	closed bool
}

// A Disk is one disk of the guest.
type Disk struct {
	Name string       // "sda"
	Path string       // of the image, as it was given
	Info formats.Info // of the image
	Dev  block.Device // the flat disk
}

// A Filesystem is what was found on one volume.
type Filesystem struct {
	Name   string        // of the volume: "sda1"
	Volume volume.Volume // what it lies on

	// Info is what the filesystem's driver says. Where no driver reads it,
	// only Type, UUID and Label are set, by its signature and as blkid prints
	// them ("LVM2_member", "crypto_LUKS", "ntfs"); "" where nothing is
	// recognised.
	Info vfs.Info

	// Mounted are the places in the tree where it is shown: "/", "/boot".
	Mounted []string

	// Err says why it cannot be shown: damage, a type or feature that is not
	// read yet (EOPNOTSUPP). nil where it could be.
	Err error
}

// Open opens the images of spec and makes its view. Where it is to be writable
// and cannot be, the error is a *NotWritableError, and little was written: at
// most a journal was replayed. The error of an image that
// the host does not let us read is a *NotReadableError, of one in use a
// *raw.InUseError, of a file that an image names and may not open a
// *RefusedError. What could not be opened besides is in Warnings.
func Open(ctx context.Context, spec Spec) (*Guest, error) {
	spec.Images = slices.Clone(spec.Images)
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guest{spec: spec}
	g.src = newSources(&g.spec)
	if err := g.guard(func() error { return g.open(ctx) }); err != nil {
		if cerr := g.Close(context.WithoutCancel(ctx)); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return nil, err
	}
	return g, nil
}

func (g *Guest) open(ctx context.Context) error {
	if len(g.spec.Images) == 0 {
		return errors.New("no image is named")
	}
	var scan []volume.Device
	for _, spec := range g.spec.Images {
		if spec.SectorSize != 0 && spec.SectorSize != 512 && spec.SectorSize != 4096 {
			return fmt.Errorf("image %q: a sector size of %d bytes: it is 512 or 4096", spec.Path, spec.SectorSize)
		}
		images, err := g.src.open(ctx, spec)
		if err != nil {
			return err
		}
		for _, img := range images {
			d := Disk{Name: volume.DiskName(len(g.disks)), Path: spec.Path, Info: img.Info(), Dev: img}
			if d.Info.Damaged != "" {
				g.warn(fmt.Errorf("image %q: %s", d.Path, d.Info.Damaged))
			}
			g.disks = append(g.disks, d)
			scan = append(scan, volume.Device{Name: d.Name, Dev: img, SectorSize: spec.SectorSize})
		}
	}
	vols, warnings, err := volume.Scan(ctx, scan, volume.Options{Keys: g.spec.Keys, Partial: g.spec.Partial})
	if err != nil {
		return err
	}
	g.volumes = vols
	g.warnings = append(g.warnings, warnings...)
	if err := g.probe(ctx); err != nil {
		return err
	}
	if err := g.show(ctx); err != nil {
		return err
	}
	if g.spec.Writable {
		if err := g.makeWritable(ctx); err != nil {
			return err
		}
	}
	if err := g.hide(); err != nil {
		return err
	}
	return g.closeUnused(ctx)
}

// guard makes a panic of do an error: what a damaged image does to a parser
// must not end the process, which may serve others.
func (g *Guest) guard(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			g.spec.Log.Error("panic while opening", "value", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return do()
}

func (g *Guest) warn(err error) { g.warnings = append(g.warnings, err) }

// Namespace is the tree.
func (g *Guest) Namespace() *vfs.Namespace { return g.ns }

// Disks are the guest's disks, in order.
func (g *Guest) Disks() []Disk { return g.disks }

// Volumes are what the disks are divided into, those not usable included.
func (g *Guest) Volumes() []volume.Volume { return g.volumes }

// Filesystems says for each volume what was found on it, in the order of
// Volumes.
func (g *Guest) Filesystems() []Filesystem {
	list := make([]Filesystem, len(g.found))
	for i, f := range g.found {
		list[i] = Filesystem{Name: f.volume.Name, Volume: f.volume, Info: f.info, Err: f.err}
	}
	for _, at := range g.ns.Attachments() {
		i := slices.IndexFunc(g.found, func(f *found) bool { return f.fs != nil && f.fs == at.Tree.FileSystem() })
		if i >= 0 {
			list[i].Mounted = append(list[i].Mounted, at.Path)
		}
	}
	return list
}

// Warnings are what did not keep the Guest from opening but leaves something
// out or was worked around, in the order found. Each is one line.
func (g *Guest) Warnings() []error { return g.warnings }

// Summary says in one line what is shown and how.
func (g *Guest) Summary() string { return g.summary }

// summarize makes the summary: what, and the mounts of the view.
func (g *Guest) summarize(what string) {
	var images []string
	for _, spec := range g.spec.Images {
		images = append(images, printable(path.Base(spec.Path)))
	}
	var at []string
	for _, f := range g.found {
		for _, a := range g.ns.Attachments() {
			if f.fs != nil && a.Tree.FileSystem() == f.fs {
				at = append(at, fmt.Sprintf("%s on %s", printable(a.Tree.Name()), printable(a.Path)))
			}
		}
	}
	mounts := "nothing mounted"
	if len(at) > 0 {
		mounts = strings.Join(at, ", ")
	}
	g.summary = fmt.Sprintf("%s: %s, read-only: %s", strings.Join(images, ", "), what, mounts)
}

// Close closes the filesystems and the images and gives the locks back. No
// goroutine or descriptor is left. A second call does nothing.
func (g *Guest) Close(ctx context.Context) error {
	g.mu.Lock()
	closed := g.closed
	g.closed = true
	g.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, f := range g.found {
		errs = append(errs, f.close(ctx))
	}
	return errors.Join(append(errs, g.src.close())...)
}
