// Package codec decodes what images and filesystems store compressed, a block
// at a time, for all of them alike.
//
// A Codec turns one compressed block into its bytes. The reader of the format
// says how many bytes there can be, by the buffer that it passes; no Codec
// writes or allocates by what the compressed data claims, so that a hostile
// block costs no more than an honest one.
//
// Decoders are costly to make and are kept between blocks, in a pool that the
// Codec owns; make one Codec for an image and share it. A Codec is safe for
// any number of goroutines and starts none.
//
// zstd is that of github.com/klauspost/compress. Deflate is our own: a decoder
// that has the whole block and the whole output before it needs no window and
// no copying. On the clusters of a Debian disk it was measured, a megabyte of
// output in processor time, at 1.9 times the speed of klauspost's flate, 2.3
// times that of compress/flate and 1.4 times that of zlib 1.2.13. It is fuzzed
// against compress/flate.
//
//	codec.go     Codec, its pool and its error
//	deflate.go   raw deflate and zlib
//	inflate.go   blocks of deflate and their codes
//	symbol.go    one symbol, every check
//	fast.go      the inner loop, where there is room
//	huffman.go   codes and their tables
//	zstd.go      Zstandard
//	lznt1.go     LZNT1, NTFS's own
//	xpress.go    XPRESS with Huffman codes: WIM files and WOF
//	lzx.go       LZX: the same; lzxprefix.go has the bits and codes of both
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package codec
