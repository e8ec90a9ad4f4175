// Package inspect looks into filesystems for operating systems: which is in
// there, what it calls itself, and which of the other filesystems belong to it.
//
// It follows libguestfs's inspection (daemon/inspect_fs*.ml there), so that the
// same guests are found, and differs where noted below.
//
// # Terms
//
//   - A Source is a volume with its filesystem, where that is open.
//   - A System is an operating system: a kind (kinds.go), and the filesystem that
//     holds its root.
//   - An identity is what a system says it is, from its release files.
//   - A report collects the facts about one system, in api.System. Each fact has
//     its source: the file and line, or the file alone where the line says nothing.
//
// # Roots
//
// A filesystem is the root of a Linux where it has the folder /etc, the folder
// /bin or a symlink from it to usr/bin, and the file /etc/fstab or /etc/hosts;
// a /boot of GRUB is none. NixOS and Guix are known by their store, systems with
// an empty /etc by /usr/lib/os-release, Container Linux and Flatcar by their
// update.conf, and deployments of OSTree below /ostree/deploy, of which there may be
// several in one filesystem. Other kinds are in kinds.go; they are asked before.
//
// Talos is not known: nothing of it is in a filesystem that is read here.
//
// # Identity
//
// os-release(5) comes first, then /etc/lsb-release, then the distributions' own
// files, as in libguestfs. Two answers differ from libguestfs's: the product name of
// a Debian or CentOS is that of os-release, where libguestfs has the line of
// /etc/debian_version ("12.5") or /etc/centos-release; and a distribution that
// libguestfs does not know keeps its ID as name instead of "unknown".
//
// The release files of distributions other than Debian are tested as they are
// documented and as libguestfs expects them, not as taken from an installation.
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
// # Windows
//
// What a Windows is stands in its registry (packages registry and hive), whose
// transaction logs are part of what is read. A Windows 11 calls itself Windows 10;
// it is known by its build, 22000 and above, and its name is mended. Drive letters
// are those of MountedDevices whose volume is among the sources. The hives of the
// tests are written by hivexregedit after the keys that Windows has.
//
// # Facts
//
// Beside what a system is Describe tells what was found by the packages accounts,
// services, network and boot, and by settings.go. They read at the same time, but
// for Windows, whose registry is for one at a time. What is installed is Packages'
// affair, which takes longer.
//
// # Hostile guests
//
// Package look reads: regular files up to a bound, symlinks resolved inside the
// guest. Facts are cleaned of control characters before they enter a record.
// What of System and Mount is the guest's own is not; whoever prints it does.
//
// This package knows vfs and what is below it, and the records of daemon/api. It may change; the stable
// packages are vfs, formats, filesystems and daemon/client.
package inspect
