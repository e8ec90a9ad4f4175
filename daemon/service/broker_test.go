package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/tests/images"
)

// eventually waits for something that comes by itself.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after thirty seconds: %s", what)
		}
	}
}

func mountedAt(dir string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && bytes.Contains(table, []byte(" "+dir+" "))
}

func running(pid int) bool { return unix.Kill(pid, 0) == nil }

// mountDir is an empty folder, whose mount is gone after the test.
func mountDir(t testing.TB) string {
	t.Helper()
	images.NeedFUSE(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dir = filepath.Join(dir, "mnt")
	must(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() {
		if mountedAt(dir) {
			t.Errorf("%s is still mounted", dir)
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// cat reads a file of a mount in another process: this one may serve it.
func cat(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command("cat", path).CombinedOutput()
	if err != nil {
		t.Fatalf("cat %s: %v: %s", path, err, out)
	}
	return string(out)
}

func TestMountThroughAWorker(t *testing.T) {
	d := start(t)
	dir := mountDir(t)
	m, err := d.Mount(t.Context(), api.MountRequest{Attach: &api.Attach{Images: []api.ImageSpec{{Path: small(t)}}}, Dir: dir})
	must(t, err)
	if got := cat(t, dir+"/home/a/one.txt"); got != guestFiles["home/a/one.txt"] {
		t.Errorf("read %q", got)
	}
	list, err := d.Mounts(t.Context())
	must(t, err)
	if len(list) != 1 || list[0].Dir != dir || list[0].Stats == nil || list[0].Stats.Lookups == 0 {
		t.Errorf("mounts %+v", list)
	}
	img, err := d.Image(t.Context(), m.Image)
	must(t, err)
	if img.Worker.PID == os.Getpid() || img.Mounts != 1 {
		t.Errorf("image %+v", img)
	}
	// Two doors, one view: a file read over the socket and through the mount.
	var b bytes.Buffer
	must(t, d.Read(t.Context(), m.Image, "/home/a/deep/two", &b))
	if b.String() != cat(t, dir+"/home/a/deep/two") {
		t.Error("the socket and the mount differ")
	}
	wantCode(t, d.Detach(t.Context(), m.Image, false), api.CodeImageHeld)
	_, err = d.Mount(t.Context(), api.MountRequest{Image: m.Image, Dir: dir})
	wantCode(t, err, api.CodeMountPoint)

	// A mount in use is not taken away, but for lazy.
	f, err := os.Open(dir)
	must(t, err)
	wantCode(t, d.Unmount(t.Context(), m.ID, false), api.CodeMountBusy)
	must(t, d.Unmount(t.Context(), m.ID, true))
	if mountedAt(dir) {
		t.Error("still mounted after a lazy unmount")
	}
	must(t, f.Close())
	eventually(t, "the image is released", func() bool { _, err := d.Image(t.Context(), m.Image); return err != nil })
	eventually(t, "the worker has ended", func() bool { return !running(img.Worker.PID) })
	if n, err := service.VerifyAudit(d.audit); err != nil || n != 4 {
		t.Errorf("the audit log has %d entries: %v", n, err)
	}
}

// Whoever unmounts with plain umount(8) releases the image too.
func TestForeignUnmount(t *testing.T) {
	images.NeedRoot(t)
	d := start(t)
	dir := mountDir(t)
	m, err := d.Mount(t.Context(), api.MountRequest{Attach: &api.Attach{Images: []api.ImageSpec{{Path: small(t)}}}, Dir: dir})
	must(t, err)
	must(t, unix.Unmount(dir, 0))
	eventually(t, "the image is released", func() bool { _, err := d.Image(t.Context(), m.Image); return err != nil })
}

func TestWorkerCrash(t *testing.T) {
	d := start(t)
	path := small(t)
	other := attach(t, d, smallIn(t, t.TempDir()))
	dir := mountDir(t)
	img := attach(t, d, path)
	_, err := d.Mount(t.Context(), api.MountRequest{Image: img.ID, Dir: dir})
	must(t, err)
	must(t, syscall.Kill(img.Worker.PID, syscall.SIGKILL))
	eventually(t, "the image has failed", func() bool {
		img, err := d.Image(t.Context(), img.ID)
		return err == nil && img.State == api.StateFailed && img.Mounts == 0 && strings.Contains(img.Failure, "killed")
	})
	eventually(t, "the dead mount is gone", func() bool { return !mountedAt(dir) })
	// The next use starts another worker; nobody else noticed.
	var b bytes.Buffer
	must(t, d.Read(t.Context(), img.ID, "/etc/hostname", &b))
	again, err := d.Image(t.Context(), img.ID)
	must(t, err)
	if again.State != api.StateOpen || again.Worker.PID == img.Worker.PID || b.String() != "guest\n" {
		t.Errorf("after the crash: %+v, read %q", again, b.String())
	}
	same, err := d.Image(t.Context(), other.ID)
	must(t, err)
	if same.Worker.PID != other.Worker.PID {
		t.Error("another image's worker was started anew")
	}
	for _, want := range []api.EventKind{api.EventFailed, api.EventMountLost} {
		eventually(t, "the event "+string(want), func() (told bool) {
			must(t, d.Events(t.Context(), api.EventQuery{}, func(e api.Event) error { told = told || e.Kind == want; return nil }))
			return told
		})
	}
}

func TestIdleEviction(t *testing.T) {
	d := start(t, func(c *service.Config) { c.IdleAfter = service.Duration(time.Millisecond) })
	img := attach(t, d, small(t))
	eventually(t, "the idle image is closed", func() bool { i, err := d.Image(t.Context(), img.ID); return err == nil && i.State == api.StateIdle })
	eventually(t, "its worker has ended", func() bool { return !running(img.Worker.PID) })
	// Its id stays, and the next use opens it.
	f, err := d.Stat(t.Context(), img.ID, api.StatQuery{Place: api.Place{Path: "/etc/hostname"}})
	must(t, err)
	if f.Size != 6 {
		t.Errorf("stat %+v", f)
	}
}

// An image in use by a virtual machine is refused with its process, and one
// that we hold is released with its last reference.
func TestLockIsHeldAndReleased(t *testing.T) {
	d := start(t)
	path := small(t)
	img := attach(t, d, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	// QEMU_LOCK_SHARED_BASE + BLK_PERM_WRITE: we let nobody write.
	held := func() bool {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: 201, Len: 1}
		must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l))
		return l.Type != unix.F_UNLCK
	}
	if !held() {
		t.Error("the image is attached and not locked")
	}
	must(t, d.Detach(t.Context(), img.ID, false))
	if held() {
		t.Error("the image is detached and still locked")
	}
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: 101, Len: 1}
	must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l))
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: path}}})
	if p := wantCode(t, err, api.CodeImageInUse); p.Remedy == "" || !strings.Contains(p.Detail, fmt.Sprint(os.Getpid())) {
		t.Errorf("problem %+v", p)
	}
}

