package ext4

import (
	"context"
	"fmt"
	"io"
	"sort"

	"github.com/guestctl/guestctl/formats/block"
)

// journalFile is the journal inode's bytes as a Writer: whole's device, with
// the places to write to.
type journalFile struct {
	block.Device
	dev  block.Writer
	ends []int64 // in the journal, of each part
	offs []int64 // on dev
}

// journalWriter opens the journal of a filesystem that lies on dev.
func (fs *FileSystem) journalWriter(ctx context.Context, dev block.Writer) (*journalFile, error) {
	d, err := fs.journal(ctx)
	if err != nil {
		return nil, err
	}
	n, err := fs.iget(ctx, fs.sb.journalInum())
	if err != nil {
		return nil, err
	}
	j := &journalFile{Device: d, dev: dev}
	for off := int64(0); off < d.Size(); {
		x, err := n.Map(ctx, off, d.Size()-off)
		if err != nil {
			return nil, err
		}
		if x.Dev == nil || x.Len <= 0 || x.Off > dev.Size()-x.Len {
			return nil, n.corrupt(ctx, "no block at byte %d of the journal", off)
		}
		off += x.Len
		j.ends = append(j.ends, off)
		j.offs = append(j.offs, x.Off)
	}
	return j, nil
}

// WriteAt writes to the parts that p lies in.
func (j *journalFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		i := sort.Search(len(j.ends), func(i int) bool { return j.ends[i] > at })
		if i == len(j.ends) {
			return done, io.ErrShortWrite
		}
		start := int64(0)
		if i > 0 {
			start = j.ends[i-1]
		}
		n := int(min(int64(len(p)-done), j.ends[i]-at))
		if _, err := j.dev.WriteAt(ctx, p[done:done+n], j.offs[i]+at-start); err != nil {
			return done, fmt.Errorf("writing the journal at byte %d: %w", j.offs[i]+at-start, err)
		}
		done += n
	}
	return done, nil
}

// Zero is not used: a journal is written.
func (j *journalFile) Zero(ctx context.Context, off, n int64) error {
	_, err := j.WriteAt(ctx, make([]byte, n), off)
	return err
}

// Sync is the device's: data and home are ordered with the journal.
func (j *journalFile) Sync(ctx context.Context) error { return j.dev.Sync(ctx) }
