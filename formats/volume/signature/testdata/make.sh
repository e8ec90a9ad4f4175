#!/usr/bin/env bash
# Makes the starts of volumes in this folder from the tools that make such volumes, and what blkid says of each.
# Run as root, with: btrfs-progs cryptsetup-bin dosfstools e2fsprogs erofs-utils exfatprogs f2fs-tools jfsutils lvm2 ntfs-3g
# reiserfsprogs squashfs-tools util-linux xfsprogs xorriso
#
#   NAME.gz       the first 68 KiB, or less
#   expected.txt  NAME SIZE TYPE UUID LABEL, of the whole volume; - for none
set -euo pipefail
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/dir"
echo content >"$tmp/dir/file"
: >expected.txt

zero() { # FILE OFFSET LENGTH
	dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc status=none
}
take() { # NAME IMAGE
	local head=$tmp/head
	head -c 69632 "$2" >"$head"
	case $1 in
	luks*) truncate -s 4096 "$head" ;; # without the random key material
	ntfs) truncate -s 512 "$head"; zero "$head" 84 426 ;; # without the boot code
	fat*) zero "$head" 90 420 ;; # the same
	exfat) zero "$head" 120 390 ;;
	esac
	gzip -9 -n <"$head" >"$1.gz"
	value() { blkid -p -o value -s "$1" "$img" || true; }
	img=$2
	local type uuid label
	type=$(value TYPE) uuid=$(value UUID) label=$(value LABEL)
	echo "$1 $(stat -c %s "$2") ${type:--} ${uuid:--} ${label:--}" >>expected.txt
}
make() { # NAME SIZE COMMAND...
	local name=$1 img=$tmp/$1.img
	truncate -s "$2" "$img"
	shift 2
	"$@" "$img" >/dev/null 2>&1
	take "$name" "$img"
	rm -f "$img"
}
make ext4 16M mke2fs -q -F -t ext4 -L ext-label
make xfs 320M mkfs.xfs -q -L xfs-label
make btrfs 128M mkfs.btrfs -q -L btrfs-label
make ntfs 16M mkfs.ntfs -F -Q -q -L ntfs-label
make fat12 4M mkfs.fat -F 12 -n FATLABEL
make fat16 32M mkfs.fat -F 16
make fat32 64M mkfs.fat -F 32 -n FAT32LABEL
make exfat 16M mkfs.exfat
make swap 16M mkswap -L swap-label
make swap64k 16M mkswap -p 65536
make f2fs 64M mkfs.f2fs
make jfs 32M mkfs.jfs -q
make reiserfs 64M mkreiserfs -q -f -f
make luks1 16M sh -c 'echo -n pass | cryptsetup luksFormat -q --type luks1 --iter-time 1 "$1" -' sh
make luks2 32M sh -c 'echo -n pass | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" -' sh
make erofs 0 sh -c 'mkfs.erofs "$1" "'"$tmp"'/dir"' sh
make squashfs 0 sh -c 'mksquashfs "'"$tmp"'/dir" "$1" -noappend -quiet' sh
make iso9660 0 sh -c 'xorriso -as mkisofs -quiet -o "$1" "'"$tmp"'/dir"' sh
pv=$tmp/pv.img
truncate -s 16M "$pv"
loop=$(losetup -f --show "$pv")
pvcreate -q "$loop" >/dev/null 2>&1 || true
losetup -d "$loop"
take lvm2 "$pv"
