package images

import (
	"testing"
	"time"
)

// Appliance is a Debian 12 for an emulated machine: its kernel, an initramfs, to which a job is appended as a second cpio
// archive, and a raw root disk to be mounted read-only. Package appliance boots it.
func Appliance(t testing.TB) (kernel, initramfs, root string) {
	t.Helper()
	part := func(name, ext string, tools ...string) string {
		r := &recipe{name: "appliance-" + name, script: "appliance", ext: ext, env: []string{"PART=" + name},
			tools: append(tools, "curl", "xz", "dpkg-deb"), limit: 20 * time.Minute}
		return r.make(t)
	}
	return part("kernel", "vmlinuz"), part("initramfs", "cpio", "depmod", "modprobe", "busybox", "cpio"),
		part("root", "raw", "debootstrap", "depmod", "mke2fs")
}
