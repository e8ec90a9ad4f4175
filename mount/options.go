package mount

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

// day is how long the kernel keeps what it was told, where Options say nothing: nothing changes behind its back.
const day = 24 * time.Hour

const (
	defaultMaxBackground = 64
	defaultReadAhead     = 1 << 20
)

// Options are the choices of one mount. The zero value is a good one.
type Options struct {
	// AllowOther lets every user in. The kernel then checks the guest's own owners and modes; without it only the
	// mounting user reaches the mount, and acts as root inside.
	AllowOther         bool
	DefaultPermissions bool // the kernel checks owners and modes, even without AllowOther
	NoXattr            bool // extended attributes are not shown: a listing with ls -l is several times faster
	RebaseLinks        bool // absolute symlinks lead to the same place below the mount point
	IgnoreCase         bool // reserved for filesystems that can
	NonEmpty           bool // the mount point may hold files, which are covered
	NoPush             bool // no file is sent to the kernel before it is asked for

	UID, GID *uint32 // shown as the owner of everything

	FSName   string // the device, in /proc/mounts
	Writable bool   // what can be changed may be, through this mount

	Subtype string // the type is "fuse." and this; "guestctl" where empty

	// Extra are mount options that the kernel understands: "noexec", "context=...".
	Extra []string

	// How long the kernel keeps attributes, names and the absence of names; nil is a day.
	AttrTimeout, EntryTimeout, NegativeTimeout *time.Duration

	// Apart says that Serve runs in a process that reaches no path: another one calls Attach before and Greet after it, and
	// takes the mount away.
	Apart bool

	MaxBackground int // read-ahead requests at a time; 0 is 64
	ReadAhead     int // bytes the kernel reads ahead, where root mounts; 0 is 1 MiB, -1 leaves it

	Log *slog.Logger // nil is slog.Default
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Subtype == "" {
		o.Subtype = "guestctl"
	}
	if o.FSName == "" {
		o.FSName = o.Subtype
	}
	if o.MaxBackground <= 0 {
		o.MaxBackground = defaultMaxBackground
	}
	if o.ReadAhead == 0 {
		o.ReadAhead = defaultReadAhead
	}
	if o.AllowOther {
		o.DefaultPermissions = true
	}
	return o
}

func timeout(d *time.Duration) time.Duration {
	if d == nil {
		return day
	}
	return *d
}

// accepted are options that ask for what always is so, that a read-only mount has no use for, or that are for programs
// which read fstab.
var accepted = []string{
	"ro", "kernel_cache", "auto_cache", "noauto_cache", "use_ino", "readdir_ino", "big_writes", "large_read", "hard_remove",
	"async_read", "intr", "nodev", "nosuid", "async", "defaults", "auto", "noauto", "user", "users", "nouser", "owner", "group", "nofail", "_netdev",
	"splice_read", "no_splice_read", "splice_move", "no_splice_move", "splice_write", "no_splice_write", "noforget",
	"exec", "atime", "diratime", "relatime", "norelatime", "loud",
}

// acceptedValues are those of them that have a value.
var acceptedValues = []string{
	"max_read", "max_readahead", "max_write", "ac_attr_timeout", "intr_signal", "max_background", "congestion_threshold",
	"comment", "blksize", "remember", "user", "uhelper",
}

// passed are those the kernel itself understands.
var passed = []string{"noexec", "noatime", "nodiratime", "sync", "dirsync", "silent", "nosymfollow"}

// passedValues are those of them that have a value: SELinux labels for the whole mount.
var passedValues = []string{"context", "fscontext", "defcontext", "rootcontext"}

// ParseOptions reads the arguments of -o, each a list with commas; a backslash keeps a comma. It answers the names it
// does not know, for the caller to refuse, and an error for a value that makes no sense and for an option that is known
// and refused.
func ParseOptions(args []string) (opt Options, unknown []string, err error) {
	for _, arg := range args {
		for _, item := range SplitOptions(arg) {
			name, value, hasValue := strings.Cut(item, "=")
			known, err := opt.set(name, value, hasValue)
			if err != nil {
				return opt, unknown, fmt.Errorf("mount option %q: %w", item, err)
			}
			if !known {
				unknown = append(unknown, item)
			}
		}
	}
	return opt, unknown, nil
}

// set applies one option, and says whether there is such an option.
func (o *Options) set(name, value string, hasValue bool) (known bool, err error) {
	if flag := o.flag(name); flag != nil {
		if hasValue {
			return true, fmt.Errorf("takes no value")
		}
		*flag = true
		return true, nil
	}
	item := name
	if hasValue {
		item += "=" + value
	}
	switch {
	case name == "uid":
		o.UID, err = parseID(value)
	case name == "gid":
		o.GID, err = parseID(value)
	case name == "attr_timeout":
		o.AttrTimeout, err = parseSeconds(value)
	case name == "entry_timeout":
		o.EntryTimeout, err = parseSeconds(value)
	case name == "negative_timeout":
		o.NegativeTimeout, err = parseSeconds(value)
	case name == "fsname" && value != "":
		o.FSName = value
	case name == "subtype" && value != "" && !strings.ContainsAny(value, ",/"):
		o.Subtype = value
	case name == "fsname" || name == "subtype":
		err = fmt.Errorf("needs a name")
	case name == "dev" || name == "suid":
		err = fmt.Errorf("refused: device nodes and set-uid programs of a guest never take effect on the host")
	case !hasValue && slices.Contains(passed, name), hasValue && slices.Contains(passedValues, name):
		o.Extra = append(o.Extra, item)
	case !hasValue && slices.Contains(accepted, name), hasValue && slices.Contains(acceptedValues, name):
	case strings.HasPrefix(name, "x-"):
	default:
		return false, nil
	}
	return true, err
}

func (o *Options) flag(name string) *bool {
	switch name {
	case "allow_other":
		return &o.AllowOther
	case "default_permissions":
		return &o.DefaultPermissions
	case "noxattr":
		return &o.NoXattr
	case "rebase_links":
		return &o.RebaseLinks
	case "ignore_case":
		return &o.IgnoreCase
	case "nonempty":
		return &o.NonEmpty
	case "nopush":
		return &o.NoPush
	}
	return nil
}

func parseID(s string) (*uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return nil, fmt.Errorf("needs a number below 2^32-1")
	}
	id := uint32(n)
	return &id, nil
}

// parseSeconds reads a timeout as libfuse does: seconds, with a fraction.
func parseSeconds(s string) (*time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0) || f > 1e9 {
		return nil, fmt.Errorf("needs a number of seconds from 0 to 1e9")
	}
	d := time.Duration(f * float64(time.Second))
	return &d, nil
}

// SplitOptions takes the argument of a -o apart at the commas that no backslash keeps; the backslashes are gone then.
func SplitOptions(s string) []string {
	var items []string
	var item strings.Builder
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',':
			if item.Len() > 0 {
				items = append(items, item.String())
			}
			item.Reset()
		case s[i] == '\\' && i+1 < len(s):
			i++
			item.WriteByte(s[i])
		default:
			item.WriteByte(s[i])
		}
	}
	return items
}
