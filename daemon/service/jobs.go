package service

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/trace"
)

// A job is work that goes on without its client. Its result is kept in a file
// that has no name.
type job struct {
	id, kind, image, query string
	records                bool
	owner                  Peer
	started                time.Time
	begun                  uint64 // the sequence of the event before its first
	cancel                 context.CancelFunc
	done                   chan struct{} // closed when it has ended and its file is whole

	mu       sync.Mutex // guards what follows; a leaf
	r        api.Job
	result   *os.File
	readers  int
	dropped  bool
	canceled bool
	told     time.Time
	ended    uint64 // sequence of the event of its end; 0 before
}

// lastEvent is the sequence of the event of its end; the largest number before.
func (j *job) lastEvent() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended == 0 {
		return math.MaxUint64
	}
	return j.ended
}

func (j *job) state() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.r.State
}

func (j *job) record() api.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.r
}

func noJob(id string) error {
	return api.NewProblem(http.StatusNotFound, api.CodeNoJob, fmt.Sprintf("no job %q is known", id), "`guestctl jobs` shows those that are")
}

// StartJob begins a job.
func (b *Broker) StartJob(ctx context.Context, by Peer, q api.JobRequest) (api.Job, error) {
	values, err := url.ParseQuery(q.Query)
	if err != nil {
		return api.Job{}, invalid("query: %s", err)
	}
	op, query, err := parseOperation(q.Kind, values)
	if err != nil {
		return api.Job{}, err
	}
	if !op.job {
		return api.Job{}, invalid("%s is no kind of job", q.Kind)
	}
	if err := b.mayRead(by, q.Image); err != nil {
		return api.Job{}, err
	}
	id, err := newID()
	if err != nil {
		return api.Job{}, err
	}
	file, err := os.CreateTemp("", "guestctl-job-")
	if err != nil {
		return api.Job{}, err
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return api.Job{}, err
	}
	j := &job{id: id, kind: q.Kind, image: q.Image, query: api.Query(query).Encode(), records: op.records, owner: by, started: time.Now().UTC(),
		done: make(chan struct{}), result: file}
	j.r = api.Job{Schema: api.JobSchema, ID: id, Kind: q.Kind, Image: q.Image, Query: j.query, Owner: by.UID, State: api.JobRunning, Started: j.started}
	j.begun = b.events.sequence()
	work, cancel := context.WithCancel(trace.With(b.ctx, trace.From(ctx)))
	j.cancel = cancel
	if err := b.enlist(j); err != nil {
		cancel()
		file.Close()
		return api.Job{}, err
	}
	uid := by.UID
	b.events.say(api.Event{Kind: api.EventJob, Job: id, Image: q.Image, UID: &uid, Detail: q.Kind})
	go func() {
		defer b.tasks.Done()
		b.runJob(work, j)
	}()
	return j.record(), nil
}

// enlist puts a job into the list, if there is room, and counts its goroutine.
func (b *Broker) enlist(j *job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return errShutdown()
	}
	if img := b.images[j.image]; img == nil || img.removed {
		return noImage(j.image)
	}
	running := 0
	for _, other := range b.jobs {
		if other.state() == api.JobRunning {
			running++
		}
	}
	if running >= b.config().Jobs {
		return api.NewProblem(http.StatusServiceUnavailable, api.CodeBusy, fmt.Sprintf("%d jobs run already", running), "wait for one, cancel one, or raise jobs in the daemon's configuration")
	}
	b.jobs[j.id] = j
	b.tasks.Add(1)
	return nil
}

func (b *Broker) job(id string) (*job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[id]
	if j == nil {
		return nil, noJob(id)
	}
	return j, nil
}

// Job is one job.
func (b *Broker) Job(id string) (api.Job, error) {
	j, err := b.job(id)
	if err != nil {
		return api.Job{}, err
	}
	return j.record(), nil
}

// Jobs are a page of the jobs, by id.
func (b *Broker) Jobs(page api.Page) api.Jobs {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids, next := pageOf(b.jobs, page)
	r := api.Jobs{Jobs: []api.Job{}, Next: next}
	for _, id := range ids {
		r.Jobs = append(r.Jobs, b.jobs[id].record())
	}
	return r
}

// CancelJob ends a job that runs, and forgets one that has ended. It returns
// when it has.
func (b *Broker) CancelJob(ctx context.Context, by Peer, id string) error {
	j, err := b.job(id)
	if err != nil {
		return err
	}
	if err := by.needOwn(j.owner.UID, "cancel another's job"); err != nil {
		return err
	}
	j.mu.Lock()
	running := j.r.State == api.JobRunning
	j.canceled = j.canceled || running
	j.mu.Unlock()
	j.cancel()
	select {
	case <-j.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !running {
		b.dropJob(j)
	}
	return nil
}

// forgetJobs forgets the jobs whose results are old.
func (b *Broker) forgetJobs(now time.Time) {
	b.mu.Lock()
	var old []*job
	for _, j := range b.jobs {
		if r := j.record(); r.Expires != nil && now.After(*r.Expires) {
			old = append(old, j)
		}
	}
	b.mu.Unlock()
	for _, j := range old {
		b.dropJob(j)
	}
}

func (b *Broker) dropJob(j *job) {
	b.mu.Lock()
	delete(b.jobs, j.id)
	b.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropped = true
	if j.readers == 0 {
		j.result.Close()
	}
}

// JobResult opens the result of a job that has ended, for one reader, who
// calls the function at his end.
func (b *Broker) JobResult(by Peer, id string) (io.ReadSeeker, api.Job, func(), error) {
	j, err := b.job(id)
	if err != nil {
		return nil, api.Job{}, nil, err
	}
	if err := by.needOwn(j.owner.UID, "read the result of another's job"); err != nil {
		return nil, api.Job{}, nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.r.State == api.JobRunning:
		return nil, j.r, nil, api.NewProblem(http.StatusConflict, api.CodeNotReady, "the job still runs", "follow its events, and ask again at its end")
	case j.dropped:
		return nil, j.r, nil, noJob(id)
	}
	j.readers++
	size := j.r.Size
	if st, err := j.result.Stat(); err == nil {
		size = st.Size()
	}
	return io.NewSectionReader(j.result, 0, size), j.r, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.readers--; j.readers == 0 && j.dropped {
			j.result.Close()
		}
	}, nil
}
