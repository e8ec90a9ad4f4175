# The dynamic disks of libldm's own tests, which Windows Server 2003 R2 and 2008 R2 made, from Debian's source package.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
curl -fsS -o "$TMP/source.tgz" "$mirror/pool/main/libl/libldm/libldm_0.2.5.orig.tar.gz"
echo "61bb2f2367b1df59f818cb96794d1770a0def956bd2c343dccf1425dae3021b5  $TMP/source.tgz" | sha256sum -c --quiet
tar -C "$TMP" -xzf "$TMP/source.tgz" libldm-libldm-0.2.5/test/data/ldm-data.tar.xz
mkdir "$TMP/all"
tar -C "$TMP/all" --no-same-owner -xJf "$TMP/libldm-libldm-0.2.5/test/data/ldm-data.tar.xz"
# The holes of the images are written out: archive/tar of Go reads a few kinds of sparse files only. What every test wants
# stands first.
cd "$TMP/all"
tar -cf - ldm-2003r2-simple-1.img ldm-2003r2-spanned-?.img $(ls | grep -v -e simple -e 2003r2-spanned) | gzip -1 >"$OUT"
