# One ext2, ext3 or ext4 filesystem without a partition table, checked by e2fsck.
#
#   $MKFS    mke2fs's options       $SIZE  of the image      $HOW  kernel: filled through a loop mount
#   $BEFORE  debugfs commands on the empty filesystem              tree:   by mke2fs -d from a folder
#   $AFTER   debugfs commands on the full one                      none:   by $AFTER alone
#   $FILL    what to fill it with: words of fill()                 casefold: by debugfs, folding directories
#   $MOUNT   options of the loop mount

fill() {
	local what
	for what in $FILL; do
		case $what in
		odd) odd "$1/odd" ;;
		data) data "$1/data" ;;
		tiny) tiny "$1/tiny" ;;
		small) small "$1/small" 600 ;;
		names) names "$1/names" 3000 ;;
		names100000) names "$1/names" 100000 ;;
		links) links "$1/links" 60000 240 ;;
		huge-xattrs)
			mkdir "$1/xattrs"
			local size
			for size in 2000 4000 5000 16384 60000 65535; do
				echo "$size" >"$1/xattrs/$size"
				setfattr -n user.huge -v "$(printf "%0${size}d" "$size")" "$1/xattrs/$size"
				setfattr -n user.second -v "$(printf "%0${size}d" 2)" "$1/xattrs/$size"
			done
			# Equal values share one inode.
			cp --preserve=xattr "$1/xattrs/60000" "$1/xattrs/60000-again"
			;;
		deep)
			# Every second block is missing, some are unwritten: some hundreds of extents for $AFTER to build its tree of.
			random "$1/deep" 1048576 31
			perl -e 'for (my $o = 0; $o < 1048576; $o += 2048) { print "$o\n" }' | while read -r at; do
				fallocate -p -o "$at" -l 1024 "$1/deep"
			done
			fallocate -o 2097152 -l 65536 "$1/deep"
			printf 'between' | dd of="$1/deep" bs=1 seek=2129920 conv=notrunc status=none
			names "$1/deep-names" 3000
			;;
		encrypted)
			# The key is known while this mount lasts. Afterwards names are shown encoded and contents cannot be read.
			local key
			key=$(printf 'a key that is sixty-four bytes long, because fscrypt wants it so.' | head -c 64 | xfs_io -c add_enckey "$1" | sed -n 's/.*identifier //p')
			mkdir "$1/encrypted" "$1/plain"
			xfs_io -c "set_encpolicy -v 2 $key" "$1/encrypted"
			for i in 1 2 3 4 5; do echo "secret $i" >"$1/encrypted/name-$i"; done
			echo long >"$1/encrypted/$(printf '%0200d' 1)"
			mkdir "$1/encrypted/sub"
			echo deeper >"$1/encrypted/sub/file"
			ln -s ../plain "$1/encrypted/link"
			echo open >"$1/plain/file"
			;;
		*) echo "fill: $what?" >&2; exit 1 ;;
		esac
	done
}

# From 512 MiB on mke2fs's defaults are those of a disk: blocks of 4 KiB.
truncate -s "${SIZE:-600M}" "$OUT"
seed=hash_seed=6a1b2c3d-0006-4e5f-8a9b-000000000006
# shellcheck disable=SC2086
case $HOW in
tree)
	mkdir "$TMP/tree"
	LONGEST_LINK=0 FLAGS=no fill "$TMP/tree"
	mke2fs -q -F $MKFS -E "$seed" -d "$TMP/tree" "$OUT"
	;;
*) mke2fs -q -F $MKFS -E "$seed" "$OUT" ;;
esac
edit() {
	printf '%s\n' "$1" >"$TMP/commands"
	debugfs -w -f "$TMP/commands" "$OUT" >"$TMP/said" 2>&1
	# debugfs exits with 0 whatever happened; it prefixes what went wrong with the command's name.
	if grep -v -e '^debugfs' -e '^extent: lblk' "$TMP/said" | grep -E '^[a-z_]+: |No such|not found|rror|sage:' >&2; then exit 1; fi
}
if [ -n "${BEFORE:-}" ]; then edit "$BEFORE"; fi
if [ "$HOW" = kernel ]; then
	whole "$OUT" ext4 "${MOUNT:-}"
	fill "$TMP/mnt"
	sync -f "$TMP/mnt"
	done_with
fi
if [ "$HOW" = casefold ]; then
	# No kernel of ours folds names, so debugfs makes the directories, gives them the flag and then the names; e2fsck -D
	# hashes and indexes them. The library folds with the same tables as the kernel.
	{
		for dir in small large nested; do printf 'mkdir %s\nsif %s flags 0x40080000\n' $dir $dir; done
		printf 'mkdir nested/Sub\nsif nested/Sub flags 0x40080000\nmkdir plain\n'
		i=0
		for name in README 'ReadMe.TXT' 'Straße' 'ÄÖÜ' 'Ålesund' 'ΣΊΣΥΦΟΣ' 'İstanbul' 'ﬃligature' 'Ｆｕｌｌ' 'naïve' 'Ünïcödé-ﾊﾝｶｸ' 'é decomposed' 'emoji 😀 File'; do
			i=$((i + 1))
			echo "contents $i" >"$TMP/f$i"
			printf 'cd /small\nwrite %s "%s"\ncd /nested/Sub\nwrite %s "%s"\ncd /plain\nwrite %s "%s"\n' "$TMP/f$i" "$name" "$TMP/f$i" "$name" "$TMP/f$i" "$name"
		done
		echo 'cd /large'
		for i in $(seq 1 1500); do echo "write $TMP/f1 Große-Datei-Nummer-$i-ÄÖÜ"; done
	} >"$TMP/casefold"
	edit "$(cat "$TMP/casefold")"
fi
if [ -n "${AFTER:-}" ]; then edit "$AFTER"; fi
case ${FSCK:-clean} in
clean) e2fsck -fn "$OUT" >&2 ;;
# Status 1 says that it changed something: quota counted, or (-D) directories indexed that debugfs wrote.
repair)
	e2fsck -fy ${INDEX:+-D} "$OUT" >&2 || [ $? = 1 ]
	e2fsck -fn "$OUT" >&2
	;;
none) ;;
esac
