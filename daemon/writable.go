package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/vfs"
)

// A NotWritableError says why a Guest cannot be opened for writing. It unwraps
// to the reason.
type NotWritableError struct {
	What string // `image "x"`, "sda1 (vfat) on /boot/efi"
	Err  error
	Help string // what to do; "" where Err says it
}

func (e *NotWritableError) Error() string {
	if e.Help == "" {
		return e.Detail()
	}
	return e.Detail() + "; " + e.Help
}

// Detail says what cannot be written and why.
func (e *NotWritableError) Detail() string {
	return fmt.Sprintf("%s cannot be written: %v", e.What, e.Err)
}

// Remedy says what to do.
func (e *NotWritableError) Remedy() string { return e.Help }

// Unwrap is the reason.
func (e *NotWritableError) Unwrap() error { return e.Err }

// A WriteOpener is an Opener that also opens images for writing.
type WriteOpener interface {
	Opener
	// ImageForWriting is Image for reading and writing.
	ImageForWriting(ctx context.Context, path string) (*os.File, error)
}

// hostFile opens the image of spec for what the Spec asks for.
func (s *sources) hostFile(ctx context.Context, spec ImageSpec) (*raw.File, error) {
	if !s.spec.Writable {
		host, err := s.opener.Image(ctx, spec.Path)
		if err != nil {
			return nil, err
		}
		f, err := raw.New(host, s.options())
		if err != nil {
			return nil, unreadable(spec.Path, err)
		}
		return f, nil
	}
	opener, ok := s.opener.(WriteOpener)
	if !ok {
		return nil, notWritableImage(spec.Path, ondisk.Unsupported("the daemon", "writing"))
	}
	if s.spec.ForceShare {
		return nil, notWritableImage(spec.Path, ondisk.Unsupported("--force-share", "writing: it takes no lock, and a virtual machine would not notice"))
	}
	if spec.Snapshot != "" {
		return nil, &NotWritableError{What: fmt.Sprintf("snapshot %q of image %q", spec.Snapshot, spec.Path),
			Err: errors.New("a snapshot stays as it is"), Help: "leave --snapshot out, or mount it read-only with --ro"}
	}
	host, err := opener.ImageForWriting(ctx, spec.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, notWritableImage(spec.Path, err)
	}
	opt := s.options()
	opt.Writable = true
	f, err := raw.New(host, opt)
	if err != nil {
		return nil, notWritableImage(spec.Path, err)
	}
	return f, nil
}

// notWritableImage is the error of an image.
func notWritableImage(path string, err error) error {
	e := &NotWritableError{What: fmt.Sprintf("image %q", path), Err: err}
	inUse, denied, unsupported := (*raw.InUseError)(nil), (*NotReadableError)(nil), (*ondisk.UnsupportedError)(nil)
	var host *fs.PathError
	switch {
	case errors.As(err, &inUse), errors.As(err, &denied):
		// They say what to do.
	case errors.As(err, &host) && errors.Is(err, fs.ErrPermission):
		e.Err = host.Err
		e.Help = fmt.Sprintf("its owner or root can allow it: setfacl -m u:%s:rw %s; or mount it read-only with --ro", userName(uint32(os.Geteuid())), shellQuote(path))
	case errors.Is(err, syscall.EBUSY):
		e.Err, e.Help = syscall.EBUSY, "this host uses the device: unmount it first, or mount it read-only with --ro"
	case errors.As(err, &unsupported):
		e.Err = withoutRemedy(unsupported)
		e.Help = fmt.Sprintf("convert it with qemu-img convert -O qcow2 %s copy.qcow2 and mount that, or mount it read-only with --ro", shellQuote(path))
	default:
		e.Help = "mount it read-only with --ro"
	}
	return e
}

// withoutRemedy is the error without what to do, for one that says more of it.
func withoutRemedy(e *ondisk.UnsupportedError) error {
	bare := *e
	bare.Remedy = ""
	return &bare
}

// Writable says whether the Guest is open for writing.
func (g *Guest) Writable() bool { return g.spec.Writable }

// NotWritten says which of the filesystems that are shown are not open for
// writing, and why, where Spec.Partly allows that.
func (g *Guest) NotWritten() []error { return g.left }

// Sync makes durable all that was changed.
func (g *Guest) Sync(ctx context.Context) error {
	var errs []error
	for _, t := range g.ns.Trees() {
		if t.Writable() {
			errs = append(errs, t.FileSystem().Sync(ctx))
		}
	}
	return errors.Join(errs...)
}

