# The Debian disk in another format: $OPTIONS are qemu-img's.
# shellcheck disable=SC2086
cd "$CACHE"
qemu-img convert -f raw -O qcow2 $OPTIONS "$BASE" "$OUT"
