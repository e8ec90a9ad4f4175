package boot

import (
	"context"
	"slices"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds.
const (
	maxConfig  = 4 << 20 // bytes of grub.cfg
	maxEntries = 1000
	maxKernels = 500
	maxNesting = 16
)

// An entry is one that a boot loader offers.
type entry struct {
	id, title, version string
	kernel, cmdline    string
	initrds            []string
	source             string
	children           []*entry // of a submenu
}

// A machine is what is looked at.
type machine struct {
	ctx context.Context
	fs  *look.FS
}

// Find lists the kernels and finds the default entry, nil where no boot loader
// is known. The error is ctx's.
func Find(ctx context.Context, fs *look.FS) ([]api.Kernel, *api.BootEntry, error) {
	m := &machine{ctx, fs}
	kernels := m.kernels()
	for _, loader := range []func() (string, *entry){m.grub, m.systemdBoot, m.extlinux, m.grubLegacy} {
		name, e := loader()
		if e == nil {
			continue
		}
		b := &api.BootEntry{Loader: name, ID: look.Clean(e.id), Title: look.Clean(e.title), Kernel: look.Clean(m.inBoot(e.kernel)), Cmdline: look.Clean(e.cmdline), Source: look.Clean(e.source)}
		for _, i := range e.initrds {
			if len(b.Initrds) < 16 {
				b.Initrds = append(b.Initrds, look.Clean(m.inBoot(i)))
			}
		}
		for i := range kernels {
			if k := &kernels[i]; k.Image == b.Kernel {
				k.Default = true
			}
		}
		return kernels, b, ctx.Err()
	}
	return kernels, nil, ctx.Err()
}

// inBoot is the path of a file that a boot loader names, which may see /boot as
// its root.
func (m *machine) inBoot(name string) string {
	if i := strings.IndexByte(name, ')'); strings.HasPrefix(name, "(") && i > 0 {
		name = name[i+1:] // (hd0,gpt2)/vmlinuz, ($root)/vmlinuz
	}
	if name == "" {
		return ""
	}
	name = "/" + strings.TrimLeft(name, "/")
	for _, dir := range []string{"", "/boot", "/boot/efi", "/efi"} {
		if m.fs.IsFile(m.ctx, dir+name) {
			return dir + name
		}
	}
	return name
}

// kernels lists the files that are kernels by their names.
func (m *machine) kernels() []api.Kernel {
	var list []api.Kernel
	add := func(image, version string) {
		if len(list) == maxKernels || !m.fs.IsFile(m.ctx, image) || slices.ContainsFunc(list, func(k api.Kernel) bool { return k.Version == look.Clean(version) }) {
			return
		}
		k := api.Kernel{Version: look.Clean(version), Image: look.Clean(image), Source: look.Clean(image)}
		for _, i := range []string{"/boot/initrd.img-" + version, "/boot/initramfs-" + version + ".img", "/boot/initrd-" + version, "/boot/initramfs-" + version, "/boot/initrd-" + version + ".img",
			strings.TrimSuffix(image, "/vmlinuz") + "/initramfs.img"} {
			if m.fs.IsFile(m.ctx, i) {
				k.Initrd = look.Clean(i)
				break
			}
		}
		for _, dir := range []string{"/usr/lib/modules/", "/lib/modules/"} {
			if m.fs.IsDir(m.ctx, dir+version) {
				k.Modules = look.Clean(dir + version)
				break
			}
		}
		list = append(list, k)
	}
	for _, prefix := range []string{"vmlinuz-", "vmlinux-", "kernel-", "bzImage-", "Image-"} {
		for _, file := range m.fs.Glob(m.ctx, "/boot", prefix+"*") {
			if version := strings.TrimPrefix(file, "/boot/"+prefix); !strings.HasSuffix(version, ".old") && !strings.HasSuffix(version, ".hmac") {
				add(file, version)
			}
		}
	}
	for _, dir := range m.fs.Glob(m.ctx, "/usr/lib/modules", "*") {
		add(dir+"/vmlinuz", strings.TrimPrefix(dir, "/usr/lib/modules/"))
	}
	return list
}
