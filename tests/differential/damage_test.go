package differential

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

// patience is how long anything may take on a damaged image.
const patience = 10 * time.Second

// survive mounts a damaged image and looks at everything in it. Mounting may fail, with status 1 and a reason, and so may
// any read, with one of the errors that mean damage; nothing may hang, panic or grow. It answers what guestmount said.
func survive(t *testing.T, args ...string) string {
	t.Helper()
	images.NeedFUSE(t)
	dir := commands.Dir(t, commands.Self)
	pidFile := filepath.Join(commands.Dir(t, commands.Self), "pid")
	r := commands.Run(t, commands.Self, "guestmount", append(args, "--ro", "--pid-file", pidFile, dir)...)
	if r.Took > patience {
		t.Errorf("guestmount took %v", r.Took)
	}
	if r.Status != 0 {
		if r.Status != 1 || !strings.Contains(r.Stderr, "guestmount: ") {
			t.Errorf("guestmount: status %d, %q", r.Status, r.Stderr)
		}
		return r.Stderr
	}
	start := time.Now()
	for _, cmd := range [][]string{{"find", dir, "-printf", "%s"}, {"grep", "-r", "-q", "no such words here", dir}} {
		r := commands.Run(t, commands.Self, cmd[0], cmd[1:]...)
		// One file's name has a newline in it, at which its message is no new line.
		for line := range strings.Lines(strings.ReplaceAll(r.Stderr, "/names/new\n", "/names/new ")) {
			ok := strings.Contains(line, "reference count")
			for _, e := range []unix.Errno{unix.EUCLEAN, unix.EBADMSG, unix.EIO, unix.EOPNOTSUPP, unix.ESTALE, unix.ENOENT, unix.ELOOP, unix.ENXIO, unix.EINVAL, unix.ENAMETOOLONG, unix.ENOKEY} {
				ok = ok || strings.Contains(strings.ToLower(line), strings.ToLower(e.Error()))
			}
			if !ok && !strings.Contains(line, "loop") && !strings.Contains(line, "No such device") {
				t.Errorf("%s: %q", cmd[0], line)
			}
		}
	}
	if took := time.Since(start); took > patience && !commands.Race {
		t.Errorf("reading all of it took %v", took)
	}
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if kib := status(t, number(t, string(pid)), "VmHWM"); kib > 160<<10 && !commands.Race {
		t.Errorf("the daemon grew to %d MiB", kib>>10)
	}
	if r := commands.Run(t, commands.Self, "guestunmount", dir); r.Status != 0 {
		t.Errorf("guestunmount: %d %s", r.Status, r.Stderr)
	}
	return r.Stderr
}

// patch overwrites bytes of a copy of an image.
func patch(t *testing.T, src string, off int64, b []byte) string {
	t.Helper()
	name := images.Copy(t, src, commands.Dir(t, commands.Self))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	return name
}

func fill(b byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = b
	}
	return p
}

