package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/guestctl/guestctl/daemon/inspect/hive"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// The roots, by their long names.
const (
	Machine = "HKEY_LOCAL_MACHINE"
	Users   = "HKEY_USERS"
	Classes = "HKEY_CLASSES_ROOT"
)

// Bounds.
const (
	maxFile = 4 << 30 // bytes of a hive
	maxOpen = 16      // hives that are held open: each caches what was read of it
)

// A Registry is that of one Windows.
type Registry struct {
	ctx      context.Context
	fs       *look.FS
	root     string // the folder of Windows
	hives    map[string]*opened
	profiles []profile
	listed   bool // profiles is made
}

// An opened is a hive, or why it is not.
type opened struct {
	file string
	hive *hive.Hive
	err  error
}

// A profile is a user that Windows knows.
type profile struct{ sid, dir string }

// New is the registry of the Windows in the folder root of fs.
func New(ctx context.Context, fs *look.FS, root string) *Registry {
	return &Registry{ctx: ctx, fs: fs, root: root, hives: map[string]*opened{}}
}

// A Key is a key of the registry: one of a hive, or one that hives stand in.
type Key struct {
	*hive.Key          // nil where hives stand in it
	Path      string   // from the root's long name
	File      string   // of the hive, in the guest
	Hives     []string // what stands in it, where it is none of a hive
	Replayed  int      // pages of the hive that stand in its logs only
}

