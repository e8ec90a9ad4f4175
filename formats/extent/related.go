package extent

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/image"
)

// Related opens a file that an image names, in the given role: "parent",
// "extent".
func Related(ctx context.Context, opt image.Options, role, name, format string) (block.Device, error) {
	if opt.Related == nil {
		return nil, fmt.Errorf("the %s %q that the image names may not be opened: %w", role, name, fs.ErrPermission)
	}
	dev, err := opt.Related(ctx, name, format)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", role, name, err)
	}
	return dev, nil
}

// Named is dev with name in front of its errors.
func Named(role, name string, dev block.Device) block.Device {
	return named{dev, role, name}
}

type named struct {
	block.Device
	role, name string
}

func (n named) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	got, err := n.Device.ReadAt(ctx, p, off)
	if err != nil && got < len(p) && block.Clamp(off, int64(len(p)), n.Size()) == int64(len(p)) {
		err = fmt.Errorf("%s %q: %w", n.role, n.name, err)
	}
	return got, err
}

func (n named) Prefetch(off, length int64) { block.Prefetch(n.Device, off, length) }

// HostName makes of a file's name, as a hypervisor wrote it on its own host,
// one for this host. Of an absolute Windows path only the last element is
// left, since its folder is not here; backslashes of a relative one become
// slashes. What looks like a protocol is a file all the same.
func HostName(name string) string {
	drive := len(name) >= 2 && name[1] == ':'
	if drive || strings.HasPrefix(name, `\\`) {
		if drive {
			name = name[2:]
		}
		name = name[strings.LastIndexAny(name, `\/`)+1:]
	} else if !strings.HasPrefix(name, "/") {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	name = strings.TrimPrefix(name, "file://")
	if strings.Contains(name, ":") && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "./") {
		name = "./" + name
	}
	return name
}
