package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/mount"
)

// helperNames are the names under which mount(8) calls this program for the
// type guestmount: links to it in /sbin.
var helperNames = []string{"mount.guestmount", "mount.fuse.guestmount"}

// isHelper says whether the program was called by a name of a mount helper.
func isHelper(argv0 string) bool { return slices.Contains(helperNames, filepath.Base(argv0)) }

// helperFlags are what mount(8) gives a helper, "EXTERNAL HELPERS" there:
//
//	mount.TYPE SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]
func helperFlags() []args.Flag {
	return []args.Flag{
		{Names: []string{"s"}}, {Names: []string{"f"}}, {Names: []string{"n"}}, {Names: []string{"v"}},
		{Names: []string{"N"}, Arg: args.Required}, {Names: []string{"o"}, Arg: args.Required}, {Names: []string{"t"}, Arg: args.Required},
		{Names: []string{"help"}}, {Names: []string{"version", "V"}},
	}
}

// helperValues are the options of guestmount that carry their value behind -o
// in fstab. image names one more image.
var helperValues = map[string]string{
	"image": "add", "format": "format", "blocksize": "blocksize", "snapshot": "snapshot", "allow_backing": "allow-backing", "mount": "mount",
}

// helperSwitches are those without a value.
var helperSwitches = map[string]string{
	"inspector": "inspector", "partitions": "partitions", "force_share": "force-share", "norecovery": "norecovery",
}

// escapeOption undoes what mount.SplitOptions does to one item.
var escapeOption = strings.NewReplacer(`\`, `\\`, ",", `\,`)

// fromHelper is the command line of guestmount that does what mount(8) asks
// for. fake says that nothing is to be mounted (mount -f). mount(8) always says
// ro or rw, so that an rw is no wish of the user's: it is left out, and what
// cannot be written is mounted read-only, with the line that says so.
func fromHelper(argv []string) (own []string, fake bool, err error) {
	line, err := args.Parse(helperFlags(), argv)
	if err != nil {
		return nil, false, err
	}
	var before, after, images, fuse []string
	ro := false
	for _, o := range line.Options {
		switch o.Name {
		case "help", "version":
			return []string{"--" + o.Name}, false, nil
		case "f":
			fake = true
		case "v":
			after = append(after, "--verbose")
		case "N":
			return nil, false, refuse("-N %s: mounting in another namespace is not supported; enter it first: nsenter --mount=%s mount ...", o.Value, o.Value)
		case "o":
			for _, item := range mount.SplitOptions(o.Value) {
				name, value, hasValue := strings.Cut(item, "=")
				switch long := helperValues[name]; {
				case long == "add" && hasValue:
					images = append(images, "--add="+value)
				case hasValue && (long == "format" || long == "blocksize" || long == "snapshot"):
					// They speak of the images that follow.
					before = append(before, "--"+long+"="+value)
				case hasValue && long != "":
					after = append(after, "--"+long+"="+value)
				case !hasValue && helperSwitches[name] != "":
					after = append(after, "--"+helperSwitches[name])
				case item == "ro":
					ro = true
				case item == "rw":
				default:
					fuse = append(fuse, "-o", escapeOption.Replace(item))
				}
			}
		}
	}
	if len(line.Args) != 2 {
		return nil, false, args.Usage("mount(8) calls this program with an image and a folder, not with %d names", len(line.Args))
	}
	if ro {
		after = append(after, "--ro")
	}
	own = append(before, "--add="+line.Args[0])
	own = append(append(append(own, images...), after...), fuse...)
	return append(own, "--", line.Args[1]), fake, nil
}
