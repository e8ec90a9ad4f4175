# Functions every recipe may call. A recipe is this file followed by its own, run by bash as root in a mount and pid
# namespace of its own: mounts and loop devices vanish with it, however it ends.
#
#   $OUT    the file to make; it is renamed to its place in the cache when the recipe succeeds
#   $TMP    an empty folder for the recipe's own use, removed afterwards
#   $CACHE  the folder of finished images

# loop FILE OFFSET SIZE TYPE OPTIONS: mounts a part of FILE on $TMP/mnt.
loop() {
	mkdir -p "$TMP/mnt"
	mount -t "$4" -o "loop,offset=$2,sizelimit=$3${5:+,$5}" "$1" "$TMP/mnt"
}

# whole FILE TYPE OPTIONS: mounts all of FILE on $TMP/mnt.
whole() {
	mkdir -p "$TMP/mnt"
	mount -t "$2" -o "loop${3:+,$3}" "$1" "$TMP/mnt"
}

# done_with: unmounts $TMP/mnt.
done_with() {
	umount "$TMP/mnt"
}

# small DIR COUNT: COUNT files of 1 to 8 KiB in folders of 200, of words that depend on the file's number only.
small() {
	perl -e '
		use strict; my ($dir, $count) = @ARGV; my $seed = 20261123;
		my @words = map { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; my $n = $seed; my $w = "";
			for (0 .. 3 + $n % 6) { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; $w .= chr(97 + ($seed >> 16) % 26) } $w } 1 .. 512;
		mkdir $dir or die "$dir: $!";
		for my $i (0 .. $count - 1) {
			my $sub = sprintf "%s/%03d", $dir, $i / 200;
			if ($i % 200 == 0) { mkdir $sub or die "$sub: $!" }
			$seed = ($i * 2654435761 + 97) & 0x7fffffff;
			my $size = 1024 + $seed % 7168; my $text = "small file number $i\n"; my $col = 0;
			while (length $text < $size) {
				$seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
				$text .= $words[($seed >> 12) % 512] . (++$col % 9 ? " " : "\n");
			}
			open my $f, ">", sprintf("%s/file-%05d.txt", $sub, $i) or die $!;
			print $f substr $text, 0, $size; close $f or die $!;
		}' "$1" "$2"
}

# random FILE SIZE SEED: bytes nobody can compress, the same each time.
random() {
	openssl enc -aes-128-ctr -K "$(printf '%032x' "$3")" -iv 0 -in /dev/zero 2>/dev/null | head -c "$2" >"$1" || true
	[ "$(stat -c %s "$1")" = "$2" ]
}

# names DIR COUNT: COUNT empty files, enough to make the directory a hash tree, with holes where names were removed. Some
# names hold bytes above 127, on which the signed and unsigned hashes differ.
names() {
	perl -e 'my ($d, $n) = @ARGV; mkdir $d or die "$d: $!";
		sub name { sprintf "%s/entry-%07d-%s%s", $d, $_[0], "x" x ($_[0] % 40), $_[0] % 5 ? "" : "\xe9\xff\x80" }
		for (1 .. $n + $n / 6) { open my $f, ">", name($_) or die $!; }
		for (1 .. $n + $n / 6) { next if $_ % 7; unlink name($_) or die $! }' "$1" "$2"
}

# links DIR COUNT LENGTH: COUNT names, each of LENGTH bytes, for one file: a directory large for its count, and no inodes.
links() {
	perl -e 'my ($d, $n, $l) = @ARGV; mkdir $d or die "$d: $!"; open my $f, ">", "$d/0" or die $!;
		for (1 .. $n - 1) { link "$d/0", sprintf("%s/%0${l}d", $d, $_) or die $! }' "$1" "$2" "$3"
}

