package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/client"
	"github.com/guestctl/guestctl/formats/crypt"
)

// daemonCommands are the commands that talk to guestctld.
func (s *streams) daemonCommands() []*cli.Command {
	return []*cli.Command{s.mountCommand(), s.unmountCommand(), s.listCommand(), s.statusCommand(), s.jobsCommand(), s.cancelCommand()}
}

// daemonFlags are the options of every command that talks to a daemon.
func daemonFlags() []cli.Flag {
	return []cli.Flag{helpFlag(), jsonFlag(),
		&cli.StringFlag{Name: "socket", Usage: "the daemon listens at `PATH`; $GUESTCTL_SOCKET or its usual place otherwise", Category: "Daemon"},
	}
}

// daemonAction is the Action of a command that talks to a daemon, with at least
// min and at most max arguments (negative: any number).
func (s *streams) daemonAction(min, max int, do func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error) cli.ActionFunc {
	return func(x *cli.Context) error {
		if x.Bool("help") {
			return cli.ShowSubcommandHelp(x)
		}
		n := x.Args().Len()
		if n < min {
			return args.Usage("%s needs %s", x.Command.Name, x.Command.ArgsUsage)
		}
		if max >= 0 && n > max {
			return args.Usage("%s takes %s, not %d arguments", x.Command.Name, orNone(x.Command.ArgsUsage), n)
		}
		c := client.New(x.String("socket"))
		defer c.Close()
		out := newOutput(s.out)
		err := do(x.Context, c, x, out)
		if flushErr := out.Flush(); err == nil {
			err = flushErr
		}
		return err
	}
}

func orNone(usage string) string {
	if usage == "" {
		return "no arguments"
	}
	return usage
}

// attachOf is the request to attach images as the options of a command say, in
// the state of a snapshot or the present one. Paths are the daemon's, so they
// are made absolute here.
func attachOf(x *cli.Context, snapshot string, images ...string) (*api.Attach, error) {
	a := &api.Attach{ForceShare: x.Bool("force-share"), NoRecovery: x.Bool("norecovery"), Partial: x.Bool("partial")}
	if n := x.Int("blocksize"); !slices.Contains([]int{0, 512, 4096}, n) {
		return nil, args.Usage("--blocksize %d: disks have sectors of 512 or 4096 bytes", n)
	}
	for _, path := range images {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		format := x.String("format")
		if format == "auto" {
			format = ""
		}
		a.Images = append(a.Images, api.ImageSpec{Path: abs, Format: format, SectorSize: x.Int("blocksize"), Snapshot: snapshot})
	}
	for _, dir := range x.StringSlice("allow-backing") {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		a.AllowBacking = append(a.AllowBacking, abs)
	}
	return a, nil
}

// imageFlags are commonFlags without the options that are not the image's.
func imageFlags() []cli.Flag {
	return slices.DeleteFunc(commonFlags(), func(f cli.Flag) bool {
		return slices.Contains([]string{"help", "verbose"}, f.Names()[0])
	})
}

func (s *streams) mountCommand() *cli.Command {
	return &cli.Command{
		Name: "mount", Usage: "show a guest in a folder, through the daemon", ArgsUsage: "IMAGE... DIR", Category: "Daemon",
		Description: "The guest's files are shown read-only in DIR until `guestctl unmount DIR`. Without an option the guest is shown as it sees\n" +
			"itself where one operating system is found, else one folder for each filesystem. An image is attached for the life of the\n" +
			"mount, unless it is attached already. Without a daemon: guestmount.",
		Flags: append(append(daemonFlags(), imageFlags()...),
			&cli.BoolFlag{DisableDefaultText: true, Name: "inspector", Aliases: []string{"i"}, Usage: "show the guest as it sees itself, or fail"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "partitions", Usage: "show one folder for each filesystem"},
			&cli.StringSliceFlag{Name: "mount", Aliases: []string{"m"}, Usage: "show exactly these: `DEV[:MOUNTPOINT[:OPTS[:FSTYPE]]]`"},
			&cli.StringSliceFlag{Name: "option", Aliases: []string{"o"}, Usage: "mount options, as guestmount's `OPT`"},
			&cli.BoolFlag{DisableDefaultText: true, Name: "ro", Usage: "read-only, as always"},
		),
		Action: s.daemonAction(2, -1, func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error {
			argv := x.Args().Slice()
			a, err := attachOf(x, x.String("snapshot"), argv[:len(argv)-1]...)
			if err != nil {
				return err
			}
			if err := viewOf(x, a); err != nil {
				return err
			}
			var keys crypt.Keys
			defer keys.Wipe()
			if err := readKeys(x, &keys, os.Stdin); err != nil {
				return err
			}
			a.Keys = keysFor(&keys)
			dir, err := filepath.Abs(argv[len(argv)-1])
			if err != nil {
				return err
			}
			m, err := c.Mount(ctx, api.MountRequest{Attach: a, Dir: dir, Options: x.StringSlice("option")})
			if err != nil {
				return err
			}
			if x.Bool("json") {
				return out.json.Encode(m)
			}
			if out.terminal {
				img, err := c.Image(ctx, m.Image)
				if err != nil {
					return err
				}
				out.WriteString(img.Summary + "; mounted on " + shown(m.Dir) + ". Unmount with: guestctl unmount " + shown(m.Dir) + "\n")
			}
			return nil
		}),
	}
}

