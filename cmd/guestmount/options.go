package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/mount"
)

// flags are libguestfs's options of guestmount, then ours.
func flags() []args.Flag {
	return []args.Flag{
		{Names: []string{"add", "a"}, Arg: args.Required},
		{Names: []string{"blocksize"}, Arg: args.Optional},
		{Names: []string{"connect", "c"}, Arg: args.Required},
		{Names: []string{"dir-cache-timeout"}, Arg: args.Required},
		{Names: []string{"domain", "d"}, Arg: args.Required},
		{Names: []string{"echo-keys"}},
		{Names: []string{"fd"}, Arg: args.Required},
		{Names: []string{"format"}, Arg: args.Optional},
		{Names: []string{"fuse-help"}},
		{Names: []string{"help"}},
		{Names: []string{"inspector", "i"}},
		{Names: []string{"key"}, Arg: args.Required},
		{Names: []string{"keys-from-stdin"}},
		{Names: []string{"live"}},
		{Names: []string{"long-options"}},
		{Names: []string{"mount", "m"}, Arg: args.Required},
		{Names: []string{"no-fork"}},
		{Names: []string{"no-sync", "n"}},
		{Names: []string{"option", "o"}, Arg: args.Required},
		{Names: []string{"pid-file"}, Arg: args.Required},
		{Names: []string{"ro", "r"}},
		{Names: []string{"rw", "w"}},
		{Names: []string{"selinux"}},
		{Names: []string{"short-options"}},
		{Names: []string{"trace", "x"}},
		{Names: []string{"verbose", "v"}},
		{Names: []string{"version", "V"}},

		{Names: []string{"allow-backing"}, Arg: args.Required},
		{Names: []string{"force-share"}},
		{Names: []string{"norecovery"}},
		{Names: []string{"partial"}},
		{Names: []string{"partitions"}},
		{Names: []string{"snapshot"}, Arg: args.Required},
	}
}

// options are a command line that was understood.
type options struct {
	show string // "help", "version", "fuse-help", "long-options", "short-options": print that and leave

	spec    daemon.Spec
	dir     string
	fuse    []string      // -o, comma lists taken apart
	mount   mount.Options // what they mean
	pidFile string
	fd      int // -1: none
	noFork  bool
	verbose bool
	trace   bool
	short   bool // guestmount IMAGE DIR
	fake    bool // nothing is mounted: mount -f
	askedRO bool
	askedRW bool

	keys          []string // selectors of --key
	keysFromStdin bool
	echoKeys      bool
}

// A refusal is a request that is understood and cannot be met: exit status 1.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, a ...any) error { return &refusal{fmt.Sprintf(format, a...)} }

// parse reads the command line without the program's name. Its errors are
// *args.UsageError and *refusal.
func parse(argv []string) (*options, error) {
	line, err := args.Parse(flags(), argv)
	if err != nil {
		return nil, err
	}
	o := &options{fd: -1}
	var drive daemon.ImageSpec // what --format and its like said for the images that follow
	waits := ""                // the last of them that no image has followed yet
	for _, opt := range line.Options {
		switch opt.Name {
		case "help", "version", "fuse-help", "long-options", "short-options":
			o.show = opt.Name
			return o, nil
		case "add":
			if drive.Path, err = imagePath(opt.Value); err != nil {
				return nil, err
			}
			o.spec.Images = append(o.spec.Images, drive)
			waits = ""
		case "format":
			drive.Format, waits = opt.Value, opt.Typed
			if opt.Value == "auto" {
				drive.Format = ""
			}
		case "blocksize":
			waits = opt.Typed
			if drive.SectorSize, err = sectorSize(opt); err != nil {
				return nil, err
			}
		case "snapshot":
			drive.Snapshot, waits = opt.Value, opt.Typed
		default:
			if err := o.take(opt); err != nil {
				return nil, err
			}
		}
	}
	if err := o.positional(line.Args, drive); err != nil {
		return nil, err
	}
	if waits != "" && !o.short {
		return nil, args.Usage("%s must come before the -a that it speaks of", waits)
	}
	return o, o.check()
}

// parseHelper is parse for what mount(8) says to its helper.
func parseHelper(argv []string) (*options, error) {
	own, fake, err := fromHelper(argv)
	if err != nil {
		return nil, err
	}
	o, err := parse(own)
	if err == nil {
		o.fake = fake
	}
	return o, err
}

