package vhdx_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/formats"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/formattest"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/vhdx"
)

// patched is f with v at off, of n bytes, and all checksums made good again.
func patched(f []byte, off, n int, v uint64) []byte {
	f = bytes.Clone(f)
	for i := range n {
		f[off+i] = byte(v >> (8 * i))
	}
	reseal(f)
	return f
}

func reseal(f []byte) {
	for _, r := range [][2]int{{64 << 10, 4096}, {128 << 10, 4096}, {192 << 10, 64 << 10}, {256 << 10, 64 << 10}} {
		if len(f) >= r[0]+r[1] {
			seal(f[r[0] : r[0]+r[1]])
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	good := build{disk: formattest.Content(3, 3*mb)}.bytes()
	both := func(off, n int, v uint64) []byte { return patched(patched(good, off, n, v), off+64<<10, n, v) }
	const h, r, m, b = 64 << 10, 192 << 10, 2 * mb, 3 * mb
	inUse := dirty(formattest.Content(3, mb), 0)
	noLog := bytes.Clone(inUse)
	clear(noLog[mb : 2*mb])
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"no header":           {both(h, 1, 0), "VHDX header"},
		"no regions":          {both(r, 1, 0), "VHDX region table"},
		"regions":             {both(r+8, 4, 1<<31), "entries"},
		"region outside":      {both(r+16+16, 8, 1<<50), "outside the file"},
		"region huge":         {both(r+16+16, 8, 1<<63), "outside the file"},
		"region odd":          {both(r+16+16, 8, 3*mb+4096), "not aligned"},
		"one region":          {both(r+8, 4, 1), "no BAT or no metadata"},
		"no metadata":         {patched(good, m, 1, 0), "begins with"},
		"items":               {patched(good, m+10, 2, 65535), "entries"},
		"no items":            {patched(good, m+10, 2, 0), "has 0 bytes"},
		"item outside":        {patched(good, m+32+16, 4, 1<<31), "outside the region"},
		"item long":           {patched(good, m+32+20, 4, 1<<30), "outside the region"},
		"block size":          {patched(good, m+64<<10, 4, 3*mb), "blocks of"},
		"block size 0":        {patched(good, m+64<<10, 4, 0), "blocks of"},
		"disk size":           {patched(good, m+64<<10+8, 8, 1<<60), "a disk of"},
		"disk size odd":       {patched(good, m+64<<10+8, 8, 1000), "a disk of"},
		"disk too large":      {patched(good, m+64<<10+8, 8, 1<<45), "VHDX BAT"},
		"sector size":         {patched(good, m+64<<10+32, 4, 1024), "logical sectors"},
		"parent missing":      {patched(good, m+64<<10+4, 4, 2), "parent locator"},
		"cut":                 {good[:100<<10], "ends in it"},
		"log outside":         {patched(inUse, h+72, 8, 1<<40), "the log of"},
		"log odd":             {patched(inUse, h+68, 4, 4096), "the log of"},
		"no entries":          {noLog, "no whole sequence"},
		"cut behind the log":  {inUse[:len(inUse)-4096], "cut short"},
		"entry outside":       {withLog(change{off: 1 << 62, zero: 1 << 62}), "VHDX log"},
		"block outside":       {patched(good, b, 8, 1<<40|6), "outside the file"},
		"block in the header": {patched(good, b, 8, 6), "outside the file"},
		"block state":         {patched(good, b, 8, 4), "state 4"},
		"partial":             {patched(good, b, 8, 4*mb|7), "no parent"},
	} {
		img, err := openBytes(c.b, formats.Options{})
		if err == nil {
			_, err = img.ReadAt(context.Background(), make([]byte, 100), 0)
			img.Close()
		}
		if !errors.As(err, new(*ondisk.CorruptError)) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
	for text, f := range map[string][]byte{
		"version 2":                             both(h+66, 2, 2),
		"the required region":                   both(r+16, 1, 9),
		"the required metadata item":            patched(good, m+32, 1, 9),
		"version 1 of the log":                  patched(patched(inUse, h+64, 2, 1), h+64<<10+66, 2, 9),
		"changes of more than 67108864":         withLog(change{off: 0, zero: 1 << 40}),
		"a log of 134217728 bytes that was not": bigLog(),
	} {
		if _, err := openBytes(f, formats.Options{}); !errors.As(err, new(*ondisk.UnsupportedError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	for _, opt := range []formats.Options{{Writable: true}, {Snapshot: "x"}} {
		if _, err := openBytes(good, opt); !errors.As(err, new(*ondisk.UnsupportedError)) {
			t.Errorf("%+v: %v", opt, err)
		}
	}
}

// withLog has one log entry.
func withLog(c change) []byte {
	f := build{disk: make([]byte, mb)}.bytes()
	copy(f[64<<10:], header(9, dataGUID, logID))
	putLog(f, 0, logEntry(5, 0, 0, 0, c))
	return f
}

func bigLog() []byte {
	f := append(build{disk: make([]byte, mb)}.bytes(), make([]byte, 130*mb)...)
	copy(f[64<<10:], header(9, dataGUID, logID))
	return patched(f, 64<<10+68, 4, 128*mb)
}

// TestLogThatOverlaps has an entry at every sector, each as long as the log.
func TestLogThatOverlaps(t *testing.T) {
	f := withLog(change{off: 0, zero: 4096})
	for at := 4096; at < mb; at += 4096 {
		e := logEntry(5, at, 0, 0)
		le.PutUint32(e[8:], mb)
		copy(f[mb+at:], e[:64])
	}
	if _, err := openBytes(f, formats.Options{}); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("%v", err)
	}
}

func TestDamagedImages(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	small := build{disk: formattest.Content(3, mb+512)}.bytes()
	formattest.Damage(t, vhdx.Format(), small, len(small), rounds/3, nil)
	related := func(context.Context, string, string) (block.Device, error) {
		return blocktest.NewMemory(make([]byte, 100_000)), nil
	}
	diff := build{disk: formattest.Content(3, 2*mb+512), present: some(2048), locator: map[string]string{"relative_path": "x"}}.bytes()
	log := dirty(formattest.Content(3, mb), mb-8192)
	for i := range rounds {
		for _, f := range [][]byte{small, diff, log} {
			for _, off := range []int{64<<10 + 48 + i*7%40, 192<<10 + i*13%96, 2*mb + i*11%256, 2*mb + 64<<10 + i*5%200, 3*mb + i*3%40, mb + i*37%4096} {
				formattest.Hostile(t, vhdx.Format(), patched(f, off, 1+i%4, uint64(i)*0x9e3779b97f4a7c15), related)
			}
		}
	}
}

// FuzzOpen has what matters of a file in few bytes, and the checksums good:
// four sectors of the log, the metadata, the BAT and a header.
func FuzzOpen(f *testing.F) {
	parts := [][2]int{{64 << 10, 128}, {192 << 10, 96}, {mb, 12288}, {2 * mb, 256}, {2*mb + 64<<10, 256}, {3 * mb, 128}}
	diff := build{disk: formattest.Content(3, 2*mb+512), present: some(2048), locator: map[string]string{"relative_path": "x"}}.bytes()
	for _, b := range [][]byte{build{disk: formattest.Content(3, mb+512)}.bytes(), diff, dirty(formattest.Content(3, mb), 0)} {
		var seed []byte
		for _, p := range parts {
			seed = append(seed, b[p[0]:p[0]+p[1]]...)
		}
		f.Add(seed)
	}
	related := func(context.Context, string, string) (block.Device, error) {
		return blocktest.NewMemory(make([]byte, 100_000)), nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := bytes.Clone(diff)
		for _, p := range parts {
			n := copy(x[p[0]:p[0]+p[1]], b)
			b = b[n:]
		}
		reseal(x)
		formattest.Hostile(t, vhdx.Format(), x, related)
	})
}
