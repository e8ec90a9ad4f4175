package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// A wimChunk is a compressed chunk that wimlib-imagex wrote, and its bytes.
type wimChunk struct{ packed, plain []byte }

// wimSamples are files of several kinds: text, x86 code, noise, runs, and what
// is not a multiple of a chunk.
func wimSamples(t testing.TB) []byte {
	t.Helper()
	out := sample(11, 300_000)
	exe, err := os.ReadFile("/bin/ls")
	if err == nil {
		out = append(out, exe...)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 70_000 {
		out = append(out, byte(r.Uint32()))
	}
	out = append(out, make([]byte, 100_000)...)
	out = append(out, bytes.Repeat([]byte("abcabcabd"), 9000)...)
	// Calls, for the translation: targets of every kind.
	for i := range 20_000 {
		out = append(out, 0xE8)
		out = binary.LittleEndian.AppendUint32(out, uint32(int32(r.Uint32())>>uint(i%20)))
	}
	return append(out, sample(12, 12_345)...)
}

// wimChunks compresses plain with wimlib-imagex and takes the chunks out of
// the WIM file: its header says where the resources are listed (the lookup
// table), and a resource is a table of chunk ends before the chunks.
func wimChunks(t testing.TB, method string, chunk int, plain []byte) []wimChunk {
	t.Helper()
	images.NeedTool(t, "wimlib-imagex")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in", "file"), plain, 0o644); err != nil {
		t.Fatal(err)
	}
	wim := filepath.Join(dir, "out.wim")
	out, err := exec.Command("wimlib-imagex", "capture", filepath.Join(dir, "in"), wim, "name", "--no-acls", "--threads=1",
		"--compress="+method, fmt.Sprintf("--chunk-size=%d", chunk)).CombinedOutput()
	if err != nil {
		t.Fatalf("wimlib-imagex: %v\n%s", err, out)
	}
	b, err := os.ReadFile(wim)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	resource := func(h []byte) (off, size, original uint64, flags byte) {
		v := le.Uint64(h)
		return le.Uint64(h[8:]), v & (1<<56 - 1), le.Uint64(h[16:]), byte(v >> 56)
	}
	tableOff, tableSize, _, _ := resource(b[48:])
	for e := b[tableOff : tableOff+tableSize]; len(e) >= 50; e = e[50:] {
		off, size, original, flags := resource(e)
		if original != uint64(len(plain)) || flags&4 == 0 {
			continue
		}
		res := b[off : off+size]
		n := (len(plain) + chunk - 1) / chunk
		heads := res[:4*(n-1)]
		data := res[4*(n-1):]
		var chunks []wimChunk
		for i := range n {
			from, to := 0, len(data)
			if i > 0 {
				from = int(le.Uint32(heads[4*(i-1):]))
			}
			if i < n-1 {
				to = int(le.Uint32(heads[4*i:]))
			}
			chunks = append(chunks, wimChunk{data[from:to], plain[i*chunk : min((i+1)*chunk, len(plain))]})
		}
		return chunks
	}
	t.Fatal("the WIM file has no compressed resource of the file")
	return nil
}

func TestWIMChunks(t *testing.T) {
	plain := wimSamples(t)
	for _, m := range []struct {
		method string
		chunk  int
		codec  *Codec
	}{
		{"XPRESS", 4096, XPRESS()}, {"XPRESS", 8192, XPRESS()}, {"XPRESS", 16384, XPRESS()}, {"XPRESS", 32768, XPRESS()}, {"LZX", 32768, LZX()},
	} {
		t.Run(fmt.Sprint(m.method, m.chunk), func(t *testing.T) {
			packed := 0
			for i, c := range wimChunks(t, m.method, m.chunk, plain) {
				if len(c.packed) == len(c.plain) {
					continue // stored
				}
				packed++
				got := make([]byte, len(c.plain))
				n, err := m.codec.Decode(got, c.packed)
				if n != len(got) || err != nil || !bytes.Equal(got, c.plain) {
					t.Fatalf("chunk %d: %d bytes of %d, %v; the same: %t", i, n, len(got), err, bytes.Equal(got, c.plain))
				}
				for cut := 1; cut < len(c.packed) && i%7 == 0; cut += 1 + cut/3 {
					if n, err := m.codec.Decode(got, c.packed[:len(c.packed)-cut]); err == nil && !bytes.Equal(got[:n], c.plain) {
						t.Errorf("chunk %d without its last %d bytes: no error and other bytes", i, cut)
					}
				}
			}
			if packed < 10 {
				t.Errorf("only %d chunks are compressed", packed)
			}
		})
	}
}
