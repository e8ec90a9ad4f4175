package service

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/guestctl/guestctl/tests/images"
)

// A container is a Debian system that systemd has booted.
type container struct {
	root string
	pid  string // of its systemd, as this host numbers it
	said *bytes.Buffer
}

// boot boots root in namespaces of its own: nspawn's, where there is one that
// works without a systemd around it.
func boot(t *testing.T, root string) *container {
	t.Helper()
	images.NeedFUSE(t)
	images.NeedTool(t, "systemd-nspawn", "nsenter", "pgrep")
	for name, text := range map[string]string{
		"/etc/machine-id": "", "/etc/hostname": "guestctl-test\n",
		"/etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=persistent\n",
	} {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := &container{root: root, said: &bytes.Buffer{}}
	cmd := exec.Command("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--directory="+root, "--bind=/dev/fuse", "--console=pipe", "--kill-signal=SIGRTMIN+3")
	cmd.Stdout, cmd.Stderr = c.said, c.said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its output says why
		close(ended)
	}()
	t.Cleanup(func() {
		if t.Failed() && c.pid != "" {
			out, _ := c.command("journalctl", "-n", "80", "--no-pager", "-o", "short").CombinedOutput()
			t.Logf("the container's journal:\n%s", out)
		}
		_ = cmd.Process.Signal(os.Interrupt) // it may be gone
		if c.pid != "" {
			_ = exec.Command("kill", "-s", "RTMIN+4", c.pid).Run() // power off
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		select {
		case <-ended:
			images.Lack(t, "needs a system in which systemd-nspawn boots: %s", c.said)
		default:
		}
		out, _ := exec.Command("pgrep", "-P", fmt.Sprint(cmd.Process.Pid)).Output()
		c.pid = strings.TrimSpace(string(out))
		if c.pid != "" && !strings.Contains(c.pid, "\n") {
			state, _ := c.command("systemctl", "is-system-running").Output()
			if s := strings.TrimSpace(string(state)); s == "running" || s == "degraded" {
				return c
			}
		}
		if time.Now().After(end) {
			images.Lack(t, "needs a system in which systemd-nspawn boots; it is not up after a minute: %s", c.said)
		}
	}
}

// command makes a command inside.
func (c *container) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", c.pid, "-a", "-r", "-w", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	return cmd
}

// do runs a command inside, which must succeed.
func (c *container) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// until waits until a shell command inside succeeds.
func (c *container) until(t *testing.T, what, command string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		out, err := c.command("sh", "-c", command).CombinedOutput()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
	}
}