// viewOf sets how the guest is shown.
func viewOf(x *cli.Context, a *api.Attach) error {
	chosen := 0
	for _, v := range []struct {
		set  bool
		view string
	}{{x.Bool("inspector"), "inspect"}, {x.Bool("partitions"), "partitions"}, {x.IsSet("mount"), "explicit"}} {
		if v.set {
			a.View = v.view
			chosen++
		}
	}
	if chosen > 1 {
		return args.Usage("-i, -m and --partitions are three ways to show the guest: choose one")
	}
	for _, s := range x.StringSlice("mount") {
		m, err := daemon.ParseMount(s)
		if err != nil {
			return args.Usage("%s", err)
		}
		a.Mounts = append(a.Mounts, api.MountSpec{Device: m.Device, Path: m.Path, Options: m.Options, FSType: m.FSType})
	}
	return nil
}

func (s *streams) unmountCommand() *cli.Command {
	return &cli.Command{
		Name: "unmount", Aliases: []string{"umount"}, Usage: "take a mount of the daemon away", ArgsUsage: "DIR...", Category: "Daemon",
		Description: "Returns when the mount is gone and the image released, if it was attached for the mount alone. DIR may also be the id of a\n" +
			"mount. For what guestmount mounted: guestunmount.",
		Flags: append(daemonFlags(),
			&cli.BoolFlag{DisableDefaultText: true, Name: "lazy", Usage: "take one in use out of the tree, and do not wait for its users"}),
		Action: s.daemonAction(1, -1, func(ctx context.Context, c *client.Client, x *cli.Context, out *output) error {
			mounts, err := c.Mounts(ctx)
			if err != nil {
				return err
			}
			for _, arg := range x.Args().Slice() {
				m := findMount(mounts, arg)
				if m == nil {
					return api.NewProblem(404, api.CodeNoMount, "the daemon at "+c.Socket()+" has no mount on "+shown(arg), "`guestctl list` shows those it has; for guestmount's: guestunmount "+shown(arg))
				}
				if err := c.Unmount(ctx, m.ID, x.Bool("lazy")); err != nil {
					return err
				}
				if x.Bool("json") {
					if err := out.json.Encode(m); err != nil {
						return err
					}
				}
			}
			return nil
		}),
	}
}

// findMount is the mount on a folder, or with an id. A folder whose mount is
// dead or hangs is found by its name without asking it.
func findMount(mounts []api.Mount, arg string) *api.Mount {
	names := []string{arg}
	if abs, err := filepath.Abs(arg); err == nil {
		names = append(names, abs)
		if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			names = append(names, filepath.Join(parent, filepath.Base(abs)))
		}
	}
	for _, name := range names {
		for i := range mounts {
			if mounts[i].Dir == name || mounts[i].ID == name {
				return &mounts[i]
			}
		}
	}
	if real, err := filepath.EvalSymlinks(arg); err == nil && !slices.Contains(names, real) {
		return findMount(mounts, real)
	}
	return nil
}

// isUnreachable says whether no daemon answers.
func isUnreachable(err error) bool {
	var e *client.UnreachableError
	return errors.As(err, &e)
}

// ago is how long ago something was, for people.
func ago(t time.Time) string {
	d := time.Since(t)
	switch {
	case d < 2*time.Minute:
		return d.Round(time.Second).String()
	case d < 2*time.Hour:
		return (d.Round(time.Minute)).String()[:len(d.Round(time.Minute).String())-2]
	}
	return t.Local().Format(time.DateTime)
}
