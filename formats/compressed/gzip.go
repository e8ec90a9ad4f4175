package compressed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/codec"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	gzipWhat = "gzip file"

	// gzipPiece is how far apart the places are at which a stream can be taken
	// up, in bytes of the disk.
	gzipPiece = 2 << 20
	// gzipInput is the most of a file that a piece takes: of members without
	// contents there may be any number.
	gzipInput = 4 << 20
	// deflateWindow is how far back a match of deflate goes.
	deflateWindow = 32 << 10
)

// A resume is what a piece needs to be decoded on its own.
type resume struct {
	cut    codec.Cut
	window []byte // what the member has before the piece, at most 32 KiB; zstd
	before int    // bytes that window decodes to
	member bool   // it begins with a member's header
	crc    uint32 // of the piece
}

// gzipIndex is the table of a gzip file.
type gzipIndex struct {
	index
	resumes []resume
	windows *codec.Codec
}

// indexGzip decodes a file once.
func indexGzip(ctx context.Context, src block.Device) (*index, error) {
	x := &gzipIndex{windows: codec.Zstd()}
	x.unpack = x.unpackPiece
	p := &gzipPass{x: x, w: newWindow(src), out: make([]byte, deflateWindow+gzipPiece+2*codec.CutRoom)}
	if err := p.begin(0, true); err != nil {
		return nil, err
	}
	for {
		ended, err := p.member(ctx)
		if err != nil {
			return nil, err
		}
		if ended {
			break
		}
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return &x.index, nil
}

// A gzipPass is the pass over a file.
type gzipPass struct {
	x   *gzipIndex
	w   *window
	enc *zstd.Encoder // of windows; nil until there is one
	inf codec.Inflater

	out    []byte // the window, then the piece
	before int    // where the piece begins in out
	n      int    // where it ends
	at     int64  // where it begins in the file
	r      resume // of the piece

	sum    uint32 // of the member
	length int64  // of what the member gave
}

// begin starts a piece behind out[:p.before].
func (p *gzipPass) begin(before int, member bool) (err error) {
	p.before, p.n, p.at = before, before, p.w.off
	p.r = resume{member: member, before: before}
	if isZero(p.out[:before]) {
		return nil
	}
	if p.enc == nil {
		p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return err
		}
	}
	p.r.window = p.enc.EncodeAll(p.out[:before], nil)
	return nil
}

// end puts the piece into the table.
func (p *gzipPass) end() error {
	b := p.out[p.before:p.n]
	p.r.crc = crc32.ChecksumIEEE(b)
	if len(b) == 0 {
		return nil
	}
	// The last bits may be in the byte that the next piece begins with.
	size := min(p.w.off-p.at+1, p.w.src.Size()-p.at)
	if err := p.x.add(gzipWhat, piece{len: int64(len(b)), at: p.at, size: size, zero: isZero(b)}); err != nil {
		return err
	}
	if p.x.pieces[len(p.x.pieces)-1].zero {
		p.r = resume{} // it is never decoded
	}
	p.x.resumes = append(p.x.resumes, p.r)
	return nil
}

// member goes over a member, or says that there is none any more.
func (p *gzipPass) member(ctx context.Context) (ended bool, err error) {
	if ended, err := p.padding(ctx); ended || err != nil {
		return ended, err
	}
	b, err := p.w.peek(ctx, maxMemberHeader)
	if err != nil {
		return false, err
	}
	n, err := headerLen(b, p.w.off)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false, p.cutOff()
	}
	if err != nil {
		return false, err
	}
	p.w.skip(n)
	p.sum, p.length = 0, 0
	for cut, ended := (codec.Cut{}), false; !ended; {
		if cut, ended, err = p.part(ctx, cut); err != nil {
			return false, err
		}
	}
	if b, err = p.w.peek(ctx, trailerLen); err != nil {
		return false, err
	}
	if len(b) < trailerLen {
		return false, p.cutOff()
	}
	if stored := binary.LittleEndian.Uint32(b[memberCRC:]); stored != p.sum {
		return false, ondisk.BadChecksum("gzip member", p.w.off, stored, p.sum)
	}
	if stored := binary.LittleEndian.Uint32(b[memberSize:]); stored != uint32(p.length) {
		return false, ondisk.Corrupt("gzip member", p.w.off, "it has %d bytes, and says %d", p.length, stored)
	}
	p.w.skip(trailerLen)
	return false, nil
}

