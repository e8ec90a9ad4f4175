package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/vfs"
)

// routed are the commands that can read a guest through a daemon, with the same
// output. The others read images in this process.
func routed() []string {
	return []string{"filesystems", "ls", "cat", "tar", "checksum", "find", "grep", "stat"}
}

// ownOptions are those that only this process can follow: keys do not leave it.
func ownOptions() []string { return []string{"key", "keys-from-stdin", "partial"} }

// route gives them --socket.
func route(app *cli.App) {
	for _, c := range app.Commands {
		if slices.Contains(routed(), c.Name) {
			c.Flags = append(c.Flags, &cli.StringFlag{Name: "socket", Category: "Image",
				Usage: "read through the daemon that listens at `PATH`; without this, through the usual one where it has the image"})
		}
	}
}

// A remote is a guest that a daemon reads for us.
type remote struct {
	*client.Client
	cli      *cli.Context
	id       string // of the image
	attached bool   // by us, to be detached
	found    api.Filesystems
	tree     *vfs.Tree
	ns       *vfs.Namespace // stands for the guest's, and holds nothing
	unread   map[*files.Entry]files.Record
}

// lookTime bounds how long a daemon that nobody asked for may keep us.
const lookTime = 2 * time.Second

// reach opens the guest of a target: through a daemon where --socket names one,
// or where the usual one has it attached just so, else in this process.
func (s *session) reach(arg string) (*opened, target, error) {
	t, err := parseTarget(arg)
	if err != nil || !slices.Contains(routed(), s.cli.Command.Name) {
		return s.open(arg)
	}
	for _, g := range s.guests {
		if g.remote != nil && g.target.sameGuest(t) {
			return g, t, nil
		}
	}
	asked := s.cli.IsSet("socket")
	for _, own := range ownOptions() {
		if !s.cli.IsSet(own) {
			continue
		}
		if asked {
			return nil, t, args.Usage("--%s: a daemon takes no keys and shows nothing partial; leave --socket out to read the image in this process", own)
		}
		return s.open(arg)
	}
	if !asked && !exists(client.DefaultSocket()) {
		return s.open(arg)
	}
	a, err := attachOf(s.cli, s.snapshot(t), t.image)
	if err != nil {
		return nil, t, err
	}
	if t.volume != "" {
		a.View, a.Mounts = "explicit", []api.MountSpec{{Device: t.volume, Path: "/"}}
	}
	r := &remote{Client: client.New(s.cli.String("socket")), cli: s.cli, id: a.ID(), unread: map[*files.Entry]files.Record{}}
	if err := r.open(s.ctx, *a, asked); err != nil {
		r.Close()
		if !asked && s.ctx.Err() == nil {
			return s.open(arg)
		}
		var p *api.Problem
		if errors.As(err, &p) && p.Code == api.CodeImageMissing {
			return nil, t, openError(t, missing{err})
		}
		return nil, t, err
	}
	r.tree = vfs.NewTree("", vfs.NewStatic("remote"))
	r.ns = vfs.NewNamespace(r.tree)
	g := &opened{target: t, remote: r}
	if err := s.shows(g); err != nil {
		return nil, t, errors.Join(err, g.Close(context.WithoutCancel(s.ctx)))
	}
	s.guests = append(s.guests, g)
	return g, t, nil
}

// missing is a daemon's error that there is no such image.
type missing struct{ error }

func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// open finds the image at the daemon, and attaches it where we were told to.
func (r *remote) open(ctx context.Context, a api.Attach, attach bool) error {
	look := ctx
	if !attach {
		var cancel context.CancelFunc
		look, cancel = context.WithTimeout(ctx, lookTime)
		defer cancel()
	}
	img, err := r.Image(look, r.id)
	var problem *api.Problem
	if attach && errors.As(err, &problem) && problem.Code == api.CodeNoImage {
		img, err = r.Attach(ctx, a)
		r.attached = err == nil
	}
	if err == nil {
		r.id = img.ID
		r.found, err = r.Client.Filesystems(look, r.id)
	}
	return err
}

// What follows has the name of what daemon.Guest has, and stands before it.

// Namespace is the guest's tree; through a daemon one that stands for it.
func (o *opened) Namespace() *vfs.Namespace {
	if o.remote == nil {
		return o.Guest.Namespace()
	}
	return o.remote.ns
}

// Close ends the reading of a guest.
func (o *opened) Close(ctx context.Context) error {
	if o.remote == nil {
		return o.Guest.Close(ctx)
	}
	defer o.remote.Close()
	if o.remote.attached {
		return o.remote.Detach(ctx, o.remote.id, false)
	}
	return nil
}

// Describe is the record of what is on the disks.
func (o *opened) Describe() api.Filesystems {
	if o.remote == nil {
		return o.Guest.Describe()
	}
	r := o.remote.found
	r.Disks = slices.Clone(r.Disks)
	for i := range r.Disks {
		// As it was typed, where it is the same file.
		if abs, err := filepath.Abs(o.target.image); err == nil && r.Disks[i].Image == abs {
			r.Disks[i].Image = o.target.image
		}
	}
	return r
}

// Filesystems says for each volume what was found on it.
func (o *opened) Filesystems() []daemon.Filesystem {
	if o.remote == nil {
		return o.Guest.Filesystems()
	}
	var list []daemon.Filesystem
	for _, f := range o.remote.found.Filesystems {
		r := daemon.Filesystem{Name: f.Name, Mounted: f.Mounted, Info: vfs.Info{Type: f.Type, UUID: f.UUID, Label: f.Label}}
		r.Volume.Name, r.Volume.Disk, r.Volume.Off = f.Name, f.Disk, f.Offset
		if f.Size > 0 {
			r.Volume.Dev = sizeOnly(f.Size)
		}
		if f.Error != "" {
			r.Err = errors.New(f.Error)
		}
		list = append(list, r)
	}
	return list
}

// Warnings are what is left out.
func (o *opened) Warnings() []error {
	if o.remote == nil {
		return o.Guest.Warnings()
	}
	var list []error
	for _, w := range o.remote.found.Warnings {
		list = append(list, errors.New(w))
	}
	return list
}

// A remoteError is what a daemon says failed at a file of the guest.
type remoteError struct {
	text string
	code api.Code
}

func (e *remoteError) Error() string { return e.text }

// Is tells the errors that messages depend on.
func (e *remoteError) Is(target error) bool {
	return target == syscall.ENOENT && e.code == api.CodeNoFile
}

// local makes a daemon's error what it would be in this process.
func local(err error) error {
	var p *api.Problem
	var f *client.FailureError
	switch {
	case errors.As(err, &p) && p.File != nil:
		return &files.Error{Op: p.File.Op, Path: bytesOf(p.File.Path, p.File.PathRaw), Err: &remoteError{p.File.Cause, p.Code}}
	case errors.As(err, &f):
		return noticeError(f.Notice)
	}
	return err
}

// noticeError is the error of a notice in a stream.
func noticeError(n api.Notice) error {
	err := error(&remoteError{n.Detail, n.Code})
	if n.Op != "" {
		return &files.Error{Op: n.Op, Path: bytesOf(n.Path, n.PathRaw), Err: err}
	}
	return err
}

// notices gives what a daemon could not read to the functions for it.
func notices(problem, warn func(error)) func(api.Notice) {
	return func(n api.Notice) {
		if n.Kind == api.KindWarning && warn != nil {
			warn(noticeError(n))
			return
		}
		problem(noticeError(n))
	}
}

// bytesOf is a string of a record as it is on disk.
func bytesOf(text string, raw []byte) string {
	if raw != nil {
		return string(raw)
	}
	return text
}
