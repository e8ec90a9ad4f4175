package main

import (
	"fmt"
	"io"
	"slices"
)

const usageText = `guestmount shows the files of a virtual machine's disk image in a folder, and changes them there.

  guestmount [options] IMAGE DIR                read-only
  guestmount [-a IMAGE]... [-i | -m DEV[:MOUNTPOINT[:OPTIONS[:FSTYPE]]]... | --partitions] [--ro | --rw] [options] DIR
  guestunmount DIR

Without -i, -m and --partitions the guest is shown as it sees itself where exactly one operating system is found, and else
with one folder for each filesystem. Options may stand anywhere.

Images
  -a, --add IMAGE           add a disk image; the first is sda, the next sdb
      --format[=FORMAT]     the images that follow are of this format (raw, qcow2, vmdk ...); without a value it is found again
      --blocksize[=N]       the images that follow have sectors of N bytes, 512 or 4096; without a value it is found again
      --snapshot NAME|ID    read this internal snapshot of the images that follow
      --force-share         read an image although a virtual machine is using it; what is read may be inconsistent
      --allow-backing DIR   let images name backing files below DIR, besides their own folder

Encrypted and incomplete volumes
      --key SELECTOR        a key: NAME:key:PASSPHRASE or NAME:file:FILE; NAME is a volume (sda2), its UUID, or all
      --keys-from-stdin     read passphrases from standard input, one a line, and try each on every volume
      --echo-keys           show a passphrase that is typed
      --partial             show volumes of which a disk is missing, with read errors where it is

What is shown
  -i, --inspector           the guest as it sees itself; exactly one operating system must be found
  -m, --mount DEV[:MOUNTPOINT[:OPTIONS[:FSTYPE]]]
                            this filesystem at this place of the guest's tree (default /); one must be at /; the option ro
                            keeps it read-only where others are written
      --partitions          one folder for each filesystem
      --norecovery          show a filesystem that was not unmounted cleanly without replaying its journal

The mount
  -r, --ro                  read-only, as IMAGE DIR without -a always is
  -w, --rw                  read-write, or fail and say why; without either, -a is read-write where all that is mounted can be
                            written, and else read-only with a line that says why. Written are ext4 filesystems in partitions
                            or whole disks of raw and qcow2 images and block devices
  -o, --option OPTION       options of the mount, in lists with commas or repeated; --fuse-help lists them
      --no-fork             stay in the foreground
      --pid-file FILE       write the daemon's process number to FILE
      --fd=FD               write one byte to this file descriptor when the mount is ready
  -v, --verbose             say more, and keep saying it on stderr
  -x, --trace               say which requests come

  -V, --version             print the version
      --help                print this

Accepted because libguestfs has them: --dir-cache-timeout N, -n (--no-sync), --selinux. Not read yet: -c (--connect) and -d (--domain) of libvirt.

As /sbin/mount.guestmount (a link to this program) it is mount(8)'s helper for the type guestmount, for lines of fstab too:
  /srv/debian.qcow2  /mnt/debian  guestmount  ro,inspector,noauto,x-systemd.automount  0  0
Its -o takes, besides the options of the mount: inspector, partitions, mount=DEV[:MOUNTPOINT], image=PATH, format=, blocksize=,
snapshot=, allow_backing=, force_share, norecovery.

Exit status: 0 mounted, 1 failed, 2 the command line is wrong.
`

// printLong prints the long options, one a line, for shell completion.
func printLong(w io.Writer) {
	var names []string
	for _, f := range flags() {
		for _, n := range f.Names {
			if len(n) > 1 && n != "long-options" && n != "short-options" {
				names = append(names, "--"+n)
			}
		}
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintln(w, n)
	}
}

// printShort prints the short options, one a line, for shell completion.
func printShort(w io.Writer) {
	for _, f := range flags() {
		for _, n := range f.Names {
			if len(n) == 1 {
				fmt.Fprintln(w, "-"+n)
			}
		}
	}
}
