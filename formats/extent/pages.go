package extent

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/block"
)

// pageSize is the piece of a table that is read and kept at once.
const pageSize = 64 << 10

// TableCache is the bytes of tables that a format keeps by default.
const TableCache = 32 << 20

// Pages reads the tables of an image in pages, and keeps them.
type Pages struct {
	dev   block.Device
	cache *block.Cache[int64, []byte]
}

// NewPages makes the Pages of dev, with at most limit bytes in memory.
func NewPages(dev block.Device, limit int64) *Pages {
	return &Pages{dev: dev, cache: block.NewCache[int64, []byte](max(limit, 16*pageSize))}
}

// At is the bytes from off to the end of its page, or of the device. An entry
// that is aligned to its size never crosses a page. Beyond the device it is
// io.ErrUnexpectedEOF. The bytes are shared and not to be changed.
func (p *Pages) At(ctx context.Context, off int64) ([]byte, error) {
	if off < 0 || off >= p.dev.Size() {
		return nil, io.ErrUnexpectedEOF
	}
	start := off &^ (pageSize - 1)
	b, ok := p.cache.Peek(start)
	if !ok {
		var err error
		b, err = p.cache.Get(ctx, start, func(ctx context.Context) ([]byte, int64, error) {
			b := make([]byte, block.Clamp(start, pageSize, p.dev.Size()))
			err := block.ReadFull(ctx, p.dev, b, start)
			return b, int64(len(b)), err
		})
		if err != nil {
			return nil, err
		}
	}
	return b[off-start:], nil
}

// CacheLimits divides Options.CacheBytes, or the default for 0, into what is
// for tables and what for decoded blocks.
func CacheLimits(limit int64) (tables, blocks int64) {
	tables, blocks = TableCache, maxBlockCache
	if limit > 0 {
		tables = min(tables, limit/3)
		blocks = min(blocks, limit-tables)
	}
	return tables, blocks
}
