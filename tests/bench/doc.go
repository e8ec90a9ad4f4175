// Command bench compares GuestCtl with the kernel, with fuse2fs and with ntfs-3g on the same image, in one run:
//
//	go run ./tests/bench [-n 3] [-rows find,tar,...] [-fs ext4,xfs,ntfs] [-subjects guestctl,kernel,...] [-json FILE]
//
// It runs as root, from the top of the checkout, with the programs of bin/ built. The image is the Debian disk of package
// images with 2 GiB of random bytes: raw, GPT, ext4; then 20,000 files of it and 400 MiB of random bytes on XFS and on NTFS.
//
// The subjects are our mount, the kernel's ext4 or XFS through the default loop device and through one with direct I/O, and
// fuse2fs; for NTFS, which this kernel lacks, ours and ntfs-3g, which is then what the ratios are to; in-process rows set
// guestctl against the usual tools over the kernel's mount, and those of guestctld the same through a daemon. One round measures every subject once before the next round
// begins, since a shared machine's speed drifts by multiples within minutes; what is printed is the median of the rounds, the
// ratio to the kernel's default loop mount, and the aim for that ratio where there is one.
//
// The states are: cold (all caches dropped, then mounted, then the tools touched), imgc (the same, and the image's data read
// into the page cache before the mount) and warm (the command a second time on the same mount).
package main
