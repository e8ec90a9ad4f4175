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
// whose checksum does not fit the short entry behind it, or that has more than
// 255 units, is an orphan and is ignored, as fatgen says. Lookup ignores case: by
// simple upper-casing in FAT, by the volume's own up-case table in exFAT, where
// its checksum is right; in FAT the short alias is found as well.
//
// Neither format has an index on the disk. One of a directory's names, 16 bytes
// each, is made at the first lookup and cached: a cold name costs one pass over
// the directory in few large reads, the next ones none. An exFAT entry set that
// is damaged ends a listing; the other names of its directory are found, and a
// name that is not among them is answered with the damage.
//
// # Chains
//
// A file's clusters are followed only as far as its size needs, and remembered
// as runs, bounded in number: a place within one is found without the FAT. A
// chain that meets a free, bad or foreign cluster number, or itself, is damage.
// It is noticed at the jump back, before a byte of a wrong cluster is shown,
// where all runs are remembered, of which there may be 4,096; later else. With
// mirrored FATs the first one decides, as in Linux; with bit 7 of BPB_ExtFlags,
// or exFAT's ActiveFat, the active one. FATs that differ are not reported.
//
// # What it refuses, by name
//
// FAT32 of another version than 0.0, exFAT of another major revision than 1, exFAT
// without an allocation bitmap, directories of more than 256 MiB, a filesystem that
// is larger than its volume. Where the checksum of exFAT's main boot region is
// wrong, its backup is used. TexFAT's transactions are not known: of its two FATs
// and bitmaps the active ones are read.
//
// # Times and rights
//
// FAT's times are local: time_offset=MINUTES (local time minus UTC) shifts
// them; UTC is assumed. exFAT entries that state their own offset need none.
// FAT has no owners: uid=, gid=, umask=, dmask=, fmask= as in mount(8); files
// and directories are 0755 without them, files without the write bits where the
// read-only attribute is set. Info.Dirty is what the boot sector or the FAT says.
//
// # Locks
//
// chain.mu guards what is known of one file's chain and is held while the FAT
// is read; it is a leaf otherwise. Caches have locks of their own.
package fat