func TestBackingFiles(t *testing.T) {
	images.NeedTool(t, "qemu-img")
	d := start(t)
	base := small(t)
	near := filepath.Join(filepath.Dir(base), "near.qcow2")
	far := filepath.Join(t.TempDir(), "far.qcow2")
	for _, path := range []string{near, far} {
		if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v: %s", err, out)
		}
	}
	img := attach(t, d, near)
	f, err := d.Filesystems(t.Context(), img.ID)
	must(t, err)
	if f.Disks[0].Format != "qcow2" || f.Disks[0].Backing != base {
		t.Errorf("disks %+v", f.Disks)
	}
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: far}}})
	wantCode(t, err, api.CodeBacking)
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: far}}, AllowBacking: []string{filepath.Dir(base)}})
	must(t, err)
}

func TestJobs(t *testing.T) {
	d := start(t)
	img := attach(t, d, small(t))
	j, err := d.StartJob(t.Context(), api.JobRequest{Image: img.ID, Kind: "checksum", Query: "path=/&recursive=true"})
	must(t, err)
	var last api.Event
	must(t, d.JobEvents(t.Context(), j.ID, func(e api.Event) error { last = e; return nil }))
	if last.Kind != api.EventJobEnd {
		t.Errorf("the last event is %+v", last)
	}
	j, err = d.Job(t.Context(), j.ID)
	must(t, err)
	if j.State != api.JobDone || j.Records != 8 || j.Bytes < 1<<16 || j.Expires == nil {
		t.Errorf("job %+v", j)
	}
	r, err := d.JobResult(t.Context(), j.ID)
	must(t, err)
	var result bytes.Buffer
	_, err = result.ReadFrom(r)
	must(t, err)
	must(t, r.Close())
	var direct bytes.Buffer
	must(t, d.Lines(t.Context(), img.ID, "checksum", api.ChecksumQuery{Place: api.Place{Path: "/"}, Algorithm: "sha256", Recursive: true}, nil,
		func(line []byte) error { direct.Write(line); return nil }))
	if result.String() != direct.String() {
		t.Errorf("the job found %s, the request %s", &result, &direct)
	}
	must(t, d.CancelJob(t.Context(), j.ID))
	_, err = d.Job(t.Context(), j.ID)
	wantCode(t, err, api.CodeNoJob)

	j, err = d.StartJob(t.Context(), api.JobRequest{Image: img.ID, Kind: "archive"})
	must(t, err)
	must(t, d.JobEvents(t.Context(), j.ID, func(api.Event) error { return nil }))
	r, err = d.JobResult(t.Context(), j.ID)
	must(t, err)
	cmd := exec.Command("tar", "t")
	cmd.Stdin = r
	out, err := cmd.CombinedOutput()
	must(t, r.Close())
	if err != nil || !strings.Contains(string(out), "./home/a/one.txt") {
		t.Errorf("tar: %v: %s", err, out)
	}
}

