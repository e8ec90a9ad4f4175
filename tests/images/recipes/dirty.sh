# An ext3 or ext4 filesystem whose journal is dirty: written to by the kernel, then shut down in the middle.
#
#   $MKFS      mke2fs's options                    $MOUNT     options of the loop mount
#   $OPS       what is done after the first sync: words of work()
#   $SHUTDOWN  options of xfs_io's shutdown: -f writes the log first, nothing leaves what was committed before
#   $JOURNAL   instead of the shutdown: the same changes as one transaction written by debugfs, opened with these options
#   $ORPHANS   a file to fsync after others were unlinked while open
#   $TRUNCATE  instead of the shutdown: an orphan that is too long for its size, made by debugfs

work() {
	local what
	for what in $OPS; do
		case $what in
		tree)
			# A little of everything, some of it fsynced.
			small "$1/second" 300
			local i
			for i in 0 1 2 3 4; do sync "$1/second/000/file-0000$i.txt"; done
			mv "$1/first/000" "$1/moved"
			rm "$1/moved/file-00010.txt" "$1/moved/file-00020.txt"
			mv "$1/moved/file-00030.txt" "$1/moved/file-00031.txt"
			ln "$1/moved/file-00040.txt" "$1/linked"
			ln -s moved/file-00041.txt "$1/symbolic"
			truncate -s 100 "$1/moved/file-00050.txt"
			echo appended >>"$1/moved/file-00051.txt"
			chmod 0400 "$1/moved/file-00052.txt"
			chown 1000:1000 "$1/moved/file-00053.txt"
			setfattr -n user.after -v sync "$1/moved/file-00054.txt"
			touch -d '2040-01-02 03:04:05.678 UTC' "$1/moved/file-00055.txt"
			rm -r "$1/first/001"
			mkdir -p "$1/new/deep/folder"
			echo in >"$1/new/deep/folder/file"
			sync "$1/new/deep/folder/file"
			random "$1/random" 1000000 77
			sync "$1/random"
			;;
		tail)
			# After the last fsync: lost without -f, kept with it.
			echo late >"$1/late"
			rm -f "$1/linked"
			small "$1/late-folder" 20
			;;
		revoke)
			# The blocks of directories and attributes come back as file data before the log is checkpointed.
			local n
			for n in 1 2 3 4; do
				names "$1/names-$n" 2000
				sync -f "$1"
				rm -r "$1/names-$n"
				random "$1/reused-$n" 3000000 "$n"
				sync "$1/reused-$n"
			done
			;;
		escape)
			# With data=journal these blocks stand in the log, beginning with the log's own magic number.
			perl -e 'open my $f, ">", $ARGV[0] or die $!; for (1 .. 40) { print $f pack("N", 0xc03b3998), pack("N", $_), "x" x 4088 }' "$1/magic"
			sync "$1/magic"
			;;
		wrap)
			# More than the log holds, several times.
			local round
			for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
				names "$1/wrap-$round" 400
				sync -f "$1"
			done
			echo last >"$1/last"
			sync "$1/last"
			;;
		fast)
			# What a fast commit can say: ranges added and removed, inodes, names added and removed.
			for n in 1 2 3 4 5 6 7 8; do
				random "$1/fast-$n" $((n * 40000)) "$n"
				sync "$1/fast-$n"
			done
			ln "$1/fast-1" "$1/fast-link"
			sync "$1/fast-1"
			mv "$1/fast-2" "$1/fast-renamed"
			sync "$1/fast-renamed"
			rm "$1/fast-3"
			mkdir "$1/fast-folder"
			echo x >"$1/fast-folder/x"
			sync "$1/fast-folder/x"
			truncate -s 4096 "$1/fast-4"
			sync "$1/fast-4"
			fallocate -p -o 8192 -l 16384 "$1/fast-5"
			sync "$1/fast-5"
			fallocate -l 300000 "$1/fast-6"
			sync "$1/fast-6"
			chmod 0600 "$1/fast-7"
			sync "$1/fast-7"
			echo more >>"$1/fast-8"
			sync "$1/fast-8"
			;;
		*) echo "work: $what?" >&2; exit 1 ;;
		esac
	done
}

