package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/daemon/files"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/vfs"
)

// commonFlags are the options of every command that opens an image.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		helpFlag(),
		&cli.StringFlag{Name: "format", Usage: "the image's format, `FORMAT`: raw, qcow2, vmdk ...; its content says it otherwise", Category: "Image"},
		&cli.IntFlag{Name: "blocksize", Usage: "the disk's sectors have `N` bytes, 512 or 4096", Category: "Image"},
		&cli.StringFlag{Name: "snapshot", Usage: "read the internal snapshot `NAME`, or id", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "force-share", Usage: "read an image although a virtual machine is using it", Category: "Image"},
		&cli.StringSliceFlag{Name: "allow-backing", Usage: "let images name backing files below `DIR`", Category: "Image"},
		&cli.StringSliceFlag{Name: "key", Usage: "a key of an encrypted volume, `NAME:key:PASSPHRASE` or NAME:file:FILE; NAME is the volume, its UUID, or all", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "keys-from-stdin", Usage: "read passphrases from standard input, one a line, and try each on every volume", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "partial", Usage: "show volumes of which a disk is missing, with read errors where it is", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "norecovery", Usage: "do not replay the journal of a filesystem that was not unmounted", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "verbose", Aliases: []string{"v"}, Usage: "say more", Category: "Image"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "quiet", Aliases: []string{"q"}, Usage: "no progress and no warnings, only errors", Category: "Image"},
	}
}

// helpFlag is --help, which has no short form: -h is grep's and ls's.
func helpFlag() cli.Flag {
	return &cli.BoolFlag{DisableDefaultText: true, Name: "help", Usage: "print this"}
}

// jsonFlag asks for records instead of text.
func jsonFlag() cli.Flag {
	return &cli.BoolFlag{DisableDefaultText: true, Name: "json", Usage: "print a JSON object for each, one a line"}
}

// A session is one run of a command: the guests it opened and what failed.
type session struct {
	ctx      context.Context
	cli      *cli.Context
	out      *output
	err      io.Writer
	guests   []*opened
	keys     crypt.Keys
	progress *progress // that is shown; nil: none
	status   int       // of what failed so far
	failures int
	writes   bool // the guests are opened for writing
}

// opened is an open guest.
type opened struct {
	target target
	*daemon.Guest
	remote *remote // in place of the Guest: a daemon has it
}

// guestAction is the Action of a command that reads guests: at least min and at
// most max arguments (negative: any number), each of which do reads.
func (s *streams) guestAction(min, max int, do func(*session, []string) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.Bool("help") {
			return cli.ShowSubcommandHelp(c)
		}
		argv := c.Args().Slice()
		if len(argv) < min {
			return args.Usage("%s needs %s", c.Command.Name, c.Command.ArgsUsage)
		}
		if max >= 0 && len(argv) > max {
			return args.Usage("%s takes %s, not %d arguments", c.Command.Name, c.Command.ArgsUsage, len(argv))
		}
		ses := &session{ctx: c.Context, cli: c, out: newOutput(s.out), err: s.err}
		err := readKeys(c, &ses.keys, os.Stdin)
		if err == nil {
			err = do(ses, argv)
		}
		ses.keys.Wipe()
		if flushErr := ses.out.Flush(); err == nil {
			err = flushErr
		}
		for _, g := range ses.guests {
			if cerr := g.Close(context.WithoutCancel(c.Context)); err == nil {
				err = cerr
			}
		}
		if err == nil && ses.status != exitDone {
			err = &exitError{ses.status}
		}
		return err
	}
}

// readKeys reads the keys of the command line and of standard input.
func readKeys(c *cli.Context, keys *crypt.Keys, stdin io.Reader) error {
	for _, selector := range c.StringSlice("key") {
		if err := crypt.CheckSelector(selector); err != nil {
			return args.Usage("--key: %s", err)
		}
		if err := keys.Add(selector); err != nil {
			return err
		}
	}
	if c.Bool("keys-from-stdin") {
		if err := keys.AddLines(stdin); err != nil {
			return fmt.Errorf("reading keys from standard input: %w", err)
		}
	}
	return nil
}

// open opens the image of a target, once for all targets in it.
func (s *session) open(arg string) (*opened, target, error) {
	t, err := parseTarget(arg)
	if err != nil {
		return nil, t, err
	}
	for _, g := range s.guests {
		if g.target.sameGuest(t) {
			return g, t, nil
		}
	}
	spec, err := s.spec(t)
	if err != nil {
		return nil, t, err
	}
	g, err := daemon.Open(s.ctx, spec)
	if err != nil {
		return nil, t, openError(t, err)
	}
	o := &opened{target: t, Guest: g}
	if err := s.shows(o); err != nil {
		return nil, t, errors.Join(err, o.Close(context.WithoutCancel(s.ctx)))
	}
	if s.cli.Bool("verbose") {
		for _, w := range g.Warnings() {
			fmt.Fprintf(s.err, "guestctl: warning: %v\n", w)
		}
	}
	s.guests = append(s.guests, o)
	return o, t, nil
}

// shows says whether there is any file to be read in a guest: an empty tree
// would look like an empty disk.
func (s *session) shows(g *opened) error {
	var why []string
	for _, f := range g.Filesystems() {
		if len(f.Mounted) > 0 {
			return nil
		}
		name := f.Name
		if f.Info.Type != "" {
			name += " (" + f.Info.Type + ")"
		}
		if f.Err != nil && len(why) < 8 {
			why = append(why, name+": "+shown(f.Err.Error()))
		}
	}
	if s.command() == "filesystems" {
		return nil
	}
	if len(why) == 0 {
		why = append(why, "the disk has no partition")
	}
	return fmt.Errorf("no filesystem in %s can be read: %s", shown(g.target.image), strings.Join(why, "; "))
}