// padding skips zeros behind the last member, and says whether it was that.
// What else is there is no gzip, as gzip says too.
func (p *gzipPass) padding(ctx context.Context) (ended bool, err error) {
	if p.w.off == 0 {
		return false, nil
	}
	for {
		b, err := p.w.peek(ctx, len(gzipMagic))
		if err != nil {
			return false, err
		}
		if len(b) == 0 {
			return true, nil
		}
		if b[0] != 0 {
			if !bytes.HasPrefix(b, []byte(gzipMagic)) {
				p.x.damaged = "what follows the compressed disk is not gzip"
				return true, nil
			}
			return false, nil
		}
		p.w.skip(len(b) - len(bytes.TrimLeft(b, "\x00")))
	}
}

func (p *gzipPass) cutOff() error {
	return ondisk.Corrupt(gzipWhat, p.w.src.Size(), "the file ends within a member")
}

// part decodes some of a member, and begins another piece where one is full.
func (p *gzipPass) part(ctx context.Context, cut codec.Cut) (codec.Cut, bool, error) {
	if err := ctx.Err(); err != nil {
		return cut, false, err
	}
	if len(p.out)-p.n <= 2*codec.CutRoom || p.w.off-p.at >= gzipInput {
		if err := p.end(); err != nil {
			return cut, false, err
		}
		before := copy(p.out, p.out[max(0, p.n-deflateWindow):p.n])
		if err := p.begin(before, false); err != nil {
			return cut, false, err
		}
		p.r.cut = cut
	}
	b, err := p.w.peek(ctx, codec.CutInput+1)
	if err != nil {
		return cut, false, err
	}
	n, used, next, ended, err := p.inf.Part(cut, p.out, p.n, b, p.w.more())
	if err != nil {
		return cut, false, ondisk.Corrupt(gzipWhat, p.w.off+int64(used), "%v", err)
	}
	p.sum = crc32.Update(p.sum, crc32.IEEETable, p.out[p.n:n])
	p.length += int64(n - p.n)
	p.n = n
	p.w.skip(used)
	return next, ended, nil
}

// unpackPiece decodes a piece, which may reach over several members.
func (x *gzipIndex) unpackPiece(i int, raw []byte) ([]byte, error) {
	p, r := x.pieces[i], x.resumes[i]
	out := make([]byte, int64(r.before)+p.len)
	if r.window != nil {
		if n, err := x.windows.Decode(out[:r.before], r.window); err != nil || n != r.before {
			return nil, ondisk.Corrupt(gzipWhat, p.at, "what was kept before it does not decode") // memory that went bad
		}
	}
	var inf codec.Inflater
	at, n, cut := 0, r.before, r.cut
	for inMember := !r.member; n < len(out); {
		rest := raw[min(at, len(raw)):]
		if !inMember {
			zeros := len(rest) - len(bytes.TrimLeft(rest, "\x00"))
			header, err := headerLen(rest[zeros:], p.at+int64(at))
			if err != nil {
				return nil, ondisk.Corrupt(gzipWhat, p.at+int64(at), "the file has changed: %v", err)
			}
			at, inMember, cut = at+zeros+header, true, codec.Cut{}
			continue
		}
		end, used, ended, err := inf.Fill(cut, out, n, rest)
		if err != nil || !ended && end < len(out) {
			return nil, ondisk.Corrupt(gzipWhat, p.at+int64(at), "the file has changed: %v", err)
		}
		n, at, inMember = end, at+used+trailerLen, false
	}
	out = out[r.before:]
	if sum := crc32.ChecksumIEEE(out); sum != r.crc {
		return nil, ondisk.BadChecksum(gzipWhat, p.at, r.crc, sum)
	}
	return out, nil
}

// isZero says whether all bytes of b are.
func isZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
