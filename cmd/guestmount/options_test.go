package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/cmd/internal/args"
	"github.com/guestctl/guestctl/daemon"
)

func TestImages(t *testing.T) {
	for _, c := range []struct {
		argv string
		want []daemon.ImageSpec
	}{
		{"disk.qcow2 /mnt", []daemon.ImageSpec{{Path: "disk.qcow2"}}},
		{"disk.qcow2 /mnt --ro --format=raw --snapshot before", []daemon.ImageSpec{{Path: "disk.qcow2", Format: "raw", Snapshot: "before"}}},
		{"-a one -a two /mnt", []daemon.ImageSpec{{Path: "one"}, {Path: "two"}}},
		{"--format=raw -a one --format -a two --format=qcow2 --blocksize=4096 -athree --blocksize --add=four -r /mnt",
			[]daemon.ImageSpec{{Path: "one", Format: "raw"}, {Path: "two"}, {Path: "three", Format: "qcow2", SectorSize: 4096}, {Path: "four", Format: "qcow2"}}},
		{"--format=auto -ria a,b /mnt", []daemon.ImageSpec{{Path: "a,b"}}},
		{"-a file:///tmp/x -a file://localhost/tmp/y /mnt", []daemon.ImageSpec{{Path: "/tmp/x"}, {Path: "/tmp/y"}}},
		{"/mnt -a odd:name.img", []daemon.ImageSpec{{Path: "odd:name.img"}}},
	} {
		o, err := parse(strings.Fields(c.argv))
		if err != nil {
			t.Errorf("%s: %v", c.argv, err)
			continue
		}
		if d := cmp.Diff(c.want, o.spec.Images); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.argv, d)
		}
		if o.dir != "/mnt" {
			t.Errorf("%s: mounts on %q", c.argv, o.dir)
		}
	}
}

func TestOptionsOfTheMount(t *testing.T) {
	o, err := parse(strings.Fields("-a x -m sda2 -m /dev/sda1:/boot:ro:ext4 --ro -o allow_other,uid=7 -o noxattr,ro --pid-file p --fd=9 --no-fork -n --selinux -v -x " +
		"--dir-cache-timeout 60 --key all:key:x --keys-from-stdin --echo-keys --force-share --allow-backing /a --allow-backing /b --norecovery /mnt"))
	if err != nil {
		t.Fatal(err)
	}
	want := []daemon.MountSpec{{Device: "sda2", Path: "/"}, {Device: "/dev/sda1", Path: "/boot", Options: "ro", FSType: "ext4"}}
	if d := cmp.Diff(want, o.spec.Mounts); d != "" {
		t.Error(d)
	}
	if o.spec.View != daemon.ViewExplicit || !o.spec.ForceShare || !o.spec.NoRecovery || !slices.Equal(o.spec.AllowBacking, []string{"/a", "/b"}) {
		t.Errorf("spec %+v", o.spec)
	}
	if !o.askedRO || o.pidFile != "p" || o.fd != 9 || !o.noFork || !o.verbose || !o.trace || len(o.keys) != 1 || !o.keysFromStdin || !o.echoKeys || o.short {
		t.Errorf("options %+v", o)
	}
	if !o.mount.AllowOther || !o.mount.NoXattr || o.mount.UID == nil || *o.mount.UID != 7 {
		t.Errorf("mount options %+v", o.mount)
	}
	for argv, view := range map[string]daemon.View{"x d": daemon.ViewAuto, "x d -i": daemon.ViewInspect, "-i -a x d": daemon.ViewInspect,
		"x d --partitions": daemon.ViewPartitions, "-a x d --ro": daemon.ViewAuto} {
		if o, err := parse(strings.Fields(argv)); err != nil || o.spec.View != view {
			t.Errorf("%s: %+v, %v", argv, o, err)
		}
	}
}

// understood stands for mounting: no test of this package mounts.
func understood(*options) int { return 99 }

