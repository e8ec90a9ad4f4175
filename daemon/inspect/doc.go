// Package inspect looks into filesystems for operating systems: which is in
// there, what it calls itself, and which of the other filesystems belong to it.
//
// It follows libguestfs's inspection (daemon/inspect_fs*.ml there), so that the
// same guests are found, and differs where noted below.
//
// # Roots
//
// A filesystem is the root of a Linux where it has the folder /etc, the folder
// /bin or a symlink from it to usr/bin, and the file /etc/fstab or /etc/hosts;
// a /boot of GRUB is none. Other systems are another kind in kinds.
//
// # Mounts
//
// The guest's fstab says what stands below the root. Devices are found by
// UUID=, LABEL=, PARTUUID=, PARTLABEL=, by the links of /dev/disk, and by the
// names of LVM, of arrays and of the guest's own crypttab and mdadm.conf below
// /dev, and by the kernel's names, of which the letter or number of the disk counts: the first
// disk is sda, vda, xvda, hda, nvme0n1 or mmcblk0. Everything under /dev, /media,
// /proc, /selinux, /sys and /run, swap, floppies, CDs and filesystems that are
// no disk's are left out. An entry marked noauto is mounted, as by libguestfs: it
// belongs to the guest. So is the first of two entries for one mount point; that the
// second one is left out is libguestfs's and systemd's choice too.
//
// The root stays where it was found, whatever fstab says about /. Unlike
// libguestfs, which drops what it cannot resolve, every entry that would show
// files and does not is a warning that says why.
//
// # Hostile guests
//
// What is read is a regular file of at most maxFile bytes, found by resolving
// symlinks inside the guest. Strings are the guest's and are not cleaned here;
// whoever prints them does.
//
// This package knows vfs and what is below it. It may change; the stable
// packages are vfs, formats, filesystems and daemon/client.
package inspect
