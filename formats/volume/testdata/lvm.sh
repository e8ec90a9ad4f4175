# Plain, snapshot and thin logical volumes.
group plain 4 1M
lvcreate -qq -y -Wn -l 3 -n lin plain "$(echo $L | cut -d' ' -f2)" >/dev/null
lvcreate -qq -y -Wn -i3 -I 8k -l 6 -n str plain >/dev/null
lvcreate -qq -y -Wn -l 2 -n other plain >/dev/null
lvextend -qq -l +9 plain/lin >/dev/null
fill lin; fill str; fill other
note lin str other
leave

# Classic snapshots: of each the exceptions of several areas.
group snaps 2 4M
lvcreate -qq -y -Wn -l 20 -n orig snaps >/dev/null
fill orig
lvcreate -qq -y -s -c 4k -l 12 -n old snaps/orig >/dev/null
for at in 0 9 200 100 101 102 7 250; do
	pattern "new$at" 4096 | dd of=/dev/snaps/orig bs=4k seek=$at conv=fsync status=none
done
lvcreate -qq -y -s -c 8k -l 12 -n young snaps/orig >/dev/null
for at in 1 2 3 150; do
	pattern "more$at" 4096 | dd of=/dev/snaps/orig bs=4k seek=$at conv=fsync status=none
	pattern "own$at" 4096 | dd of=/dev/snaps/young bs=4k seek=$((at + 60)) conv=fsync status=none
done
pattern run 400000 | dd of=/dev/snaps/orig bs=4k seek=180 conv=fsync status=none
note orig old young
leave

# Thin volumes: written in an order that makes the mapping's tree uneven, a
# snapshot that shares and one that has changed, one of a snapshot, one with an
# origin outside of the pool.
group thin 2 12M
lvcreate -qq -y -Wn -l 8 -n base thin >/dev/null
fill base
lvcreate -qq -y --type thin-pool -l 100 -c 64k --poolmetadatasize 2M -Zn -n pool thin >/dev/null
lvcreate -qq -y -V 16M -T thin/pool -n t1 >/dev/null
fill t1 t1 1048576
for at in 100 3 77 200 199 198 50; do
	pattern "a$at" 8192 | dd of=/dev/thin/t1 bs=64k seek=$at conv=fsync status=none
done
lvcreate -qq -y -s -kn -n s1 thin/t1 >/dev/null
lvchange -q -ay -K thin/s1
pattern changed 100000 | dd of=/dev/thin/t1 bs=4k seek=17 conv=fsync status=none
pattern snap 70000 | dd of=/dev/thin/s1 bs=4k seek=33 conv=fsync status=none
lvcreate -qq -y -s -kn -n s2 thin/s1 >/dev/null
pattern snap2 70000 | dd of=/dev/thin/s2 bs=4k seek=1000 conv=fsync status=none
lvchange -q -an thin/base
lvchange -q -pr thin/base
lvcreate -qq -y -s -kn --thinpool thin/pool -n ext thin/base >/dev/null
lvchange -q -ay -K thin/ext
pattern ext 5000 | dd of=/dev/thin/ext bs=4k seek=5 conv=fsync status=none
lvcreate -qq -y -V 1M -T thin/pool -n empty >/dev/null
lvchange -q -ay thin/base
note base t1 s1 s2 ext empty
leave

# A pool whose metadata is a tree of several levels: every block once, in an
# order that does not follow the device.
group deep 1 24M
lvcreate -qq -y --type thin-pool -l 305 -c 64k --poolmetadatasize 2M -Zn -n pool deep >/dev/null
for v in a b c; do lvcreate -qq -y -V 20M -T deep/pool -n $v >/dev/null; done
perl -e 'for my $i (0 .. 99) { for my $v ("a", "b", "c") { open my $f, "+<", "/dev/deep/$v" or die $!; seek $f, (($i * 37) % 311) * 65536, 0;
	print $f (sprintf("%-7s%08x\n", $v, $i) x 32); close $f } }'
sync
note a b c
leave

finish
