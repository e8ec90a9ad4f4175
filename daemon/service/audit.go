package service

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
)

// An AuditEntry is a line of the audit log: who did what, when, and with what
// result. Hash is the SHA-256, in hex, of Prev and the line as it would be
// without a hash; Prev is the hash of the line before, so that a line that is
// changed, taken out or put in shows.
type AuditEntry struct {
	Time   time.Time `json:"time"`
	UID    int       `json:"uid"`
	GID    int       `json:"gid"`
	PID    int       `json:"pid"`
	Op     string    `json:"op"` // "mount", "unmount", "detach" ...
	Image  string    `json:"image,omitempty"`
	Paths  []string  `json:"paths,omitempty"` // images of the host
	Dir    string    `json:"dir,omitempty"`
	Result string    `json:"result"` // "ok", or a problem's code
	Detail string    `json:"detail,omitempty"`
	Prev   string    `json:"prev"`
	Hash   string    `json:"hash,omitempty"`
}

// An Audit is an open audit log. A nil one keeps nothing.
type Audit struct {
	mu   sync.Mutex // held while a line is written; a leaf
	file *os.File
	prev string
}

// openAudit opens the log at path to go on with its chain. A log whose last
// line is broken (the host lost power) is continued on a new line, and Verify
// shows the place.
func openAudit(path string) (*Audit, error) {
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	a := &Audit{file: f}
	last, err := lastLine(f)
	if err == nil && last != "" {
		var e AuditEntry
		if json.Unmarshal([]byte(last), &e) == nil {
			a.prev = e.Hash
		} else if !strings.HasSuffix(last, "\n") {
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return a, nil
}

// maxAuditLine bounds a line, in bytes.
const maxAuditLine = 1 << 20

func lastLine(f *os.File) (string, error) {
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	n := min(st.Size(), maxAuditLine)
	b := make([]byte, n)
	if _, err := f.ReadAt(b, st.Size()-n); err != nil && err != io.EOF {
		return "", err
	}
	text := string(b)
	end := strings.TrimSuffix(text, "\n")
	return text[strings.LastIndexByte(end, '\n')+1:], nil
}

// add writes an entry and makes it durable.
func (a *Audit) add(e AuditEntry) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e.Time, e.Prev = time.Now().UTC(), a.prev
	hash, err := e.sum()
	if err != nil {
		return err
	}
	e.Hash = hash
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := a.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	a.prev = hash
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

func (e AuditEntry) sum() (string, error) {
	e.Hash = ""
	line, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(e.Prev), line...))
	return hex.EncodeToString(sum[:]), nil
}

func (a *Audit) close() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Close()
}

// VerifyAudit checks the chain of a log and answers how many entries it has.
// The error names the first line that does not fit.
func VerifyAudit(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	prev, n := "", 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxAuditLine)
	for lines.Scan() {
		n++
		var e AuditEntry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return n, fmt.Errorf("line %d is no entry: %w", n, err)
		}
		sum, err := e.sum()
		if err != nil {
			return n, err
		}
		if e.Prev != prev || e.Hash != sum {
			return n, fmt.Errorf("line %d does not continue the chain: it, or one before it, was changed", n)
		}
		prev = e.Hash
	}
	return n, lines.Err()
}

// audited writes down what became of an operation. That it cannot be written
// down fails the operation's answer, not the operation.
func (b *Broker) audited(by Peer, e AuditEntry, err error) {
	e.UID, e.GID, e.PID, e.Result = by.UID, by.GID, by.PID, "ok"
	if err != nil {
		p := problemOf(err)
		e.Result, e.Detail = string(p.Code), p.Detail
	}
	if err := b.audit.add(e); err != nil && !errors.Is(err, os.ErrClosed) {
		b.log.Error("the audit log cannot be written", "error", err, "op", e.Op, "uid", e.UID)
	}
}

// imagePaths are the paths of images, for the audit log.
func imagePaths(list []api.ImageSpec) []string {
	var paths []string
	for _, i := range list {
		paths = append(paths, i.Path)
	}
	return paths
}
