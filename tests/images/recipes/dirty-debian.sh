# A snapshot of a running guest: the Debian disk with files installed, changed and removed, and the power cut.
cp --sparse=always "$BASE" "$OUT"
start=133120
size=$(sfdisk -d "$OUT" | sed -n 's/.*start= *'$start', size= *\([0-9]*\).*/\1/p')
loop "$OUT" $((start * 512)) $((size * 512)) ext4
cd "$TMP/mnt"
small srv/fresh 2000
rm -r srv/small/007 srv/small/013
mv srv/small/020 srv/renamed
cp -a usr/share/perl5 srv/copied
echo 'Nov 23 12:00:00 debian-guest systemd[1]: Started.' >>var/log/syslog
sync var/log/syslog
echo changed >etc/hostname
mv etc/hostname etc/hostname.new
mv etc/hostname.new etc/hostname
sync etc/hostname
echo 'never synced' >srv/lost
cd "$TMP"
xfs_io -x -c shutdown "$TMP/mnt"
done_with
dumpe2fs -h "$OUT?offset=$((start * 512))" 2>/dev/null | grep -q needs_recovery || { echo "the image is clean" >&2; exit 1; }
