package jbd2

import (
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// maxHomes bounds the distinct blocks that one log may change.
const maxHomes = 2 << 20

// ErrTooManyBlocks says that a log changes more distinct blocks than recovery
// keeps track of. It unwraps to ENOMEM.
var ErrTooManyBlocks = fmt.Errorf("the journal changes more than %d blocks, the limit of recovery: %w", maxHomes, syscall.ENOMEM)

// lookahead is how many blocks beyond an end of the log without any mark of
// damage are searched for a later transaction.
const lookahead = 1024

// A scan is what the first pass finds.
type scan struct {
	end   uint32 // the first transaction that is not replayed
	torn  string // why the log ends before its written end
	homes map[uint64]home
}

// home is what recovery knows of a block that is in the log.
type home struct {
	revoked   uint32 // the last transaction that revoked it, where isRevoked
	isRevoked bool
	replayed  bool
}

// A damage is the first block of a transaction that is not what was written.
type damage struct {
	pos int64 // block in the journal
	err error
}

// A scanner carries the state of the scan pass.
type scanner struct {
	j     *Journal
	data  *logReader // version 1 sums the logged blocks
	homes map[uint64]home

	crc       uint32  // version 1: of the current transaction
	bad       *damage // in the current transaction
	last      uint64  // commit time of the transaction before, seconds
	stale     bool    // the current transaction is left over from earlier
	committed bool    // the current transaction is damaged and has its commit block
}

// scan finds the end of the log and the blocks in it.
func (j *Journal) scan(ctx context.Context) (*scan, error) {
	s := &scanner{j: j, data: j.reader(dataWindow), homes: make(map[uint64]home), crc: ^uint32(0)}
	next, pos, left, err := j.walk(ctx, func(rec *record) (bool, error) {
		switch rec.kind {
		case typeDescriptor:
			return false, s.descriptor(ctx, rec)
		case typeRevoke:
			s.revoke(rec)
			return false, nil
		}
		return s.commit(rec), nil
	})
	if err != nil {
		return nil, err
	}
	out := &scan{end: next, homes: s.homes}
	if s.stale {
		return out, nil
	}
	return out, s.judge(ctx, out, pos, left)
}

// judge decides what the end of the log at pos, in transaction out.end, means.
func (s *scanner) judge(ctx context.Context, out *scan, pos, left int64) error {
	j, search := s.j, left
	if s.bad == nil {
		if !j.checked() {
			return nil // Nothing proves that a later block belongs to this log.
		}
		search = min(left, lookahead)
		s.bad = &damage{pos, ondisk.Corrupt("jbd2 log", pos*j.blockSize, "no block of transaction %d here", out.end)}
	}
	found, err := j.laterCommit(ctx, out.end, pos, search, s.last)
	switch {
	case err != nil:
		return err
	case found != nil && *found != out.end:
		return fmt.Errorf("block %d of the journal is damaged and transaction %d follows: %w", s.bad.pos, *found, s.bad.err)
	case found != nil || s.committed:
		out.torn = tornBy(out.end, s.bad)
	}
	return nil
}

// tornBy is the text of Replay.Torn.
func tornBy(sequence uint32, bad *damage) string {
	return fmt.Sprintf("transaction %d, the last one, is left out: block %d of the journal is damaged: %v", sequence, bad.pos, bad.err)
}

// laterCommit searches n blocks of the ring from pos on for a commit block of
// transaction from or a later one, and gives the highest. With checksums of
// version 2 and 3 it must match its own; and what is older than since is left
// over from an earlier filesystem.
func (j *Journal) laterCommit(ctx context.Context, from uint32, pos, n int64, since uint64) (*uint32, error) {
	var found *uint32
	r := j.reader(dataWindow)
	for ; n > 0; n-- {
		b, err := r.block(ctx, pos)
		if err != nil {
			return nil, err
		}
		h := header(b)
		if seq := h.sequence(); h.magic() == Magic && h.kind() == typeCommit &&
			!tidBefore(seq, from) && int64(seq-from) < j.last-j.first &&
			commit(b).seconds() >= since && (!j.checked() || j.verifyCommit(b)) &&
			(found == nil || tidBefore(*found, seq)) {
			found = &seq
		}
		pos = j.after(pos, 1)
	}
	return found, nil
}

func (s *scanner) fault(pos int64, err error) {
	if s.bad == nil {
		s.bad = &damage{pos, err}
	}
}

func (s *scanner) descriptor(ctx context.Context, rec *record) error {
	j := s.j
	if j.checked() {
		if err := j.verifyTail("jbd2 descriptor block", rec); err != nil {
			s.fault(rec.pos, err)
		}
	}
	if j.compat&compatChecksum != 0 {
		s.crc = crc32BE(s.crc, rec.b)
		for i := range rec.tags {
			b, err := s.data.block(ctx, j.after(rec.pos, 1+i))
			if err != nil {
				return err
			}
			s.crc = crc32BE(s.crc, b)
		}
	}
	return j.format.each(rec.b, func(_ int64, t tag) error {
		if _, ok := s.homes[t.block]; !ok {
			if len(s.homes) >= maxHomes {
				return ErrTooManyBlocks
			}
			s.homes[t.block] = home{}
		}
		return nil
	})
}

func (s *scanner) revoke(rec *record) {
	j := s.j
	if j.checked() {
		if err := j.verifyTail("jbd2 revoke block", rec); err != nil {
			s.fault(rec.pos, err)
		}
	}
	if !j.format.revoked(rec.b, func(uint64) {}) {
		s.fault(rec.pos, ondisk.Corrupt("jbd2 revoke block", rec.pos*j.blockSize+0xC,
			"%d bytes used of %d", revoke(rec.b).count(), j.blockSize))
	}
}

// commit closes the current transaction. It says stop where the log ends
// before it.
func (s *scanner) commit(rec *record) (stop bool) {
	j, c := s.j, commit(rec.b)
	at := rec.pos*j.blockSize + commitChecksumOff
	switch {
	case j.compat&compatChecksum != 0:
		unused := c.checksumType() == 0 && c.checksumSize() == 0 && c.checksum() == 0
		right := c.checksumType() == commitTypeCRC32 && c.checksumSize() == commitSizeCRC32 && c.checksum() == s.crc
		if !unused && !right {
			s.fault(rec.pos, ondisk.BadChecksum("jbd2 transaction", at, c.checksum(), s.crc))
		}
	case j.checked() && !j.verifyCommit(rec.b):
		s.fault(rec.pos, ondisk.BadChecksum("jbd2 commit block", at, c.checksum(), blockChecksum(j.seed, rec.b, commitChecksumOff)))
	}
	if s.bad != nil {
		s.stale = c.seconds() < s.last
		s.committed = !s.stale
		return true
	}
	s.last = c.seconds()
	s.crc = ^uint32(0)
	return false
}

// verifyTail checks a descriptor or revoke block of versions 2 and 3.
func (j *Journal) verifyTail(what string, rec *record) error {
	off := len(rec.b) - blockTailSize
	stored, want := be32(rec.b, off), blockChecksum(j.seed, rec.b, off)
	if stored != want {
		return ondisk.BadChecksum(what, rec.pos*j.blockSize+int64(off), stored, want)
	}
	return nil
}

// verifyCommit checks a commit block of versions 2 and 3. Of a block that was
// written only as far as its header goes, the rest being left over, the header
// is enough, as it is for the kernel.
func (j *Journal) verifyCommit(b []byte) bool {
	if commit(b).checksum() == blockChecksum(j.seed, b, commitChecksumOff) {
		return true
	}
	padded := make([]byte, len(b))
	copy(padded, b[:commitSize])
	return commit(b).checksum() == blockChecksum(j.seed, padded, commitChecksumOff)
}