// take reads an option that speaks of the whole mount.
func (o *options) take(opt args.Option) error {
	var err error
	switch opt.Name {
	case "connect", "domain":
		return refuse("%s %s: libvirt's domains are not read yet; `virsh domblklist --details DOMAIN` prints the images, name each with -a", opt.Typed, opt.Value)
	case "live":
		return refuse("--live: libguestfs removed it in version 1.48, and here it never was; mount the image of a guest that is shut off, or a snapshot")
	case "mount":
		m, err := daemon.ParseMount(opt.Value)
		if err != nil {
			return args.Usage("%s", err)
		}
		o.spec.Mounts = append(o.spec.Mounts, m)
		return o.choose(daemon.ViewExplicit)
	case "inspector":
		return o.choose(daemon.ViewInspect)
	case "partitions":
		return o.choose(daemon.ViewPartitions)
	case "ro":
		o.askedRO = true
	case "rw":
		o.askedRW = true
	case "option":
		o.fuse = append(o.fuse, opt.Value)
		o.askedRO = o.askedRO || slices.Contains(strings.Split(opt.Value, ","), "ro")
		o.askedRW = o.askedRW || slices.Contains(strings.Split(opt.Value, ","), "rw")
	case "dir-cache-timeout":
		// What was read stays valid: nothing changes an image behind the mount's back.
		if n, err := strconv.Atoi(opt.Value); err != nil || n < 0 {
			return args.Usage("--dir-cache-timeout %q is not a number of seconds", opt.Value)
		}
	case "fd":
		if o.fd, err = strconv.Atoi(opt.Value); err != nil || o.fd < 0 {
			return args.Usage("--fd %q is not the number of a file descriptor", opt.Value)
		}
	case "pid-file":
		o.pidFile = opt.Value
	case "no-fork":
		o.noFork = true
	case "verbose":
		o.verbose = true
	case "trace":
		o.trace = true
	case "key":
		if err := crypt.CheckSelector(opt.Value); err != nil {
			return args.Usage("%s: %s", opt.Typed, err)
		}
		o.keys = append(o.keys, opt.Value)
	case "keys-from-stdin":
		o.keysFromStdin = true
	case "echo-keys":
		o.echoKeys = true
	case "partial":
		o.spec.Partial = true
	case "allow-backing":
		o.spec.AllowBacking = append(o.spec.AllowBacking, opt.Value)
	case "force-share":
		o.spec.ForceShare = true
	case "norecovery":
		o.spec.NoRecovery = true
	case "no-sync", "selinux":
		// The image is always synced at the end; SELinux labels are shown as they are.
	}
	return nil
}

// choose sets the way to show the guest, which may be said once.
func (o *options) choose(v daemon.View) error {
	if o.spec.View != daemon.ViewAuto && o.spec.View != v {
		return args.Usage("-i, -m and --partitions are three ways to show the guest: choose one")
	}
	o.spec.View = v
	return nil
}

// positional reads DIR, or IMAGE and DIR of the short form.
func (o *options) positional(rest []string, drive daemon.ImageSpec) error {
	switch {
	case len(rest) == 2 && len(o.spec.Images) == 0:
		var err error
		if drive.Path, err = imagePath(rest[0]); err != nil {
			return err
		}
		o.spec.Images = []daemon.ImageSpec{drive}
		o.dir, o.short = rest[1], true
	case len(rest) == 1 && len(o.spec.Images) > 0:
		o.dir = rest[0]
	case len(rest) == 0 && len(o.spec.Images) == 0:
		return args.Usage("name an image and a folder to mount it on")
	case len(rest) == 0:
		return args.Usage("name the folder to mount on")
	case len(rest) == 1:
		return args.Usage("%q alone is not enough: name the image and the folder to mount it on", rest[0])
	case len(o.spec.Images) > 0:
		return args.Usage("one folder to mount on, not %d: with -a the image is not named again", len(rest))
	default:
		return args.Usage("one image and one folder, not %d arguments: several images are each named with -a", len(rest))
	}
	return nil
}

// check looks at what only makes sense together.
func (o *options) check() error {
	if o.dir == "" {
		return args.Usage("the name of the folder to mount on is empty")
	}
	if o.askedRO && o.askedRW {
		return args.Usage("--ro and --rw exclude each other")
	}
	return o.parseFuse()
}

// parseFuse reads the -o options.
func (o *options) parseFuse() error {
	// Whether it is read-write is not the kernel's to decide.
	lists := slices.Clone(o.fuse)
	for i, list := range lists {
		items := slices.DeleteFunc(mount.SplitOptions(list), func(item string) bool { return item == "rw" })
		for k, item := range items {
			items[k] = escapeOption.Replace(item)
		}
		lists[i] = strings.Join(items, ",")
	}
	opt, unknown, err := mount.ParseOptions(lists)
	if err != nil {
		return args.Usage("%s", err)
	}
	if len(unknown) > 0 {
		return args.Usage("-o %s: there is no such option; --fuse-help lists them", unknown[0])
	}
	opt.Subtype = "guestmount"
	o.mount = opt
	return nil
}

// sectorSize reads --blocksize[=512|4096]; without a value it is found again.
func sectorSize(opt args.Option) (int, error) {
	switch opt.Value {
	case "":
		return 0, nil
	case "512", "4096":
		return strconv.Atoi(opt.Value)
	}
	return 0, args.Usage("--blocksize %q: disks have sectors of 512 or 4096 bytes", opt.Value)
}

// imagePath is the file that an image's name stands for. Names of servers are
// refused, unless there is a file of that very name.
func imagePath(name string) (string, error) {
	if name == "" {
		return "", args.Usage("the name of an image is empty")
	}
	scheme, rest, ok := strings.Cut(name, ":")
	if !ok || !isScheme(scheme) {
		return name, nil
	}
	if _, err := os.Lstat(name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return name, nil
	}
	if path, local := strings.CutPrefix(rest, "//"); scheme == "file" && local {
		// file:///path and file://localhost/path; RFC 8089 section 2.
		path = strings.TrimPrefix(path, "localhost")
		if strings.HasPrefix(path, "/") {
			return path, nil
		}
		return "", refuse("image %q: a file on another host is not read", name)
	}
	if !strings.HasPrefix(rest, "//") && !slices.Contains([]string{"nbd", "rbd", "iscsi", "http", "https", "ftp", "ftps", "ssh", "json", "gluster", "sheepdog", "vxhs", "nvme", "fat", "blkdebug", "null-co"}, scheme) {
		return name, nil // a file with a colon in its name, which is missing
	}
	return "", refuse("image %q: images behind %s: are not read yet, only files of this host; fetch it with `qemu-img convert -O qcow2 %s copy.qcow2`, or attach it with `qemu-nbd --read-only` and name the device", name, scheme, name)
}

// isScheme says whether s could be the scheme of a URI, RFC 3986 section 3.1.
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return len(s) > 1
}
