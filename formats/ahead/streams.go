package ahead

import "sync"

const (
	// Window is how far before a sequential reader blocks are decoded at most,
	// in bytes of the disk. It is as long as what the reader has read so far.
	Window = 16 << 20
	// streamSlack is how far from where a stream should go on a read may be:
	// the kernel sends the reads of one stream at the same time, in any order.
	streamSlack = 1 << 20
	// streamStart is the number of reads in a row that make a stream.
	streamStart = 2
	// streamCount is the number of sequential readers that are told apart.
	streamCount = 8
)

// Streams finds sequential readers among all reads.
type Streams struct {
	mu   sync.Mutex // guards all below
	all  [streamCount]stream
	tick uint64
}

type stream struct {
	start int64 // where the reader began
	next  int64 // where the reader goes on
	ahead int64 // up to where read-ahead was asked for
	hits  int
	used  uint64
}

// Note takes note of a read of [off, end) and gives the range that is to be
// read ahead, empty where there is none: at most window bytes.
func (s *Streams) Note(off, end, window int64) (from, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick++
	oldest := &s.all[0]
	for i := range s.all {
		st := &s.all[i]
		if st.used < oldest.used {
			oldest = st
		}
		if st.used == 0 || off < st.next-streamSlack || off > st.next+streamSlack {
			continue
		}
		st.used = s.tick
		if end <= st.next {
			return 0, 0
		}
		st.next = end
		st.hits++
		if st.hits < streamStart {
			return 0, 0
		}
		window = min(window, end-st.start)
		from = max(st.ahead, end)
		if to = end + window; to-from < min(window, jobSize) {
			return 0, 0
		}
		st.ahead = to
		return from, to
	}
	*oldest = stream{start: off, next: end, hits: 1, used: s.tick}
	return 0, 0
}
