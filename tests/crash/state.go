package crash

import (
	"context"
	"math/rand/v2"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
)

const sector = 512

// A Recorder is a blocktest.Recorder that can lose one barrier.
type Recorder struct {
	*blocktest.Recorder
	Lost txn.Barrier // this one does nothing

	parts map[int]int64 // see twoStates
}

// Sync is a barrier, but for the one that is lost.
func (r *Recorder) Sync(ctx context.Context) error {
	if b := txn.BarrierOf(ctx); b != "" && b == r.Lost {
		return nil
	}
	err := r.Recorder.Sync(ctx)
	if from, ok := ctx.Value(partKey{}).(int64); ok && err == nil {
		r.parts[len(r.Ops())-1] = from
	}
	return err
}

// NewRecorder records what is done to image.
func NewRecorder(image []byte, lost txn.Barrier) *Recorder {
	return &Recorder{Recorder: blocktest.NewRecorder(blocktest.NewMemory(image)), Lost: lost, parts: make(map[int]int64)}
}

var _ block.Writer = (*Recorder)(nil)

// A Loss is a way in which the writes after the last barrier are lost.
type Loss int

const (
	Killed Loss = iota // none: the process ended, the host did not
	One                // one is lost
	Half               // each with an even chance
	Torn               // of one, some sectors
	All                // all are lost
	losses
)

// States builds the images that a crash at a place of ops leaves. It is used
// for places in ascending order.
type States struct {
	durable []byte // all before the last barrier
	ops     []blocktest.Op
	done    int // ops that are in durable
}

// NewStates begins with the image before ops.
func NewStates(image []byte, ops []blocktest.Op) *States {
	return &States{durable: append([]byte(nil), image...), ops: ops}
}

// Pending is the number of writes at place at that no barrier follows.
func (s *States) Pending(at int) int {
	last := s.done
	for i := s.done; i < at; i++ {
		if s.ops[i].Sync {
			last = i + 1
		}
	}
	for ; s.done < last; s.done++ {
		apply(s.durable, s.ops[s.done])
	}
	return at - s.done
}

// Build gives the image of a crash after the first at ops.
func (s *States) Build(at int, loss Loss, r *rand.Rand) []byte {
	n := s.Pending(at)
	image := append([]byte(nil), s.durable...)
	victim := -1
	if n > 0 {
		victim = r.IntN(n)
	}
	for i, op := range s.ops[s.done:at] {
		switch {
		case loss == All, loss == One && i == victim, loss == Half && r.IntN(2) == 0:
		case loss == Torn && i == victim:
			tear(image, op, r)
		default:
			apply(image, op)
		}
	}
	return image
}

func apply(image []byte, op blocktest.Op) {
	switch {
	case op.Zero > 0:
		clear(image[op.Off : op.Off+op.Zero])
	default:
		copy(image[op.Off:], op.Bytes)
	}
}

// tear writes some sectors of an op. Those of the superblock stay together.
func tear(image []byte, op blocktest.Op, r *rand.Rand) {
	super := r.IntN(2) == 0
	for at := 0; at < len(op.Bytes); at += sector {
		write := r.IntN(2) == 0
		if off := op.Off + int64(at); off >= 1024 && off < 2048 {
			write = super
		}
		if write {
			copy(image[op.Off+int64(at):], op.Bytes[at:min(at+sector, len(op.Bytes))])
		}
	}
}
