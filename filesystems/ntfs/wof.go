package ntfs

import (
	"context"
	"io"

	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/vfs"
)

// wofStream is the name of the stream with the compressed bytes.
const wofStream = "WofCompressedData"

// wofInfo is the data of a WOF reparse point: WOF_EXTERNAL_INFO, and behind it
// what the provider keeps, FILE_PROVIDER_EXTERNAL_INFO_V1 for files.
type wofInfo []byte

func (w wofInfo) version() uint32       { return le.Uint32(w) }
func (w wofInfo) provider() uint32      { return le.Uint32(w[4:]) }
func (w wofInfo) fileVersion() uint32   { return le.Uint32(w[8:]) }
func (w wofInfo) fileAlgorithm() uint32 { return le.Uint32(w[12:]) }

const (
	wofHeader     = 8
	wofFileHeader = 16

	wofProviderWIM  = 1
	wofProviderFile = 2

	// wofGroup is what one extent spans at most, so that large reads are
	// decoded in parallel.
	wofGroup = 128 << 10
)

// A wofData decodes a file that the Windows Overlay Filter compresses: chunks
// behind a table of where each but the first begins, counted from the table's
// end. A chunk that did not shrink is stored as it is.
type wofData struct {
	f     *file
	data  stream // WofCompressedData
	size  int64  // bytes of the file
	chunk int64  // bytes
	entry int64  // bytes of an entry of the table
	codec *codec.Codec
}

// loadWOF prepares reading a WOF file. What is wrong with it shows when it is
// read.
func (n *inode) loadWOF(ctx context.Context, data []byte) error {
	if n.isDir() {
		return nil
	}
	if len(data) < wofHeader {
		n.refuse = n.f.corrupt("a WOF reparse point of %d bytes", len(data))
		return nil
	}
	i := wofInfo(data)
	switch {
	case i.version() != 1:
		n.refuse = ondisk.Unsupported("NTFS file", "WOF version %d", i.version())
	case i.provider() == wofProviderWIM:
		n.refuse = &ondisk.UnsupportedError{What: "NTFS file", Detail: "WIMBoot, whose bytes are in a WIM file,", Remedy: "extract it from the WIM file"}
	case i.provider() != wofProviderFile:
		n.refuse = ondisk.Unsupported("NTFS file", "the WOF provider %d", i.provider())
	case len(data) < wofFileHeader:
		n.refuse = n.f.corrupt("a WOF reparse point of %d bytes", len(data))
	case i.fileVersion() != 1:
		n.refuse = ondisk.Unsupported("NTFS file", "version %d of the WOF file provider", i.fileVersion())
	}
	if n.refuse != nil {
		return nil
	}
	w := &wofData{f: &n.f, size: n.data.size, entry: 4, codec: n.f.fs.xpress}
	switch i.fileAlgorithm() {
	case 0:
		w.chunk = 4 << 10
	case 1:
		w.chunk, w.codec = 32<<10, n.f.fs.lzx
	case 2:
		w.chunk = 8 << 10
	case 3:
		w.chunk = 16 << 10
	default:
		n.refuse = ondisk.Unsupported("NTFS file", "the WOF algorithm %d", i.fileAlgorithm())
		return nil
	}
	if w.size >= 1<<32 {
		w.entry = 8
	}
	name, _ := encodeName(nil, wofStream)
	ok, err := n.f.find(ctx, typeData, name, &w.data)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		n.refuse = err
	case !ok:
		n.refuse = n.f.corrupt("it is compressed by WOF and lacks the stream %q", wofStream)
	case w.size > 0 && w.table() > w.data.size:
		n.refuse = n.f.corrupt("its stream %q has %d bytes for the chunks of %d", wofStream, w.data.size, w.size)
	default:
		n.wof = w
		n.attr.Blocks = w.data.blocks()
		n.attr.Flags |= vfs.FlagCompressed
	}
	return nil
}

// table is the size of the table of chunks, in bytes.
func (w *wofData) table() int64 { return ((w.size+w.chunk-1)/w.chunk - 1) * w.entry }

