package service_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/service"
)

// What is in force is said, and the kernel says the same of a worker.
func TestSandbox(t *testing.T) {
	d := start(t)
	h, err := d.Health(t.Context())
	must(t, err)
	if h.Sandbox == nil || h.Sandbox.Mode != "auto" || !h.Sandbox.Seccomp || !h.Sandbox.NoNewPrivileges {
		t.Fatalf("in force is %+v", h.Sandbox)
	}
	img := attach(t, d, small(t))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", img.Worker.PID))
	must(t, err)
	for _, line := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("the kernel does not say %q of a worker:\n%s", line, status)
		}
	}
	if h.Sandbox.Memory > 0 {
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", img.Worker.PID))
		must(t, err)
		if !strings.Contains(string(limits), fmt.Sprintf("Max data size             %d ", h.Sandbox.Memory)) {
			t.Errorf("the kernel's limits are\n%s", limits)
		}
	}
	d = start(t, func(c *service.Config) { c.Sandbox = "off" })
	h, err = d.Health(t.Context())
	must(t, err)
	if h.Sandbox == nil || h.Sandbox.Seccomp || h.Sandbox.Mode != "off" {
		t.Errorf("switched off, in force is %+v", h.Sandbox)
	}
	attach(t, d, small(t))
}

// What the sandbox costs: a worker's start, and reading through one.
//
//	go test ./daemon/service -run '^$' -bench Sandbox
func BenchmarkSandbox(b *testing.B) {
	for _, mode := range []string{"off", "auto"} {
		d := start(b, func(c *service.Config) { c.Sandbox = mode })
		path := small(b)
		b.Run("attach/"+mode, func(b *testing.B) {
			for b.Loop() {
				must(b, d.Detach(b.Context(), attach(b, d, path).ID, false))
			}
		})
		img := attach(b, d, path)
		b.Run("read/"+mode, func(b *testing.B) {
			for b.Loop() {
				status, _, _ := d.get(b, "GET", "/v1/images/"+img.ID+"/files/content?path=/home/a/deep/two", "")
				if status != 200 {
					b.Fatal(status)
				}
			}
		})
		must(b, d.Detach(b.Context(), img.ID, false))
	}
}
