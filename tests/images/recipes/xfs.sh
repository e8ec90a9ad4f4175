# One XFS filesystem without a partition table, checked by xfs_repair.
#
#   $MKFS    mkfs.xfs's options     $SIZE  of the image      $HOW  kernel: filled through a loop mount
#   $FILL    what to fill it with: words of fill()                 proto:  by mkfs.xfs -p, which reads a folder
#   $MOUNT   options of the loop mount                             empty:  not at all
#   $DB      commands of xfs_db on the full one

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
		links) links "$1/links" 20000 200 ;;
		dirs)
			# Directories of every form: in the inode, of one block, with one leaf, with many, below two levels of nodes.
			mkdir "$1/dirs"
			local n
			for n in 1 8 30 60 200 900 4000; do names "$1/dirs/$n" $n; done
			# One more than the inode holds, and back again.
			names "$1/dirs/shrunk" 400
			find "$1/dirs/shrunk" -type f | tail -n +4 | xargs -d '\n' rm
			;;
		few)
			# A little of everything, for what reads all of it many times.
			mkdir "$1/few"
			local n
			for n in 1 3 40 300; do names "$1/few/$n" $n; done
			random "$1/few/random" 300000 3
			printf 'end' | dd of="$1/few/sparse" bs=1 seek=9000000 status=none
			ln -s "$(printf '%0600d' 0)" "$1/few/long"
			ln -s short "$1/few/short"
			ln "$1/few/random" "$1/few/linked" 2>/dev/null || true
			if [ "$HOW" = kernel ]; then
				setfattr -n user.short -v value "$1/few/random"
				setfattr -n user.leaf -v "$(printf '%01500d' 1)" "$1/few/3"
				setfattr -n user.more -v "$(printf '%01500d' 2)" "$1/few/3"
				setfattr -n user.remote -v "$(printf '%020000d' 3)" "$1/few/3"
				setfacl -m u:1000:rw "$1/few/random"
			fi
			;;
		xattrs)
			mkdir "$1/xattrs"
			local size
			for size in 1 200 255 256 1000 2000 3000 3900 4000 5000 16384 60000 65536; do
				echo "$size" >"$1/xattrs/$size"
				setfattr -n user.huge -v "$(printf "%0${size}d" "$size")" "$1/xattrs/$size"
				setfattr -n user.second -v "$(printf "%0${size}d" 2)" "$1/xattrs/$size"
			done
			for n in 5 60 500 3000; do
				echo many >"$1/xattrs/many-$n"
				perl -MSocket -e 'for my $i (1 .. $ARGV[1]) { my ($k, $v) = ("user.attribute-$i", "value $i " . "v" x ($i % 90)); syscall(188, $ARGV[0], $k, $v, length $v, 0) == 0 or die "$k: $!" }' "$1/xattrs/many-$n" $n
			done
			setfattr -n trusted.root -v 1 "$1/xattrs/1"
			setfattr -n security.other -v 2 "$1/xattrs/1"
			echo gone >"$1/xattrs/gone"
			setfattr -n user.gone -v x "$1/xattrs/gone"
			setfattr -x user.gone "$1/xattrs/gone"
			;;
		extents)
			# 600 extents, and some of them unwritten; a directory whose blocks do not lie side by side.
			random "$1/extents" 9830400 31
			perl -e 'for (my $o = 0; $o < 9830400; $o += 16384) { print "$o\n" }' | while read -r at; do
				fallocate -p -o "$at" -l 8192 "$1/extents"
			done
			fallocate -o 12582912 -l 65536 "$1/extents"
			perl -e 'use strict; use IO::Handle; my $d = $ARGV[0]; mkdir "$d/pieces" or die; open my $g, ">", "$d/grows" or die $!;
				for my $i (1 .. 1500) { open my $f, ">", sprintf("%s/pieces/%0100d", $d, $i) or die $!; close $f;
					if ($i % 10 == 0) { $g->syswrite("x" x 9000) or die $!; $g->sync } }' "$1"
			;;
		reflink)
			random "$1/shared-1" 3000000 41
			cp --reflink=always "$1/shared-1" "$1/shared-2"
			cp --reflink=always "$1/shared-1" "$1/shared-3"
			printf 'changed' | dd of="$1/shared-2" bs=1 seek=100001 conv=notrunc status=none
			truncate -s 1500000 "$1/shared-3"
			;;
		flags)
			mkdir "$1/flags"
			local i
			for i in a d i A; do echo $i >"$1/flags/$i"; chattr "+$i" "$1/flags/$i"; done
			echo project >"$1/flags/project"
			xfs_io -r -c 'chproj 70000' "$1/flags/project"
			;;
		*) echo "fill: $what?" >&2; exit 1 ;;
		esac
	done
}

