# Common to the scripts that make fixtures in the appliance. A case is a folder
# of disk images, 0.img 1.img ..., and a file "volumes": for each volume that
# the kernel made of them its name, size and the SHA-256 of what it reads.
set -eu
mkdir -p /tmp/lab
cd /tmp/lab

# pattern NAME BYTES: every sector says where it belongs.
pattern() {
	perl -e 'my ($n, $b) = @ARGV; for my $i (0 .. $b / 512 - 1) { print sprintf("%-7.7s%08x\n", $n, $i) x 32 }' "$1" "$2"
}

# disks CASE SIZE...: makes the images and attaches them; $L is the list of devices.
disks() {
	c=$1
	shift
	mkdir "$c"
	L=
	i=0
	for size; do
		truncate -s "$size" "$c/$i.img"
		L="$L $(losetup -f --show "$c/$i.img")"
		i=$((i + 1))
	done
}

# volume CASE NAME DEVICE: notes what the kernel reads.
volume() {
	blockdev --flushbufs "$3"
	echo "$2 $(blockdev --getsize64 "$3") $(dd if="$3" bs=1M iflag=direct status=none | sha256sum | cut -d' ' -f1)" >>"$1/volumes"
}

# detach: lets go of $L.
detach() {
	sync
	for l in $L; do
		losetup -d "$l"
	done
}

# done: writes all cases to $OUT.
finish() {
	sync
	tar -C /tmp/lab -S -cf - . | gzip -6 >/tmp/lab.tgz
	dd if=/tmp/lab.tgz of=$OUT bs=1M conv=fsync status=none
}