// Open finds a key: `HKLM\SOFTWARE\Microsoft`. The error unwraps to
// fs.ErrNotExist where there is none.
func (r *Registry) Open(name string) (*Key, error) {
	root, rest, _ := strings.Cut(strings.Trim(name, `\`), `\`)
	switch strings.ToUpper(root) {
	case "HKLM", Machine:
		return r.machine(rest)
	case "HKU", Users:
		return r.users(rest)
	case "HKCR", Classes:
		k, err := r.machine(`SOFTWARE\Classes\` + rest)
		if err == nil {
			k.Path = Classes + strings.TrimPrefix(k.Path, Machine+`\SOFTWARE\Classes`)
		}
		return k, err
	case "HKCU", "HKEY_CURRENT_USER":
		return nil, errors.New(`HKEY_CURRENT_USER is that of a user who is logged on; name the user: HKU\NAME`)
	case "HKCC", "HKEY_CURRENT_CONFIG":
		return nil, errors.New("HKEY_CURRENT_CONFIG exists only while Windows runs")
	}
	return nil, fmt.Errorf("the registry has no root %.100q: there are HKLM, HKU and HKCR", root)
}

// machine opens a key below HKEY_LOCAL_MACHINE.
func (r *Registry) machine(rest string) (*Key, error) {
	name, rest, _ := strings.Cut(rest, `\`)
	switch upper := strings.ToUpper(name); upper {
	case "":
		return &Key{Path: Machine, Hives: r.machineHives()}, nil
	case "HARDWARE":
		return nil, errors.New(Machine + `\HARDWARE exists only while Windows runs`)
	case "BCD00000000":
		return r.below(r.bcd(), Machine+`\BCD00000000`, rest)
	case "SOFTWARE", "SYSTEM", "SAM", "SECURITY", "COMPONENTS", "DRIVERS":
		file := r.config(upper)
		if upper == "SYSTEM" {
			if first, more, _ := strings.Cut(rest, `\`); strings.EqualFold(first, "CurrentControlSet") {
				return r.controlSet(file, more)
			}
		}
		return r.below(file, Machine+`\`+upper, rest)
	}
	return nil, &hive.MissingError{What: "subkey", Key: Machine, Name: name}
}

// CurrentControlSet is the name of the control set that is in use: "ControlSet001".
func (r *Registry) CurrentControlSet() (string, error) {
	k, err := r.below(r.config("SYSTEM"), Machine+`\SYSTEM`, "Select")
	if err != nil {
		return "", err
	}
	v, err := k.Value("Current")
	if err != nil {
		return "", err
	}
	n, ok := v.Number()
	if !ok || n > 999 {
		return "", fmt.Errorf(`%s\SYSTEM\Select: the value Current is no number of a control set`, Machine)
	}
	return fmt.Sprintf("ControlSet%03d", n), nil
}

func (r *Registry) controlSet(file, rest string) (*Key, error) {
	set, err := r.CurrentControlSet()
	if err != nil {
		return nil, err
	}
	k, err := r.below(file, Machine+`\SYSTEM`, set+`\`+rest)
	if err == nil {
		prefix := Machine + `\SYSTEM\`
		k.Path = prefix + "CurrentControlSet" + k.Path[len(prefix)+len(set):]
	}
	return k, err
}

// below opens a key of a hive that is mounted at a path.
func (r *Registry) below(file, mounted, rest string) (*Key, error) {
	if file == "" {
		return nil, &missingHive{mounted}
	}
	o := r.open(file)
	if o.err != nil {
		return nil, fmt.Errorf("%s: %w", look.Clean(file), o.err)
	}
	k, err := o.hive.Root()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", look.Clean(file), err)
	}
	at := mounted
	for part := range strings.SplitSeq(rest, `\`) {
		if part == "" {
			continue
		}
		sub, err := k.Subkey(part)
		if missing := (*hive.MissingError)(nil); errors.As(err, &missing) {
			return nil, &hive.MissingError{What: "subkey", Key: at, Name: part}
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", look.Clean(file), err)
		}
		k = sub
		at += `\` + k.Name()
	}
	return &Key{Key: k, Path: at, File: file, Replayed: o.hive.Replayed()}, nil
}

// A missingHive says that the guest has no file for a hive.
type missingHive struct{ path string }

func (e *missingHive) Error() string { return "the guest has no hive for " + e.path }
func (e *missingHive) Unwrap() error { return fs.ErrNotExist }

// config is the path of a hive of the system, "" where there is none.
func (r *Registry) config(name string) string {
	return r.fs.NoCase(r.ctx, r.root+"/system32/config/"+name)
}

// bcd is the path of the boot configuration.
func (r *Registry) bcd() string {
	for _, p := range []string{"/Boot/BCD", "/EFI/Microsoft/Boot/BCD"} {
		if p = r.fs.NoCase(r.ctx, p); p != "" {
			return p
		}
	}
	return ""
}

func (r *Registry) machineHives() []string {
	var list []string
	if r.bcd() != "" {
		list = append(list, "BCD00000000")
	}
	for _, name := range []string{"COMPONENTS", "DRIVERS", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"} {
		if r.config(name) != "" {
			list = append(list, name)
		}
	}
	return list
}

// open opens the hive in a file, once.
func (r *Registry) open(file string) *opened {
	if o := r.hives[file]; o != nil {
		return o
	}
	if len(r.hives) == maxOpen {
		clear(r.hives)
	}
	o := &opened{file: file}
	r.hives[file] = o
	f, err := r.fs.Open(r.ctx, file, maxFile)
	if err != nil {
		o.err = err
		return o
	}
	var logs []hive.File
	for _, suffix := range []string{".LOG1", ".LOG2", ".LOG"} {
		name := r.fs.NoCase(r.ctx, file+suffix)
		if name == "" {
			continue
		}
		if l, err := r.fs.Open(r.ctx, name, maxFile); err == nil && l.Size() > 0 {
			logs = append(logs, l)
		}
	}
	o.hive, o.err = hive.Open(f, logs...)
	return o
}

// file is the path in the guest of one that Windows names: C:\..., or with
// %SystemRoot% or %SystemDrive%. Drives are taken to be the one Windows is on.
func (r *Registry) file(name string) string {
	for _, v := range []struct{ name, dir string }{{"%systemroot%", r.root}, {"%windir%", r.root}, {"%systemdrive%", ""}} {
		if len(name) >= len(v.name) && strings.EqualFold(name[:len(v.name)], v.name) {
			name = v.dir + name[len(v.name):]
		}
	}
	if len(name) >= 2 && name[1] == ':' {
		name = name[2:]
	}
	return r.fs.NoCase(r.ctx, path.Clean("/"+strings.ReplaceAll(name, `\`, "/")))
}

// Walk calls do for a key and, where all is set, for all keys below it. What is
// damaged is told to problem and left out; an error of do ends it.
func (r *Registry) Walk(k *Key, all bool, do func(*Key) error, problem func(error)) error {
	switch {
	case !all:
		return do(k)
	case k.Key != nil:
		return k.Key.Walk(func(names []string, sub *hive.Key) error {
			return do(&Key{Key: sub, Path: strings.Join(append([]string{k.Path}, names...), `\`), File: k.File, Replayed: k.Replayed})
		}, func(err error) { problem(fmt.Errorf("%s: %w", look.Clean(k.File), err)) })
	}
	if err := do(k); err != nil {
		return err
	}
	for _, name := range k.Hives {
		sub, err := r.Open(k.Path + `\` + name)
		if err != nil {
			problem(err)
			continue
		}
		if err := r.Walk(sub, true, do, problem); err != nil {
			return err
		}
	}
	return nil
}
