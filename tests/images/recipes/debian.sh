# The base disk as raw, with 20,000 small files in /srv/small and everything a tree may hold in /srv/odd and /srv/data.
qemu-img convert -f qcow2 -O raw -S 4096 "$BASE" "$OUT"
start=133120
size=$(sfdisk -d "$OUT" | sed -n 's/.*start= *'$start', size= *\([0-9]*\).*/\1/p')
loop "$OUT" $((start * 512)) $((size * 512)) ext4
small "$TMP/mnt/srv/small" 20000
odd "$TMP/mnt/srv/odd"
data "$TMP/mnt/srv/data"
names "$TMP/mnt/srv/names" 3000
# Disk order is then the kernel's, and no journal is left to replay.
sync -f "$TMP/mnt"
done_with
