package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/daemon/inspect"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/vfs"
)

// routed are the commands that can read a guest through a daemon, with the same
// output.
func routed() []string {
	return []string{"filesystems", "df", "ls", "cat", "cp", "tar", "checksum", "find", "grep", "stat", "inspect", "packages", "diff", "check"}
}

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
	if err != nil {
		return nil, t, err
	}
	for _, g := range s.guests {
		if g.remote != nil && g.target.sameGuest(t) {
			return g, t, nil
		}
	}
	r, err := s.daemon(t, true)
	if err != nil {
		return nil, t, openError(t, err)
	}
	if r == nil {
		return s.open(arg)
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

// daemon finds the daemon that reads the image of a target for us; nil where
// this process does. With open the image is opened, as the target's volume says
// it; else it is attached alone, for an operation that opens it itself. Keys
// leave this process only for a daemon that --socket names.
func (s *session) daemon(t target, open bool) (*remote, error) {
	asked := s.cli.IsSet("socket")
	if !slices.Contains(routed(), s.command()) || !asked && (!s.keys.Empty() || !exists(client.DefaultSocket())) {
		return nil, nil
	}
	a, err := attachOf(s.cli, s.snapshot(t), t.image)
	if err != nil {
		return nil, err
	}
	if t.volume != "" && open {
		a.View, a.Mounts = "explicit", []api.MountSpec{{Device: t.volume, Path: "/"}}
	}
	a.Keys = keysFor(&s.keys)
	r := &remote{Client: client.New(s.cli.String("socket")), cli: s.cli, id: a.ID(), unread: map[*files.Entry]files.Record{}}
	if err := r.open(s.ctx, *a, asked, open); err != nil {
		if cerr := r.end(s.ctx); cerr != nil && s.cli.Bool("verbose") {
			fmt.Fprintf(s.err, "guestctl: warning: %v\n", cerr)
		}
		if !asked && s.ctx.Err() == nil {
			return nil, nil
		}
		return nil, hostError(err)
	}
	return r, nil
}

// keysFor are keys as a daemon takes them.
func keysFor(keys *crypt.Keys) (list []api.Key) {
	for _, k := range keys.Secrets() {
		list = append(list, api.Key{Volume: k.Name, Secret: k.Value, File: k.File})
	}
	return list
}

// hostError tells that the daemon found no such image.
func hostError(err error) error {
	var p *api.Problem
	if errors.As(err, &p) && p.Code == api.CodeImageMissing {
		return missing{err}
	}
	return err
}

// missing is a daemon's error that there is no such image.
type missing struct{ error }

func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// open finds the image at the daemon, and attaches it where we were told to.
func (r *remote) open(ctx context.Context, a api.Attach, attach, open bool) error {
	look := ctx
	if !attach {
		var cancel context.CancelFunc
		look, cancel = context.WithTimeout(ctx, lookTime)
		defer cancel()
	}
	var img api.Image
	var problem *api.Problem
	err := error(api.NewProblem(http.StatusNotFound, api.CodeNoImage, "", "")) // with keys it has no id before
	if len(a.Keys) == 0 {
		img, err = r.Image(look, r.id)
	}
	if attach && errors.As(err, &problem) && problem.Code == api.CodeNoImage {
		if open {
			img, err = r.Attach(ctx, a)
		} else {
			img, err = r.AttachClosed(ctx, a)
		}
		r.attached = err == nil
	}
	if err != nil {
		return err
	}
	r.id = img.ID
	if open {
		r.found, err = r.Client.Filesystems(look, r.id)
	}
	return err
}

// end gives back what was attached.
func (r *remote) end(ctx context.Context) error {
	defer r.Close()
	if !r.attached {
		return nil
	}
	r.attached = false
	return r.Detach(context.WithoutCancel(ctx), r.id, false)
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
	return o.remote.end(ctx)
}

// Inspect says which operating systems are in the guest.
func (o *opened) Inspect(ctx context.Context) (*api.Inspection, error) {
	if o.remote == nil {
		return o.Guest.Inspect(ctx)
	}
	r, err := o.remote.Inspect(ctx, o.remote.id)
	return r, local(err)
}

// Packages lists what is installed in the guest.
func (o *opened) Packages(ctx context.Context, opt inspect.PackageOptions) (*api.Packages, error) {
	if o.remote == nil {
		return o.Guest.Packages(ctx, opt)
	}
	r, err := o.remote.Packages(ctx, o.remote.id, api.PackageQuery{Languages: opt.Languages})
	return r, local(err)
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