# XFS holds minor numbers of 18 bits, and takes major numbers of 9.
mknod() {
	local args=("${@/#1048575/262143}")
	command mknod "${args[@]/#4095/511}"
}

# proto DIR: a folder in the language of mkfs.xfs -p. It knows no names with spaces, no sockets and no hard links.
proto() {
	perl -e 'use strict; use Fcntl ":mode";
		sub entry { my ($p, $depth) = @_; my @s = lstat $p or die "$p: $!"; my $m = $s[2];
			my $perm = sprintf "%s%s%03o", $m & 04000 ? "u" : "-", $m & 02000 ? "g" : "-", $m & 0777;
			return "-$perm $s[4] $s[5] $p\n" if S_ISREG($m);
			return "l$perm $s[4] $s[5] " . readlink($p) . "\n" if S_ISLNK($m);
			return "p$perm $s[4] $s[5]\n" if S_ISFIFO($m);
			return sprintf "%s%s %d %d %d %d\n", S_ISCHR($m) ? "c" : "b", $perm, $s[4], $s[5], ($s[6] >> 8) & 0xfff, ($s[6] & 0xff) | (($s[6] >> 12) & 0xfff00) if S_ISCHR($m) || S_ISBLK($m);
			return "" unless S_ISDIR($m);
			my $out = "d$perm $s[4] $s[5]\n"; opendir my $d, $p or die $!;
			for my $n (sort readdir $d) { next if $n eq "." || $n eq ".." || $n =~ /\s/ || $n =~ /^[:\$]/; my $e = entry("$p/$n", $depth + 1); $out .= "$n $e" if $e ne "" }
			return "$out\$\n" }
		print "/none\n0 0\n", entry($ARGV[0], 0)' "$1"
}

truncate -s "${SIZE:-320M}" "$OUT"
case $HOW in
proto)
	mkdir "$TMP/tree"
	fill "$TMP/tree"
	find "$TMP/tree" -type l -lname '*[[:space:]]*' -delete
	# mkfs.xfs 6.1 writes long targets without the header that version 5 has.
	case $MKFS in *crc=0*) ;; *) find "$TMP/tree" -type l -size +300c -delete ;; esac
	proto "$TMP/tree" >"$TMP/proto"
	# shellcheck disable=SC2086
	mkfs.xfs -q -f $MKFS -p "$TMP/proto" "$OUT"
	;;
*)
	# shellcheck disable=SC2086
	mkfs.xfs -q -f $MKFS "$OUT"
	;;
esac
if [ "$HOW" = kernel ]; then
	whole "$OUT" xfs "${MOUNT:-}"
	fill "$TMP/mnt"
	done_with
fi
if [ -n "${UUID:-}" ]; then
	# The metadata keeps the UUID that it was made with: the feature meta_uuid.
	xfs_admin -U 5d9f0d9e-0004-4a58-9a72-000000000004 "$OUT" >&2
fi
if [ -n "${DB:-}" ]; then
	printf '%s\n' "$DB" | while read -r command; do xfs_db -x -c "$command" "$OUT"; done
fi
xfs_repair -n "$OUT" >"$TMP/said" 2>&1 || { cat "$TMP/said" >&2; exit 1; }
