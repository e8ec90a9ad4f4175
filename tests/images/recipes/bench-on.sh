# The filesystem $BASE, of debian-on.sh, with 400 MiB of random bytes in one file.
#
#   $HOW  xfs or ntfs

cp --sparse=always "$BASE" "$OUT"
chmod 0644 "$OUT"
case $HOW in
xfs) whole "$OUT" xfs ;;
ntfs)
	mkdir "$TMP/mnt"
	ntfs-3g "$OUT" "$TMP/mnt"
	;;
esac
mkdir "$TMP/mnt/srv/big"
random "$TMP/mnt/srv/big/random.bin" 419430400 8
umount "$TMP/mnt"
for i in $(seq 600); do
	pgrep -x ntfs-3g >/dev/null || break
	sleep 0.1
done
