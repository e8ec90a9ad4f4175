package appliance

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/guestctl/guestctl/tests/images"
	"github.com/guestctl/guestctl/tests/manifest"
)

// A Disk is attached to the machine.
type Disk struct {
	Path     string
	Format   string // "raw" or "qcow2"
	Writable bool   // otherwise what the script writes is thrown away
}

const (
	limit   = 5 * time.Minute // of a run
	outSize = 4 << 30         // bytes of $OUT, sparse
)

// Run boots the machine, runs script, and answers the path of what it wrote to $OUT. The test fails where the script's exit
// status is not 0 or the machine does not come to an end within five minutes. extra are files, by name, to be found in /tmp.
func Run(t testing.TB, disks []Disk, script string, extra map[string][]byte) string {
	t.Helper()
	images.NeedTool(t, "qemu-system-x86_64")
	kernel, initramfs, root := images.Appliance(t)
	dir := t.TempDir()

	job := map[string][]byte{"job/job.sh": []byte(prologue(len(disks)) + script)}
	for name, body := range extra {
		job["job/"+name] = body
	}
	initrd := filepath.Join(dir, "initrd")
	if err := appendJob(initramfs, initrd, job); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(outSize); err != nil {
		t.Fatal(err)
	}

	console := filepath.Join(dir, "console")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{"-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot", "-nic", "none", "-serial", "file:" + console, "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off"}
	drive := func(path, format, options string) {
		// A comma in a path is doubled: qemu splits options at single ones.
		args = append(args, "-drive", fmt.Sprintf("file=%s,format=%s,if=virtio,cache=unsafe,%s", strings.ReplaceAll(path, ",", ",,"), format, options))
	}
	drive(root, "raw", "readonly=on")
	drive(out, "raw", "readonly=off")
	for _, d := range disks {
		if d.Writable {
			drive(d.Path, d.Format, "snapshot=off")
		} else {
			drive(d.Path, d.Format, "snapshot=on")
		}
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // where snapshot=on keeps what is written
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := cmd.CombinedOutput()
	log, _ := os.ReadFile(console)
	if err != nil {
		t.Fatalf("the appliance: %v (limit %v): %s\n%s", err, limit, said, last(log))
	}
	switch m := exitStatus.FindSubmatch(log); {
	case m == nil:
		t.Fatalf("the appliance ended without running the script:\n%s%s", said, last(log))
	case string(m[1]) != "0":
		t.Fatalf("the script in the appliance failed with status %s:\n%s", m[1], last(log))
	}
	return out
}

var exitStatus = regexp.MustCompile(`APPLIANCE: exit status (\d+)`)

// last is the end of what the console showed.
func last(log []byte) string {
	lines := strings.Split(strings.ReplaceAll(string(log), "\r", ""), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// prologue names the devices: vda is the root, vdb the output.
func prologue(disks int) string {
	var b strings.Builder
	b.WriteString("set -euo pipefail\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/tmp OUT=/dev/vdb\n")
	for i := range disks {
		fmt.Fprintf(&b, "export DISK%d=/dev/vd%c\n", i+1, 'c'+i)
	}
	b.WriteString("cd /tmp\n")
	return b.String()
}

func appendJob(initramfs, dst string, job map[string][]byte) error {
	in, err := os.Open(initramfs)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer out.Close()
	n, err := io.Copy(out, in)
	if err != nil {
		return err
	}
	// An archive begins at a multiple of four bytes.
	if _, err := out.Write(make([]byte, -n&3)); err != nil {
		return err
	}
	if err := writeCpio(out, job, "job"); err != nil {
		return err
	}
	return out.Close()
}

// Manifest mounts something in the appliance and writes down its tree, with the same code that walks mounts here. mount is a
// script that mounts it read-only on /mnt.
func Manifest(t testing.TB, disks []Disk, mount string) manifest.Manifest {
	t.Helper()
	walker := filepath.Join(t.TempDir(), "walk")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", walker, "github.com/guestctl/guestctl/tests/appliance/walk")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the walker: %v: %s", err, said)
	}
	program, err := os.ReadFile(walker)
	if err != nil {
		t.Fatal(err)
	}
	out := Run(t, disks, mount+"\n/tmp/walk /mnt >$OUT\n", map[string][]byte{"walk": program})
	b, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var m manifest.Manifest
	if err := gob.NewDecoder(b).Decode(&m); err != nil {
		t.Fatalf("reading the appliance's manifest: %v", err)
	}
	return m
}
