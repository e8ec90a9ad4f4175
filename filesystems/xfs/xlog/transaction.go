package xlog

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	// maxTransaction bounds the bytes of a transaction that are kept. The
	// kernel commits what reaches an eighth of that.
	maxTransaction = 512 << 20
	// maxOpen bounds the transactions that are open at once.
	maxOpen = 4096
	// maxRegions bounds the regions of an item.
	maxRegions = 1 << 15
)

// ErrTooLarge says that a transaction needs more memory than its limit. It
// unwraps to ENOMEM.
var ErrTooLarge = fmt.Errorf("a transaction of the log is larger than %d MiB: %w", maxTransaction>>20, syscall.ENOMEM)

// A transaction is put together from the operations of records.
type transaction struct {
	lsn    uint64 // of the record in which it began
	order  binary.ByteOrder
	header []byte // of transHeaderSize when it is whole
	items  []*item
	bytes  int64
}

// An item is one change.
type item struct {
	regions [][]byte
	total   int // regions that belong to it; 0 before the first
}

func (i *item) whole() bool { return i.total > 0 && len(i.regions) == i.total }

// format is the first region.
func (i *item) format(order binary.ByteOrder) native { return native{i.regions[0], order} }

// assembler puts transactions together and gives each at its commit.
type assembler struct {
	open   map[uint32]*transaction
	bytes  int64
	commit func(*transaction) error
}

func newAssembler(commit func(*transaction) error) *assembler {
	return &assembler{open: make(map[uint32]*transaction), commit: commit}
}

// add goes through the operations of a record.
func (a *assembler) add(rec *record) error {
	bad := func(at int, format string, args ...any) error {
		return ondisk.Corrupt("xfs log operation", rec.at*sector, fmt.Sprintf("byte %d of the payload: ", at)+format, args...)
	}
	for at, n := 0, rec.header.ops(); n > 0 && at < len(rec.payload); n-- {
		if at+operationSize > len(rec.payload) {
			return bad(at, "%d bytes are left", len(rec.payload)-at)
		}
		op := operation(rec.payload[at:])
		if c := op.client(); c != clientTransaction && c != clientLog {
			return bad(at, "client %#x", c)
		}
		if int64(op.len()) > int64(len(rec.payload)-at-operationSize) {
			return bad(at, "%d bytes, %d are left", op.len(), len(rec.payload)-at-operationSize)
		}
		data := rec.payload[at+operationSize : at+operationSize+int(op.len())]
		if why, err := a.operation(op, data, rec); err != nil {
			return err
		} else if why != "" {
			return bad(at, "transaction %#x: %s", op.tid(), why)
		}
		at += operationSize + len(data)
	}
	return nil
}

// operation takes one operation. why says that it is damaged.
func (a *assembler) operation(op operation, data []byte, rec *record) (why string, err error) {
	t := a.open[op.tid()]
	flags := op.flags() &^ opEnd
	if flags&opWasContinued != 0 {
		flags &^= opContinue
	}
	if t == nil {
		// What does not begin one is the rest of one that began before the tail, or padding.
		if flags&opStart != 0 {
			if len(a.open) >= maxOpen {
				return "too many are open", nil
			}
			a.open[op.tid()] = &transaction{lsn: rec.header.lsn(), order: rec.order}
		}
		return "", nil
	}
	switch flags {
	case 0, opContinue:
		why = t.add(data)
	case opWasContinued:
		why = t.extend(data)
	case opCommit:
		delete(a.open, op.tid())
		a.bytes -= t.bytes
		return "", a.commit(t)
	case opUnmount:
		delete(a.open, op.tid())
		a.bytes -= t.bytes
		return "", nil
	default:
		why = fmt.Sprintf("flags %#x", op.flags())
	}
	t.bytes += int64(len(data))
	if a.bytes += int64(len(data)); a.bytes > maxTransaction {
		return "", ErrTooLarge
	}
	return why, nil
}

// add takes a region that begins with an operation.
func (t *transaction) add(data []byte) (why string) {
	if len(data) == 0 {
		return ""
	}
	if t.header == nil {
		if len(data) > transHeaderSize || len(data) >= 4 && t.order.Uint32(data) != transMagic {
			return "it does not begin with its header"
		}
		t.header = append([]byte(nil), data...)
		return ""
	}
	if len(t.header) < transHeaderSize {
		return "its header is not complete"
	}
	if len(t.items) == 0 || t.items[len(t.items)-1].whole() {
		t.items = append(t.items, &item{})
	}
	it := t.items[len(t.items)-1]
	if it.total == 0 {
		if len(data) < 4 {
			return fmt.Sprintf("an item that begins with %d bytes", len(data))
		}
		it.total = int(native{data, t.order}.regions())
		if it.total == 0 || it.total > maxRegions {
			return fmt.Sprintf("an item of %d regions", it.total)
		}
	}
	it.regions = append(it.regions, append([]byte(nil), data...))
	return ""
}

// extend takes the rest of a region that the record before could not hold.
func (t *transaction) extend(data []byte) (why string) {
	if len(t.header) < transHeaderSize {
		if t.header = append(t.header, data...); len(t.header) > transHeaderSize {
			return "its header is too long"
		}
		return ""
	}
	if len(t.items) == 0 || len(t.items[len(t.items)-1].regions) == 0 {
		return "it continues what did not begin"
	}
	it := t.items[len(t.items)-1]
	last := &it.regions[len(it.regions)-1]
	*last = append(*last, data...)
	return ""
}
