package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// MaxFindings is after how many a check gives up: an image that has so many is
// not what it was.
const MaxFindings = 1000

// Options are the choices of Run.
type Options struct {
	Volume   string             // only this one; "" is all
	Data     bool               // read the contents of files, too
	Expect   func(inodes int64) // called before a filesystem is walked; may be nil
	Progress func(inodes int64) // called with those looked at since; may be nil
}

// errTooMany ends a check after MaxFindings.
var errTooMany = errors.New("too many findings")

// Run checks the images of spec and gives each finding. The error says that it
// could not be done: an image that is there and damaged is a finding.
func Run(ctx context.Context, spec daemon.Spec, opt Options, each func(api.Finding) error) (api.Check, error) {
	c := &checker{ctx: ctx, opt: opt, each: each, seen: map[string]bool{}}
	c.out = api.Check{Schema: api.CheckSchema, Image: spec.Images[0].Path, Snapshot: spec.Images[0].Snapshot, Complete: true, Volumes: []api.Checked{}}
	spec.View, spec.Mounts = daemon.ViewPartitions, nil
	g, err := daemon.Open(ctx, spec)
	if damaged := (*ondisk.CorruptError)(nil); errors.As(err, &damaged) {
		return c.out, c.end(c.found(place{where: "image"}, err))
	} else if err != nil {
		return c.out, err
	}
	err = c.end(c.guest(g, spec))
	return c.out, errors.Join(err, g.Close(context.WithoutCancel(ctx)))
}

// end says whether the check came to its end.
func (c *checker) end(err error) error {
	if err == errTooMany {
		c.out.Complete = false
		return nil
	}
	return err
}

type checker struct {
	ctx  context.Context
	opt  Options
	each func(api.Finding) error
	out  api.Check
	seen map[string]bool // findings that were given
}

// A place says where a finding is.
type place struct {
	where  string // "image", "disk", "volume"
	volume *api.Checked
	path   string
	inode  uint64
}

// found gives a finding, once for each structure and detail. What is not
// supported is no damage: it is a note.
func (c *checker) found(at place, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	damaged := (*ondisk.CorruptError)(nil)
	isDamage := errors.As(err, &damaged)
	if !isDamage && errors.Is(err, syscall.ENOKEY) && at.volume != nil {
		c.note(at.volume.Volume + ": it has encrypted files, which are checked without their names and contents")
		return nil
	}
	if !isDamage && errors.Is(err, syscall.EOPNOTSUPP) {
		what := err.Error()
		if at.volume != nil {
			what = at.volume.Volume + ": " + what
		}
		c.note(what)
		return nil
	}
	f := api.Finding{Schema: api.FindingSchema, Image: c.out.Image, Snapshot: c.out.Snapshot, Where: at.where, Inode: at.inode, Detail: err.Error()}
	f.Path, f.PathRaw = jsonText(at.path)
	if at.volume != nil {
		f.Volume, f.Type = at.volume.Volume, at.volume.Type
	}
	if isDamage {
		off := damaged.Off
		f.Structure, f.Offset, f.Checksum, f.Detail = damaged.Struct, &off, damaged.Checksum, damaged.Detail
		if c.out.Format != "" && strings.HasPrefix(damaged.Struct, c.out.Format+" ") {
			f.Where = "image" // a filesystem met it
		}
	}
	key := fmt.Sprintf("%s\x00%s\x00%s", f.Where, f.Structure, f.Detail)
	if f.Where != "image" {
		key += "\x00" + f.Volume
	}
	if isDamage {
		key += fmt.Sprintf("\x00%d", damaged.Off)
	} else {
		key += "\x00" + at.path
	}
	if c.seen[key] {
		return nil
	}
	c.seen[key] = true
	c.out.Findings++
	if at.volume != nil {
		at.volume.Findings++
	}
	if err := c.each(f); err != nil {
		return err
	}
	if c.out.Findings >= MaxFindings {
		return errTooMany
	}
	return nil
}

func (c *checker) note(what string) {
	if !c.seen["note\x00"+what] && len(c.out.Notes) < MaxFindings {
		c.seen["note\x00"+what] = true
		c.out.Notes = append(c.out.Notes, what)
	}
}

