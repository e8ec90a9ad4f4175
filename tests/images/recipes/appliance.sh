# A Debian 12 system for an emulated machine, in three parts: $PART is kernel, initramfs or root. Nothing is installed here;
# packages are downloaded and unpacked. Where apt offers no Debian kernel, $DEBIAN_MIRROR's package lists name one.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
debs=$CACHE/debs
mkdir -p "$debs"
kernel=$(find "$debs" -name 'linux-image-[0-9]*-amd64_*.deb' | sort | tail -1)
if [ -z "$kernel" ]; then
	mkdir "$TMP/lists"
	curl -fsS "$mirror/dists/bookworm/main/binary-amd64/Packages.xz" | xz -d >"$TMP/lists/packages"
	name=$(awk '/^Package: linux-image-amd64$/ { found = 1 } found && /^Depends:/ { print $2; exit }' "$TMP/lists/packages")
	file=$(awk -v want="Package: $name" '$0 == want { found = 1 } found && /^Filename:/ { print $2; exit }' "$TMP/lists/packages")
	sum=$(awk -v want="Package: $name" '$0 == want { found = 1 } found && /^SHA256:/ { print $2; exit }' "$TMP/lists/packages")
	curl -fsS -o "$TMP/kernel.deb" "$mirror/$file"
	echo "$sum  $TMP/kernel.deb" | sha256sum -c --quiet
	kernel=$debs/${file##*/}
	mv "$TMP/kernel.deb" "$kernel"
fi
dpkg-deb -x "$kernel" "$TMP/kernel"
version=$(basename "$TMP"/kernel/boot/vmlinuz-*)
version=${version#vmlinuz-}

case $PART in
kernel)
	cp "$TMP/kernel/boot/vmlinuz-$version" "$OUT"
	;;
initramfs)
	# Enough to find the root disk; it is not compressed, since emulated processors decompress slowly.
	depmod -b "$TMP/kernel" "$version"
	mkdir -p "$TMP/ram/bin" "$TMP/ram/modules" "$TMP/ram/dev" "$TMP/ram/proc" "$TMP/ram/sys" "$TMP/ram/root"
	cp "$(command -v busybox)" "$TMP/ram/bin/busybox"
	for module in virtio_pci virtio_blk crc32c_generic ext4; do
		modprobe -d "$TMP/kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
	done | awk '!seen[$0]++' >"$TMP/order"
	while read -r module; do
		cp "$module" "$TMP/ram/modules/"
		basename "$module"
	done <"$TMP/order" >"$TMP/ram/modules/order"
	cat >"$TMP/ram/init" <<'I'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t ext4 -o ro /dev/vda /root || echo 'APPLIANCE: no root disk'
for dir in tmp run mnt var/tmp; do /bin/busybox mount -t tmpfs tmpfs /root/$dir; done
for dir in dev proc sys; do /bin/busybox mount --move /$dir /root/$dir; done
/bin/busybox cp /job/* /root/tmp/
/bin/busybox chroot /root /bin/bash /tmp/job.sh
echo "APPLIANCE: exit status $?"
/bin/busybox chroot /root /bin/sync
echo o >/root/proc/sysrq-trigger
/bin/busybox sleep 60
I
	chmod 755 "$TMP/ram/init"
	(cd "$TMP/ram" && find . | cpio --quiet -o -H newc -R 0:0) >"$OUT"
	;;
root)
	debootstrap --cache-dir="$debs" --variant=minbase --include=kmod,attr,acl,xfsprogs,btrfs-progs,lvm2,mdadm,cryptsetup-bin,dosfstools,e2fsprogs \
		bookworm "$TMP/root" "$mirror" >"$TMP/debootstrap.log" 2>&1 || { tail -20 "$TMP/debootstrap.log" >&2; exit 1; }
	cp -a "$TMP/kernel/lib/modules" "$TMP/root/usr/lib/"
	rm -rf "$TMP/root/var/cache/apt/archives" "$TMP"/root/usr/share/doc/* "$TMP"/root/usr/share/locale/*
	depmod -b "$TMP/root" "$version"
	truncate -s 2G "$OUT"
	mke2fs -q -F -t ext4 -d "$TMP/root" "$OUT"
	;;
esac
