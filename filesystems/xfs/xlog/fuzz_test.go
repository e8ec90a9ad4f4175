package xlog

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/filesystems/xfs/layout"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
)

// dirty makes a filesystem that the kernel was stopped in, and opens its log.
func dirty(t testing.TB) (block.Device, *Journal) {
	t.Helper()
	images.NeedRoot(t)
	images.NeedTool(t, "mkfs.xfs", "xfs_io", "perl", "setfattr")
	path := filepath.Join(t.TempDir(), "img")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 300<<20); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("mkfs.xfs", "-q", "-m", "rmapbt=1", path)
	mnt := images.KernelMount(t, path, 0, 0, "xfs", "")
	run("bash", "-ec", `cd "$0"; mkdir a b; for i in 1 2 3 4 5 6 7 8 9; do echo $i >a/$i; mkdir b/$i; done
		setfattr -n user.x -v 1 a/1; setfattr -n user.y -v "$(printf %03000d 1)" a/2; cp --reflink=always a/3 b/three; mv a/4 b/4/four; rm a/5 a/6; ln -s x b/link; mknod b/dev c 1 3
		perl -e 'for (1 .. 300) { open my $f, ">", sprintf("b/1/%040d", $_) or die $! }'; sync -f .`, mnt)
	run("xfs_io", "-x", "-c", "shutdown -f", mnt)
	images.Unmount(t, mnt)
	dev, err := raw.OpenFile(path, raw.Options{Lock: raw.ForceShare})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	sb := make(layout.Superblock, layout.SuperSize)
	if err := block.ReadFull(context.Background(), dev, sb, 0); err != nil {
		t.Fatal(err)
	}
	geo, err := layout.NewGeometry(sb, 0)
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(context.Background(), dev, geo, layout.NewHeaders(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if j.Clean() {
		t.Fatal("the log is clean")
	}
	return dev, j
}

// FuzzTransaction replays the payload of one record over a filesystem. The
// seeds are a kernel's.
func FuzzTransaction(f *testing.F) {
	dev, j := dirty(f)
	ctx := context.Background()
	seeds := 0
	if _, err := j.walk(ctx, j.tail, j.head, func(rec *record) error {
		// One item after the other, as a transaction of its own, mutates faster than a whole record.
		var whole []byte
		for at := 0; at+operationSize <= len(rec.payload); {
			op := operation(rec.payload[at:])
			size := operationSize + int(op.len())
			if at+size > len(rec.payload) {
				break
			}
			whole = append(whole, rec.payload[at:at+size]...)
			at += size
			if len(whole) > 8<<10 || op.flags()&opCommit != 0 {
				f.Add(whole)
				whole = nil
				seeds++
			}
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	if seeds == 0 {
		f.Fatal("the log holds nothing")
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		home, err := block.NewOverlay(dev, 4096, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		own := *j
		r := &recovery{j: &own, home: home, cancelled: map[place]int{}, pending: map[int64]int{}, changed: map[int64]struct{}{}, intents: map[intentKey]*Intent{}}
		header := make(recordHeader, sector)
		binary.BigEndian.PutUint32(header[40:], 1<<20)
		binary.BigEndian.PutUint64(header[16:], 1<<40)
		for _, commit := range []func(*transaction) error{r.collectCancels, func(t *transaction) error { return r.apply(ctx, t) }} {
			a := newAssembler(commit)
			// A tail without a commit is committed too, so that every item is reached.
			err := a.add(&record{header: header, payload: payload, order: binary.LittleEndian})
			for _, open := range a.open {
				err = errors.Join(err, commit(open))
			}
			if err != nil {
				return
			}
		}
		if err := r.seal(ctx); err != nil {
			t.Error(err)
		}
	})
}
