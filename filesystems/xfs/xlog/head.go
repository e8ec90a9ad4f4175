package xlog

import (
	"context"
	"errors"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// findEnds finds the head and the tail.
func (j *Journal) findEnds(ctx context.Context) error {
	head, err := j.findHead(ctx)
	if err != nil {
		return err
	}
	if head == 0 {
		if c, err := j.cycleAt(ctx, 0); err != nil || c == 0 {
			return err // never written
		}
	}
	rec, at, err := j.lastRecord(ctx, head, head)
	if err != nil {
		return err
	}
	j.head = head
	if clean, err := j.unmounted(ctx, rec, at); err != nil || clean {
		j.tail = head
		return err
	}
	if j.tail, err = j.tailOf(rec, at); err != nil {
		return err
	}
	if err := j.verifyHead(ctx); err != nil {
		return err
	}
	if j.torn == "" {
		return nil
	}
	if rec, at, err = j.lastRecord(ctx, j.head, j.tail); err != nil {
		return err
	}
	if clean, err := j.unmounted(ctx, rec, at); err != nil || clean {
		j.tail = j.head
		return err
	}
	return nil
}

// tailOf is the tail that a record names.
func (j *Journal) tailOf(rec recordHeader, at int64) (int64, error) {
	t := int64(uint32(rec.tailLSN()))
	if t >= j.sectors {
		return 0, ondisk.Corrupt(whatRecord, at*sector, "the tail is sector %d of %d", t, j.sectors)
	}
	return t, nil
}

// lastRecord finds the last record before head, down to tail.
func (j *Journal) lastRecord(ctx context.Context, head, tail int64) (recordHeader, int64, error) {
	found, err := j.recordsBefore(ctx, head, tail, 1)
	if err != nil {
		return nil, 0, err
	}
	if len(found) == 0 {
		return nil, 0, ondisk.Corrupt("xfs log", head*sector, "no record before its head")
	}
	b, err := j.at(ctx, found[0])
	if err != nil {
		return nil, 0, err
	}
	h := recordHeader(append([]byte(nil), b...))
	if err := j.checkUUID(h, found[0]); err != nil {
		return nil, 0, err
	}
	return h, found[0], nil
}

// recordsBefore gives where records begin, from head backwards to tail, at most
// count of them. Where head is tail it goes once round.
func (j *Journal) recordsBefore(ctx context.Context, head, tail int64, count int) (found []int64, err error) {
	look := func(from, to int64) error {
		for n := from - 1; n >= to && len(found) < count; n-- {
			b, err := j.at(ctx, n)
			if err != nil {
				return err
			}
			if recordHeader(b).isRecord() {
				found = append(found, n)
			}
		}
		return nil
	}
	if head > tail {
		return found, look(head, tail)
	}
	if err := look(head, 0); err != nil {
		return nil, err
	}
	return found, look(j.sectors, tail)
}

// unmounted says whether the last record, at a sector, is an unmount record
// that ends at the head.
func (j *Journal) unmounted(ctx context.Context, rec recordHeader, at int64) (bool, error) {
	if err := j.checkHeader(rec, at); err != nil {
		// It may be torn, which the checksums show.
		if damage := (*ondisk.CorruptError)(nil); errors.As(err, &damage) {
			return false, nil
		}
		return false, err
	}
	if j.after(at, headerSectorsOf(rec)+payloadSectors(rec)) != j.head%j.sectors || rec.ops() != 1 {
		return false, nil
	}
	b, err := j.at(ctx, j.after(at, headerSectorsOf(rec)))
	if err != nil {
		return false, err
	}
	return operation(b).flags()&opUnmount != 0, nil
}

// after is the sector n behind another in the ring. n is at most its length.
func (j *Journal) after(at, n int64) int64 { return (at + n) % j.sectors }

// findHead finds the sector at which the next record would be written, by the
// cycles. Up to scanSectors before it, sectors may still be of the last round,
// since records are written in any order.
func (j *Journal) findHead(ctx context.Context) (int64, error) {
	first, err := j.cycleAt(ctx, 0)
	if err != nil || first == 0 {
		return 0, err
	}
	last, err := j.cycleAt(ctx, j.sectors-1)
	if err != nil {
		return 0, err
	}
	if last == 0 {
		return j.findUnwritten(ctx)
	}
	head, stop := j.sectors, last-1
	if first != last {
		if head, err = j.firstOfCycle(ctx, 0, j.sectors-1, last); err != nil {
			return 0, err
		}
		stop = last
	}
	// What was under way when it stopped leaves sectors of the round before.
	if head >= scanSectors || head >= j.sectors {
		start := max(0, head-scanSectors)
		if n, err := j.firstIn(ctx, start, head, stop); err != nil {
			return 0, err
		} else if n >= 0 {
			head = n
		}
	} else {
		start := max(head, j.sectors-(scanSectors-head))
		n, err := j.firstIn(ctx, start, j.sectors, stop-1)
		if err != nil {
			return 0, err
		}
		if n < 0 {
			n, err = j.firstIn(ctx, 0, head, stop)
			if err != nil {
				return 0, err
			}
		}
		if n >= 0 {
			head = n
		}
	}
	if head, err = j.atRecordEnd(ctx, head); err != nil {
		return 0, err
	}
	return head % j.sectors, nil
}

// findUnwritten finds the first sector of a log that was never written to its
// end.
func (j *Journal) findUnwritten(ctx context.Context) (int64, error) {
	head, err := j.firstOfCycle(ctx, 0, j.sectors-1, 0)
	if err != nil {
		return 0, err
	}
	start := max(0, head-scanSectors)
	if n, err := j.firstIn(ctx, start, head, 0); err != nil {
		return 0, err
	} else if n >= 0 {
		head = n
	}
	head, found, err := j.backToRecord(ctx, start, head, 0)
	if err == nil && !found {
		err = ondisk.Corrupt("xfs log", head*sector, "no record before its head")
	}
	return head, err
}

// firstOfCycle finds the first sector of a cycle by halving: below it all are
// of others. The cycle at last is the one that is looked for.
func (j *Journal) firstOfCycle(ctx context.Context, first, last int64, cycle uint32) (int64, error) {
	for mid := (first + last) / 2; mid != first && mid != last; mid = (first + last) / 2 {
		c, err := j.cycleAt(ctx, mid)
		if err != nil {
			return 0, err
		}
		if c == cycle {
			last = mid
		} else {
			first = mid
		}
	}
	return last, nil
}

// firstIn finds the first sector of [from, to) that has a cycle, -1 where none
// has.
func (j *Journal) firstIn(ctx context.Context, from, to int64, cycle uint32) (int64, error) {
	for n := from; n < to; n++ {
		if c, err := j.cycleAt(ctx, n); err != nil || c == cycle {
			return n, err
		}
	}
	return -1, nil
}

// atRecordEnd moves a head that is inside a record to its start.
func (j *Journal) atRecordEnd(ctx context.Context, head int64) (int64, error) {
	const most = maxRecord / sector
	if head >= most {
		at, found, err := j.backToRecord(ctx, head-most-recordHeaderSectors, head, 0)
		if err == nil && !found {
			err = ondisk.Corrupt("xfs log", head*sector, "no record in the %d sectors before its head", most)
		}
		return at, err
	}
	at, found, err := j.backToRecord(ctx, 0, head, 0)
	if err != nil || found {
		return at, err
	}
	// The record before the head began before the end of the ring.
	start := max(head, j.sectors-(most+recordHeaderSectors-head))
	at, found, err = j.backToRecord(ctx, start, j.sectors, head)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, ondisk.Corrupt("xfs log", head*sector, "no record in the %d sectors before its head", most)
	case at != j.sectors:
		return at, nil
	}
	return head, nil
}

// recordHeaderSectors is how many sectors the header of the largest record has.
const recordHeaderSectors = maxRecord / headerCovers

// backToRecord looks from last backwards to start for a record. Where that one
// does not end extra sectors behind last it is not all there, and its start is
// the answer; otherwise last is.
func (j *Journal) backToRecord(ctx context.Context, start, last, extra int64) (at int64, found bool, err error) {
	for n := last - 1; n >= max(start, 0); n-- {
		b, err := j.at(ctx, n)
		if err != nil {
			return 0, false, err
		}
		h := recordHeader(b)
		if !h.isRecord() {
			continue
		}
		if err := j.checkUUID(h, n); err != nil {
			return 0, false, err
		}
		if last-n+extra != headerSectorsOf(h)+payloadSectors(h) {
			return n, true, nil
		}
		return last, true, nil
	}
	return last, false, nil
}
