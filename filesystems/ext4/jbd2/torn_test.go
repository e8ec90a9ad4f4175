package jbd2

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2/jbd2test"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/tests/images"
)

// spot is a block of the log and the transaction it belongs to.
type spot struct {
	pos      int64
	sequence uint32
}

// anatomy is where the blocks of each kind lie in the log of the image.
type anatomy struct {
	descriptors, logged, revokes, commits []spot
}

func dissect(t *testing.T, path string, blockSize int64) (*Journal, anatomy) {
	t.Helper()
	j, err := Open(t.Context(), jbd2test.Journal(t, path, openFile(t, path), blockSize), int(blockSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	var a anatomy
	if _, _, _, err := j.walk(t.Context(), func(rec *record) (bool, error) {
		s := spot{rec.pos, rec.sequence}
		switch rec.kind {
		case typeDescriptor:
			a.descriptors = append(a.descriptors, s)
			for i := range rec.tags {
				a.logged = append(a.logged, spot{j.after(rec.pos, 1+i), rec.sequence})
			}
		case typeRevoke:
			a.revokes = append(a.revokes, s)
		case typeCommit:
			a.commits = append(a.commits, s)
		}
		return false, nil
	}); err != nil {
		t.Fatal(err)
	}
	return j, a
}

// of is the first of the spots that belongs to a transaction.
func of(t *testing.T, spots []spot, sequence uint32) spot {
	t.Helper()
	for _, s := range spots {
		if s.sequence == sequence {
			return s
		}
	}
	t.Fatalf("transaction %d has no such block", sequence)
	return spot{}
}

// damaged makes a copy of the image in which a block of the journal has a
// changed byte.
func damaged(t *testing.T, path string, blockSize int64, s spot, at int64) string {
	t.Helper()
	cp := images.Copy(t, path, t.TempDir())
	f, err := os.OpenFile(cp, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	off := jbd2test.JournalBlocks(t, path)[s.pos]*blockSize + at
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	return cp
}

// tryRecover is recoverImage that may fail.
func tryRecover(t *testing.T, path string, blockSize int64) (*block.Overlay, txn.Replay, error) {
	t.Helper()
	dev := openFile(t, path)
	j, err := Open(t.Context(), jbd2test.Journal(t, path, dev, blockSize), int(blockSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := block.NewOverlay(dev, blockSize, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Recover(t.Context(), o)
	return o, r, err
}

// sameOverlay compares two recoveries, but for the blocks of the journal.
func sameOverlay(t *testing.T, want, got *block.Overlay, blockSize, journal int64, path string) {
	t.Helper()
	except := make(map[int64]bool)
	for _, b := range jbd2test.JournalBlocks(t, path)[:journal] {
		except[b] = true
	}
	if want.Len() != got.Len() {
		t.Errorf("%d blocks are replayed, want %d", got.Len(), want.Len())
	}
	for n := range want.Size() / blockSize {
		if !except[n] {
			jbd2test.Same(t.Context(), t, want, got, n, blockSize)
		}
	}
}

// TestTorn damages a block of each kind, in the last transaction and in the
// middle of the log.
func TestTorn(t *testing.T) {
	need(t)
	const bs = 1024
	for _, format := range []struct{ name, features, mount string }{
		{"v3", "metadata_csum", ""},
		{"v1", "^metadata_csum", "journal_checksum"},
		{"none", "^metadata_csum", ""},
	} {
		path := jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024", "-O", format.features}, Mount: format.mount,
			Work: many(6, 200), Flush: true}.Make(t)
		j, a := dissect(t, path, bs)
		_, whole, err := tryRecover(t, path, bs)
		if err != nil {
			t.Fatal(err)
		}
		last := uint32(whole.Last)
		// The log as if its last transaction had never been committed, which every recovery understands.
		cut := damaged(t, path, bs, of(t, a.commits, last), 0)
		without, _, err := tryRecover(t, cut, bs)
		if err != nil {
			t.Fatal(err)
		}
		sameAsE2fsck(t, cut, without, bs)
		withRevoke := uint32(0)
		for _, s := range a.revokes {
			if s.sequence < last {
				withRevoke = s.sequence
			}
		}
		middle := last - 3
		const magic, body = 0, 700
		for _, c := range []struct {
			name  string
			at    spot
			byte  int64
			torn  string // what Replay.Torn says
			fails bool
			end   uint32 // the last transaction that is replayed
			sums  string // the formats that notice; the others replay everything
		}{
			{"last commit block missing", of(t, a.commits, last), magic, "", false, last - 1, "v3 v1 none"},
			{"last commit block's checksum", of(t, a.commits, last), 0x10, "bad checksum", false, last - 1, "v3 v1"},
			{"last descriptor missing", of(t, a.descriptors, last), magic, "no block of transaction", false, last - 1, "v3"},
			{"last descriptor missing", of(t, a.descriptors, last), magic, "", false, last - 1, "v1 none"},
			{"last descriptor's checksum", of(t, a.descriptors, last), bs - 1, "descriptor", false, last - 1, "v3"},
			{"last logged block", of(t, a.logged, last), body, "logged block", false, last - 1, "v3"},
			{"last logged block", of(t, a.logged, last), body, "transaction", false, last - 1, "v1"},
			{"commit block in the middle", of(t, a.commits, middle), magic, "", true, 0, "v3"},
			{"commit block in the middle", of(t, a.commits, middle), magic, "", false, middle - 1, "v1 none"},
			{"commit block's checksum in the middle", of(t, a.commits, middle), 0x10, "", true, 0, "v3 v1"},
			{"descriptor in the middle", of(t, a.descriptors, middle), bs - 1, "", true, 0, "v3"},
			{"logged block in the middle", of(t, a.logged, middle), body, "", true, 0, "v3 v1"},
			{"revoke block in the middle", of(t, a.revokes, withRevoke), bs - 1, "", true, 0, "v3"},
			{"revoke block that claims too much", of(t, a.revokes, withRevoke), 0xC, "", true, 0, "none"},
		} {
			if !strings.Contains(" "+c.sums+" ", " "+format.name+" ") {
				continue
			}
			t.Run(format.name+"/"+c.name, func(t *testing.T) {
				cp := damaged(t, path, bs, c.at, c.byte)
				before := hashOf(t, cp)
				o, r, err := tryRecover(t, cp, bs)
				if c.fails {
					if !errors.Is(err, syscall.EUCLEAN) && !errors.Is(err, syscall.EBADMSG) {
						t.Fatalf("recovery gives %+v, %v; want the damage", r, err)
					}
					if !strings.Contains(err.Error(), "block") {
						t.Errorf("%q names no block", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if r.Last != uint64(c.end) || r.First != uint64(j.sequence) {
					t.Errorf("transactions %d to %d were replayed, want %d to %d", r.First, r.Last, j.sequence, c.end)
				}
				if (c.torn == "") != (r.Torn == "") || !strings.Contains(r.Torn, c.torn) {
					t.Errorf("torn is %q, want %q", r.Torn, c.torn)
				}
				// The overlay of the damaged copy, against that of the log that ends before its last transaction.
				if c.end == last-1 {
					sameOverlay(t, without, o, bs, j.maxLen, path)
				}
				if hashOf(t, cp) != before {
					t.Error("the image has changed")
				}
			})
		}
	}
}

// TestBeyond has a log that names a block behind the device.
func TestBeyond(t *testing.T) {
	need(t)
	path := jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Work: many(2, 50), Flush: true}.Make(t)
	dev := openFile(t, path)
	j, err := Open(t.Context(), jbd2test.Journal(t, path, dev, 1024), 1024, nil)
	if err != nil {
		t.Fatal(err)
	}
	short, err := block.Section(dev, 0, 200*1024)
	if err != nil {
		t.Fatal(err)
	}
	o, err := block.NewOverlay(short, 1024, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := j.Recover(t.Context(), o); !errors.Is(err, syscall.EUCLEAN) {
		t.Errorf("recovery gives %+v, %v; want EUCLEAN", r, err)
	}
}

// TestOverlayFull has less memory than the replay needs.
func TestOverlayFull(t *testing.T) {
	need(t)
	path := jbd2test.Image{Size: "32M", Mkfs: []string{"-t", "ext4", "-b", "1024"}, Work: many(2, 50), Flush: true}.Make(t)
	dev := openFile(t, path)
	j, err := Open(t.Context(), jbd2test.Journal(t, path, dev, 1024), 1024, nil)
	if err != nil {
		t.Fatal(err)
	}
	o, err := block.NewOverlay(dev, 1024, 500)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := j.Recover(t.Context(), o); !errors.Is(err, block.ErrOverlayFull) || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("recovery gives %+v, %v; want ErrOverlayFull", r, err)
	}
}
