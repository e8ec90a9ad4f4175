package jbd2

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// A redirector is a home that can refer to the log instead of copying from it:
// a block.Overlay.
type redirector interface {
	Redirect(off int64, src block.Device, srcOff int64) error
}

// Recover replays the committed transactions of the log into home, the
// filesystem's device or an overlay over it. It does not change the journal.
//
// An error is a CorruptError whose offset is in the journal, ErrTooManyBlocks,
// block.ErrOverlayFull, or what the devices answer. home may then hold part of
// the replay and must not be used.
func (j *Journal) Recover(ctx context.Context, home block.Writer) (txn.Replay, error) {
	if j.Clean() {
		return txn.Replay{Clean: true}, nil
	}
	s, err := j.scan(ctx)
	if err != nil {
		return txn.Replay{}, err
	}
	if err := j.verify(ctx, s, home.Size()/j.blockSize); err != nil {
		return txn.Replay{}, err
	}
	j.next = s.end
	r := txn.Replay{Torn: s.torn, Transactions: int(s.end - j.sequence)}
	if r.Transactions > 0 {
		r.First, r.Last = uint64(j.sequence), uint64(s.end-1)
		if err := j.replay(ctx, s, home, &r); err != nil {
			return txn.Replay{}, err
		}
	}
	if s.torn != "" {
		j.log.WarnContext(ctx, "jbd2: the log is torn", slog.String("detail", s.torn))
	}
	return r, nil
}

// revokes collects the revoke records of all transactions before s.end. Only
// blocks that are in the log matter, which bounds the table.
func (j *Journal) revokes(ctx context.Context, s *scan) error {
	for n, h := range s.homes {
		if h.isRevoked {
			s.homes[n] = home{}
		}
	}
	return j.committed(ctx, s, func(rec *record) error {
		if rec.kind != typeRevoke {
			return nil
		}
		j.format.revoked(rec.b, func(n uint64) {
			h, ok := s.homes[n]
			if ok && (!h.isRevoked || tidBefore(h.revoked, rec.sequence)) {
				s.homes[n] = home{revoked: rec.sequence, isRevoked: true}
			}
		})
		return nil
	})
}

// committed walks the log up to s.end.
func (j *Journal) committed(ctx context.Context, s *scan, visit func(rec *record) error) error {
	next, pos, _, err := j.walk(ctx, func(rec *record) (bool, error) {
		if !tidBefore(rec.sequence, s.end) {
			return true, nil
		}
		return false, visit(rec)
	})
	if err == nil && next != s.end {
		err = fmt.Errorf("the jbd2 log ends at transaction %d in block %d, it ended at %d before: the image changes while it is read", next, pos, s.end)
	}
	return err
}

// isRevoked says whether the copy of block n in the given transaction must
// not be replayed.
func (s *scan) isRevoked(n uint64, sequence uint32) bool {
	h := s.homes[n]
	return h.isRevoked && !tidBefore(h.revoked, sequence)
}

// verify makes the revoke and verify passes. Where a logged block of the last
// transaction does not match its checksum that transaction is left out, and
// the revoke records it held with it.
func (j *Journal) verify(ctx context.Context, s *scan, blocks int64) error {
	for {
		if err := j.revokes(ctx, s); err != nil {
			return err
		}
		bad, sequence, err := j.firstDamage(ctx, s, blocks)
		if err != nil || bad == nil {
			return err
		}
		if sequence != s.end-1 || s.torn != "" {
			return fmt.Errorf("block %d of the journal is damaged and transaction %d follows: %w", bad.pos, sequence+1, bad.err)
		}
		s.end--
		s.torn = tornBy(sequence, bad)
	}
}

// firstDamage is the first logged block that is to be replayed and does not
// match its checksum, and its transaction. A tag whose home is beyond the
// device is an error at once.
func (j *Journal) firstDamage(ctx context.Context, s *scan, blocks int64) (bad *damage, sequence uint32, err error) {
	data := j.reader(dataWindow)
	err = j.committed(ctx, s, func(rec *record) error {
		if rec.kind != typeDescriptor || bad != nil {
			return nil
		}
		return j.format.each(rec.b, func(i int64, t tag) error {
			if bad != nil || s.isRevoked(t.block, rec.sequence) {
				return nil
			}
			if t.block >= uint64(blocks) {
				return ondisk.Corrupt("jbd2 descriptor block", rec.pos*j.blockSize,
					"tag %d of transaction %d names block %d, the device has %d", i, rec.sequence, t.block, blocks)
			}
			if !j.checked() {
				return nil
			}
			pos := j.after(rec.pos, 1+i)
			b, err := data.block(ctx, pos)
			if err != nil {
				return err
			}
			if !j.format.matches(t, j.seed, rec.sequence, b) {
				sequence = rec.sequence
				bad = &damage{pos, ondisk.BadChecksum("jbd2 logged block", pos*j.blockSize,
					t.checksum, j.format.cut(dataChecksum(j.seed, sequence, b)))}
			}
			return nil
		})
	})
	return bad, sequence, err
}

// replay makes the last copy of each block its contents at home.
func (j *Journal) replay(ctx context.Context, s *scan, to block.Writer, r *txn.Replay) error {
	data := j.reader(headerWindow)
	redirect, _ := to.(redirector)
	return j.committed(ctx, s, func(rec *record) error {
		if rec.kind != typeDescriptor {
			return nil
		}
		return j.format.each(rec.b, func(i int64, t tag) error {
			if s.isRevoked(t.block, rec.sequence) {
				r.Revoked++
				return nil
			}
			if h := s.homes[t.block]; !h.replayed {
				h.replayed = true
				s.homes[t.block] = h
				r.Blocks++
			}
			pos, off := j.after(rec.pos, 1+i), int64(t.block)*j.blockSize
			if redirect != nil && t.flags&tagEscape == 0 {
				return redirect.Redirect(off, j.dev, pos*j.blockSize)
			}
			b, err := data.block(ctx, pos)
			if err != nil {
				return err
			}
			if t.flags&tagEscape != 0 {
				b = append([]byte(nil), b...)
				put32(b, 0, Magic)
			}
			_, err = to.WriteAt(ctx, b, off)
			return err
		})
	})
}
