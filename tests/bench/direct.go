package main

import (
	"fmt"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// A direct work sets two commands against each other, without a mount of ours: guestctl, which reads the image itself, and
// what a person would do otherwise.
type direct struct {
	name  string
	aim   float64 // ratio of guestctl's time to the other's
	image func(t testing.TB) images.Image
	ours  func(img images.Image) (float64, error)
	// other works over the kernel's cold mount at dir; with needsMount false dir is "".
	other      func(img images.Image, dir string) (float64, error)
	otherName  string
	needsMount bool
}

func directs() []direct {
	const checksum = `find {} -xdev -type f -print0 | xargs -0 -P2 -n 200 sha256sum >/dev/null`
	guestctl := func(command string) func(images.Image) (float64, error) {
		return func(img images.Image) (float64, error) { return timed(replaceAll(command, img.Path)) }
	}
	over := func(command string) func(images.Image, string) (float64, error) {
		return func(_ images.Image, dir string) (float64, error) { return timed(replaceAll(command, dir)) }
	}
	convert := func(img images.Image, _ string) (float64, error) {
		return timed(fmt.Sprintf("qemu-img convert -m 8 -W -f qcow2 -n '%s' --target-image-opts driver=null-co,size=%d,read-zeroes=on", img.Path, 8<<30))
	}
	list := []direct{
		{"qcow2 zlib seq", 1, images.DebianZlib, decode, convert, "qemu-img", false},
		{"qcow2 zstd seq", 1, images.DebianZstd, decode, convert, "qemu-img", false},
		{"qcow2 overlay seq", 1, images.DebianOverlay, decode, convert, "qemu-img", false},
	}
	// In this process, and through a daemon.
	var rows []direct
	for _, d := range []struct {
		name      string
		aim       float64
		ours      string
		other     string
		otherName string
	}{
		{"tar small", 0.25, `bin/guestctl tar '{}:sda2:/srv/small' | cat >/dev/null`, `tar -C {}/srv -cf - small | cat >/dev/null`, "tar"},
		{"checksum all", 0.5, `bin/guestctl checksum -r '{}:sda2:/' >/dev/null`, checksum, "find|sha256sum"},
		{"grep small", 0.7, `bin/guestctl grep -r 'file number 19999' '{}:sda2:/srv/small' >/dev/null`, `grep -r 'file number 19999' {}/srv/small >/dev/null`, "grep"},
		{"grep share", 0.7, `bin/guestctl grep -r 'no such needle' '{}:sda2:/usr/share' >/dev/null || [ $? = 1 ]`,
			`grep -r 'no such needle' {}/usr/share >/dev/null || [ $? = 1 ]`, "grep"},
	} {
		rows = append(rows, direct{"guestctl " + d.name, d.aim, images.Bench, guestctl(d.ours), over(d.other), d.otherName, true},
			direct{"guestctld " + d.name, d.aim, images.Bench, through(d.ours), over(d.other), d.otherName, true})
	}
	return append(rows, list...)
}
