package appliance

import (
	"fmt"
	"io"
	"io/fs"
	"sort"
)

// writeCpio writes files as a cpio archive of the "newc" kind, which the kernel unpacks after the archive before it
// (Documentation/driver-api/early-userspace/buffer-format). Each folder is a prefix of names given.
func writeCpio(w io.Writer, files map[string][]byte, folders ...string) error {
	ino := 0
	member := func(name string, mode uint32, body []byte) error {
		ino++
		head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
			ino, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0)
		for _, part := range []string{head + name + "\x00", string(body)} {
			// The header with the name, and the body, are each padded to four bytes.
			if _, err := io.WriteString(w, part+"\x00\x00\x00"[:-len(part)&3]); err != nil {
				return err
			}
		}
		return nil
	}
	const dir, reg = 0o040000, 0o100000
	for _, f := range folders {
		if err := member(f, dir|uint32(fs.FileMode(0o755)), nil); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := member(name, reg|0o755, files[name]); err != nil {
			return err
		}
	}
	return member("TRAILER!!!", 0, nil)
}
