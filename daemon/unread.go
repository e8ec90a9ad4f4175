package daemon

import (
	"context"
	"fmt"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// refuseUnread refuses by name an image of a format that is known and not read
// yet, which would else be shown as a raw disk with nothing on it. A file that
// looks like one and is a disk all the same is opened with the format raw.
func refuseUnread(ctx context.Context, src block.Device) error {
	head := make([]byte, min(512, src.Size()))
	if err := block.ReadFull(ctx, src, head, 0); err != nil {
		return err
	}
	tail := make([]byte, min(512, src.Size()))
	if err := block.ReadFull(ctx, src, tail, src.Size()-int64(len(tail))); err != nil {
		return err
	}
	has := func(b []byte, off int, magic string) bool {
		return len(b) >= off+len(magic) && string(b[off:off+len(magic)]) == magic
	}
	convert := "convert a copy with qemu-img convert -O qcow2"
	for _, f := range []struct {
		found        bool
		name, remedy string
	}{
		{has(tail, 0, "koly"), "DMG", convert},
		{has(head, 0, "BZh") && has(head, 4, "1AY&SY"), "bzip2", "unpack it with bunzip2"},
		{has(head, 257, "ustar"), "tar", "unpack it with tar and name the disk in it"},
	} {
		if f.found {
			return &ondisk.UnsupportedError{What: "image format", Detail: fmt.Sprintf("%q", f.name),
				Remedy: f.remedy + ", or give the format raw if it is the disk itself"}
		}
	}
	return nil
}
