package extent

import (
	"math/rand/v2"
	"testing"
)

func TestBitRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, 1+r.IntN(6))
		for i := range b {
			b[i] = []byte{0, 0xff, byte(r.Uint32())}[r.IntN(3)]
		}
		bit, n, msb := r.IntN(len(b)*8), 1+r.IntN(60), r.IntN(2) == 0
		at := func(i int) bool {
			if msb {
				return b[i/8]>>(7-i%8)&1 != 0
			}
			return b[i/8]>>(i%8)&1 != 0
		}
		want := 1
		for want < min(n, len(b)*8-bit) && at(bit+want) == at(bit) {
			want++
		}
		if set, run := BitRun(b, bit, n, msb); set != at(bit) || run != want {
			t.Fatalf("%x bit %d, %d, %v: %v %d, want %v %d", b, bit, n, msb, set, run, at(bit), want)
		}
	}
	if _, run := BitRun(nil, 0, 5, false); run != 0 {
		t.Error(run)
	}
}

func TestHostName(t *testing.T) {
	for in, want := range map[string]string{
		"base.vmdk": "base.vmdk", `C:\VMs\a b.vhd`: "a b.vhd", `\\srv\share\x.vhdx`: "x.vhdx", `..\x\y.vhd`: "../x/y.vhd",
		"/a/b:c": "/a/b:c", "a:b": "b", "nbd:x": "./nbd:x", "json:{}": "./json:{}", "./a:b": "./a:b", "C:x": "x", "ab:c": "./ab:c",
	} {
		if got := HostName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
