package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/cmd/internal/mounts"
	"golang.org/x/sys/unix"
)

// maxNamed bounds how many holders a message names.
const maxNamed = 8

// holders names the processes, and the mounts, that keep the mount with the
// device number dev in use. It sees what this user may see: an ordinary user
// his own processes.
func holders(dev uint64, at string) []string {
	var found []string
	if table, err := mounts.Table(); err == nil {
		for _, point := range mounts.Below(table, at) {
			found = append(found, "the mount on "+point)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	more, self := 0, "/proc/"+strconv.Itoa(os.Getpid())
	for _, proc := range procs {
		if proc == self {
			continue // this program only looks
		}
		how := use(proc, dev)
		if how == "" {
			continue
		}
		if len(found) >= maxNamed {
			more++
			continue
		}
		name, _ := os.ReadFile(proc + "/comm")
		found = append(found, fmt.Sprintf("%q (process %s, %s)", bytes.TrimSpace(name), filepath.Base(proc), how))
	}
	if more > 0 {
		found = append(found, fmt.Sprintf("%d more", more))
	}
	return found
}

// use says how a process uses a filesystem: "" where it does not.
func use(proc string, dev uint64) string {
	for _, link := range []struct{ name, how string }{{"cwd", "its working directory"}, {"root", "its root directory"}, {"exe", "its program"}} {
		if on(proc+"/"+link.name, dev) {
			target, _ := os.Readlink(proc + "/" + link.name)
			return link.how + " " + target
		}
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err == nil {
		for _, fd := range fds {
			if on(proc+"/fd/"+fd.Name(), dev) {
				target, _ := os.Readlink(proc + "/fd/" + fd.Name())
				return "it has " + target + " open"
			}
		}
	}
	return mapped(proc+"/maps", dev)
}

// on says whether a link of /proc leads to the filesystem. The filesystem is
// not asked: its daemon may be what hangs.
func on(link string, dev uint64) bool {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st) != nil {
		return false
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor) == dev
}

// mapped looks for a file of the filesystem in a process's memory map,
// proc_pid_maps(5): "address perms offset dev inode pathname", dev in hex.
func mapped(maps string, dev uint64) string {
	f, err := os.Open(maps)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		w := strings.Fields(lines.Text())
		if len(w) < 6 {
			continue
		}
		major, minor, _ := strings.Cut(w[3], ":")
		ma, err1 := strconv.ParseUint(major, 16, 32)
		mi, err2 := strconv.ParseUint(minor, 16, 32)
		if err1 == nil && err2 == nil && unix.Mkdev(uint32(ma), uint32(mi)) == dev {
			return "it has " + w[5] + " mapped"
		}
	}
	return ""
}

// elsewhere names a process in whose mount namespace the mount still is, as in
// a container that was started while it was there.
func elsewhere(dev uint64) string {
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // the pattern is well-formed
	for _, file := range tables {
		if mounts.Has(file, dev) {
			proc := filepath.Dir(file)
			name, _ := os.ReadFile(proc + "/comm")
			return fmt.Sprintf("; it is still mounted in the mount namespace of %q (process %s)", bytes.TrimSpace(name), filepath.Base(proc))
		}
	}
	return ""
}
