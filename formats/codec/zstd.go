package codec

import (
	"bytes"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the window that a frame may ask for: what RFC 8878, 3.1.1.1.2
// recommends every decoder to support, and four times the largest block of any
// format here.
const zstdWindow = 8 << 20

// Zstd decodes Zstandard frames (RFC 8878), one after another where there are
// several. A frame with a window of more than 8 MiB is damaged.
func Zstd() *Codec {
	c := &Codec{name: "zstd"}
	c.pool.New = func() any {
		// With a concurrency of 1 the stream decoder works in the goroutine of
		// its reader, a block at a time, and never beyond what is read.
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow))
		if err != nil {
			panic(err) // an option out of range: ours
		}
		return &zstdStream{out: r}
	}
	return c
}

type zstdStream struct {
	in  bytes.Reader
	out *zstd.Decoder
}

func (z *zstdStream) decode(dst, src []byte) (n int, err error) {
	z.in.Reset(src)
	// A decoder in the pool must not keep the caller's block alive.
	defer z.in.Reset(nil)
	if err := z.out.Reset(&z.in); err != nil {
		return 0, err
	}
	// io.ReadFull would not tell a stream that ends from one that is cut off.
	for n < len(dst) && err == nil {
		var got int
		got, err = z.out.Read(dst[n:])
		n += got
	}
	if err == io.EOF || n == len(dst) {
		return n, nil
	}
	return n, err
}
