# The BitLocker volumes of cryptsetup's own tests, which Windows made: a tar of images and images.conf, from Debian's source
# package.
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
curl -fsS -o "$TMP/source.tgz" "$mirror/pool/main/c/cryptsetup/cryptsetup_2.6.1.orig.tar.gz"
echo "b8adeb071bb396a1a8515f1d54b4cc8901a536d0da3f5970971beb2ec8427c17  $TMP/source.tgz" | sha256sum -c --quiet
tar -C "$TMP" -xzf "$TMP/source.tgz" cryptsetup-2.6.1/tests/bitlk-images.tar.xz
mkdir "$TMP/all"
tar -C "$TMP/all" --no-same-owner -xJf "$TMP/cryptsetup-2.6.1/tests/bitlk-images.tar.xz"
# The holes of the images are written out: archive/tar of Go reads a few kinds of sparse files only.
tar -C "$TMP/all/bitlk-images" -cf - . | gzip -1 >"$OUT"
