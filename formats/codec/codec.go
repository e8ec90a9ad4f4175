package codec

import (
	"errors"
	"fmt"
	"sync"
)

// ErrDamaged says that a block is not what its compression makes, or ends
// too early. It is wrapped with what the decoder found.
var ErrDamaged = errors.New("damaged compressed data")

// A Codec decodes blocks of one compression.
type Codec struct {
	name string
	pool sync.Pool // of decoder
}

// decoder decodes one block at a time.
type decoder interface {
	decode(dst, src []byte) (n int, err error)
}

// Name is that of the compression: "deflate", "zlib", "zstd".
func (c *Codec) Name() string { return c.name }

// Decode decodes the block in src into dst and says how many bytes it gave:
// len(dst), or fewer where the compressed stream ended before. What follows in
// src once dst is full or the stream ended is not looked at, since formats pad
// their blocks. The error wraps ErrDamaged; the n bytes before the damage are
// in dst, and what is behind them in dst is undefined.
func (c *Codec) Decode(dst, src []byte) (n int, err error) {
	d := c.pool.Get().(decoder)
	n, err = d.decode(dst, src)
	c.pool.Put(d)
	if err != nil {
		return n, fmt.Errorf("%s: %w: %w", c.name, ErrDamaged, err)
	}
	return n, nil
}
