package vhdx

import (
	"context"
	"io"
	"math"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	logName = "VHDX log"
	// maxLog bounds the log that is replayed, and what its changes take in
	// memory, in bytes. Hyper-V and QEMU make logs of 1 MiB.
	maxLog = 64 << 20
	// scanBudget bounds how much is checksummed, in lengths of the log: an
	// honest one takes two.
	scanBudget = 8
)

// logEntry is a valid entry of the log.
type logEntry struct {
	off, len, tail int64
	sequence       uint64
	raw            []byte // the whole entry in a row
}

// activeLog is the log of a file that was not closed.
type activeLog struct {
	h      *header
	b      []byte
	budget int64
}

// replay puts the changes of the log over src, section 2.3.3. Nothing is
// written.
func replay(ctx context.Context, src block.Device, h *header) (block.Device, error) {
	if h.logGUID == guidNone {
		return src, nil
	}
	if h.logLength > maxLog {
		return nil, ondisk.Unsupported(what, "a log of %d bytes that was not written back", h.logLength)
	}
	l := &activeLog{h: h, b: make([]byte, h.logLength), budget: scanBudget * h.logLength}
	if err := block.ReadFull(ctx, src, l.b, h.logOffset); err != nil {
		return nil, err
	}
	entries, err := l.active()
	if err != nil {
		return nil, err
	}
	head := entries[len(entries)-1]
	if flushed := le64(head.raw, logFlushed); uint64(src.Size()) < flushed {
		return nil, ondisk.Corrupt(logName, h.logOffset+head.off, "the file had %d bytes and has %d: it is cut short", flushed, src.Size())
	}
	size := src.Size()
	if last := le64(head.raw, logLast); last > math.MaxInt64-mb {
		return nil, ondisk.Corrupt(logName, h.logOffset+head.off+logLast, "a file of %d bytes", last)
	} else if int64(last) > size {
		size = int64(last)
	}
	changes := uint64(0)
	for _, e := range entries {
		if size, err = l.extend(e, size, &changes); err != nil {
			return nil, err
		}
	}
	over, err := block.NewOverlay(&extended{src, (size + logSector - 1) / logSector * logSector}, logSector, 2*maxLog)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := l.apply(ctx, e, over); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// active finds the newest sequence of entries that is whole, and gives it from
// its tail on.
func (l *activeLog) active() ([]logEntry, error) {
	var best []logEntry
	size := int64(len(l.b))
	for at := int64(0); at < size; {
		var seq []logEntry
		total := int64(0)
		for head := at; ; {
			e, ok, err := l.entry(head)
			if err != nil {
				return nil, err
			}
			if !ok || len(seq) > 0 && e.sequence != seq[len(seq)-1].sequence+1 || total+e.len > size {
				break
			}
			seq, total = append(seq, e), total+e.len
			head = (head + e.len) % size
		}
		valid := false
		if len(seq) > 0 {
			last := seq[len(seq)-1]
			for i, e := range seq {
				if e.off != last.tail {
					continue
				}
				valid = true
				if best == nil || last.sequence > best[len(best)-1].sequence {
					best = seq[i:]
				}
				break
			}
		}
		if valid {
			at += total
		} else {
			at += logSector
		}
	}
	if best == nil {
		return nil, ondisk.Corrupt(logName, l.h.logOffset, "the header says that it is in use, and it has no whole sequence of entries")
	}
	return best, nil
}

// entry is the entry at off, if there is a valid one.
func (l *activeLog) entry(off int64) (e logEntry, ok bool, err error) {
	b := l.b[off:]
	if string(b[:4]) != logSignature {
		return e, false, nil
	}
	size := int64(len(l.b))
	e = logEntry{off: off, len: int64(le32(b, logEntryLength)), tail: int64(le32(b, logTail)), sequence: le64(b, logSequence)}
	if e.len == 0 || e.len%logSector != 0 || e.len > size || e.tail%logSector != 0 || e.tail >= size || e.sequence == 0 || guid(b, logGUID) != l.h.logGUID {
		return e, false, nil
	}
	if l.budget -= e.len; l.budget < 0 {
		return e, false, ondisk.Corrupt(logName, l.h.logOffset+off, "entries that overlap each other more than %d times", scanBudget)
	}
	if off+e.len <= size {
		e.raw = b[:e.len]
	} else {
		e.raw = append(append([]byte(nil), b...), l.b[:e.len-(size-off)]...)
	}
	if le32(e.raw, offChecksum) != checksum(e.raw) {
		return e, false, nil
	}
	return e, l.whole(e), nil
}

// whole says whether the descriptors of e and its data sectors are there and
// of the same sequence number.
func (l *activeLog) whole(e logEntry) bool {
	count := int64(le32(e.raw, logDescCount))
	if count > (e.len-logHeaderLen)/descLen {
		return false
	}
	data := (logHeaderLen + count*descLen + logSector - 1) / logSector * logSector
	for i := range count {
		d := e.raw[logHeaderLen+i*descLen:][:descLen]
		if le64(d, descSequence) != e.sequence || le64(d, descOffset)%logSector != 0 {
			return false
		}
		switch string(d[:4]) {
		case zeroSignature:
			if le64(d, descLeading)%logSector != 0 {
				return false
			}
		case descSignature:
			if data+logSector > e.len {
				return false
			}
			s := e.raw[data : data+logSector]
			if string(s[:4]) != dataSignature || uint64(le32(s, dataSeqHigh))<<32|uint64(le32(s, dataLast)) != e.sequence {
				return false
			}
			data += logSector
		default:
			return false
		}
	}
	return true
}

// each calls do for every descriptor of e: data is nil for zeros.
func (l *activeLog) each(e logEntry, do func(at int64, off, n uint64, data []byte) error) error {
	count := int64(le32(e.raw, logDescCount))
	next := (logHeaderLen + count*descLen + logSector - 1) / logSector * logSector
	for i := range count {
		d := e.raw[logHeaderLen+i*descLen:][:descLen]
		at := l.h.logOffset + e.off + logHeaderLen + i*descLen
		var err error
		if string(d[:4]) == zeroSignature {
			err = do(at, le64(d, descOffset), le64(d, descLeading), nil)
		} else {
			data := append([]byte(nil), e.raw[next:next+logSector]...)
			copy(data[:dataFirst], d[descLeading:])
			copy(data[dataLast:], d[descTrailing:descLeading])
			next += logSector
			err = do(at, le64(d, descOffset), logSector, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// extend is the size of the file that the changes of e need. It counts their
// bytes, which are kept in memory.
func (l *activeLog) extend(e logEntry, size int64, changes *uint64) (int64, error) {
	err := l.each(e, func(at int64, off, n uint64, _ []byte) error {
		if off > math.MaxInt64-mb || n > math.MaxInt64-mb-off {
			return ondisk.Corrupt(logName, at, "a change of %d bytes at %d", n, off)
		}
		size = max(size, int64(off+n))
		if *changes += n; *changes > maxLog {
			return ondisk.Unsupported(what, "a log that was not written back with changes of more than %d bytes", maxLog)
		}
		return nil
	})
	return size, err
}

// apply makes the changes of e.
func (l *activeLog) apply(ctx context.Context, e logEntry, over *block.Overlay) error {
	return l.each(e, func(at int64, off, n uint64, data []byte) error {
		if data == nil {
			return over.Zero(ctx, int64(off), int64(n))
		}
		_, err := over.WriteAt(ctx, data, int64(off))
		return err
	})
}

// extended is a file with zeros behind its end.
type extended struct {
	block.Device
	size int64
}

func (x *extended) Size() int64 { return x.size }

func (x *extended) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := block.Clamp(off, int64(len(p)), x.size)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	inside := block.Clamp(off, n, x.Device.Size())
	if inside > 0 {
		if err := block.ReadFull(ctx, x.Device, p[:inside], off); err != nil {
			return 0, err
		}
	}
	clear(p[inside:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (x *extended) Locate(ctx context.Context, off, n int64) (block.Run, error) {
	if n = block.Clamp(off, n, x.size); n == 0 {
		return block.Run{}, io.EOF
	}
	if inside := block.Clamp(off, n, x.Device.Size()); inside > 0 {
		return x.Device.Locate(ctx, off, inside)
	}
	return block.Run{Kind: block.Zero, Len: n}, nil
}

func (x *extended) Prefetch(off, n int64) { block.Prefetch(x.Device, off, n) }
