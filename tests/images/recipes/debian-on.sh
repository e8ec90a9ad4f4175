# A part of the Debian disk $BASE copied onto another filesystem, without a partition table.
#
#   $HOW    xfs, ntfs, fat or exfat        $MKFS  options of its mkfs
#   $SIZE   of the image                   $WHAT  folders of the root, in order

mkdir "$TMP/src"
mount -t ext4 -o "ro,noload,loop,offset=$((133120 * 512))" "$BASE" "$TMP/src"
truncate -s "$SIZE" "$OUT"

# copy OPTIONS: copies $WHAT to $TMP/mnt.
copy() {
	local what
	for what in $WHAT; do
		mkdir -p "$TMP/mnt/$(dirname "$what")"
		cp "$@" "$TMP/src/$what" "$TMP/mnt/$(dirname "$what")/"
	done
}

# ended COMMAND: waits until the command, which shows whether a driver still writes after it was unmounted, fails.
ended() {
	local i
	for i in $(seq 600); do
		"$@" >/dev/null || return 0
		sleep 0.1
	done
	return 1
}

case $HOW in
xfs)
	# shellcheck disable=SC2086
	mkfs.xfs -q -f $MKFS "$OUT"
	whole "$OUT" xfs
	copy -a
	# Copies that share blocks, some of them written to again.
	cp -a --reflink=always "$TMP/mnt/etc" "$TMP/mnt/etc-clone"
	cp -a --reflink=always "$TMP/mnt/srv/small/000" "$TMP/mnt/srv/small-clone"
	for i in 00000 00007 00100; do printf changed | dd of="$TMP/mnt/srv/small-clone/file-$i.txt" bs=1 seek=500 conv=notrunc status=none; done
	done_with
	xfs_repair -n "$OUT" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
	;;
ntfs)
	# shellcheck disable=SC2086
	mkntfs -q -F -Q $MKFS "$OUT"
	mkdir "$TMP/mnt"
	ntfs-3g "$OUT" "$TMP/mnt"
	copy -dR --preserve=timestamps,links
	umount "$TMP/mnt"
	ended pgrep -x ntfs-3g
	ntfsresize -i -f "$OUT" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
	;;
fat)
	# shellcheck disable=SC2086
	mkfs.fat $MKFS "$OUT" >/dev/null
	for what in $WHAT; do MTOOLS_SKIP_CHECK=1 mcopy -s -m -Q -i "$OUT" "$TMP/src/$what" ::/; done
	fsck.fat -n "$OUT" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
	;;
exfat)
	# shellcheck disable=SC2086
	mkfs.exfat $MKFS "$OUT" >/dev/null
	mkdir "$TMP/mnt"
	dev=$(losetup --find --show "$OUT")
	mount.exfat-fuse "$dev" "$TMP/mnt" || { losetup --detach "$dev"; exit 1; }
	losetup --detach "$dev" # once it is unmounted
	copy -R --preserve=timestamps
	umount "$TMP/mnt"
	ended pgrep -x mount.exfat-fus
	fsck.exfat -n "$OUT" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
	;;
esac
umount "$TMP/src"