truncate -s "${SIZE:-600M}" "$OUT"
# shellcheck disable=SC2086
mke2fs -q -F $MKFS -E hash_seed=6a1b2c3d-0007-4e5f-8a9b-000000000007 "$OUT"
whole "$OUT" ext4 "${MOUNT:-}"
small "$TMP/mnt/first" 600
random "$TMP/mnt/open-1" 500000 1
random "$TMP/mnt/open-2" 5000 2
mkdir "$TMP/mnt/open-3"
sync -f "$TMP/mnt"

if [ -n "${JOURNAL:-}" ]; then
	done_with
	cp --sparse=always "$OUT" "$TMP/after"
	whole "$TMP/after" ext4 "${MOUNT:-}"
	work "$TMP/mnt"
	done_with
	# Every block that differs, but for the journal's own and the superblock, goes into one transaction.
	debugfs -R 'blocks <8>' "$OUT" 2>/dev/null | tr ' ' '\n' | grep . >"$TMP/journal-blocks"
	perl -e 'use strict; my ($before, $after, $journal, $data) = @ARGV;
		my %skip = (0 => 1); open my $j, "<", $journal or die $!; while (<$j>) { chomp; $skip{$_} = 1 }
		open my $a, "<", $before or die $!; open my $b, "<", $after or die $!; open my $d, ">", $data or die $!;
		my ($n, @list) = (0);
		while (read $b, my $y, 4096) { read $a, my $x, 4096; if ($x ne $y && !$skip{$n}) { push @list, $n; print $d $y } $n++ }
		print join ",", @list' "$OUT" "$TMP/after" "$TMP/journal-blocks" "$TMP/data" >"$TMP/list"
	printf 'jo %s\njw -b %s %s\njc\n' "$JOURNAL" "$(cat "$TMP/list")" "$TMP/data" >"$TMP/commands"
	debugfs -w -f "$TMP/commands" "$OUT" >"$TMP/said" 2>&1
	if grep -v '^debugfs' "$TMP/said" | grep -E '^j[owc]:|rror|sage' >&2; then exit 1; fi
elif [ -n "${TRUNCATE:-}" ]; then
	work "$TMP/mnt"
	ino=$(stat -c %i "$TMP/mnt/open-1")
	done_with
	printf 'sif /open-1 size 5000\nsif /open-1 dtime 0\nssv last_orphan %d\n' "$ino" >"$TMP/commands"
	debugfs -w -f "$TMP/commands" "$OUT" >"$TMP/said" 2>&1
	if grep -v '^debugfs' "$TMP/said" | grep -E '^[a-z_]+: |No such|not found|rror|sage:' >&2; then exit 1; fi
else
	work "$TMP/mnt"
	# Two files and a folder are unlinked while they are open, and open they stay until the power is cut.
	perl -e 'use strict; my ($mnt, $orphans, @shutdown) = @ARGV; my @keep;
		if ($orphans) { for ("open-1", "open-2") { open my $f, "+<", "$mnt/$_" or die $!; push @keep, $f; unlink "$mnt/$_" or die $! }
			opendir my $d, "$mnt/open-3" or die $!; push @keep, $d; rmdir "$mnt/open-3" or die $!;
			system("sync", "$mnt/" . $orphans) == 0 or die }
		exit(system(@shutdown) == 0 ? 0 : 1)' "$TMP/mnt" "${ORPHANS:-}" xfs_io -x -c "shutdown ${SHUTDOWN:-}" "$TMP/mnt"
	done_with
fi
# It must be dirty, or it shows nothing.
dumpe2fs -h "$OUT" 2>/dev/null | grep -q -E 'needs_recovery|orphan_present|First orphan' || { echo "the image is clean" >&2; exit 1; }
