# What the kernel makes of a dirty image: a copy, mounted for writing, which replays the journal and frees the orphans.
cp --sparse=always "$BASE" "$OUT"
if [ -n "${OFFSET:-}" ]; then
	loop "$OUT" "$OFFSET" "$SIZE" ext4 noatime
else
	whole "$OUT" ext4 noatime
fi
done_with
