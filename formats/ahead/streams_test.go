package ahead

import "testing"

func TestStreams(t *testing.T) {
	const k, window = 1 << 10, 1 << 20
	var s Streams
	// A first read is no stream.
	if from, to := s.Note(0, 128*k, window); to-from != 0 {
		t.Errorf("first read: %d to %d", from, to)
	}
	// The second is: as much ahead as was read.
	if from, to := s.Note(128*k, 256*k, window); from != 256*k || to != 512*k {
		t.Errorf("second read: %d to %d", from, to)
	}
	// Nothing is asked for twice, and the window grows to its limit.
	asked, high := int64(512*k), int64(0)
	for off := int64(256 * k); off < 8<<20; off += 128 * k {
		from, to := s.Note(off, off+128*k, window)
		if to == from {
			continue
		}
		if from != max(asked, off+128*k) || to-(off+128*k) > window {
			t.Fatalf("at %d: %d to %d, asked up to %d", off, from, to, asked)
		}
		asked, high = to, max(high, to-(off+128*k))
	}
	if high != window || asked < 8<<20 {
		t.Errorf("the window grew to %d, asked up to %d", high, asked)
	}
	// Reads far from each other are no stream, and more of them than are told
	// apart push out the oldest only.
	for i := range int64(2 * streamCount) {
		if from, to := s.Note(1<<40+i<<30, 1<<40+i<<30+4*k, window); to != from {
			t.Errorf("random read %d: %d to %d", i, from, to)
		}
	}
	// The kernel may swap two reads of a stream.
	s = Streams{}
	s.Note(0, 128*k, window)
	s.Note(256*k, 384*k, window)
	if from, to := s.Note(128*k, 256*k, window); to != from {
		t.Errorf("a late read asks for more: %d to %d", from, to)
	}
	// Up to 768 KiB was asked for when the read at 256 KiB came.
	if from, to := s.Note(384*k, 640*k, window); from != 768*k || to != 1280*k {
		t.Errorf("after a swap: %d to %d", from, to)
	}
}
