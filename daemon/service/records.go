package service

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/guestctl/guestctl/daemon/api"
)

const (
	// recordsBuffer is how much of a stream is collected before it is sent.
	recordsBuffer = 64 << 10
	// recordsDelay is how long a record waits for others at most.
	recordsDelay = 100 * time.Millisecond
	// progressEvery is how often progress is told in a stream.
	progressEvery = 250 * time.Millisecond
)

// records writes a stream of JSON lines.
type records struct {
	w     http.ResponseWriter
	media string

	mu      sync.Mutex // guards what follows; a leaf, held while it is sent
	buf     *bufio.Writer
	json    *json.Encoder
	started bool
	sent    time.Time
	err     error
}

func newRecords(w http.ResponseWriter) *records {
	o := &records{w: w, buf: bufio.NewWriterSize(w, recordsBuffer), sent: time.Now()}
	o.media = api.JSONLines
	o.json = json.NewEncoder(o.buf)
	o.json.SetEscapeHTML(false)
	return o
}

// begun says whether anything was put.
func (o *records) begun() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.started
}

func (o *records) put(record any) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.begin()
	o.err = o.json.Encode(record)
	if time.Since(o.sent) > recordsDelay {
		o.send()
	}
	return o.err
}

func (o *records) begin() {
	if !o.started {
		o.started = true
		o.w.Header().Set("Content-Type", o.media)
	}
}

// flush ends the stream: an empty one is one too.
func (o *records) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin()
	o.send()
	return o.err
}

func (o *records) send() {
	if err := o.buf.Flush(); err != nil && o.err == nil {
		o.err = err
	}
	if f, ok := o.w.(http.Flusher); ok {
		f.Flush()
	}
	o.sent = time.Now()
}

// tellProgress puts a Progress into the stream again and again, until the
// function it answers is called, which puts the last one.
func (o *records) tellProgress(read *atomic.Int64) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	tell := func() { _ = o.put(api.Progress{Schema: api.ProgressSchema, Bytes: read.Load()}) }
	ended.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tell()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
		if o.begun() {
			tell()
		}
	}
}

// text is s for JSON, and its bytes where they are not UTF-8.
func text(s string) (string, []byte) {
	if utf8.ValidString(s) {
		return s, nil
	}
	return strings.ToValidUTF8(s, "\uFFFD"), []byte(s)
}
