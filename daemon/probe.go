package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/filesystems"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/formats/volume/signature"
	"github.com/guestctl/guestctl/vfs"
)

// probeJobs bounds the volumes that are looked at or opened at once.
const probeJobs = 8

// found is what was found on one volume. Its fields change only while Open
// runs, each found by one goroutine at a time.
type found struct {
	volume volume.Volume
	driver vfs.Driver // no Open where nothing reads it
	info   vfs.Info
	err    error
	fs     vfs.FileSystem // nil where not open

	devices []block.Device // of a filesystem of several, its own first; nil for the volume alone

	options  string    // of the mount, as fs was opened with them
	readOnly bool      // the mount asks for that
	writable bool      // fs is open for writing, or is to be
	tree     *vfs.Tree // the one that a writable fs has
}

// probe asks every volume what it carries. The error is ctx's: what is wrong
// with a volume stands beside it.
func (g *Guest) probe(ctx context.Context) error {
	g.found = make([]*found, len(g.volumes))
	for i, v := range g.volumes {
		g.found[i] = &found{volume: v, err: v.Err}
	}
	if err := g.each(ctx, g.found, func(f *found) error { return f.probe(ctx) }); err != nil {
		return err
	}
	g.joinDevices()
	return nil
}

// each calls do for every f without an error, several at a time, and keeps the
// error beside it. The error it answers is ctx's.
func (g *Guest) each(ctx context.Context, list []*found, do func(*found) error) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, probeJobs)
	for _, f := range list {
		if f.err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f.err = g.guard(func() error { return do(f) })
		})
	}
	wg.Wait()
	return ctx.Err()
}

func (f *found) probe(ctx context.Context) error {
	sig, err := signature.Find(ctx, f.volume.Dev)
	if err != nil {
		return err
	}
	f.info = vfs.Info{Type: sig.Type, UUID: sig.UUID, Label: sig.Label}
	if f.volume.Holds != "" {
		if f.info.Type == "" || !signature.IsContainer(f.info.Type) {
			f.info = vfs.Info{Type: f.volume.Holds + "_member"}
		}
		return &HoldsError{Scheme: f.volume.Holds}
	}
	if signature.IsContainer(sig.Type) {
		return f.unread()
	}
	driver, info, err := filesystems.Probe(ctx, f.volume.Dev)
	switch {
	case err == nil:
		f.driver, f.info = driver, info
		return nil
	case errors.Is(err, filesystems.ErrUnknown):
		return f.unread()
	}
	return err
}

// unread says that no driver reads what the volume carries.
func (f *found) unread() error {
	if f.info.Type == "" {
		return errNothing
	}
	return &UnreadError{Type: f.info.Type}
}

// errNothing says that nothing is recognised on a volume: it may be empty.
var errNothing = fmt.Errorf("nothing is recognised on it: %w", filesystems.ErrUnknown)

// worthWarning says whether a person would miss what is on the volume when it
// is not shown. Swap space and what is empty or unknown has no files, and what
// holds other volumes is shown by those.
func (f *found) worthWarning() bool {
	holds, member := (*HoldsError)(nil), (*MemberError)(nil)
	return f.err != nil && !errors.Is(f.err, errNothing) && !errors.As(f.err, &holds) && !errors.As(f.err, &member) && f.info.Type != "swap" && f.info.Type != "swsuspend"
}

// what names the volume and what it carries: "sda1 (vfat)".
func (f *found) what() string {
	if f.info.Type == "" {
		return f.volume.Name
	}
	return fmt.Sprintf("%s (%s)", f.volume.Name, f.info.Type)
}

// open opens the filesystem, once. options are those of a mount.
func (f *found) open(ctx context.Context, spec *Spec, options string) error {
	if f.fs != nil {
		return nil
	}
	f.options = options
	opt := vfs.Options{Writable: f.writable, NoRecovery: spec.NoRecovery, CacheBytes: spec.CacheBytes, Log: spec.Log}
	opt.Mount, opt.NoRecovery = driverOptions(options, opt.NoRecovery)
	devices := f.devices
	if devices == nil {
		devices = []block.Device{f.volume.Dev}
	}
	fs, err := f.driver.Open(ctx, devices, opt)
	if err != nil {
		return err
	}
	f.fs, f.info = fs, fs.Info()
	switch {
	case f.info.Replayed && f.writable:
		spec.Log.Info("a journal was replayed", "volume", f.volume.Name, "filesystem", f.info.Type)
	case f.info.Replayed:
		spec.Log.Info("a journal was replayed in memory; the image is not changed", "volume", f.volume.Name, "filesystem", f.info.Type)
	}
	return nil
}

func (f *found) close(ctx context.Context) error {
	if f.fs == nil {
		return nil
	}
	err := f.fs.Close(ctx)
	f.fs = nil
	if err != nil {
		err = fmt.Errorf("closing %s: %w", f.what(), err)
	}
	return err
}

// closeUnused closes what was opened to be looked into and is not shown.
func (g *Guest) closeUnused(ctx context.Context) error {
	shown := g.ns.Attachments()
	var errs []error
	for _, f := range g.found {
		if f.fs == nil || slices.ContainsFunc(shown, func(at vfs.Attachment) bool { return at.Tree.FileSystem() == f.fs }) {
			continue
		}
		errs = append(errs, f.close(ctx))
	}
	return errors.Join(errs...)
}

// driverOptions takes from a mount's options what every mount here is, or what
// says nothing about what is shown, and gives the rest for the driver.
// norecovery, or noload as ext4 also calls it, keeps the journal from being replayed.
func driverOptions(options string, noRecovery bool) (string, bool) {
	list := strings.Split(options, ",")
	list = slices.DeleteFunc(list, func(o string) bool {
		switch o {
		case "norecovery", "noload":
			noRecovery = true
			return true
		case "", "defaults", "ro", "noatime", "relatime", "strictatime", "nodiratime", "lazytime", "nodev", "nosuid", "noexec",
			"dev", "suid", "exec", "auto", "noauto", "nofail", "user", "users", "nouser", "owner", "group", "async", "sync", "dirsync", "_netdev":
			return true
		}
		return strings.HasPrefix(o, "x-") || strings.HasPrefix(o, "comment=")
	})
	return strings.Join(list, ","), noRecovery
}
