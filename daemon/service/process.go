package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
)

const (
	// endTime is how long a worker may take to end in order before it is killed.
	endTime = 3 * drainTime
	// dialTime is how long the broker waits for a worker to take a connection.
	dialTime = 10 * time.Second
	// tailLines is how much of what a worker printed besides its log is kept
	// for the report of its end.
	tailLines = 40
	// maxLogLine bounds a line of a worker's log.
	maxLogLine = 64 << 10
)

// A process is one worker, seen from the broker.
type process struct {
	cmd    *exec.Cmd
	conns  *net.UnixConn // takes connections to it
	asks   *net.UnixConn
	client *http.Client
	done   chan struct{} // closed when the process has ended and was waited for

	dial sync.Mutex // held while a connection is sent; a leaf

	mu       sync.Mutex // guards what follows; a leaf
	stopping bool
	tail     []string
	state    error
}

// A workerLog gets the records of a worker's log.
type workerLog func(level slog.Level, message string, attrs map[string]any)

// startProcess starts a worker. open answers what it asks for.
func startProcess(program string, level slog.Level, sandbox string, open func(ask) (*os.File, error), log workerLog) (*process, error) {
	conns, theirConns, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, err
	}
	defer theirConns.Close()
	asks, theirAsks, err := socketPair(unix.SOCK_SEQPACKET)
	if err != nil {
		conns.Close()
		return nil, err
	}
	defer theirAsks.Close()
	cmd := exec.Command(program)
	cmd.Args = []string{"guestctld", "worker"}
	cmd.Env = append(cleanEnvironment(), fmt.Sprintf("%s=%d", workerVariable, level), sandboxVariable+"="+sandbox)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirConns, theirAsks}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		conns.Close()
		asks.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	p := &process{cmd: cmd, conns: conns, asks: asks, done: make(chan struct{})}
	p.client = &http.Client{Transport: &http.Transport{
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return p.connect() },
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}}
	go answerAll(asks, open)
	go func() {
		p.readLog(stderr, log)
		err := cmd.Wait()
		p.mu.Lock()
		p.state = err
		p.mu.Unlock()
		conns.Close()
		asks.Close()
		p.client.CloseIdleConnections()
		close(p.done)
	}()
	return p, nil
}

// cleanEnvironment is what of the broker's environment a worker may know.
func cleanEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "TMPDIR", "GORACE", "GOCOVERDIR", "GOTRACEBACK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, "LC_ALL=C")
}

// connect gives the worker one end of a new connection.
func (p *process) connect() (net.Conn, error) {
	ours, theirs, err := socketPair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p.dial.Lock()
	defer p.dial.Unlock()
	_ = p.conns.SetWriteDeadline(time.Now().Add(dialTime)) // a connection has deadlines
	if err := send(p.conns, struct{}{}, int(theirs.Fd())); err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// readLog reads what the worker prints: its log, and, where it panics, why.
func (p *process) readLog(r io.Reader, log workerLog) {
	lines := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, isPrefix, err := lines.ReadLine()
		if err != nil {
			return
		}
		for isPrefix && err == nil {
			_, isPrefix, err = lines.ReadLine()
		}
		line = bytes.TrimSpace(line)
		record := map[string]any{}
		if len(line) == 0 {
			continue
		}
		if json.Unmarshal(line, &record) != nil {
			p.mu.Lock()
			if len(p.tail) < tailLines {
				p.tail = append(p.tail, string(line))
			}
			p.mu.Unlock()
			continue
		}
		var level slog.Level
		name, _ := record["level"].(string)
		_ = level.UnmarshalText([]byte(name)) // slog's own handler wrote it
		message, _ := record["msg"].(string)
		delete(record, "level")
		delete(record, "msg")
		delete(record, "time")
		log(level, message, record)
	}
}

// end ends the worker in order: it drains, unmounts and closes. It is killed
// where that takes too long, or ctx ends. It returns when the process is gone.
func (p *process) end(ctx context.Context) {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	_ = p.conns.CloseWrite() // it may be gone
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case <-p.done:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

// ended says how the process ended, and whether it was told to.
func (p *process) ended() (how string, asked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how = "it ended"
	if p.state != nil {
		how = p.state.Error()
	}
	if len(p.tail) > 0 {
		how += ": " + strings.Join(p.tail[:min(len(p.tail), 3)], "; ")
	}
	return how, p.stopping
}

// ending says whether the process was told to end.
func (p *process) ending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// stack is what the worker printed besides its log.
func (p *process) stack() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// call asks the worker something.
func (p *process) call(ctx context.Context, what string, q, reply any) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://worker/"+what, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return p.lost(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	if reply == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(reply)
	}
	if err != nil {
		return p.lost(ctx, err)
	}
	return nil
}

// lost is the error of a request that the worker did not answer.
func (p *process) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// Its end may be known a moment later.
	select {
	case <-p.done:
		how, _ := p.ended()
		err = errors.New(how)
	case <-time.After(time.Second):
	}
	return api.NewProblem(http.StatusBadGateway, api.CodeWorker,
		"the process that serves the image failed: "+err.Error(), "ask again: it is started anew; the daemon's log has the details")
}

// readProblem reads the problem of a reply that is one.
func readProblem(resp *http.Response) error {
	p := &api.Problem{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p); err != nil || p.Code == "" {
		return api.NewProblem(http.StatusBadGateway, api.CodeInternal, fmt.Sprintf("a worker answered with status %d", resp.StatusCode), "please report it")
	}
	return p
}