// Damage in known places is named: the structure and where it is.
func TestDamageIsNamed(t *testing.T) {
	nocsum, csum := images.Ext(t, "nocsum").Path, images.Ext(t, "ext4").Path
	says := func(name, want string) {
		t.Helper()
		if said := survive(t, "-a", name, "-m", "sda"); !strings.Contains(said, want) {
			t.Errorf("says %q, want %q in it", said, want)
		}
	}
	// Group descriptors that point nowhere; in block 1 of a filesystem of 4 KiB blocks.
	says(patch(t, csum, 4096, fill(0xff, 4096)), "descriptor of group 0 at byte 4096")
	says(patch(t, nocsum, 4096, fill(0xff, 4096)), "descriptor of group 0 at byte 4096")
	// The superblock's own numbers: blocks of 2^40 bytes, no inodes a group, a block count beyond the image.
	says(patch(t, nocsum, 1024+24, []byte{30, 0, 0, 0}), "superblock")
	says(patch(t, nocsum, 1024+40, []byte{0, 0, 0, 0}), "superblock")
	says(patch(t, csum, 1024+4, []byte{0xff, 0xff, 0xff, 0x7f}), "superblock")
	// A feature nobody knows.
	says(patch(t, nocsum, 1024+96, []byte{0xff, 0xff, 0xff, 0xff}), "not supported")
	// A qcow2 whose L1 table lies outside, and one cut in the middle of its clusters.
	dir := commands.Dir(t, commands.Self)
	qcow2 := filepath.Join(dir, "x.qcow2")
	images.NeedTool(t, "qemu-img")
	commands.Must(t, commands.Self, "qemu-img", "convert", "-O", "qcow2", csum, qcow2)
	b := binary.BigEndian.AppendUint64(nil, 1<<50)
	says(patch(t, qcow2, 40, b), "L1 table")
	st, err := os.Stat(qcow2)
	if err != nil {
		t.Fatal(err)
	}
	cut := images.Copy(t, qcow2, commands.Dir(t, commands.Self))
	if err := os.Truncate(cut, st.Size()/2); err != nil {
		t.Fatal(err)
	}
	survive(t, "-a", cut, "-m", "sda")
	survive(t, "-a", cut)
}

// Files and folders that are whole stay readable beside those that are not.
func TestDamageStaysWhereItIs(t *testing.T) {
	src := images.Ext(t, "ext4")
	kernel := images.KernelMount(t, src.Path, 0, 0, "ext4", "ro,noload")
	want := walk(t, kernel)
	st, err := os.Stat(src.Path)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for part := int64(2); part < 64 && !found; part *= 2 {
		cut := images.Copy(t, src.Path, commands.Dir(t, commands.Self))
		if err := os.Truncate(cut, st.Size()/part); err != nil {
			t.Fatal(err)
		}
		survive(t, "-a", cut, "-m", "sda")
		m := whole(t, images.Image{Path: cut})
		sound, broken := 0, 0
		for _, e := range want {
			if e.Mode&unix.S_IFMT != unix.S_IFREG || e.Size == 0 || e.Size > 1<<20 {
				continue
			}
			b, err := os.ReadFile(filepath.Join(m.Dir, e.Path))
			if err != nil {
				broken++
				continue
			}
			kb, err := os.ReadFile(filepath.Join(kernel, e.Path))
			if err != nil {
				t.Fatal(err)
			}
			if string(b) != string(kb) {
				t.Errorf("%q reads %d bytes that are not the kernel's %d, without an error", e.Path, len(b), len(kb))
			}
			sound++
		}
		t.Logf("cut to a %dth: %d files whole, %d not", part, sound, broken)
		found = sound > 0 && broken > 0
		m.End(t)
	}
	if !found {
		t.Error("no cut left some files whole and broke others")
	}
}

// Bytes changed at random: whatever it is, it ends, and soon.
func TestRandomDamage(t *testing.T) {
	rounds := 12
	if os.Getenv("GUESTCTL_LONG") != "" {
		rounds = 300
	}
	for _, variant := range []string{"nocsum", "ext4", "ext3-1k", "inline"} {
		src := images.Ext(t, variant).Path
		st, err := os.Stat(src)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range rounds / 4 {
			rnd := rand.New(rand.NewPCG(uint64(seed), 20261123))
			name := images.Copy(t, src, commands.Dir(t, commands.Self))
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			// Most of what is read first lies in the first MiB.
			for i := range 400 {
				limit := int64(1 << 20)
				if i%4 == 0 {
					limit = st.Size()
				}
				b := make([]byte, 1+rnd.IntN(8))
				for j := range b {
					b[j] = byte(rnd.Uint32())
				}
				at := rnd.Int64N(limit - 8)
				if at < 2048 && i%8 != 0 {
					continue // a superblock that is broken each time would hide the rest
				}
				if _, err := f.WriteAt(b, at); err != nil {
					t.Fatal(err)
				}
			}
			f.Close()
			t.Logf("%s, seed %d", variant, seed)
			survive(t, "-a", name, "-m", "sda")
			os.Remove(name)
		}
	}
}
