package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/sandbox"
)

// What the broker starts its own program for. Beside workers there are a
// sweeper, and a probe, which says what of the sandbox is in force and leaves.
const (
	roleVariable = "GUESTCTL_ROLE"
	roleSweeper  = "sweeper"
	roleProbe    = "probe"
)

// sandboxVariable tells a worker its sandbox: the mode and the limit of memory.
const sandboxVariable = "GUESTCTL_SANDBOX"

// sandboxFor is what sandboxVariable is to be.
func (b *Broker) sandboxFor() string {
	cfg := b.config()
	memory := cfg.WorkerBytes
	if cfg.Isolation == "shared" {
		memory = 0
	}
	return fmt.Sprintf("%s %d", cfg.Sandbox, memory)
}

// enterSandbox locks this process in as its environment says.
func enterSandbox() (api.Sandbox, error) {
	mode, memory, _ := strings.Cut(os.Getenv(sandboxVariable), " ")
	bytes, err := strconv.ParseInt(memory, 10, 64)
	if err != nil {
		return api.Sandbox{}, fmt.Errorf("%s: %w", sandboxVariable, err)
	}
	os.Unsetenv(sandboxVariable)
	return sandbox.Enter(mode, bytes)
}

// probe says what is in force in a process that is started as workers are.
func probe(w io.Writer) (status int) {
	in, err := enterSandbox()
	reply := probed{Sandbox: in}
	if err != nil {
		reply.Error = err.Error()
	}
	if json.NewEncoder(w).Encode(reply) != nil {
		return 1
	}
	return 0
}

type probed struct {
	Sandbox api.Sandbox `json:"sandbox"`
	Error   string      `json:"error,omitempty"`
}

// probeSandbox starts a probe. It is an error where the sandbox is required and
// something of it is missing.
func (b *Broker) probeSandbox() (*api.Sandbox, error) {
	cmd := b.command(roleProbe)
	cmd.Env = append(cmd.Env, sandboxVariable+"="+b.sandboxFor())
	text, err := cmd.Output()
	var p probed
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		exit := (*exec.ExitError)(nil)
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("starting a process in the sandbox: %w", err)
	}
	if p.Error != "" {
		return nil, errors.New(p.Error)
	}
	if len(p.Sandbox.Missing) > 0 {
		b.log.Warn("this host does not have all of the sandbox", "missing", strings.Join(p.Sandbox.Missing, "; "))
	}
	return &p.Sandbox, nil
}

// command starts this program for something else than a worker.
func (b *Broker) command(role string) *exec.Cmd {
	cmd := exec.Command(b.config().Program)
	cmd.Args = []string{"guestctld", role}
	cmd.Env = append(cleanEnvironment(), fmt.Sprintf("%s=%d", workerVariable, b.logLevel()), roleVariable+"="+role)
	cmd.Dir = "/"
	return cmd
}
