package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/check"
)

func (s *streams) checkCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "read all metadata and say what is damaged", ArgsUsage: "IMAGE[:VOLUME]...", Category: "Look",
		Description: "Reads the image's tables, the partition table and all that is reachable in every filesystem, verifies checksums, and says\n" +
			"what is damaged, by structure and offset. It is no fsck: what it does not look at is printed, too. The image is not\n" +
			"changed. Exit status: 0 no damage found, 1 damage, or it could not be read. With --json each finding is an object of the\n" +
			"shape guestctl.finding/1, and behind those of an image stands one of guestctl.check/1.",
		Flags: append(commonFlags(), jsonFlag(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "data", Usage: "read the contents of all files, too"},
		),
		Action: s.guestAction(1, -1, runCheck),
	}
}

func runCheck(s *session, argv []string) error {
	for _, arg := range argv {
		t, err := parseTarget(arg)
		if err != nil {
			return err
		}
		if t.path != "/" {
			return args.Usage("check looks at whole filesystems: write %s without a path", shown(t.image))
		}
		if err := s.check(t); err != nil {
			if s.ctx.Err() != nil {
				return err
			}
			s.fail(openError(t, err))
		}
	}
	return nil
}

func (s *session) check(t target) error {
	spec, err := s.spec(t)
	if err != nil {
		return err
	}
	p := s.startCount("inodes checked", 0, false)
	defer p.end()
	opt := check.Options{Volume: t.volume, Data: s.cli.Bool("data"), Expect: p.expect, Progress: p.add}
	out, err := s.runCheck(t, spec, opt, func(f api.Finding) error {
		s.status = exitFailed
		if s.cli.Bool("json") {
			return s.out.json.Encode(f)
		}
		s.clearProgress()
		fmt.Fprintln(s.out, s.findingLine(f))
		return s.out.Flush()
	})
	if err != nil {
		return err
	}
	p.end()
	if s.cli.Bool("json") {
		err = s.out.json.Encode(out)
	} else {
		s.printCheck(out)
	}
	if err == nil && out.Findings == 0 && !slices.ContainsFunc(out.Volumes, func(v api.Checked) bool { return v.Checked }) {
		// To call this sound would be wrong.
		err = fmt.Errorf("there is no filesystem in %s that could be checked", shown(t.image))
	}
	return err
}

// runCheck checks through a daemon or in this process.
func (s *session) runCheck(t target, spec daemon.Spec, opt check.Options, each func(api.Finding) error) (out api.Check, err error) {
	r, err := s.daemon(t, false)
	if err != nil {
		return out, err
	}
	if r == nil {
		return check.Run(s.ctx, spec, opt, each)
	}
	out, err = r.Check(s.ctx, r.id, api.CheckQuery{Volume: opt.Volume, Data: opt.Data}, func(f api.Finding) error {
		f.Image = t.image
		return each(f)
	})
	out.Image = t.image
	return out, errors.Join(hostError(local(err)), r.end(s.ctx))
}

// findingLine is a finding for people: where, what, and why it is damage.
func (s *session) findingLine(f api.Finding) string {
	var b strings.Builder
	b.WriteString(shown(f.Image))
	if f.Volume != "" {
		b.WriteString(":" + f.Volume)
	}
	if f.Path != "" {
		b.WriteString(":" + shown(f.Path))
	}
	if f.Inode != 0 {
		fmt.Fprintf(&b, " (inode %d)", f.Inode)
	}
	b.WriteString(": ")
	if f.Structure != "" {
		fmt.Fprintf(&b, "%s at byte %d of the %s: ", f.Structure, *f.Offset, f.Where)
	}
	if f.Checksum {
		b.WriteString("bad checksum: ")
	}
	b.WriteString(shown(f.Detail))
	return b.String()
}

func (s *session) printCheck(c api.Check) {
	name := shown(c.Image)
	if c.Snapshot != "" {
		name += "@" + shown(c.Snapshot)
	}
	for _, n := range c.Notes {
		fmt.Fprintf(s.out, "%s: note: %s\n", name, shown(n))
	}
	for _, v := range c.Volumes {
		if !v.Checked {
			fmt.Fprintf(s.out, "%s:%s: not checked: %s\n", name, v.Volume, shown(v.Reason))
			continue
		}
		fmt.Fprintf(s.out, "%s:%s: %s: %d files, %d directories, %d extents, %d extended attributes", name, v.Volume, v.Type, v.Files, v.Directories, v.Extents, v.Xattrs)
		if s.cli.Bool("data") {
			fmt.Fprintf(s.out, ", %s of contents", humanSize(v.Bytes))
		}
		fmt.Fprintf(s.out, " read, %s\n", counted(v.Findings))
	}
	if !s.cli.Bool("quiet") {
		if len(c.NotChecked) > 0 {
			fmt.Fprintf(s.out, "%s: not checked of %s: %s\n", name, c.Format, strings.Join(c.NotChecked, "; "))
		}
		told := map[string]bool{}
		for _, v := range c.Volumes {
			if v.Checked && !told[v.Type] {
				told[v.Type] = true
				fmt.Fprintf(s.out, "%s: not checked of %s: %s\n", name, v.Type, strings.Join(v.NotChecked, "; "))
			}
		}
	}
	if !c.Complete {
		fmt.Fprintf(s.out, "%s: given up after %d findings\n", name, c.Findings)
	}
	if c.Findings > 0 || slices.ContainsFunc(c.Volumes, func(v api.Checked) bool { return v.Checked }) {
		fmt.Fprintf(s.out, "%s: %s\n", name, counted(c.Findings))
	}
}

func counted(n int64) string {
	switch n {
	case 0:
		return "no damage found"
	case 1:
		return "1 finding"
	}
	return fmt.Sprintf("%d findings", n)
}