// TestSystemd installs the packages in a system that runs, and lives through
// what happens to a service.
func TestSystemd(t *testing.T) {
	images.NeedLong(t)
	dir, _ := packages(t)
	root := debian(t)
	for _, name := range []string{"guestctl_*.deb", "guestctl-guestmount_*.deb"} {
		run(t, "", nil, "cp", deb(t, dir, name, "a .deb"), root+"/root/")
	}
	c := boot(t, root)
	c.do(t, "sh", "-c", "dpkg -i /root/*.deb")
	c.do(t, "guestctl", "demo", "/root/demo.img")
	const curl = "curl -sS --fail --unix-socket /run/guestctl/guestctl.sock http://guest/v1/"

	// Socket activation.
	c.do(t, "systemctl", "enable", "--now", "guestctld.socket")
	if out, _ := c.command("systemctl", "is-active", "guestctld.service").Output(); string(out) != "inactive\n" {
		t.Errorf("before anybody connects the service is %q", out)
	}
	if out := c.do(t, "sh", "-c", curl+"health"); !strings.Contains(out, `"status":"ok"`) || !strings.Contains(out, `"seccomp":true`) {
		t.Errorf("health is %s", out)
	}
	if out := c.do(t, "stat", "-c", "%a %U:%G", "/run/guestctl/guestctl.sock"); out != "660 root:guestctl\n" {
		t.Errorf("the socket is %s", out)
	}

	// A mount appears outside the service.
	c.do(t, "mkdir", "/mnt/a", "/mnt/b", "/mnt/c")
	c.do(t, "guestctl", "mount", "/root/demo.img", "/mnt/a")
	hostname := "grep -q demo-guest /mnt/a/etc/hostname"
	c.do(t, "sh", "-c", hostname)
	c.until(t, "the status says how many", "systemctl show -p StatusText guestctld | grep -q '1 images open.*1 mounts'")
	c.do(t, "sh", "-c", "journalctl -u guestctld GUESTCTL_OP=mount.made -o json | grep -q '\"GUESTCTL_IMAGE\"'")

	// Reload.
	c.do(t, "sh", "-c", "echo 'jobs = 7' >/etc/guestctl/guestctld.toml")
	c.do(t, "systemctl", "kill", "-s", "HUP", "--kill-who=main", "guestctld.service") // what reload is since systemd 253
	c.until(t, "the reload is in the journal", "journalctl -u guestctld GUESTCTL_CHANGED=jobs | grep -q read")
	c.do(t, "sh", "-c", hostname)

	// Killed, it comes back with its mount.
	pid := c.do(t, "systemctl", "show", "-p", "MainPID", "--value", "guestctld.service")
	c.do(t, "systemctl", "kill", "-s", "KILL", "--kill-who=main", "guestctld.service")
	c.until(t, "it is started again", fmt.Sprintf("test $(systemctl show -p MainPID --value guestctld) != %s && systemctl is-active guestctld", strings.TrimSpace(pid)))
	c.until(t, "the mount is made again", hostname)

	// Blocked, the watchdog ends it, and it comes back the same way.
	c.do(t, "sh", "-c", "mkdir -p /run/systemd/system/guestctld.service.d && printf '[Service]\\nWatchdogSec=9s\\nTimeoutAbortSec=2s\\n' >/run/systemd/system/guestctld.service.d/test.conf && systemctl daemon-reload && systemctl restart guestctld")
	c.do(t, "guestctl", "mount", "/root/demo.img", "/mnt/a")
	c.do(t, "systemctl", "kill", "-s", "STOP", "--kill-who=main", "guestctld.service")
	c.until(t, "the watchdog fires", "journalctl -u guestctld | grep -qi 'watchdog timeout'")
	c.until(t, "the mount is made again after the watchdog", hostname)

	// fstab, by hand and at first look.
	c.do(t, "sh", "-c", "printf '/root/demo.img /mnt/b guestmount ro,inspector,noauto 0 0\\n/root/demo.img /mnt/c guestmount ro,inspector,noauto,x-systemd.automount 0 0\\n' >>/etc/fstab; systemctl daemon-reload")
	c.do(t, "mount", "/mnt/b")
	c.do(t, "grep", "-q", "demo-guest", "/mnt/b/etc/hostname")
	c.do(t, "umount", "/mnt/b")
	c.do(t, "systemctl", "start", "mnt-b.mount")
	c.do(t, "grep", "-q", "demo-guest", "/mnt/b/etc/hostname")
	c.do(t, "systemctl", "stop", "mnt-b.mount")
	if _, err := os.Stat("/proc/sys/fs/binfmt_misc"); err == nil {
		if _, err := c.command("systemctl", "start", "mnt-c.automount").CombinedOutput(); err == nil {
			c.do(t, "grep", "-q", "demo-guest", "/mnt/c/etc/hostname")
			c.do(t, "systemctl", "stop", "mnt-c.automount", "mnt-c.mount")
		} else {
			t.Log("no automount here: the container's kernel has no autofs, or does not let it be mounted")
		}
	}

	// The template.
	c.do(t, "systemctl", "start", "guestmount@root-demo.img.service")
	c.do(t, "grep", "-q", "demo-guest", "/run/guestctl/mnt/root-demo.img/etc/hostname")
	c.do(t, "systemctl", "stop", "guestmount@root-demo.img.service")

	// Stopped, nothing is left; the socket starts it again.
	c.do(t, "systemctl", "stop", "guestctld.service")
	c.do(t, "sh", "-c", "! grep -q 'fuse.guestctl' /proc/mounts")
	c.do(t, "sh", "-c", curl+"health")
	c.do(t, "guestctld", "--verify-audit", "/var/log/guestctl/audit.jsonl")
	c.do(t, "dpkg", "-P", "guestctl-guestmount", "guestctl")
	c.do(t, "sh", "-c", "! systemctl is-active guestctld.socket && ! getent group guestctl && ! test -e /var/log/guestctl")
}
