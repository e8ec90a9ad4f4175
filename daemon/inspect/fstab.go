package inspect

import (
	"path"
	"strings"
)

// maxEntries bounds the lines of a fstab that are taken.
const maxEntries = 1000

// An fstabEntry is a line of fstab(5).
type fstabEntry struct {
	spec    string   // what is mounted
	file    string   // where; clean, "" where it is no path
	fstype  string   // "" where the line ends before
	options []string // split at commas
	line    int      // from 1
}

func (e fstabEntry) has(option string) bool {
	for _, o := range e.options {
		if o == option {
			return true
		}
	}
	return false
}

// parseFstab reads the lines that have at least a device and a mount point.
// more says that there were more than maxEntries.
func parseFstab(text string) (entries []fstabEntry, more bool) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		// mount(8) takes a comment only as a whole line; a field may have a #.
		field := strings.Fields(l)
		if len(field) < 2 || strings.HasPrefix(field[0], "#") {
			continue
		}
		if len(entries) == maxEntries {
			return entries, true
		}
		e := fstabEntry{spec: unescape(field[0]), file: unescape(field[1]), line: line}
		if len(field) > 2 {
			e.fstype = unescape(field[2])
		}
		if len(field) > 3 {
			e.options = strings.Split(unescape(field[3]), ",")
		}
		if strings.HasPrefix(e.file, "/") && !strings.ContainsRune(e.file, 0) {
			e.file = path.Clean(e.file)
		} else {
			e.file = ""
		}
		entries = append(entries, e)
	}
	return entries, false
}

// unescape replaces \ooo, which is how fstab writes spaces and the like:
// getmntent(3).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3' && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// noFiles says whether the entry shows no files of the disks, which needs no
// word: swap, what the kernel makes up, removable media, and what is mounted
// where the kernel's own are.
func (e fstabEntry) noFiles() bool {
	if e.file == "" {
		return true
	}
	switch e.fstype {
	case "swap", "proc", "sysfs", "tmpfs", "ramfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs",
		"efivarfs", "configfs", "fusectl", "hugetlbfs", "mqueue", "binfmt_misc", "pstore", "bpf", "selinuxfs", "usbfs", "rpc_pipefs",
		"nfsd", "autofs", "ignore", "usbdevfs", "none_swap":
		return true
	}
	for _, dir := range []string{"/dev", "/media", "/proc", "/run", "/selinux", "/sys"} {
		if e.file == dir || strings.HasPrefix(e.file, dir+"/") {
			return true
		}
	}
	if rest, ok := strings.CutPrefix(e.spec, "/dev/"); ok {
		for _, prefix := range []string{"fd", "cd", "sr", "scd"} {
			if n, ok := strings.CutPrefix(rest, prefix); ok && n != "" && n[0] >= '0' && n[0] <= '9' {
				return true
			}
		}
		if rest == "floppy" || rest == "cdrom" || rest == "dvd" || strings.HasPrefix(rest, "iso9660/") {
			return true
		}
	}
	return e.has("bind") && e.spec == e.file
}

// elsewhere names the place of files that are not on the disks: the network,
// the host of a VM, another folder. "" for a disk's.
func (e fstabEntry) elsewhere() string {
	switch e.fstype {
	case "nfs", "nfs4", "cifs", "smbfs", "smb3", "ceph", "glusterfs", "afs", "lustre", "ocfs2_dlm", "davfs", "fuse.sshfs", "sshfs", "fuse.glusterfs", "s3fs", "fuse.s3fs":
		return "it is on the network"
	case "9p", "virtiofs", "vboxsf", "prl_fs", "fuse.vmhgfs-fuse", "vmhgfs":
		return "it is a folder of the VM's host"
	case "overlay", "aufs", "unionfs":
		return "it is made of other folders, which is not done here"
	}
	if e.has("bind") || e.has("rbind") {
		return "it is another folder again (bind), which is not done here"
	}
	if e.has("loop") {
		return "it is inside a file, which is not opened here"
	}
	return ""
}
