package hive

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// An overlay says where in the logs pages are that stand before the primary file's.
type overlay map[uint32]logged // number of the page in the hive bins data

type logged struct {
	log File
	off int64
}

// apply puts the pages that lie in b, which is at off, into it.
func (o overlay) apply(b []byte, off int64) error {
	if len(o) == 0 {
		return nil
	}
	for i := 0; i < len(b); i += dirtyPage {
		if l, ok := o[uint32((off+int64(i))/dirtyPage)]; ok {
			if err := readFull(l.log, b[i:i+dirtyPage], l.off); err != nil {
				return err
			}
		}
	}
	return nil
}

// put takes the pages from first on, which lie behind each other in a log.
func (o overlay) put(first, count uint32, log File, off int64) {
	for i := range count {
		o[first+i] = logged{log, off + int64(i)*dirtyPage}
	}
}

// A transactions is a log with a base block that is right.
type transactions struct {
	file File
	base base
}

// replay finds out what the logs have that the primary file has not. valid says
// that its base block is right.
func (h *Hive) replay(valid bool, logs []File) error {
	h.changed = overlay{}
	var old, entries []transactions
	for _, f := range logs {
		if f == nil || f.Size() < baseSector || f.Size() > maxLog {
			continue
		}
		head := make([]byte, baseSector)
		if err := readFull(f, head, 0); err != nil {
			return err
		}
		t := transactions{file: f}
		if t.base.parse(head) != nil {
			continue
		}
		switch t.base.kind {
		case typeLog, typeLog2000:
			old = append(old, t)
		case typeLogEntries:
			entries = append(entries, t)
		}
	}
	if len(entries) > 0 {
		return h.replayEntries(valid, entries)
	}
	return h.replayOld(valid, old)
}

// replayOld applies the first log of the old format that was written with the
// primary file. Where the base block is damaged, and with it its time, the
// newest log is better than none.
func (h *Hive) replayOld(valid bool, logs []transactions) error {
	written := h.base.written
	if !valid {
		// The first hive bin has a copy of the time.
		var b [8]byte
		if h.file.Size() < baseSize+binHeader {
			return nil
		}
		if err := readFull(h.file, b[:], baseSize+offBinWritten); err != nil {
			return err
		}
		written = binary.LittleEndian.Uint64(b[:])
	}
	logs = slices.DeleteFunc(logs, func(t transactions) bool {
		return t.base.sequence1 != t.base.sequence2 || valid && t.base.written != written
	})
	slices.SortStableFunc(logs, func(a, b transactions) int {
		if mine := a.base.written == written; mine != (b.base.written == written) {
			return map[bool]int{true: -1, false: 1}[mine]
		}
		return cmp.Compare(b.base.written, a.base.written)
	})
	for i := range logs {
		t := &logs[i]
		ok, err := h.replayVector(t)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if !valid {
			h.base = t.base
		}
		h.base.bins = t.base.bins
		return nil
	}
	return nil
}

// replayVector takes the pages that the dirty vector of a log names, all or none.
func (h *Hive) replayVector(t *transactions) (bool, error) {
	if t.base.bins > maxHive || t.base.bins%binSize != 0 || t.base.clustering == 0 || t.base.clustering > 64 {
		return false, nil
	}
	sector := int64(t.base.clustering) * baseSector
	vector := make([]byte, len(magicDirty)+int(t.base.bins/dirtyPage/8))
	if !ondisk.Fits(sector, int64(len(vector)), t.file.Size()) {
		return false, nil
	}
	if err := readFull(t.file, vector, sector); err != nil {
		return false, err
	}
	if string(vector[:len(magicDirty)]) != magicDirty {
		return false, nil
	}
	bitmap := vector[len(magicDirty):]
	count := 0
	for _, b := range bitmap {
		count += bits.OnesCount8(b)
	}
	off := sector + (int64(len(vector))+sector-1)/sector*sector
	if !ondisk.Fits(off, int64(count)*dirtyPage, t.file.Size()) {
		return false, nil
	}
	for i, b := range bitmap {
		for bit := range 8 {
			if b>>bit&1 != 0 {
				h.changed.put(uint32(i*8+bit), 1, t.file, off)
				off += dirtyPage
			}
		}
	}
	h.applied += count
	return true, nil
}

