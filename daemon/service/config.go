package service

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/guestctl/guestctl/daemon/sandbox"
	"github.com/guestctl/guestctl/daemon/trace"
	"github.com/guestctl/guestctl/formats/crypt"
)

// DefaultFile is the configuration file as it is installed: every setting with
// its default, commented out, and what it is for. The manual page
// guestctld.toml(5) is made of it.
//
//go:embed guestctld.toml
var DefaultFile string

// Config is how a daemon is run. Its TOML is the configuration file of
// guestctld; guestctld.toml says what each setting is for. One whose tag says
// restart is read when the daemon starts, and not again.
type Config struct {
	Isolation string   `toml:"isolation" change:"restart"`
	Sandbox   string   `toml:"sandbox" change:"restart"`
	Images    []string `toml:"images"`
	Backing   []string `toml:"backing"`
	Group     string   `toml:"group" change:"restart"`
	Keys      []string `toml:"keys"`

	WorkerBytes  int64    `toml:"worker_bytes" change:"restart"`
	CacheBytes   int64    `toml:"cache_bytes"`
	Operations   int      `toml:"operations"`
	MaxImages    int      `toml:"max_images"`
	Connections  int      `toml:"connections"`
	OpenTimeout  Duration `toml:"open_timeout"`
	IdleAfter    Duration `toml:"idle_after"`
	StallTimeout Duration `toml:"stall_timeout"`
	JobKeep      Duration `toml:"job_keep"`
	JobBytes     int64    `toml:"job_bytes"`
	Jobs         int      `toml:"jobs"`

	Audit    string `toml:"audit" change:"restart"`
	LogLevel string `toml:"log_level"`

	Credentials string       `toml:"-"` // folder of systemd's credentials; "" where it gives none
	Version     string       `toml:"-"` // of the program
	Program     string       `toml:"-"` // that is started as a worker; "" is this one
	Socket      string       `toml:"-"`
	Log         *slog.Logger `toml:"-"`

	Tracer *trace.Tracer `toml:"-"` // nil: nothing is traced
}

// minWorkerBytes is the least that worker_bytes may be.
const minWorkerBytes = 256 << 20

// A Duration is a time.Duration that a configuration has as "90s".
type Duration time.Duration

// UnmarshalText reads "90s".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = fmt.Errorf("a duration of %s", b)
	}
	*d = Duration(v)
	return err
}

// MarshalText writes "90s", and "5m" for what Duration.String has as "5m0s".
func (d Duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

// DefaultConfig is what an empty configuration file means.
func DefaultConfig() Config {
	return Config{
		Isolation: "image", Sandbox: sandbox.Auto, WorkerBytes: 2 << 30, Images: []string{}, Backing: []string{}, Group: "guestctl", Keys: []string{}, Operations: 16, MaxImages: 4096, Connections: 256,
		OpenTimeout: Duration(time.Minute), IdleAfter: Duration(5 * time.Minute), StallTimeout: Duration(time.Minute),
		JobKeep: Duration(10 * time.Minute), JobBytes: 1 << 30, Jobs: 32, LogLevel: "info",
	}
}

// ReadConfig reads a configuration file; what it leaves out has its default. A
// name that is not known is an error.
func ReadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(string(b))
	if err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the text of a configuration file.
func ParseConfig(text string) (Config, error) {
	c := DefaultConfig()
	meta, err := toml.Decode(text, &c)
	if parse := (toml.ParseError{}); errors.As(err, &parse) {
		return c, fmt.Errorf("line %d: %s", parse.Position.Line, strings.TrimPrefix(parse.Message+causeOf(parse), "toml: "))
	}
	if err != nil {
		return c, err
	}
	if odd := meta.Undecoded(); len(odd) > 0 {
		return c, fmt.Errorf("there is no setting %q", odd[0].String())
	}
	return c, c.check()
}

// causeOf is the text of an error whose message is elsewhere.
func causeOf(err toml.ParseError) string {
	if err.Message != "" {
		return ""
	}
	text := err.Error()
	if _, cause, ok := strings.Cut(text, "): "); ok {
		return cause
	}
	return text
}

// Print writes a configuration as its file has it.
func (c Config) Print(w io.Writer) error { return toml.NewEncoder(w).Encode(c) }

func (c *Config) check() error {
	if c.Isolation != "image" && c.Isolation != "shared" {
		return fmt.Errorf("isolation is %q: it is image or shared", c.Isolation)
	}
	if !slices.Contains([]string{sandbox.Require, sandbox.Auto, sandbox.Off}, c.Sandbox) {
		return fmt.Errorf("sandbox is %q: it is require, auto or off", c.Sandbox)
	}
	if c.WorkerBytes != 0 && c.WorkerBytes < minWorkerBytes {
		return fmt.Errorf("worker_bytes is %d: a worker needs %d at least; 0 is no limit", c.WorkerBytes, minWorkerBytes)
	}
	for _, dir := range slices.Concat(c.Images, c.Backing) {
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
	for _, k := range c.Keys {
		if err := crypt.CheckSelector(k); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		if name, rest, _ := strings.Cut(k, ":"); !strings.HasPrefix(rest, "file:/") {
			return fmt.Errorf("keys: the key of %q: a configuration names files only: %q", name, name+":file:/PATH")
		}
	}
	_, err := c.Level()
	return err
}

// Level is the level that is logged from on.
func (c *Config) Level() (slog.Level, error) {
	levels := map[string]slog.Level{"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug}
	level, ok := levels[c.LogLevel]
	if !ok {
		return level, fmt.Errorf("log_level is %q: it is error, warn, info or debug", c.LogLevel)
	}
	return level, nil
}

// Warnings are what of a configuration this host does not have.
func (c *Config) Warnings() []string {
	var list []string
	for _, dir := range c.Images {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			list = append(list, fmt.Sprintf("images: there is no folder %q", dir))
		}
	}
	if _, ok := groupID(c.Group); c.Group != "" && !ok {
		list = append(list, fmt.Sprintf("group: there is no group %q; the socket is root's alone", c.Group))
	}
	if _, err := readKeys(c); err != nil {
		list = append(list, err.Error())
	}
	return list
}

// take makes c what next says where that can be done while the daemon runs. It
// answers the settings that have changed, and those that take a restart.
func (c *Config) take(next Config) (changed, later []string) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(next)
	for i := range to.NumField() {
		field := to.Type().Field(i)
		name := field.Tag.Get("toml")
		if name == "-" || reflect.DeepEqual(to.Field(i).Interface(), from.Field(i).Interface()) {
			continue
		}
		if field.Tag.Get("change") == "restart" {
			later = append(later, name)
			continue
		}
		to.Field(i).Set(from.Field(i))
		changed = append(changed, name)
	}
	return changed, later
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
