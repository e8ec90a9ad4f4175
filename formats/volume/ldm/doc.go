// Package ldm reads the dynamic disks of Windows's Logical Disk Manager.
//
// # Terms
//
//   - A disk group is the dynamic disks that one Windows had together. Each of
//     them has the same database, which describes all of them.
//   - A volume has components, more than one where it is mirrored; a component
//     is made of partitions, joined (spanned), striped, or RAID 5.
//   - The private header (PRIVHEAD) of a disk says where its data and its
//     database are; the database begins with a table of contents (TOCBLOCK),
//     which leads to the VMDB and its records (VBLK).
//
// # Reading
//
// A disk is dynamic where its MBR has a partition of the type 0x42, with the
// private header in sector 6 and copies at the disk's end, or where its GPT has
// an LDM metadata partition, with the header in that partition's last sector.
// Of the databases of a group the one with the highest committed sequence
// counts; a disk is known in it by its GUID. All volumes of the group are
// listed, those that lack disks with an Err, a mirror or RAID 5 that can do
// without with a warning. Beside them the plain partitions of a GPT, such as the
// EFI system partition, are listed as partitions are.
//
// A volume is called ldm_vol_GROUP_NAME, as ldmtool and so libguestfs call it.
//
// # Refused by name
//
// Stripes and RAID 5 whose columns have several partitions, databases that were
// being changed (the volumes of the last committed state are shown, with a
// warning), records of versions that no Windows since 2000 writes.
//
// # Proof
//
// The disks in libldm's own tests, which Windows Server 2003 R2 (MBR) and 2008
// R2 (GPT) wrote: simple, spanned, striped, mirrored and RAID 5 volumes agree
// with what ldmtool says of them, the file in each reads as its test expects,
// and mirrors and RAID 5 read the same without each of their disks.
//
// # Sources
//
// LDM Documentation 0.1 of the Linux-NTFS project; the structures' names and
// sizes in libldm and in the kernel's block/partitions/ldm.h.
//
// This package may change.
package ldm
