// Package boot finds the kernels of a Linux, and the entry that its boot loader
// starts when nobody chooses.
//
// Kernels are the files of /boot and of /usr/lib/modules/VERSION. Boot loaders are
// asked in this order:
//
//	GRUB 2         grub.cfg, with the saved entry of grubenv; entries are menuentry and submenu, and where it says
//	               blscfg those of the Boot Loader Specification
//	systemd-boot   loader.conf and the entries of the Boot Loader Specification (uapi-group.org)
//	extlinux       extlinux.conf, syslinux.cfg
//	GRUB           menu.lst, grub.conf of GRUB before 2
//
// grub.cfg is a script; it is not run. What is taken from it is what grub-mkconfig
// writes: the last default that is no variable, or the saved entry where the
// default is one. The files of the tests are written by hand after the
// documentation of each loader and the scripts of Debian and Fedora.
//
// # Hostile guests
//
// A configuration has at most maxConfig bytes and maxEntries entries.
//
// This package may change.
package boot