# tiny DIR: what fits into an inode or just does not: files of 0 to 220 bytes, directories of few short names.
tiny() {
	mkdir "$1"
	perl -e 'chdir $ARGV[0] or die; for my $n (0 .. 220, 900 .. 940) { open my $f, ">", sprintf("file-%03d", $n) or die $!; print $f substr("0123456789" x 100, 0, $n) }
		for my $n (0 .. 24) { mkdir "dir-$n" or die $!; for (1 .. $n) { open my $f, ">", "dir-$n/e$_" or die $! } }
		for my $n (0 .. 5) { mkdir "long-$n" or die $!; for (1 .. $n) { open my $f, ">", "long-$n/" . $_ x 30 or die $! } }
		mkdir "nested" or die $!; mkdir "nested/a" or die $!; mkdir "nested/a/b" or die $!;' "$1"
	# An attribute takes the room that the contents would have.
	local i
	for i in 010 060 061 100 150; do setfattr -n user.room -v "$(printf '%050d' 3)" "$1/file-$i"; done
	# Shortened again after it grew out of the inode.
	printf 'grown %0500d' 1 >"$1/grown"
	truncate -s 5 "$1/grown"
	printf 'x' >"$1/hole"
	truncate -s 50 "$1/hole"
}

# data DIR: files whose mapping is hard to get right: holes, unwritten and punched blocks, sizes around a block.
data() {
	mkdir "$1"
	local size
	for size in 0 1 511 512 1023 1024 1025 4095 4096 4097 65535 65536 65537 1048577; do
		random "$1/size-$size" $size $((size + 7))
	done
	truncate -s 200M "$1/sparse"
	local at
	for at in 0 1 11 12 13 267 268 1035 1036 40000 51199; do
		printf 'data at block %d' $at | dd of="$1/sparse" bs=4096 seek=$at conv=notrunc status=none
	done
	# Past what two levels of indirect blocks reach.
	truncate -s "${LARGEST:-12}G" "$1/sparse-end"
	printf 'the end' | dd of="$1/sparse-end" bs=1 seek=$((${LARGEST:-12} * 1024 * 1024 * 1024 - 4096)) conv=notrunc status=none
	truncate -s 3000000 "$1/all-hole"
	# ext2 and ext3 have no unwritten extents; there the files are plain.
	if fallocate -l 1M "$1/unwritten" 2>/dev/null; then
		printf 'written inside unwritten' | dd of="$1/unwritten" bs=1 seek=500001 conv=notrunc status=none
		printf 'short' >"$1/beyond-eof"
		fallocate -n -o 0 -l 4M "$1/beyond-eof"
		fallocate -l 100M "$1/unwritten-large"
		random "$1/punched" 8388608 99
		perl -e 'for (my $o = 0; $o < 8388608; $o += 16384) { print "$o\n" }' | while read -r at; do
			fallocate -p -o "$at" -l 8192 "$1/punched"
		done
		fallocate -l 4M "$1/zeroed"
		random "$1/zeroed" 4194304 5
		fallocate -z -o 1048576 -l 1048576 "$1/zeroed"
	fi
	# Two files that grow in turns come out in pieces.
	perl -e 'use strict; use IO::Handle; my @f; for (0, 1) { open $f[$_], ">", "$ARGV[0]/turns-$_" or die $! }
		for my $i (0 .. 63) { for (0, 1) { $f[$_]->syswrite(chr(65 + $i % 26) x 24576) or die $!; $f[$_]->sync } }' "$1"
}