// The command lines that are refused, with the text that says why. Status 2 is a wrong command line, 1 a wish that
// cannot be met.
func TestRefusedCommandLines(t *testing.T) {
	for _, c := range []struct {
		argv   string
		status int
		want   string
	}{
		{"", 2, "name an image and a folder"},
		{"x", 2, `"x" alone is not enough`},
		{"-a x", 2, "name the folder to mount on"},
		{"a b c", 2, "several images are each named with -a"},
		{"-a x y /mnt", 2, "with -a the image is not named again"},
		{"-a x --format=raw /mnt", 2, "--format must come before the -a that it speaks of"},
		{"-a x --blocksize=512 /mnt", 2, "--blocksize must come before"},
		{"x /mnt --blocksize=1024", 2, "sectors of 512 or 4096 bytes"},
		{"x /mnt --frobnicate", 2, "unknown option --frobnicate"},
		{"x /mnt -o frobnicate", 2, "-o frobnicate: there is no such option; --fuse-help lists them"},
		{"x /mnt -o uid=root", 2, "uid=root"},
		{"x /mnt -i --partitions", 2, "choose one"},
		{"x /mnt -i -m sda1", 2, "choose one"},
		{"x /mnt -r -w", 2, "--ro and --rw exclude each other"},
		{"x /mnt --fd=no", 2, "not the number of a file descriptor"},
		{"x /mnt --dir-cache-timeout never", 2, "not a number of seconds"},
		{"x /mnt -m :/boot", 2, "names no device"},
		{"x /mnt -o rw,ro", 2, "--ro and --rw exclude each other"},
		{"-d guest -i /mnt", 1, "virsh domblklist"},
		{"-c qemu:///system -d guest -i /mnt", 1, "libvirt's domains are not read yet"},
		{"--live -d guest /mnt", 1, "libguestfs removed it"},
		{"https://example.com/disk.qcow2 /mnt", 1, "images behind https: are not read yet"},
		{"-a nbd:localhost:10809 /mnt", 1, "images behind nbd: are not read yet"},
		{"-a nbd+unix:///?socket=x /mnt", 1, "images behind nbd+unix: are not read yet"},
		{"-a s3://bucket/x /mnt", 1, "images behind s3: are not read yet"},
		{"-a file://elsewhere/x /mnt", 1, "a file on another host is not read"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(parse, strings.Fields(c.argv), &stdout, &stderr, understood); status != c.status {
			t.Errorf("%q: status %d, want %d: %s", c.argv, status, c.status, stderr.String())
		}
		if !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%q says %q, want %q", c.argv, stderr.String()+stdout.String(), c.want)
		}
	}
}

// A file is a file, whatever its name looks like.
func TestFileWithTheNameOfAURI(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("nbd:", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("nbd:localhost", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("nbd:", "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nbd:localhost", "nbd://x"} {
		if got, err := imagePath(name); err != nil || got != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	var refused *refusal
	if _, err := imagePath("nbd:elsewhere"); !errors.As(err, &refused) {
		t.Errorf("nbd:elsewhere: %v", err)
	}
}

func TestPrinted(t *testing.T) {
	for argv, want := range map[string]string{
		"--help": "guestmount [options] IMAGE DIR", "--version": "guestmount " + version, "-V": "guestmount " + version,
		"--fuse-help": "allow_other", "--long-options": "--partitions\n", "--short-options": "-a\n", "-a --help": "",
	} {
		var stdout, stderr bytes.Buffer
		status := run(parse, strings.Fields(argv), &stdout, &stderr, understood)
		if want == "" {
			if status != exitUsage {
				t.Errorf("%s: status %d", argv, status)
			}
			continue
		}
		if status != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: status %d, %q", argv, status, stdout.String())
		}
	}
	// Every long option is documented, and libguestfs's hidden ones stay hidden.
	for _, f := range flags() {
		long := f.Names[slices.IndexFunc(f.Names, func(n string) bool { return len(n) > 1 })]
		hidden := long == "long-options" || long == "short-options" || long == "live" || long == "fuse-help"
		if !hidden && !strings.Contains(usageText, "--"+long) {
			t.Errorf("--help does not name --%s", long)
		}
	}
	var usage *args.UsageError
	if _, err := parse([]string{"--nonsense"}); !errors.As(err, &usage) {
		t.Errorf("%v is no usage error", err)
	}
}
