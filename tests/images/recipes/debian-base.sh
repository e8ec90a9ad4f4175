# A Debian 12 root by debootstrap on an 8 GiB GPT disk: sda1 is the EFI system partition, sda2 is ext4 with mke2fs's defaults.
# Written through the kernel's own driver, then turned into a qcow2, which later images use as their backing file.
disk=$TMP/disk.raw
truncate -s 8G "$disk"
sfdisk -q "$disk" <<'T'
label: gpt
label-id: 6A1B2C3D-0001-4E5F-8A9B-000000000001
start=2048, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=6A1B2C3D-0002-4E5F-8A9B-000000000002, name="EFI System Partition"
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=6A1B2C3D-0003-4E5F-8A9B-000000000003, name="root"
T
start=133120
size=$(sfdisk -d "$disk" | sed -n 's/.*start= *'$start', size= *\([0-9]*\).*/\1/p')

esp=$TMP/esp.img
truncate -s 64M "$esp"
mkfs.fat -F 32 -s 1 -i 0EF10EF1 -n EFI "$esp" >/dev/null
mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/EFI/debian
echo 'a stand-in for the boot loader' | mcopy -i "$esp" - ::/EFI/BOOT/BOOTX64.EFI
echo 'configfile /boot/grub/grub.cfg' | mcopy -i "$esp" - ::/EFI/debian/grub.cfg
dd if="$esp" of="$disk" bs=1M seek=1 conv=notrunc,sparse status=none

mke2fs -q -F -t ext4 -L debian-root -U 6a1b2c3d-0004-4e5f-8a9b-000000000004 \
	-E offset=$((start * 512)),hash_seed=6a1b2c3d-0005-4e5f-8a9b-000000000005 "$disk" $((size / 2))k
loop "$disk" $((start * 512)) $((size * 512)) ext4
root=$TMP/mnt
mkdir -p "$CACHE/debs"
debootstrap --cache-dir="$CACHE/debs" --variant=minbase \
	--include=python3,perl,vim,man-db,manpages,manpages-dev,info,locales,tzdata,iproute2,openssh-client,git,libc6-dev,python3-setuptools,perl-doc,vim-doc,git-doc,openssl,ca-certificates,systemd,udev,libboost-dev,golang-1.19-src \
	bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$TMP/debootstrap.log" 2>&1 || {
	tail -20 "$TMP/debootstrap.log" >&2
	exit 1
}
rm -rf "$root"/var/cache/apt/archives/*.deb
echo debian-guest >"$root/etc/hostname"
cat >"$root/etc/fstab" <<'T'
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=6a1b2c3d-0004-4e5f-8a9b-000000000004 / ext4 errors=remount-ro 0 1
UUID=0EF1-0EF1 /boot/efi vfat umask=0077 0 1
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
T
mkdir -p "$root/boot/efi"
sync -f "$root"
for i in 1 2 3 4 5; do umount "$root" && break || sleep 1; done
qemu-img convert -f raw -O qcow2 "$disk" "$OUT"
