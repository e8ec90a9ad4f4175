package crash

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/guestctl/guestctl/filesystems/txn"
)

// lost searches runs that lose a barrier until a state is wrong.
func lost(t *testing.T, barrier txn.Barrier, end bool, options ...string) {
	t.Helper()
	image, journal := mkfs(t, options...)
	for seed := range uint64(12) {
		trace, c := record(t, image, barrier, seed, 80, end)
		if n, err := search(t, trace, c, journal, seed, 0); err != nil {
			t.Logf("seed %d, state %d: %.300v", seed, n, err)
			return
		}
	}
	t.Errorf("no state shows that the barrier %q is lost", barrier)
}

func TestBarrierActivate(t *testing.T) { lost(t, txn.BarrierActivate, false) }
func TestBarrierLog(t *testing.T)      { lost(t, txn.BarrierLog, false) }
func TestBarrierCommit(t *testing.T)   { lost(t, txn.BarrierCommit, false) }
func TestBarrierEmpty(t *testing.T)    { lost(t, txn.BarrierEmpty, true) }
func TestBarrierHome(t *testing.T)     { lost(t, txn.BarrierHome, true) }

// TestBarrierClosed: when Close returns the volume is clean, whatever is lost
// after that; without the barrier it is not.
func TestBarrierClosed(t *testing.T) {
	image, _ := mkfs(t)
	for _, lost := range []txn.Barrier{"", txn.BarrierClosed} {
		trace, _ := record(t, image, lost, 1, 30, true)
		last := NewStates(trace.Image, trace.Ops).Build(len(trace.Ops), All, rand.New(rand.NewPCG(1, 1)))
		dirty := binary.LittleEndian.Uint32(last[1024+0x60:])&4 != 0
		if dirty != (lost != "") {
			t.Errorf("barrier lost: %q, needs_recovery: %v", lost, dirty)
		}
	}
}

// TestBarrierRecovered: a recovery that is cut short is recovered again;
// without the barrier what it brought home is lost while the log is empty.
func TestBarrierRecovered(t *testing.T) {
	image, _ := mkfs(t)
	trace, c := record(t, image, "", 3, 60, false)
	at := len(trace.Ops)
	first, last := trace.bounds(at)
	dirty := NewStates(trace.Image, trace.Ops).Build(at, Killed, rand.New(rand.NewPCG(1, 1)))
	for _, lost := range []txn.Barrier{"", txn.BarrierRecovered} {
		rec := NewRecorder(append([]byte(nil), dirty...), lost)
		if err := c.recoverOn(t.Context(), rec, first, last); err != nil {
			t.Fatal(err)
		}
		var wrong error
		r, s := rand.New(rand.NewPCG(2, 2)), NewStates(dirty, rec.Ops())
		for at := range len(rec.Ops()) + 1 {
			for loss := range losses {
				if _, err := c.Recover(t.Context(), s.Build(at, loss, r), first, last); err != nil {
					wrong = fmt.Errorf("write %d, loss %d: %w", at, loss, err)
				}
			}
		}
		if (wrong != nil) != (lost != "") {
			t.Errorf("barrier lost: %q: %.300v", lost, wrong)
		}
	}
}
