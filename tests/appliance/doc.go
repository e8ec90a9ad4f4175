// Package appliance runs a shell script in a Debian system with disks attached, in an emulated machine: the oracle for what
// the running kernel cannot mount (casefolding ext4, XFS v4, vfat, exfat, LVM, MD).
//
// Run boots the Debian 12 kernel that package images keeps, under qemu's emulation, since most places where tests run offer
// no KVM. The script runs as root under bash with
//
//	$DISK1, $DISK2, ...   the disks in the order given, as block devices
//	$OUT                  a block device; what is written to it from the start, usually a tar, is Run's answer
//	/tmp                  writable, with the files that were passed along
//
// Changes to a disk that is not Writable are thrown away, so that journals can be replayed without harm. Nothing but those
// devices and the serial console connects the machine with the host. Booting takes half a minute on two emulated processors,
// so these tests are long ones: they run in `make test-long`.
//
// Debian 12 builds its kernel without ntfs3, so for NTFS the oracle remains ntfs-3g on the host.
package appliance
