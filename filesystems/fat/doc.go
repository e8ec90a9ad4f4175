// Package fat reads FAT12, FAT16, FAT32 and exFAT.
//
// Sources: Microsoft, "FAT: General Overview of On-Disk Format" 1.03 (below:
// fatgen), and Microsoft, "exFAT file system specification" (below: exFAT).
// What both leave open follows the Linux drivers' behaviour.
//
// # What an inode is
//
// FAT has no inodes. An inode's number is the place of its directory entry: the
// byte offset in the volume divided by 32, times two, plus one where the
// directory that holds it has no FAT chain (exFAT's NoFatChain), since then the
// rest of an entry set that crosses a cluster is found without the FAT. The
// root, which has no entry, is 2: byte 32 lies in the boot sector.
//
// # Names
//
// Long names are UTF-16; an unpaired surrogate is kept as its three-byte
// generalised UTF-8 form, so that every name is distinct and can be looked up.
// Short names are decoded with the code page of the mount option codepage=
// (437 by default) and shown in the case that the NTRes bits say. A long name
// whose checksum does not fit the short entry behind it is an orphan and is
// ignored, as fatgen says. Lookup ignores case: by simple upper-casing in FAT,
// by the volume's own up-case table in exFAT; in FAT the short alias is found
// as well. An index of a directory's names is built at the first lookup and
// cached, so that a cold name costs one pass over the directory and no more.
//
// # Chains
//
// A file's clusters are followed only as far as its size needs, and remembered
// as run starts, bounded in number. A chain that meets a free, bad or foreign
// cluster number, or itself, is damage. With mirrored FATs the first one
// decides, as in Linux; with bit 7 of BPB_ExtFlags, or exFAT's ActiveFat, the
// active one.
//
// # Times and rights
//
// FAT's times are local: time_offset=MINUTES (local time minus UTC) shifts
// them; UTC is assumed. exFAT entries that state their own offset need none.
// FAT has no owners: uid=, gid=, umask=, dmask=, fmask= as in mount(8); files
// and directories are 0755 without them, without the write bits where the
// read-only attribute is set.
//
// # Locks
//
// chain.mu guards what is known of one file's chain and is held while the FAT
// is read; it is a leaf otherwise. Caches have locks of their own.
package fat
