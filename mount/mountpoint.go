package mount

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// checkDir finds what is wrong with a mount point.
func checkDir(dir string, nonEmpty bool) (Reason, error) {
	if kind := mountedAt(dir); strings.HasPrefix(kind, "fuse") {
		var st unix.Statfs_t // which the kernel never answers itself
		if err := unix.Statfs(dir, &st); err == unix.ENOTCONN {
			return Stale, err
		}
		return AlreadyMounted, syscall.EBUSY
	}
	st, err := os.Stat(dir)
	if err != nil {
		return NoDir, err
	}
	if !st.IsDir() {
		return NotDir, syscall.ENOTDIR
	}
	if nonEmpty {
		return Other, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return Other, nil // an ordinary user may be allowed to mount where he cannot list; the helper decides
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err == nil {
		return NotEmpty, syscall.ENOTEMPTY
	}
	return Other, nil
}

// mountedAt is the type of what is mounted at dir, an absolute path without symlinks; empty where nothing is.
func mountedAt(dir string) string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	kind := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		left, right, ok := strings.Cut(sc.Text(), " - ")
		fields := strings.Fields(left)
		if ok && len(fields) > 4 && unescapeMount(fields[4]) == dir {
			kind, _, _ = strings.Cut(right, " ")
		}
	}
	return kind
}

// unescapeMount undoes the octal escapes of /proc/self/mountinfo.
func unescapeMount(s string) string {
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

// mountPoint is dir as the kernel will name it.
func mountPoint(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	// The dead mount of a daemon that is gone may be in the way; checkDir says so.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(parent, filepath.Base(abs)), nil
	}
	return abs, nil
}
