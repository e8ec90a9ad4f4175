package xlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/guestctl/guestctl/formats/ondisk"
)

// verifyHead compares the checksums of the records that may have been under
// way when the filesystem stopped. The log ends before the first bad one. Then
// it compares the rest.
func (j *Journal) verifyHead(ctx context.Context) error {
	found, err := j.recordsBefore(ctx, j.head, j.tail, recordsInFlight)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return ondisk.Corrupt("xfs log", j.tail*sector, "no record between the tail, sector %d, and the head, sector %d", j.tail, j.head)
	}
	bad, why, err := j.firstBad(ctx, found[len(found)-1], j.head)
	if err != nil {
		return err
	}
	if why != nil {
		rec, at, err := j.lastRecord(ctx, bad, j.tail)
		if err != nil {
			return fmt.Errorf("the log has no whole record: %w", why)
		}
		j.torn = fmt.Sprintf("the record at sector %d of the log is not whole (%v); the log ends before it", bad, why)
		j.log.WarnContext(ctx, "xfs: the log is torn", slog.String("detail", j.torn))
		j.head = bad
		if j.tail, err = j.tailOf(rec, at); err != nil {
			return err
		}
		if j.head == j.tail {
			return nil
		}
	}
	return j.verifyTail(ctx)
}

// verifyTail compares the checksums of all records. Where the log was full the
// writes that are torn can have gone over the tail of the record before them;
// only there may the tail move on.
func (j *Journal) verifyTail(ctx context.Context) error {
	for {
		bad, why, err := j.firstBad(ctx, j.tail, j.head)
		if err != nil || why == nil {
			return err
		}
		distance := bad - j.head
		if distance < 0 {
			distance += j.sectors
		}
		if j.torn == "" || distance > scanSectors {
			return fmt.Errorf("the log is damaged between its tail and its head: %w", why)
		}
		next, err := j.recordAfter(ctx, bad+1)
		if err != nil {
			return err
		}
		if next < 0 {
			return fmt.Errorf("the log is damaged at its tail: %w", why)
		}
		j.tail = next
	}
}

// recordAfter finds the first record from a sector on, up to the head; -1
// where there is none.
func (j *Journal) recordAfter(ctx context.Context, from int64) (int64, error) {
	left := j.head - from
	if left < 0 {
		left += j.sectors
	}
	for n := range left {
		at := j.after(from, n)
		b, err := j.at(ctx, at)
		if err != nil {
			return 0, err
		}
		if recordHeader(b).isRecord() {
			return at, nil
		}
	}
	return -1, nil
}

// firstBad goes through records and gives the sector of the first that is
// damaged, and why.
func (j *Journal) firstBad(ctx context.Context, from, to int64) (bad int64, why, err error) {
	bad, err = j.walk(ctx, from, to, func(*record) error { return nil })
	if damage := (*ondisk.CorruptError)(nil); errors.As(err, &damage) {
		return bad, err, nil
	}
	return 0, nil, err
}