# odd DIR: what a tree may hold beside plain files: attributes, ACLs, links, devices, names, paths, modes, times.
odd() {
	mkdir "$1"
	local d=$1
	mkdir "$d/xattr" "$d/acl" "$d/links" "$d/nodes" "$d/names" "$d/modes" "$d/times" "$d/empty"

	echo one >"$d/xattr/user"
	setfattr -n user.comment -v 'a short value' "$d/xattr/user"
	setfattr -n user.empty "$d/xattr/user"
	setfattr -n user.binary -v 0x00ff0a0d00 "$d/xattr/user"
	echo two >"$d/xattr/block"
	setfattr -n user.large -v "$(printf '%0700d' 7)" "$d/xattr/block"
	echo three >"$d/xattr/many"
	local i
	for i in $(seq 1 24); do setfattr -n "user.attribute-$i" -v "value $i" "$d/xattr/many"; done
	echo four >"$d/xattr/trusted"
	setfattr -n trusted.overlay.opaque -v y "$d/xattr/trusted"
	echo five >"$d/xattr/capability"
	setcap cap_net_raw,cap_net_admin+ep "$d/xattr/capability"
	mkdir "$d/xattr/dir"
	setfattr -n user.on.a.directory -v yes "$d/xattr/dir"
	# Files whose attribute blocks are equal share one block.
	for i in 1 2 3 4 5; do echo $i >"$d/xattr/shared-$i"; setfattr -n user.shared -v "$(printf '%0500d' 9)" "$d/xattr/shared-$i"; done

	echo acl >"$d/acl/file"
	setfacl -m u:1000:rw,u:1001:r,g:2000:rx,m::rwx "$d/acl/file"
	mkdir "$d/acl/dir"
	setfacl -d -m u:1000:rwx,g:3000:rx "$d/acl/dir"
	echo inherits >"$d/acl/dir/file"

	echo linked >"$d/links/first"
	ln "$d/links/first" "$d/links/second"
	ln "$d/links/first" "$d/nodes/third"
	ln -s first "$d/links/relative"
	ln -s /etc/hostname "$d/links/absolute"
	ln -s nowhere/at/all "$d/links/dangling"
	ln -s links "$d/links-dir"
	# 59 bytes fit the inode; 60 do not.
	for i in 1 58 59 60 61 255 1000 1023; do ln -s "$(printf "%0${i}d" 0 | tr 0 s)" "$d/links/long-$i"; done
	if [ "${LONGEST_LINK:-4095}" = 4095 ]; then
		ln -s "$(printf '%04095d' 0 | sed 's/0000000000/dir\/entry\//g')" "$d/links/longest"
	fi
	perl -e 'symlink "\xff\xfe not utf-8\n", "$ARGV[0]/bytes" or die $!' "$d/links"

	mkfifo "$d/nodes/fifo"
	mknod "$d/nodes/null" c 1 3
	mknod "$d/nodes/sda" b 8 0
	mknod "$d/nodes/large-minor" b 259 1048575
	mknod "$d/nodes/large-major" c 4095 1
	perl -MSocket -e 'chdir $ARGV[0] or die; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die; bind($s, sockaddr_un("socket")) or die $!' "$d/nodes"

	perl -e 'chdir $ARGV[0] or die; my $n = 0; use utf8;
		for my $name ("\xff\xfe not utf-8", "new\nline", "tab\there", " ", "-dash", "back\\slash", "q\"uo\x27te", "star*?[x]",
			"\xe2\x98\x83 snowman", "\xc3\xa9 composed", "e\xcc\x81 composed", "UPPER", "upper", "...", "\x01\x7f", "nul.", "con", "a:b",
			"x" x 255, "\xf0\x9f\x98\x80" x 63) { utf8::encode($name) if utf8::is_utf8($name) && $name =~ /[^\x00-\xff]/; open my $f, ">", $name or die "$name: $!"; print $f ++$n }' "$d/names"
	perl -e 'chdir $ARGV[0] or die; for (1 .. 12) { my $n = sprintf("%02d", $_) . "d" x 228; mkdir $n or die $!; chdir $n or die $! }
		open my $f, ">", "bottom" or die $!; print $f "deep\n"' "$d"
	perl -e 'chdir $ARGV[0] or die; for (1 .. 100) { mkdir "level$_" or die $!; chdir "level$_" or die $! }
		open my $f, ">", "bottom" or die $!; print $f "deeper\n"' "$d"

	for i in 0000 0001 0111 0200 0400 0444 0600 0644 0755 0777 1755 2755 4755 6755 7777; do
		echo "mode $i" >"$d/modes/$i"
		chmod "$i" "$d/modes/$i"
		mkdir "$d/modes/d$i"
		chmod "$i" "$d/modes/d$i"
	done
	echo owner >"$d/modes/owner"
	chown 65534:100000 "$d/modes/owner"
	echo owner >"$d/modes/large-owner"
	chown 4000000000:3000000001 "$d/modes/large-owner"
	echo owner >"$d/modes/immutable"
	if [ "${FLAGS:-yes}" = yes ]; then chattr +i "$d/modes/immutable"; fi

	i=0
	local when
	for when in '1901-12-13 20:45:53' '1969-12-31 23:59:59.000000001' '1970-01-01 00:00:00' '1999-12-31 23:59:59.999999999' \
		'2026-11-23 12:34:56.789012345' '2038-01-19 03:14:07' '2038-01-19 03:14:08.5' '2106-02-07 06:28:16.25' '2242-01-01 00:00:00' '2400-02-29 12:00:00.123456789'; do
		echo "$when" >"$d/times/t$((i++))"
		touch -d "$when UTC" "$d/times/t$((i - 1))"
	done
	touch -h -d '2001-02-03 04:05:06.7 UTC' "$d/links/relative"
}
