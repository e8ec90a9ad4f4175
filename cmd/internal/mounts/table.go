package mounts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Mount is one line of the mount table, proc_pid_mountinfo(5).
type Mount struct {
	Dev     uint64 // as stat's st_dev shows it
	Point   string // absolute
	Options string // of the mount
	Type    string // "fuse.guestmount"
	Source  string
	Super   string // the filesystem's own options: "ro,user_id=1000,..."
}

// Table is what is mounted for this process, later mounts after earlier ones.
func Table() ([]Mount, error) { return tableOf("/proc/self/mountinfo") }

func tableOf(file string) ([]Mount, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseTable(f)
}

func parseTable(r io.Reader) ([]Mount, error) {
	var table []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.SplitN(after, " ", 3)
		if !ok || len(left) < 6 || len(right) < 3 {
			return nil, fmt.Errorf("mount table: cannot read %q", lines.Text())
		}
		dev, err := parseDev(left[2])
		if err != nil {
			return nil, err
		}
		table = append(table, Mount{Dev: dev, Point: unescape(left[4]), Options: left[5],
			Type: unescape(right[0]), Source: unescape(right[1]), Super: right[2]})
	}
	return table, lines.Err()
}

func parseDev(s string) (uint64, error) {
	major, minor, _ := strings.Cut(s, ":")
	ma, err := strconv.ParseUint(major, 10, 32)
	if err == nil {
		var mi uint64
		if mi, err = strconv.ParseUint(minor, 10, 32); err == nil {
			return unix.Mkdev(uint32(ma), uint32(mi)), nil
		}
	}
	return 0, fmt.Errorf("mount table: device number %q", s)
}

// unescape undoes the kernel's \040 for space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Has says whether a mount table, /proc/PID/mountinfo, has a mount with the
// device number.
func Has(file string, dev uint64) bool {
	table, err := tableOf(file)
	return err == nil && slices.ContainsFunc(table, func(m Mount) bool { return m.Dev == dev })
}

// User is the user who mounted a FUSE filesystem; -1 where the table does not
// say.
func (m Mount) User() int {
	for _, o := range strings.Split(m.Super, ",") {
		if id, ok := strings.CutPrefix(o, "user_id="); ok {
			if n, err := strconv.Atoi(id); err == nil {
				return n
			}
		}
	}
	return -1
}

// On is the mount that is seen at the absolute path point; false where nothing
// is mounted exactly there.
func On(table []Mount, point string) (Mount, bool) {
	for i := len(table) - 1; i >= 0; i-- {
		if table[i].Point == point {
			return table[i], true
		}
	}
	return Mount{}, false
}

// Below are the mount points inside point.
func Below(table []Mount, point string) []string {
	var found []string
	for _, m := range table {
		if strings.HasPrefix(m.Point, strings.TrimSuffix(point, "/")+"/") {
			found = append(found, m.Point)
		}
	}
	return found
}

// Find resolves dir, which a person typed, to the mount on it. A mount whose
// server is dead or hangs is found without asking it, where dir names it
// without a symlink or with one above it. False where nothing is mounted
// there; the path is then the resolved one.
func Find(table []Mount, dir string) (Mount, string, bool, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Mount{}, "", false, err
	}
	if m, ok := On(table, abs); ok {
		return m, abs, true, nil
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		if at := filepath.Join(parent, filepath.Base(abs)); at != abs {
			if m, ok := On(table, at); ok {
				return m, at, true, nil
			}
		}
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, unix.ENOTCONN) {
		return Mount{}, abs, false, nil
	}
	if err != nil {
		return Mount{}, abs, false, err
	}
	m, ok := On(table, real)
	return m, real, ok, nil
}
