package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Debugfs writes down the tree of a raw image that is one ext2, ext3 or ext4 filesystem, as e2fsprogs' debugfs reads it. A
// journal is not replayed. Entry.Btime is filled in where inodes have room for it.
func Debugfs(ctx context.Context, image string) (Manifest, error) {
	tmp, err := os.MkdirTemp("", "guestctl-debugfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	d := &debugfs{ctx: ctx, image: image, tmp: tmp}
	if err := d.names(); err != nil {
		return nil, err
	}
	if err := d.inodes(); err != nil {
		return nil, err
	}
	if err := d.xattrs(); err != nil {
		return nil, err
	}
	if err := d.contents(); err != nil {
		return nil, err
	}
	for i := range d.entries {
		e := &d.entries[i]
		known := *d.known[e.Ino]
		known.Path = e.Path
		*e = known
	}
	return finish(d.entries), nil
}

type debugfs struct {
	ctx     context.Context
	image   string
	tmp     string
	entries []Entry           // a name each; only Path and Ino, until the end
	known   map[uint64]*Entry // an inode each
	order   []uint64          // of known
	attrs   map[uint64][]string
}

// run gives commands to one debugfs and answers what each printed.
func (d *debugfs) run(commands []string) ([]string, error) {
	file := filepath.Join(d.tmp, "commands")
	if err := os.WriteFile(file, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(d.ctx, "debugfs", "-f", file, d.image)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("debugfs: %w: %s", err, errs.String())
	}
	// Each command is echoed on a line of its own behind the prompt. Nothing else is expected on stderr but the version.
	if said := strings.TrimSpace(errs.String()); strings.Contains(said, "\n") {
		return nil, fmt.Errorf("debugfs: %s", said)
	}
	said := make([]string, len(commands))
	rest := out.String()
	for i, c := range commands {
		_, after, ok := strings.Cut(rest, "debugfs: "+c+"\n")
		if !ok {
			return nil, fmt.Errorf("debugfs did not get to the command %q", c)
		}
		rest = after
		if i+1 < len(commands) {
			end := strings.Index(rest, "debugfs: "+commands[i+1]+"\n")
			if end < 0 {
				return nil, fmt.Errorf("debugfs did not get to the command %q", commands[i+1])
			}
			said[i] = rest[:end]
		} else {
			said[i] = rest
		}
	}
	return said, nil
}

// A line of ls -p: /inode/mode/uid/gid/name/size/. A name may hold a line feed but no slash.
var listed = regexp.MustCompile(`(?s)/(\d+)/(\d{6})/-?\d+/-?\d+/([^/]*)/(\d*)/\n`)

// names lists every directory, a level at a time.
func (d *debugfs) names() error {
	d.known = map[uint64]*Entry{2: {Ino: 2, Mode: unix.S_IFDIR}}
	d.order = []uint64{2}
	d.entries = []Entry{{Path: ".", Ino: 2}}
	type dir struct {
		path string
		ino  uint64
	}
	level := []dir{{".", 2}}
	for len(level) > 0 {
		var commands []string
		for _, l := range level {
			commands = append(commands, fmt.Sprintf("ls -p <%d>", l.ino))
		}
		said, err := d.run(commands)
		if err != nil {
			return err
		}
		var next []dir
		for i, l := range level {
			for _, m := range listed.FindAllStringSubmatch(said[i], -1) {
				ino, _ := strconv.ParseUint(m[1], 10, 64)
				mode, _ := strconv.ParseUint(m[2], 8, 32)
				if ino == 0 || m[3] == "." || m[3] == ".." { // 0: removed, or a block's checksum
					continue
				}
				p := path.Join(l.path, m[3])
				d.entries = append(d.entries, Entry{Path: p, Ino: ino})
				if d.known[ino] == nil {
					d.known[ino] = &Entry{Ino: ino, Mode: uint32(mode)}
					d.order = append(d.order, ino)
					if mode&unix.S_IFMT == unix.S_IFDIR {
						next = append(next, dir{p, ino})
					}
				}
			}
		}
		level = next
	}
	return nil
}

var (
	statMode  = regexp.MustCompile(`Mode:  (\d+)`)
	statOwner = regexp.MustCompile(`(?m)^User: +(-?\d+) +Group: +(-?\d+)`)
	statSize  = regexp.MustCompile(`(?m)^User:.* Size: (\d+)$`)
	statLinks = regexp.MustCompile(`(?m)^Links: (\d+)`)
	statTime  = regexp.MustCompile(`(?m)^ ?([cam]|cr)time: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))? --`)
	statDev   = regexp.MustCompile(`Device major/minor number: (\d+):(\d+)`)
	statFast  = regexp.MustCompile(`(?s)Fast link dest: "(.*)"\n`)
	statAttr  = regexp.MustCompile(`(?m)^  (\S.*) \((\d+)\)(?: = .*)?$`)
)

// inodes fills in what stat prints.
func (d *debugfs) inodes() error {
	var commands []string
	for _, ino := range d.order {
		commands = append(commands, fmt.Sprintf("stat <%d>", ino))
	}
	said, err := d.run(commands)
	if err != nil {
		return err
	}
	d.attrs = map[uint64][]string{}
	for i, ino := range d.order {
		e, text := d.known[ino], said[i]
		number := func(re *regexp.Regexp, group, base int) int64 {
			m := re.FindStringSubmatch(text)
			if m == nil {
				err = fmt.Errorf("debugfs's stat of inode %d lacks %v", ino, re)
				return 0
			}
			n, bad := strconv.ParseInt(m[group], base, 64)
			if bad != nil {
				err = bad
			}
			return n
		}
		e.Mode = e.Mode&unix.S_IFMT | uint32(number(statMode, 1, 8))
		e.UID, e.GID = uint32(number(statOwner, 1, 10)), uint32(number(statOwner, 2, 10))
		e.Size, e.Nlink = number(statSize, 1, 10), uint32(number(statLinks, 1, 10))
		for _, m := range statTime.FindAllStringSubmatch(text, -1) {
			at := extTime(m[2], m[3])
			switch m[1] {
			case "m":
				e.Mtime = at
			case "c":
				e.Ctime = at
			case "cr":
				e.Btime = at
			}
		}
		switch e.Mode & unix.S_IFMT {
		case unix.S_IFCHR, unix.S_IFBLK:
			e.Rdev = unix.Mkdev(uint32(number(statDev, 1, 10)), uint32(number(statDev, 2, 10)))
		case unix.S_IFLNK:
			if m := statFast.FindStringSubmatch(text); m != nil {
				e.Target = m[1]
			}
		}
		if err != nil {
			return err
		}
		if _, list, ok := strings.Cut(text, "Extended attributes:\n"); ok {
			for _, m := range statAttr.FindAllStringSubmatch(list, -1) {
				// The contents of an inline file are an attribute on disk only.
				if m[1] != "system.data" {
					d.attrs[ino] = append(d.attrs[ino], m[1])
				}
			}
		}
	}
	return nil
}

// extTime decodes an ext4 time from its two fields: seconds as signed 32 bits, and where the inode has room two more bits
// of epoch below 30 of nanoseconds (Documentation/filesystems/ext4, "Inode Timestamps").
func extTime(seconds, extra string) time.Time {
	sec, _ := strconv.ParseUint(seconds, 16, 32)
	more, _ := strconv.ParseUint(extra, 16, 32)
	return time.Unix(int64(int32(sec))+int64(more&3)<<32, int64(more>>2)).UTC()
}

// xattrs fetches each value into a file.
func (d *debugfs) xattrs() error {
	type attr struct {
		ino  uint64
		name string
	}
	var all []attr
	var commands []string
	file := func(i int) string { return filepath.Join(d.tmp, fmt.Sprintf("attr-%d", i)) }
	for _, ino := range d.order {
		for _, name := range d.attrs[ino] {
			commands = append(commands, fmt.Sprintf("ea_get -f %s <%d> %s", file(len(all)), ino, name))
			all = append(all, attr{ino, name})
		}
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := d.run(commands); err != nil {
		return err
	}
	for i, a := range all {
		value, err := os.ReadFile(file(i))
		if err != nil {
			return fmt.Errorf("xattr %q of inode %d: %w", a.name, a.ino, err)
		}
		os.Remove(file(i))
		e := d.known[a.ino]
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		if strings.HasPrefix(a.name, "system.posix_acl_") {
			aclAsKernel(value)
		}
		e.Xattrs[a.name] = string(value)
	}
	return nil
}

// aclAsKernel gives the entries that name nobody the id ACL_UNDEFINED_ID, as the kernel does; debugfs leaves it 0. The
// layout is linux/posix_acl_xattr.h's: a version of 4 bytes, then tag 2, permissions 2 and id 4, little-endian.
func aclAsKernel(b []byte) {
	const user, group = 0x02, 0x08
	for i := 4; i+8 <= len(b); i += 8 {
		if tag := binary.LittleEndian.Uint16(b[i:]); tag != user && tag != group {
			binary.LittleEndian.PutUint32(b[i+4:], 0xffffffff)
		}
	}
}

// contents reads regular files and the links that do not fit their inode, small ones many at a time.
func (d *debugfs) contents() error {
	const batch = 64 << 20 // bytes of temporary files
	var commands []string
	var which []uint64
	var total int64
	file := func(ino uint64) string { return filepath.Join(d.tmp, fmt.Sprintf("data-%d", ino)) }
	flush := func() error {
		if len(commands) == 0 {
			return nil
		}
		if _, err := d.run(commands); err != nil {
			return err
		}
		for _, ino := range which {
			b, err := os.ReadFile(file(ino))
			if err != nil {
				return err
			}
			os.Remove(file(ino))
			e := d.known[ino]
			// Of an inline file debugfs 1.47 writes all 60 bytes of the inode, whatever the size.
			b = b[:min(int64(len(b)), e.Size)]
			if e.Mode&unix.S_IFMT == unix.S_IFLNK {
				e.Target = string(b)
			} else {
				e.Sum = sha256.Sum256(b)
			}
		}
		commands, which, total = nil, nil, 0
		return nil
	}
	for _, ino := range d.order {
		e := d.known[ino]
		switch kind := e.Mode & unix.S_IFMT; {
		case kind == unix.S_IFREG && e.Size >= Sparse:
			if err := d.large(e); err != nil {
				return err
			}
			continue
		case kind == unix.S_IFREG, kind == unix.S_IFLNK && e.Target == "":
		default:
			continue
		}
		if total += e.Size; total > batch {
			if err := flush(); err != nil {
				return err
			}
			total = e.Size
		}
		commands = append(commands, fmt.Sprintf("dump <%d> %s", ino, file(ino)))
		which = append(which, ino)
	}
	return flush()
}

// large sums a file without keeping it.
func (d *debugfs) large(e *Entry) error {
	cmd := exec.CommandContext(d.ctx, "debugfs", "-R", fmt.Sprintf("cat <%d>", e.Ino), d.image)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	h := sha256.New()
	sumErr := sumStream(h, out)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("debugfs cat of inode %d: %w", e.Ino, err)
	}
	h.Sum(e.Sum[:0])
	return sumErr
}

func sumStream(h hash.Hash, r io.Reader) error {
	buf := make([]byte, 256<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		sumSparse(h, buf[:n], at)
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// SumText is the sum in hex, as sha256sum prints it.
func (e *Entry) SumText() string { return hex.EncodeToString(e.Sum[:]) }
