# One btrfs filesystem without a partition table, checked by btrfs check. Where it has several devices, they stand in the
# file one after the other.
#
#   $MKFS     mkfs.btrfs's options    $SIZE     of each device    $HOW  kernel: filled through a mount
#   $FILL     words of fill()         $DEVICES  how many; 1            rootdir: by mkfs.btrfs --rootdir
#   $MOUNT    options of the mount    $LAYOUT   words of layout()

fill() {
	local what
	for what in $FILL; do
		case $what in
		odd) odd "$1/odd" ;;
		data) data "$1/data" ;;
		tiny) tiny "$1/tiny" ;;
		small) small "$1/small" 600 ;;
		small20000) small "$1/small" 20000 ;;
		names) names "$1/names" 3000 ;;
		links)
			# More names than one item of references holds, in one directory and over several.
			links "$1/links" 1500 200
			mkdir "$1/spread"
			for n in 1 2 3 4; do mkdir "$1/spread/$n"; ln "$1/links/0" "$1/spread/$n/here"; done
			;;
		names100000) names "$1/names" 100000 ;;
		collide)
			# Names of one hash in pairs: a linear checksum has the same for two names that differ by its polynomial.
			mkdir "$1/collide"
			perl -e 'my ($d) = @ARGV; my @t; for my $i (0 .. 255) { my $c = $i; $c = $c & 1 ? ($c >> 1) ^ 0x82F63B78 : $c >> 1 for 1 .. 8; $t[$i] = $c }
				sub crc { my $c = 0xfffffffe; $c = $t[($c ^ ord) & 255] ^ ($c >> 8) for split //, $_[0]; $c }
				my @a = ("a" .. "z", "A" .. "Z", 0 .. 9, "-", "_"); my (%seen, $found); my $s = 12345;
				while ($found < 20) { my $n = ""; for (1 .. 12) { $s = ($s * 1103515245 + 12345) & 0x7fffffff; $n .= $a[($s >> 16) & 63] }
					my $h = crc($n); if (exists $seen{$h} && $seen{$h} ne $n) { for my $f ($seen{$h}, $n) { open my $o, ">", "$d/$f" or die $!; print $o $f } $found++ }
					$seen{$h} = $n }' "$1/collide"
			;;
		compressible)
			mkdir "$1/compressible"
			perl -e 'my $t = join "", map { "line $_ of a text that compresses well, " . ($_ * 7919 % 1000) . "\n" } 1 .. 60000; print $t' >"$1/compressible/text"
			head -c 100000 "$1/compressible/text" >"$1/compressible/short"
			head -c 3000 "$1/compressible/text" >"$1/compressible/inline"
			head -c 700 "$1/compressible/text" >"$1/compressible/tiny"
			head -c 4000000 /dev/zero >"$1/compressible/zeros"
			random "$1/compressible/mixed" 300000 5
			cat "$1/compressible/text" >>"$1/compressible/mixed"
			random "$1/compressible/tail" 200000 6
			cat "$1/compressible/tail" >>"$1/compressible/mixed"
			# A part of a compressed extent, and what was written into one.
			cp "$1/compressible/text" "$1/compressible/changed"
			sync -f "$1"
			for at in 5000 100000 131072 400001; do printf 'changed' | dd of="$1/compressible/changed" bs=1 seek=$at conv=notrunc status=none; done
			fallocate -p -o 200704 -l 40960 "$1/compressible/changed"
			;;
		xattrs)
			mkdir "$1/xattrs"
			local size
			for size in 1 200 1000 3000 8000 15000; do
				echo "$size" >"$1/xattrs/$size"
				setfattr -n user.huge -v "$(printf "%0${size}d" "$size")" "$1/xattrs/$size" 2>/dev/null || true
				setfattr -n user.second -v "$(printf "%0${size}d" 2)" "$1/xattrs/$size" 2>/dev/null || true
			done
			echo many >"$1/xattrs/many"
			perl -e 'for my $i (1 .. 500) { my ($k, $v) = ("user.attribute-$i", "value $i " . "v" x ($i % 90)); syscall(188, $ARGV[0], $k, $v, length $v, 0) == 0 or die "$k: $!" }' "$1/xattrs/many"
			setfattr -n trusted.root -v 1 "$1/xattrs/1"
			setfattr -n security.other -v 2 "$1/xattrs/1"
			;;
		reflink)
			random "$1/shared-1" 3000000 41
			cp --reflink=always "$1/shared-1" "$1/shared-2"
			cp --reflink=always "$1/shared-1" "$1/shared-3"
			printf 'changed' | dd of="$1/shared-2" bs=1 seek=100001 conv=notrunc status=none
			truncate -s 1500000 "$1/shared-3"
			;;
		nocow)
			mkdir "$1/nocow"
			chattr +C "$1/nocow"
			random "$1/nocow/file" 5000000 51
			printf 'in place' | dd of="$1/nocow/file" bs=1 seek=1000001 conv=notrunc status=none
			fallocate -l 1M "$1/nocow/unwritten"
			;;
		flags)
			mkdir "$1/flags"
			local i
			for i in a d i c A; do echo $i >"$1/flags/$i"; chattr "+$i" "$1/flags/$i"; done
			;;
		few)
			mkdir "$1/few"
			local n
			for n in 1 3 300; do names "$1/few/$n" $n; done
			random "$1/few/random" 300000 3
			printf 'end' | dd of="$1/few/sparse" bs=1 seek=9000000 status=none
			ln -s short "$1/few/short"
			ln "$1/few/random" "$1/few/linked"
			head -c 400000 /dev/zero | tr '\0' x >"$1/few/compressible"
			setfattr -n user.short -v value "$1/few/random"
			setfattr -n user.more -v "$(printf '%01500d' 2)" "$1/few/3"
			setfacl -m u:1000:rw "$1/few/random"
			;;
		balance)
			# Every block and extent moves.
			btrfs -q quota enable "$TMP/mnt"
			btrfs -q balance start --full-balance "$TMP/mnt"
			btrfs -q filesystem defragment -r "$1"
			;;
		*) echo "fill: $what?" >&2; exit 1 ;;
		esac
	done
}