// guest checks an open image.
func (c *checker) guest(g *daemon.Guest, spec daemon.Spec) error {
	c.out.Format = g.Disks()[0].Info.Format
	c.out.NotChecked = ofImage(c.out.Format)
	for _, d := range g.Disks() {
		if d.Info.Damaged != "" {
			if err := c.found(place{where: "image"}, errors.New(d.Info.Damaged)); err != nil {
				return err
			}
		}
		if err := c.tables(d.Dev, d.Info.ClusterSize, ""); err != nil {
			return err
		}
	}
	if err := c.snapshots(g, spec); err != nil {
		return err
	}
	// The volumes' own errors come with them, below.
	for _, w := range g.Warnings() {
		damaged := (*ondisk.CorruptError)(nil)
		if errors.As(w, &damaged) && !ofVolume(g, damaged) {
			if err := c.found(place{where: "disk"}, w); err != nil {
				return err
			}
		}
	}
	trees := map[string]*vfs.Tree{}
	for _, at := range g.Namespace().Attachments() {
		trees[at.Path] = at.Tree
	}
	known := false
	for _, f := range g.Filesystems() {
		if c.opt.Volume != "" && c.opt.Volume != f.Name {
			continue
		}
		known = true
		v := api.Checked{Volume: f.Name, Type: f.Info.Type}
		err := c.volume(&v, f, trees["/"+f.Name])
		c.out.Volumes = append(c.out.Volumes, v)
		if err != nil {
			return err
		}
	}
	if c.opt.Volume != "" && !known {
		return fmt.Errorf("there is no volume %s: %w", c.opt.Volume, syscall.ENOENT)
	}
	return nil
}

// ofVolume says whether a warning is about a volume that has the error itself.
func ofVolume(g *daemon.Guest, w *ondisk.CorruptError) bool {
	for _, f := range g.Filesystems() {
		of := (*ondisk.CorruptError)(nil)
		if errors.As(f.Err, &of) && *of == *w {
			return true
		}
	}
	return false
}

func (c *checker) volume(v *api.Checked, f daemon.Filesystem, tree *vfs.Tree) error {
	at := place{where: "volume", volume: v}
	if f.Err != nil || tree == nil {
		if f.Err != nil {
			v.Reason = f.Err.Error()
		}
		if damaged := (*ondisk.CorruptError)(nil); errors.As(f.Err, &damaged) {
			if f.Volume.Dev == nil {
				at.where = "disk"
			}
			return c.found(at, f.Err)
		}
		return nil
	}
	v.Checked, v.NotChecked = true, ofFilesystem(f.Info.Type)
	info := tree.FileSystem().Info()
	switch {
	case info.Replayed:
		c.note(f.Name + ": its journal was replayed in memory, and what is checked is the state after it")
	case info.Dirty:
		c.note(f.Name + ": it was not unmounted cleanly")
	}
	return c.filesystem(at, tree)
}

// tables asks for the place of every byte of a disk.
func (c *checker) tables(dev block.Device, cluster int64, snapshot string) error {
	cluster = max(cluster, 4096)
	for off := int64(0); off < dev.Size(); {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		run, err := dev.Locate(c.ctx, off, dev.Size()-off)
		if err == nil && run.Len > 0 {
			off += run.Len
			continue
		}
		if snapshot != "" && err != nil {
			err = fmt.Errorf("snapshot %q: %w", snapshot, err)
		}
		if err := c.found(place{where: "image"}, err); err != nil {
			return err
		}
		off = (off/cluster + 1) * cluster
	}
	return nil
}

// snapshots checks the tables of the internal snapshots.
func (c *checker) snapshots(g *daemon.Guest, spec daemon.Spec) error {
	if spec.Images[0].Snapshot != "" || len(g.Disks()) != 1 {
		return nil
	}
	for _, snap := range g.Disks()[0].Info.Snapshots {
		of := spec
		of.Images = []daemon.ImageSpec{spec.Images[0]}
		of.Images[0].Snapshot = snap.ID
		sg, err := daemon.Open(c.ctx, of)
		if damaged := (*ondisk.CorruptError)(nil); errors.As(err, &damaged) {
			err = c.found(place{where: "image"}, err)
		} else if err != nil {
			err = fmt.Errorf("snapshot %q: %w", snap.Name, err)
		} else {
			err = c.tables(sg.Disks()[0].Dev, sg.Disks()[0].Info.ClusterSize, snap.Name)
			err = errors.Join(err, sg.Close(context.WithoutCancel(c.ctx)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// jsonText is s for JSON, and its bytes where they are not UTF-8.
func jsonText(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return strings.ToValidUTF8(s, "\uFFFD"), []byte(s)
}