// command is the name of the command that runs.
func (s *session) command() string { return s.cli.Command.Name }

// snapshot is the one that a target is in; "" for the present state.
func (s *session) snapshot(t target) string {
	if t.snapshot != "" {
		return t.snapshot
	}
	return s.cli.String("snapshot")
}

// spec says how the image of a target is opened.
func (s *session) spec(t target) (daemon.Spec, error) {
	spec := daemon.Spec{
		Images:     []daemon.ImageSpec{{Path: t.image, Format: s.cli.String("format"), Snapshot: s.snapshot(t), SectorSize: s.cli.Int("blocksize")}},
		ForceShare: s.cli.Bool("force-share"), NoRecovery: s.cli.Bool("norecovery"), AllowBacking: s.cli.StringSlice("allow-backing"),
		Keys: &s.keys, Partial: s.cli.Bool("partial"), Writable: s.writes, Partly: s.writes,
	}
	if n := spec.Images[0].SectorSize; !slices.Contains([]int{0, 512, 4096}, n) {
		return spec, args.Usage("--blocksize %d: disks have sectors of 512 or 4096 bytes", n)
	}
	if spec.Images[0].Format == "auto" {
		spec.Images[0].Format = ""
	}
	if t.volume != "" {
		spec.View = daemon.ViewExplicit
		spec.Mounts = []daemon.MountSpec{{Device: t.volume, Path: "/"}}
	}
	if s.cli.Bool("verbose") {
		spec.Log = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return spec, nil
}

// each does something at the place that each argument names. What fails at one
// does not keep the others from being done.
func (s *session) each(argv []string, do func(g *opened, t target) error) error {
	for _, arg := range argv {
		g, t, err := s.reach(arg)
		if err == nil {
			if err = do(g, t); err != nil {
				err = &placeError{g, t, err}
			}
		}
		if err != nil && (s.ctx.Err() != nil || errors.Is(err, syscall.EPIPE)) {
			return err
		}
		if usage := (*args.UsageError)(nil); errors.As(err, &usage) {
			return err
		}
		s.fail(err)
	}
	return nil
}

// fail tells an error and remembers that there was one.
func (s *session) fail(err error) {
	if err == nil {
		return
	}
	s.out.Flush() // what is above it comes first
	s.clearProgress()
	fmt.Fprintf(s.err, "guestctl: %s\n", explain(err))
	s.status = max(s.status, exitFailed)
	s.failures++
}

// clearProgress makes room for a line on the terminal.
func (s *session) clearProgress() {
	if s.progress != nil {
		s.progress.clear()
	}
}

// problem is the Problem function of the operations at a target.
func (s *session) problem(g *opened, t target) func(error) {
	return func(err error) { s.fail(&placeError{g, t, err}) }
}

// warn tells what is no failure.
func (s *session) warn(g *opened, t target) func(error) {
	return func(err error) {
		if s.cli.Bool("quiet") {
			return
		}
		s.out.Flush()
		s.clearProgress()
		fmt.Fprintf(s.err, "guestctl: warning: %s\n", explain(&placeError{g, t, err}))
	}
}

// several says whether the arguments are in more than one guest, so that a
// path alone does not say where it is.
func several(argv []string) bool {
	var first target
	for i, arg := range argv {
		t, _ := parseTarget(arg)
		if i > 0 && !t.sameGuest(first) {
			return true
		}
		first = t
	}
	return false
}

// A placeError is what failed in a guest.
type placeError struct {
	guest *opened
	at    target
	err   error
}

func (e *placeError) Unwrap() error { return e.err }

func (e *placeError) Error() string {
	if of := (*files.Error)(nil); errors.As(e.err, &of) {
		at := e.at
		at.path = of.Path
		return fmt.Sprintf("cannot %s %s: %v", of.Op, shown(at.String()), of.Err)
	}
	return e.err.Error()
}

// openError says which image could not be opened.
func openError(t target, err error) error {
	if errors.Is(err, fs.ErrNotExist) && !exists(t.image) {
		if i := strings.Index(t.image, "://"); i > 0 && isScheme(t.image[:i]) {
			return fmt.Errorf("images behind %s are not read yet, only files of this host: fetch it with `qemu-img convert -O qcow2 %s copy.qcow2`, or attach it with `qemu-nbd --read-only` and name the device", t.image[:i+3], shown(t.image))
		}
		return fmt.Errorf("there is no image %s; write IMAGE:/path, the image being a file of this host", shown(t.image))
	}
	return err
}

// explain is an error's text, with what to do about it.
func explain(err error) string {
	text := err.Error()
	place := (*placeError)(nil)
	switch {
	case !errors.As(err, &place):
	case errors.Is(err, syscall.EROFS) && place.guest.Guest != nil:
		for _, left := range place.guest.NotWritten() {
			text += "; " + shown(left.Error())
		}
	case errors.Is(err, syscall.ENOENT) && isHost(err):
	case errors.Is(err, syscall.ENOENT) && byFolders(place.guest):
		text += fmt.Sprintf("; each filesystem of this image is a folder: `guestctl ls %s:/` lists them", shown(place.at.image))
	}
	return text
}

// isHost says whether err is about a file of this host.
func isHost(err error) bool {
	host := (*fs.PathError)(nil)
	return errors.As(err, &host)
}

// byFolders says whether the guest is shown with one folder for each filesystem.
func byFolders(g *opened) bool {
	for _, f := range g.Filesystems() {
		if slices.Contains(f.Mounted, "/"+f.Name) {
			return true
		}
	}
	return false
}

// namespace is the guest's tree.
func (o *opened) namespace() *vfs.Namespace { return o.Namespace() }

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTTY(int(f.Fd()))
}
