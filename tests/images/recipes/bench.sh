# The Debian disk with 2 GiB of random bytes in /srv/big, written by the kernel.
cp --sparse=always "$BASE" "$OUT"
start=133120
size=$(sfdisk -d "$OUT" | sed -n 's/.*start= *'$start', size= *\([0-9]*\).*/\1/p')
loop "$OUT" $((start * 512)) $((size * 512)) ext4
mkdir "$TMP/mnt/srv/big"
random "$TMP/mnt/srv/big/random.bin" 2147483648 2
sync -f "$TMP/mnt"
done_with
