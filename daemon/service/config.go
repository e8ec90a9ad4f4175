package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/guestctl/guestctl/daemon/trace"
)

// Config is how a daemon is run. Its JSON is the configuration file of
// guestctld.
type Config struct {
	// Isolation is "image", a worker for each image set, or "shared", one for
	// all, which is affordable for a thousand mounted images of one's own.
	Isolation string `json:"isolation"`

	// Images lists the folders below which users other than root and the
	// daemon's own may open images. Empty: they open none, and read those that
	// are attached.
	Images []string `json:"images"`
	// Backing lists the folders below which images may name files, besides
	// each image's own, whoever attaches them.
	Backing []string `json:"backing"`
	// Group is the group, by name or number, whose members may connect, where
	// the daemon is root's and there is such a group.
	Group string `json:"group"`

	CacheBytes   int64    `json:"cache_bytes"`   // of each filesystem and image; 0 leaves it to each
	Operations   int      `json:"operations"`    // at a time on one image
	MaxImages    int      `json:"max_images"`    // attached
	Connections  int      `json:"connections"`   // of one user at a time
	OpenTimeout  Duration `json:"open_timeout"`  // of an image
	IdleAfter    Duration `json:"idle_after"`    // an image that nobody uses is closed; its id stays
	StallTimeout Duration `json:"stall_timeout"` // a client that reads nothing for so long is left
	JobKeep      Duration `json:"job_keep"`      // a job's result after its end
	JobBytes     int64    `json:"job_bytes"`     // of one result
	Jobs         int      `json:"jobs"`          // that run at a time

	Audit string `json:"audit"` // file of the audit log; "" is the default, "-" none

	Version string       `json:"-"` // of the program
	Program string       `json:"-"` // that is started as a worker; "" is this one
	Socket  string       `json:"-"`
	Log     *slog.Logger `json:"-"`

	Tracer *trace.Tracer `json:"-"` // nil: nothing is traced
}

// A Duration is a time.Duration that JSON has as "90s".
type Duration time.Duration

// UnmarshalJSON reads "90s".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as %q", "90s")
	}
	v, err := time.ParseDuration(s)
	if err == nil && v < 0 {
		err = fmt.Errorf("a duration of %s", s)
	}
	*d = Duration(v)
	return err
}

// MarshalJSON writes "90s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// DefaultConfig is what an empty configuration file means.
func DefaultConfig() Config {
	return Config{
		Isolation: "image", Group: "guestctl", Operations: 16, MaxImages: 4096, Connections: 256,
		OpenTimeout: Duration(time.Minute), IdleAfter: Duration(5 * time.Minute), StallTimeout: Duration(time.Minute),
		JobKeep: Duration(10 * time.Minute), JobBytes: 1 << 30, Jobs: 32,
	}
}

// ReadConfig reads a configuration file; what it leaves out has its default. A
// name that is not known is an error.
func ReadConfig(path string) (Config, error) {
	c := DefaultConfig()
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

func (c *Config) check() error {
	if c.Isolation != "image" && c.Isolation != "shared" {
		return fmt.Errorf("isolation is %q: it is image or shared", c.Isolation)
	}
	for _, dir := range append(append([]string{}, c.Images...), c.Backing...) {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("the folder %q is not an absolute path", dir)
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"operations", int64(c.Operations)}, {"max_images", int64(c.MaxImages)}, {"connections", int64(c.Connections)},
		{"jobs", int64(c.Jobs)}, {"job_bytes", c.JobBytes}, {"open_timeout", int64(c.OpenTimeout)}, {"stall_timeout", int64(c.StallTimeout)}} {
		if n.value <= 0 {
			return fmt.Errorf("%s must be more than 0", n.name)
		}
	}
	if c.CacheBytes < 0 {
		return fmt.Errorf("cache_bytes must not be negative")
	}
	return nil
}

// auditPath is where the audit log is by default.
func (c *Config) auditPath() string {
	switch {
	case c.Audit == "-":
		return ""
	case c.Audit != "":
		return c.Audit
	case os.Geteuid() == 0:
		return "/var/log/guestctl/audit.jsonl"
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		state = filepath.Join(home, ".local/state")
	}
	return filepath.Join(state, "guestctl/audit.jsonl")
}