// makeWritable opens for writing what the view shows and makes the view again.
// Until here nothing was written, and nothing is until all of it is known to be
// writable as far as reading tells.
func (g *Guest) makeWritable(ctx context.Context) error {
	if g.spec.NoRecovery {
		return &NotWritableError{What: "what is shown without its journal", Err: errors.New("a filesystem is recovered before it is written"), Help: "leave --norecovery out, or add --ro"}
	}
	shown := g.ns.Attachments()
	var list []*found
	for _, at := range shown {
		f := g.foundOf(at.Tree)
		if f == nil || f.readOnly {
			continue
		}
		if slices.Contains(list, f) {
			return f.notWritable(at.Path, errors.New("it is shown in two places"), "choose one with -m")
		}
		if err := f.mayWrite(at.Path); err != nil {
			if !g.spec.Partly {
				return err
			}
			g.left = append(g.left, err)
			continue
		}
		list = append(list, f)
	}
	again := make(map[*vfs.Tree]*vfs.Tree)
	for _, f := range list {
		at := shown[slices.IndexFunc(shown, func(at vfs.Attachment) bool { return at.Tree.FileSystem() == f.fs })]
		if err := f.reopen(ctx, &g.spec, at.Path); err != nil {
			if !g.spec.Partly {
				return err
			}
			g.left = append(g.left, err)
			if err := f.openAgain(ctx, &g.spec); err != nil {
				return err
			}
		}
		again[at.Tree] = f.tree
	}
	if len(g.left) > 0 && !slices.ContainsFunc(list, func(f *found) bool { return f.writable }) {
		return g.left[0] // not one of them
	}
	for i, at := range shown {
		tree := at.Tree
		if again[tree] != nil {
			tree = again[tree]
		}
		if i == 0 {
			g.ns = vfs.NewNamespace(tree)
		} else if err := g.ns.Attach(ctx, at.Path, tree); err != nil {
			return err
		}
	}
	g.summary = strings.Replace(g.summary, ", read-only: ", ", read-write: ", 1)
	return nil
}

// Shows says whether a tree is a filesystem of the guest, and not a folder of
// them that the view makes.
func (g *Guest) Shows(t *vfs.Tree) bool { return g.foundOf(t) != nil }

// foundOf is what a tree shows; nil for one that no disk holds.
func (g *Guest) foundOf(t *vfs.Tree) *found {
	for _, f := range g.found {
		if f.fs != nil && f.fs == t.FileSystem() {
			return f
		}
	}
	return nil
}

// mayWrite says why f cannot be written, without writing anything.
func (f *found) mayWrite(path string) error {
	if _, ok := f.volume.Dev.(block.Writer); !ok {
		err := ondisk.Unsupported("a volume of "+f.volume.Type, "writing")
		if f.volume.Type == volume.TypeDisk || volume.IsTable(f.volume.Type) {
			err = ondisk.Unsupported("what the disk lies on", "writing")
		}
		return f.notWritable(path, err, "")
	}
	if _, ok := f.fs.(vfs.Changer); !ok {
		return f.notWritable(path, ondisk.Unsupported(f.info.Type, "writing"), "")
	}
	return nil
}

// reopen opens f, which is open for reading, for writing.
func (f *found) reopen(ctx context.Context, spec *Spec, path string) error {
	if err := f.close(ctx); err != nil {
		return err
	}
	f.writable = true
	if err := f.open(ctx, spec, f.options); err != nil {
		return f.notWritable(path, err, "")
	}
	if f.info.ReadOnly {
		return f.notWritable(path, syscall.EROFS, "")
	}
	f.tree = vfs.NewTree(f.volume.Name, f.fs)
	return nil
}

// openAgain opens f for reading, after it could not be for writing.
func (f *found) openAgain(ctx context.Context, spec *Spec) error {
	if err := f.close(ctx); err != nil {
		return err
	}
	f.writable = false
	if err := f.open(ctx, spec, f.options); err != nil {
		return err
	}
	f.tree = vfs.NewTree(f.volume.Name, f.fs)
	return nil
}

func (f *found) notWritable(path string, err error, help string) error {
	e := &NotWritableError{What: fmt.Sprintf("%s on %s", f.what(), printable(path)), Err: err, Help: help}
	if unsupported := (*ondisk.UnsupportedError)(nil); errors.As(err, &unsupported) && help == "" {
		e.Err = withoutRemedy(unsupported)
		if !strings.Contains(unsupported.Remedy, "read-only") { // which is said below, in the command's words
			e.Help = unsupported.Remedy
		}
	}
	if e.Help == "" {
		e.Help = fmt.Sprintf("mount it read-only (-m /dev/%s:%s:ro) beside what is written, or everything with --ro", f.volume.Name, path)
	}
	return e
}
