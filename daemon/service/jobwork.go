package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/trace"
)

func (b *Broker) runJob(ctx context.Context, j *job) {
	start := time.Now()
	ctx, span := b.config().Tracer.Start(ctx, "job "+j.kind, trace.Internal)
	span.Set("guestctl.image", j.image)
	span.Set("guestctl.job", j.id)
	err := b.work(ctx, j)
	span.Fail(err)
	j.cancel()
	now := time.Now().UTC()
	expires := now.Add(time.Duration(b.config().JobKeep))
	j.mu.Lock()
	j.r.Ended, j.r.Expires = &now, &expires
	switch {
	case err == nil:
		j.r.State = api.JobDone
	case j.canceled || errors.Is(err, context.Canceled):
		j.r.State = api.JobCanceled
		j.r.Error = api.NewProblem(499, api.CodeCanceled, "it was canceled", "")
	default:
		j.r.State, j.r.Error = api.JobFailed, problemOf(err)
	}
	r := j.r
	close(j.done)
	j.mu.Unlock()
	result := "ok"
	if r.Error != nil {
		result = string(r.Error.Code)
	}
	b.meter.request("job."+j.kind, j.image, result, r.Size, time.Since(start))
	ended := b.events.say(api.Event{Kind: api.EventJobEnd, Job: j.id, Image: j.image, Detail: r.State, Bytes: r.Bytes})
	j.mu.Lock()
	j.ended = ended
	j.mu.Unlock()
}

// work does it: the worker's stream goes into the file.
func (b *Broker) work(ctx context.Context, j *job) error {
	query, err := url.ParseQuery(j.query)
	if err != nil {
		return err
	}
	u, err := b.useFor(ctx, j.owner, j.kind, j.image, query)
	if err != nil {
		return err
	}
	defer u.done()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://worker/op/"+j.kind+"?"+j.query, nil)
	if err != nil {
		return err
	}
	r.Header.Set(guestHeader, j.image)
	r.Header.Set(progressHeader, "1")
	resp, err := u.proc.client.Do(r)
	if err != nil {
		return u.proc.lost(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	if j.records {
		return b.keepRecords(ctx, j, u, resp)
	}
	return b.keepBytes(ctx, j, u, resp)
}

// keepRecords keeps the lines of a stream, without those that tell progress.
func (b *Broker) keepRecords(ctx context.Context, j *job, u *use, resp *http.Response) error {
	out := bufio.NewWriterSize(j.result, recordsBuffer)
	lines := bufio.NewReaderSize(resp.Body, recordsBuffer)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return out.Flush()
		}
		if err != nil {
			return errors.Join(out.Flush(), u.proc.lost(ctx, err))
		}
		var head struct {
			Schema string `json:"schema"`
			Kind   string `json:"kind"`
			Bytes  int64  `json:"bytes"`
			api.Notice
		}
		if bytes.HasPrefix(line, []byte(`{"schema":"guestctl.pro`)) { // progress and problems
			if err := json.Unmarshal(line, &head); err != nil {
				return err
			}
		}
		j.mu.Lock()
		switch {
		case head.Schema == api.ProgressSchema:
			j.r.Bytes, line = head.Bytes, nil
		case head.Schema == api.ProblemSchema && head.Kind == api.KindProblem:
			j.r.Problems++
		default:
			j.r.Records++
		}
		j.r.Size += int64(len(line))
		size := j.r.Size
		j.mu.Unlock()
		if head.Schema == api.ProblemSchema && head.Kind == api.KindFailure {
			return errors.Join(out.Flush(), api.NewProblem(http.StatusUnprocessableEntity, head.Code, head.Detail, head.Remedy))
		}
		if size > b.config().JobBytes {
			return errors.Join(out.Flush(), b.tooLarge())
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
		b.tellJob(j)
	}
}

// keepBytes keeps an archive.
func (b *Broker) keepBytes(ctx context.Context, j *job, u *use, resp *http.Response) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		j.mu.Lock()
		j.r.Size += int64(n)
		j.r.Bytes = j.r.Size
		size := j.r.Size
		j.mu.Unlock()
		if size > b.config().JobBytes {
			return b.tooLarge()
		}
		if _, werr := j.result.Write(buf[:n]); werr != nil {
			return werr
		}
		b.tellJob(j)
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.proc.lost(ctx, err)
		}
	}
	var problems int64
	if _, err := fmt.Sscan(resp.Trailer.Get(api.ProblemsTrailer), &problems); err != nil {
		return fmt.Errorf("the archive ended without its trailers: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.r.Problems = problems
	return nil
}

func (b *Broker) tooLarge() error {
	return api.NewProblem(http.StatusInsufficientStorage, api.CodeResultTooLarge, fmt.Sprintf("the result is larger than %d bytes", b.config().JobBytes),
		"read it as a stream, without a job, or raise job_bytes in the daemon's configuration")
}

// tellJob makes progress an event now and then.
func (b *Broker) tellJob(j *job) {
	j.mu.Lock()
	now := time.Now()
	tell := now.Sub(j.told) >= progressEvery
	if tell {
		j.told = now
	}
	r := j.r
	j.mu.Unlock()
	if tell {
		b.events.say(api.Event{Kind: api.EventProgress, Job: j.id, Image: j.image, Bytes: r.Bytes,
			Detail: fmt.Sprintf("%d records, %d problems", r.Records, r.Problems)})
	}
}