// replayEntries applies logs of the new format: all that follow on the primary
// file and on each other, where its base block is right, else the newest.
func (h *Hive) replayEntries(valid bool, logs []transactions) error {
	slices.SortStableFunc(logs, func(a, b transactions) int { return cmp.Compare(a.base.sequence1, b.base.sequence1) })
	if !valid {
		newest := &logs[len(logs)-1]
		h.base = newest.base
		_, err := h.replayLog(newest, newest.base.sequence1)
		return err
	}
	first := true
	var next uint32
	for i := range logs {
		t := &logs[i]
		if t.base.sequence1 < h.base.sequence2 || !first && t.base.sequence1 != next {
			continue // older than the primary file, or something is missing between
		}
		n, err := h.replayLog(t, t.base.sequence1)
		if err != nil {
			return err
		}
		if n > 0 {
			first, next = false, t.base.sequence1+n
		}
	}
	return nil
}

// replayLog applies the entries of a log, the first of which has the number
// sequence, as long as they are whole and follow each other.
func (h *Hive) replayLog(t *transactions, sequence uint32) (applied uint32, err error) {
	head := make([]byte, entryHeader)
	for off := int64(baseSector); ondisk.Fits(off, entryHeader, t.file.Size()); {
		if err := readFull(t.file, head, off); err != nil {
			return applied, err
		}
		size := binary.LittleEndian.Uint32(head[offEntrySize:])
		bins := binary.LittleEndian.Uint32(head[offEntryBins:])
		pages := binary.LittleEndian.Uint32(head[offEntryPages:])
		if string(head[:len(magicEntry)]) != magicEntry || binary.LittleEndian.Uint32(head[offEntrySeq:]) != sequence ||
			size%entryAlign != 0 || size < entryHeader || size > maxEntry || !ondisk.Fits(off, int64(size), t.file.Size()) ||
			bins%binSize != 0 || bins > maxHive || int64(pages)*(entryRef+dirtyPage) > int64(size)-entryHeader {
			return applied, nil
		}
		m := newMarvin(entrySeed)
		if m.add(head[:offEntryHash2]); m.sum() != binary.LittleEndian.Uint64(head[offEntryHash2:]) {
			return applied, nil
		}
		ok, err := h.replayEntry(t.file, off, int64(size), pages, binary.LittleEndian.Uint64(head[offEntryHash1:]))
		if err != nil || !ok {
			return applied, err
		}
		h.base.bins = bins
		off += int64(size)
		applied++
		sequence++
	}
	return applied, nil
}

// replayEntry takes the pages of an entry, all or none.
func (h *Hive) replayEntry(f File, off, size int64, pages uint32, hash uint64) (bool, error) {
	m := newMarvin(entrySeed)
	buf := make([]byte, min(size, pieceSize))
	for at := int64(entryHeader); at < size; {
		b := buf[:min(int64(len(buf)), size-at)]
		if err := readFull(f, b, off+at); err != nil {
			return false, err
		}
		m.add(b)
		at += int64(len(b))
	}
	if m.sum() != hash {
		return false, nil
	}
	refs := make([]byte, int(pages)*entryRef)
	if err := readFull(f, refs, off+entryHeader); err != nil {
		return false, err
	}
	type page struct {
		first, count uint32
		off          int64
	}
	list := make([]page, 0, pages)
	data := int64(entryHeader + len(refs))
	for ; len(refs) > 0; refs = refs[entryRef:] {
		to, n := binary.LittleEndian.Uint32(refs), binary.LittleEndian.Uint32(refs[offRefSize:])
		if to%dirtyPage != 0 || n%dirtyPage != 0 || n == 0 || int64(to)+int64(n) > maxHive || data+int64(n) > size {
			return false, nil
		}
		list = append(list, page{to / dirtyPage, n / dirtyPage, off + data})
		data += int64(n)
	}
	for _, p := range list {
		h.changed.put(p.first, p.count, f, p.off)
		h.applied += int(p.count)
	}
	return true, nil
}