func (w *wofData) mapAt(_ context.Context, off, n int64) (vfs.Extent, error) {
	n = min(n, w.size-off, wofGroup-off%wofGroup)
	return vfs.Extent{Kind: vfs.Encoded, Len: n, Decode: func(ctx context.Context, p []byte, in int64) (int, error) {
		return w.read(ctx, p, off+in)
	}}, nil
}

// read decodes len(p) bytes at off of the file.
func (w *wofData) read(ctx context.Context, p []byte, off int64) (int, error) {
	if !ondisk.Fits(off, int64(len(p)), w.size) {
		return 0, io.ErrUnexpectedEOF
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		index, in := at/w.chunk, at%w.chunk
		if want := int64(len(p) - done); in == 0 && want >= w.length(index) {
			// Whole chunks, as many as fit in a group.
			count := int64(1)
			for span := w.length(index); count < wofGroup/w.chunk && index+count < w.chunks() && want-span >= w.length(index+count); count++ {
				span += w.length(index + count)
			}
			n, err := w.decode(ctx, p[done:], index, count)
			done += n
			if err != nil {
				return done, err
			}
			continue
		}
		b, err := w.f.fs.units.Get(ctx, unitKey{w.f.num, -1, index}, func(ctx context.Context) ([]byte, int64, error) {
			b := make([]byte, w.length(index))
			_, err := w.decode(ctx, b, index, 1)
			return b, int64(len(b)), err
		})
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b[in:])
	}
	return done, nil
}

func (w *wofData) chunks() int64 { return (w.size + w.chunk - 1) / w.chunk }

// length is the bytes of the file in a chunk.
func (w *wofData) length(index int64) int64 { return min(w.chunk, w.size-index*w.chunk) }

// decode decodes count whole chunks from index on into p and says how many
// bytes are good.
func (w *wofData) decode(ctx context.Context, p []byte, index, count int64) (int, error) {
	var bounds [wofGroup/(4<<10) + 1]int64
	if err := w.bounds(ctx, bounds[:count+1], index); err != nil {
		return 0, err
	}
	buf := w.f.fs.buffer(bounds[count] - bounds[0])
	defer w.f.fs.buffers.Put(buf)
	if err := w.data.readFull(ctx, *buf, w.table()+bounds[0]); err != nil {
		return 0, err
	}
	done := 0
	for i := range count {
		src := (*buf)[bounds[i]-bounds[0] : bounds[i+1]-bounds[0]]
		dst := p[done:][:w.length(index+i)]
		if len(src) == len(dst) {
			copy(dst, src)
		} else if n, err := w.codec.Decode(dst, src); err != nil || n != len(dst) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return done, w.f.corrupt("its WOF chunk %d of %d bytes at %d: %v", index+i, len(src), bounds[i], err)
		}
		done += len(dst)
	}
	return done, nil
}

// bounds reads where chunks begin: those of index and the following, and the
// end of the last.
func (w *wofData) bounds(ctx context.Context, to []int64, index int64) error {
	var buf [(wofGroup/(4<<10) + 1) * 8]byte
	last := w.chunks() - 1
	from := max(index-1, 0)                    // entry i says where chunk i+1 begins
	until := min(index+int64(len(to))-1, last) // entries needed, exclusive
	entries := buf[:max(until-from, 0)*w.entry]
	if err := w.data.readFull(ctx, entries, from*w.entry); err != nil {
		return err
	}
	room := w.data.size - w.table()
	for i := range to {
		chunk := index + int64(i)
		switch {
		case chunk == 0:
			to[i] = 0
		case chunk > last:
			to[i] = room
		case w.entry == 8:
			to[i] = int64(le.Uint64(entries[(chunk-1-from)*8:]))
		default:
			to[i] = int64(le.Uint32(entries[(chunk-1-from)*4:]))
		}
		if to[i] < 0 || to[i] > room {
			return w.f.corrupt("its WOF chunk %d begins at %d of %d", chunk, to[i], room)
		}
		if i > 0 && (to[i] <= to[i-1] || to[i]-to[i-1] > w.length(chunk-1)) {
			return w.f.corrupt("its WOF chunk %d is from %d to %d", chunk-1, to[i-1], to[i])
		}
	}
	return nil
}
