package client

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
	"strconv"

	"github.com/guestctl/guestctl/daemon/api"
)

// maxRecord bounds one line of a stream, in bytes: a line of a file that
// matches may have 64 MiB, and base64 beside it.
const maxRecord = 256 << 20

// Events gives the daemon's events after a sequence number, and with follow
// those that come until ctx ends.
func (c *Client) Events(ctx context.Context, q api.EventQuery, each func(api.Event) error) error {
	return c.lines(ctx, "/v1/events", api.Query(q), nil, record(each))
}

// JobEvents gives a job's events until its end.
func (c *Client) JobEvents(ctx context.Context, id string, each func(api.Event) error) error {
	return c.lines(ctx, "/v1/jobs/"+url.PathEscape(id)+"/events", nil, nil, record(each))
}

// Stat is all that is known of a file.
func (c *Client) Stat(ctx context.Context, image string, q api.StatQuery) (api.File, error) {
	return call[api.File](ctx, c, http.MethodGet, filesOf(image)+"/stat", api.Query(q), nil)
}

// List gives the files of a directory.
func (c *Client) List(ctx context.Context, image string, q api.ListQuery, notice func(api.Notice), each func(api.File) error) error {
	return c.lines(ctx, filesOf(image), api.Query(q), notice, record(each))
}

// Find gives the files that meet conditions.
func (c *Client) Find(ctx context.Context, image string, q api.FindQuery, notice func(api.Notice), each func(api.File) error) error {
	return c.lines(ctx, filesOf(image)+"/find", api.Query(q), notice, record(each))
}

// Grep gives the lines that match.
func (c *Client) Grep(ctx context.Context, image string, q api.GrepQuery, notice func(api.Notice), each func(api.Match) error) error {
	return c.lines(ctx, filesOf(image)+"/grep", api.Query(q), notice, record(each))
}

// Checksum gives checksums.
func (c *Client) Checksum(ctx context.Context, image string, q api.ChecksumQuery, notice func(api.Notice), each func(api.Checksum) error) error {
	return c.lines(ctx, filesOf(image)+"/checksum", api.Query(q), notice, record(each))
}

// Diff gives what differs between a place and another.
func (c *Client) Diff(ctx context.Context, image string, q api.DiffQuery, notice func(api.Notice), each func(api.Difference) error) error {
	return c.lines(ctx, filesOf(image)+"/diff", api.Query(q), notice, record(each))
}

// Usage gives how full each filesystem of an image is.
func (c *Client) Usage(ctx context.Context, image string, each func(api.Usage) error) error {
	return c.lines(ctx, "/v1/images/"+url.PathEscape(image)+"/usage", nil, nil, record(each))
}

// Check gives what is damaged in an image, and answers what was checked.
func (c *Client) Check(ctx context.Context, image string, q api.CheckQuery, each func(api.Finding) error) (out api.Check, err error) {
	err = c.lines(ctx, "/v1/images/"+url.PathEscape(image)+"/check", api.Query(q), nil, func(line []byte) error {
		if bytes.HasPrefix(line, []byte(`{"schema":"`+api.CheckSchema+`"`)) {
			return json.Unmarshal(line, &out)
		}
		return record(each)(line)
	})
	if err == nil && out.Schema == "" {
		err = errBroken
	}
	return out, err
}

// Lines gives the lines of a stream of records as they are, a line break at the
// end of each: op is "list", "stat", "find", "grep" or "checksum", q its query.
func (c *Client) Lines(ctx context.Context, image, op string, q any, notice func(api.Notice), each func(line []byte) error) error {
	path := filesOf(image)
	if op != "list" {
		path += "/" + op
	}
	return c.lines(ctx, path, api.Query(q), notice, each)
}

func filesOf(image string) string { return "/v1/images/" + url.PathEscape(image) + "/files" }

// record decodes each line for a function.
func record[R any](each func(R) error) func([]byte) error {
	return func(line []byte) error {
		var r R
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("a record of the daemon cannot be read: %w", err)
		}
		return each(r)
	}
}

// A FailureError is why a stream ended before its end.
type FailureError struct{ api.Notice }

func (e *FailureError) Error() string {
	if e.Remedy == "" {
		return e.Detail
	}
	return e.Detail + "; " + e.Remedy
}

// errBroken is a stream that breaks off.
var errBroken = errors.New("the reply of the daemon broke off")

// noticePrefix is how a Notice begins: its schema is its first field.
var noticePrefix = []byte(`{"schema":"` + api.ProblemSchema + `"`)

func (c *Client) lines(ctx context.Context, path string, query url.Values, notice func(api.Notice), each func([]byte) error) error {
	// When each fails the rest is not waited for.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := readLine(in)
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		if !bytes.HasPrefix(line, noticePrefix) {
			if err := each(line); err != nil {
				return err
			}
			continue
		}
		var n api.Notice
		if err := json.Unmarshal(line, &n); err != nil {
			return err
		}
		if n.Kind == api.KindFailure {
			return &FailureError{n}
		}
		if notice != nil {
			notice(n)
		}
	}
}

// readLine reads a line of at most maxRecord bytes. It is valid until the next.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	long := bytes.Clone(line)
	for err == bufio.ErrBufferFull && len(long) <= maxRecord {
		line, err = in.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}

// Read writes the bytes of a file to w. Where the daemon cannot read it to its
// end the error says at which byte, and w has all before it.
func (c *Client) Read(ctx context.Context, image, path string, w io.Writer) error {
	written := int64(0)
	for {
		header := http.Header{}
		if written > 0 {
			header.Set("Range", "bytes="+strconv.FormatInt(written, 10)+"-")
		}
		resp, err := c.do(ctx, http.MethodGet, filesOf(image)+"/content", api.Query(api.Place{Path: path}), nil, header)
		if err != nil {
			return err
		}
		if written > 0 && resp.StatusCode != http.StatusPartialContent {
			resp.Body.Close()
			return errBroken
		}
		out := &counted{w: w}
		_, err = io.CopyBuffer(out, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10))
		resp.Body.Close()
		written += out.n
		switch {
		case err == nil:
			return nil
		case out.err != nil:
			return out.err
		case ctx.Err() != nil:
			return ctx.Err()
		case out.n == 0:
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		// A body cannot say why it breaks off: asked from there on, the daemon does.
	}
}

// counted counts what is written and remembers why it could not be.
type counted struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

// Archive writes a tree as a tar archive to w. What of it could not be read is
// zeros, and given to notice at the end.
func (c *Client) Archive(ctx context.Context, image string, q api.ArchiveQuery, notice func(api.Notice), w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, filesOf(image)+"/archive", api.Query(q), nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out := &counted{w: w}
	if _, err := io.CopyBuffer(out, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10)); err != nil {
		switch {
		case out.err != nil:
			return out.err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	problems, err := strconv.Atoi(resp.Trailer.Get(api.ProblemsTrailer))
	if err != nil {
		return fmt.Errorf("%w: the archive has no trailers", errBroken)
	}
	for _, line := range resp.Trailer.Values(api.NoticesTrailer) {
		var n api.Notice
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			return err
		}
		if n.Kind == api.KindProblem {
			problems--
		}
		if notice != nil {
			notice(n)
		}
	}
	if problems > 0 && notice != nil {
		notice(api.Notice{Schema: api.ProblemSchema, Kind: api.KindProblem, Code: api.CodeReadFailed,
			Detail: fmt.Sprintf("%d more files could not be read", problems)})
	}
	return nil
}
