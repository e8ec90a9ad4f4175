# Cached logical volumes.
# Caches with blocks that only the cache has.
group caches 2 16M
fast=$(echo $L | cut -d' ' -f2)
slow=$(echo $L | cut -d' ' -f1)
lvcreate -qq -y -Wn -l 16 -n pooled caches $slow >/dev/null
fill pooled
lvcreate -qq -y --type cache-pool -l 16 -c 32k --cachemode writeback --poolmetadatasize 2M -n cp caches $fast >/dev/null
lvconvert -qq -y --type cache --cachepool caches/cp caches/pooled >/dev/null
lvcreate -qq -y -Wn -l 16 -n single caches $slow >/dev/null
fill single
lvcreate -qq -y -Wn -l 40 -n fastvol caches $fast >/dev/null
lvconvert -qq -y --type cache --cachevol caches/fastvol -c 32k --cachemode writeback caches/single >/dev/null
for v in pooled single; do
	for round in 1 2 3 4 5 6 7 8; do
		for at in 0 8 40 16 100 200; do
			pattern "$v$at" 32768 | dd of=/dev/caches/$v bs=4k seek=$at oflag=direct conv=notrunc status=none
		done
	done
done
# What is written when nothing may migrate stays in the cache alone.
for v in pooled single; do
	dmsetup message caches-$v 0 migration_threshold 0
	for at in 0 8 40; do
		pattern "dirt$at" 32768 | dd of=/dev/caches/$v bs=4k seek=$at oflag=direct conv=notrunc status=none
	done
done
lvs -o name,cache_dirty_blocks caches
note pooled single
leave
finish