// The last reference and a new one race: each finds an image that works.
func TestAttachAndDetachRace(t *testing.T) {
	d := start(t)
	path := small(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				img, err := d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: path}}})
				if err != nil {
					t.Errorf("attach: %v", err)
					return
				}
				if _, err := d.Stat(t.Context(), img.ID, api.StatQuery{}); err != nil {
					t.Errorf("stat: %v", err)
				}
				err = d.Detach(t.Context(), img.ID, false)
				var p *api.Problem
				for errors.As(err, &p) && p.Code == api.CodeImageHeld {
					err = d.Detach(t.Context(), img.ID, false) // another's operation runs
				}
				if err != nil {
					t.Errorf("detach: %v", err)
				}
			}
		})
	}
	wg.Wait()
	list, err := d.Images(t.Context())
	must(t, err)
	if len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
}

func TestMetricsAndHealth(t *testing.T) {
	d := start(t)
	img := attach(t, d, small(t))
	must(t, d.Lines(t.Context(), img.ID, "list", api.ListQuery{}, nil, func([]byte) error { return nil }))
	_, err := d.Stat(t.Context(), img.ID, api.StatQuery{Place: api.Place{Path: "/nope"}})
	wantCode(t, err, api.CodeNoFile)
	text, err := d.Metrics(t.Context())
	must(t, err)
	for _, want := range []string{
		`guestctl_images{state="open"} 1`, `guestctl_requests_total{operation="list",result="ok"} 1`,
		`guestctl_requests_total{operation="stat",result="file_not_found"} 1`, `guestctl_request_duration_seconds_bucket{operation="list",le="+Inf"} 1`,
		`guestctl_image_open_seconds_count 1`, `guestctl_image_requests_total{image="` + img.ID + `"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	h, err := d.Health(t.Context())
	must(t, err)
	if h.Status != "ok" || h.Access != "write" || h.Images[api.StateOpen] != 1 || h.Workers != 1 {
		t.Errorf("health %+v", h)
	}
}

func TestAuditChain(t *testing.T) {
	d := start(t)
	for range 3 {
		wantCode(t, d.Unmount(t.Context(), "nope", false), api.CodeNoMount)
	}
	d.stop(t)
	if n, err := service.VerifyAudit(d.audit); err != nil || n != 3 {
		t.Fatalf("%d entries: %v", n, err)
	}
	text, err := os.ReadFile(d.audit)
	must(t, err)
	var e service.AuditEntry
	must(t, json.Unmarshal(bytes.Split(text, []byte("\n"))[1], &e))
	if e.Op != "unmount" || e.Result != string(api.CodeNoMount) || e.UID != os.Geteuid() || e.PID != os.Getpid() {
		t.Errorf("entry %+v", e)
	}
	must(t, os.WriteFile(d.audit, bytes.Replace(text, []byte(`"op":"unmount"`), []byte(`"op":"nothing"`), 1), 0o640))
	if n, err := service.VerifyAudit(d.audit); err == nil || n != 1 {
		t.Errorf("a changed entry is not noticed: %d, %v", n, err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	must(t, os.WriteFile(d.audit, append(append([]byte{}, lines[0]...), lines[2]...), 0o640))
	if n, err := service.VerifyAudit(d.audit); err == nil || n != 2 {
		t.Errorf("a missing entry is not noticed: %d, %v", n, err)
	}
}

func TestEventsFollow(t *testing.T) {
	d := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan api.Event, 16)
	ended := make(chan error, 1)
	go func() {
		ended <- d.Events(ctx, api.EventQuery{Follow: true}, func(e api.Event) error { got <- e; return nil })
	}()
	if e := <-got; e.Kind != api.EventStarted || e.Schema != api.EventSchema || e.Sequence != 1 {
		t.Errorf("first event %+v", e)
	}
	img := attach(t, d, small(t))
	for _, want := range []api.EventKind{api.EventOpened, api.EventAttached} {
		if e := <-got; e.Kind != want || e.Image != img.ID {
			t.Errorf("event %+v, want %s", e, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("following ended with %v", err)
	}
	status, text, header := d.get(t, "GET", "/v1/events", "")
	if status != 200 || header.Get("Content-Type") != api.JSONLines || strings.Count(text, "\n") != 3 {
		t.Errorf("%d %s", status, text)
	}
}
