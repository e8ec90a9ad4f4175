# Arrays of every level and layout, by mdadm and the kernel's md.
modprobe -a loop linear raid0 raid1 raid10 raid456
echo 1 >/sys/module/raid0/parameters/default_layout || true

# array CASE OPTIONS... -- SIZE...: an array of the disks, filled.
array() {
	name=$1
	shift
	options=
	while [ "$1" != -- ]; do
		options="$options $1"
		shift
	done
	shift
	disks "$name" "$@"
	n=$#
	case "$options" in
	*level=linear* | *level=0*) ;;
	*) options="$options --bitmap=none --assume-clean" ;;
	esac
	mdadm --create /dev/md/lab --run --homehost=lab --name="$name" $options --raid-devices="$n" $L 2>"$name/said" ||
		{ cat "$name/said"; exit 1; }
	md=$(readlink -f /dev/md/lab)
	pattern "$name" "$(blockdev --getsize64 "$md")" | dd of="$md" bs=1M iflag=fullblock conv=fsync status=none
	volume "$name" "$name" "$md"
	mdadm --stop "$md" 2>/dev/null
	detach
	rm "$name/said"
	echo "$name"
}

# mdadm makes /dev/md/lab without udev only where it is told.
mkdir -p /etc/mdadm /dev/md 2>/dev/null || true
export MDADM_NO_UDEV=1

array lin --metadata=1.2 --level=linear -- 2M 3M 2560K
array lin90 --metadata=0.90 --level=linear --rounding=64 -- 2M 3M
for v in 0.90 1.0 1.1 1.2; do
	array r1-$v --metadata=$v --level=1 -- 2M 2M
	# This kernel and mdadm make no RAID 0 with 0.90: it cannot say which of two layouts it has.
	[ $v = 0.90 ] || array r0-$v --metadata=$v --level=0 --chunk=16 -- 2M 2M 2M
	array r5-$v --metadata=$v --level=5 --chunk=16 -- 2M 2M 2M
done
for l in original alternate; do
	array r0-$l --metadata=1.2 --level=0 --chunk=16 --layout=$l -- 2M 3M 2560K
done
array r4 --metadata=1.2 --level=4 --chunk=16 -- 2M 2M 2M 2M
for l in la ra ls rs parity-first parity-last; do
	array r5-$l --metadata=1.2 --level=5 --chunk=8 --layout=$l -- 2M 2M 2M 2M
done
for l in la ra ls rs parity-first parity-last ddf-zero-restart ddf-N-restart ddf-N-continue \
	left-asymmetric-6 right-asymmetric-6 left-symmetric-6 right-symmetric-6 parity-first-6; do
	array r6-$l --metadata=1.2 --level=6 --chunk=8 --layout=$l -- 2M 2M 2M 2M 2M
done
for l in n2 n3 f2 f3 o2 o3; do
	array r10-$l --metadata=1.2 --level=10 --chunk=8 --layout=$l -- 2M 2M 2M 2M 2M
done
array r10-n2e --metadata=1.2 --level=10 --chunk=8 --layout=n2 -- 2M 2M 2M 2M

# A member that failed and has old contents.
disks stale 2M 2M 2M
mdadm --create /dev/md/lab --run --assume-clean --bitmap=none --homehost=lab --name=stale --metadata=1.2 --level=5 --chunk=16 --raid-devices=3 $L 2>/dev/null
md=$(readlink -f /dev/md/lab)
pattern old "$(blockdev --getsize64 "$md")" | dd of="$md" bs=1M iflag=fullblock conv=fsync status=none
set -- $L
mdadm "$md" --fail "$2" 2>/dev/null
pattern stale "$(blockdev --getsize64 "$md")" | dd of="$md" bs=1M iflag=fullblock conv=fsync status=none
sync
volume stale stale "$md"
mdadm --stop "$md" 2>/dev/null
detach
finish
