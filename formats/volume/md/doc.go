// Package md reads the arrays of Linux's software RAID, MD.
//
// # Terms
//
//   - A member is a device with a superblock: version 0.90 or 1.0 at its end,
//     1.1 at its start, 1.2 at 4 KiB.
//   - A role is the place of a member in the array; a spare has none.
//   - Events count the changes of an array's state. A member with fewer was
//     absent when the others went on, and what it has is old.
//
// # Assembly
//
// Members with one array UUID belong together. The superblock with the most
// events says what the array is; a member whose events are more than one behind,
// whose role that superblock does not confirm, or which is only partly rebuilt
// is left out. What is then missing is a warning where the level can do without
// (data is computed from parity), else the array's Err names it.
//
// An array is called md0 where its metadata has that number or name, else
// md_NAME; both are what mdadm does, which calls it md127 where neither holds.
// md127 and so on, md/NAME, and udev's links by name and UUID are aliases.
//
// A superblock 0.90 at the end of the last partition may as well be at the end
// of the disk; it is the partition's where the array is no larger than that.
//
// # Refused by name
//
// Arrays in the middle of a reshape, with a write journal, multipath and faulty,
// external metadata (DDF, IMSM).
//
// # Proof
//
// Every level and layout is compared with what the kernel's md read from arrays
// that mdadm made (testdata/md.sh of package volume), whole and with each
// member, and each two for RAID 6, missing. By construction only: RAID 0 with
// 0.90, bad-block lists, big-endian 0.90 (refused).
//
// # Sources
//
// linux/raid/md_p.h's names and sizes, md(4), mdadm(8), the RAID superblock
// formats page of the kernel's RAID wiki.
//
// This package may change.
package md