# layout DIR: what $LAYOUT says of subvolumes, after which $INTO is where to fill.
layout() {
	INTO=$1
	local what
	for what in ${LAYOUT:-}; do
		case $what in
		fedora)
			btrfs -q subvolume create "$1/root" && btrfs -q subvolume create "$1/home"
			INTO=$1/root
			mkdir "$1/root/home" "$1/root/etc"
			echo user >"$1/home/user"
			;;
		opensuse)
			btrfs -q subvolume create "$1/@"
			btrfs -q subvolume create "$1/@/home"
			btrfs -q subvolume create "$1/@/.snapshots"
			mkdir "$1/@/.snapshots/1"
			btrfs -q subvolume snapshot "$1/@" "$1/@/.snapshots/1/snapshot"
			INTO=$1/@/.snapshots/1/snapshot
			btrfs subvolume set-default "$(btrfs inspect-internal rootid "$INTO")" "$1"
			;;
		snapshots)
			# Taken while there are files, some of which change afterwards.
			echo before >"$INTO/changes"
			mkdir "$INTO/snap"
			btrfs -q subvolume create "$INTO/nested"
			echo nested >"$INTO/nested/file"
			btrfs -q subvolume snapshot -r "$INTO" "$INTO/snap/1"
			echo after >"$INTO/changes"
			btrfs -q subvolume snapshot "$INTO" "$INTO/snap/2"
			echo written >"$INTO/snap/2/changes"
			btrfs -q subvolume create "$INTO/gone"
			echo gone >"$INTO/gone/file"
			btrfs -q subvolume delete "$INTO/gone"
			;;
		esac
	done
}

count=${DEVICES:-1}
devices=()
for i in $(seq 1 "$count"); do
	truncate -s "${SIZE:-512M}" "$TMP/device$i"
	devices+=("$TMP/device$i")
done
if [ "$HOW" = rootdir ]; then
	mkdir "$TMP/tree"
	fill "$TMP/tree"
	# shellcheck disable=SC2086
	mkfs.btrfs -q $MKFS --rootdir "$TMP/tree" "${devices[@]}"
else
	# shellcheck disable=SC2086
	mkfs.btrfs -q $MKFS "${devices[@]}"
	loops=()
	trap 'for l in "${loops[@]}"; do losetup --detach "$l"; done' EXIT
	for d in "${devices[@]}"; do loops+=("$(losetup --find --show "$d")"); done
	for l in "${loops[@]}"; do btrfs device scan "$l" >/dev/null; done
	mkdir "$TMP/mnt"
	mount -t btrfs -o "defaults${MOUNT:+,$MOUNT}" "${loops[0]}" "$TMP/mnt"
	layout "$TMP/mnt"
	fill "$INTO"
	sync -f "$TMP/mnt"
	done_with
	for l in "${loops[@]}"; do btrfs device scan --forget "$l" >/dev/null 2>&1 || true; losetup --detach "$l"; done
	loops=()
fi
if [ "$count" = 1 ]; then
	btrfs check --readonly "$TMP/device1" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
	mv "$TMP/device1" "$OUT"
else
	truncate -s 0 "$OUT"
	at=0
	for d in "${devices[@]}"; do
		size=$(stat -c %s "$d")
		truncate -s $((at + size)) "$OUT"
		dd if="$d" of="$OUT" bs=1M seek=$((at / 1048576)) conv=sparse,notrunc status=none
		at=$((at + size))
	done
fi
