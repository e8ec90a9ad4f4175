package blocktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
)

func TestMemory(t *testing.T) {
	b := make([]byte, 300_001)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	Run(t, NewMemory(bytes.Clone(b)), b)
	Run(t, NewMemory(nil), nil)
	ctx := context.Background()
	m := NewMemory(make([]byte, 100))
	if _, err := m.WriteAt(ctx, b[:10], 95); err != io.ErrShortWrite {
		t.Error(err)
	}
	if n, err := m.WriteAt(ctx, b[10:20], 90); n != 10 || err != nil || !bytes.Equal(m.Bytes()[90:], b[10:20]) {
		t.Error(n, err)
	}
	if err := m.Zero(ctx, 92, 8); err != nil || !bytes.Equal(m.Bytes()[92:], make([]byte, 8)) {
		t.Error(err)
	}
}

func TestFaulty(t *testing.T) {
	ctx := context.Background()
	f := NewFaulty(NewMemory(make([]byte, 1000)))
	Run(t, f, make([]byte, 1000))
	f.FailAt(500, 10, nil)
	if n, err := f.ReadAt(ctx, make([]byte, 100), 450); n != 50 || !errors.Is(err, syscall.EIO) {
		t.Error(n, err)
	}
	if n, err := f.ReadAt(ctx, make([]byte, 100), 510); n != 100 || err != nil {
		t.Error(n, err)
	}
	f.Heal()
	f.FailNth(2, io.ErrUnexpectedEOF)
	for i, want := range []error{nil, io.ErrUnexpectedEOF, nil} {
		if _, err := f.ReadAt(ctx, make([]byte, 10), 0); err != want {
			t.Error(i, err)
		}
	}
}

func TestRecorderReplays(t *testing.T) {
	ctx := context.Background()
	r := NewRecorder(NewMemory(make([]byte, 1000)))
	p := []byte("hello")
	r.WriteAt(ctx, p, 10)
	p[0] = 'X' // the record has its own bytes
	r.Sync(ctx)
	r.WriteAt(ctx, []byte("world"), 12)
	r.Zero(ctx, 13, 2)
	r.WriteAt(ctx, p, 2000) // refused, so not recorded
	ops := r.Ops()
	if len(ops) != 4 || !ops[1].Sync || ops[3].Zero != 2 {
		t.Fatalf("%+v", ops)
	}
	again := NewMemory(make([]byte, 1000))
	for _, op := range ops {
		if err := op.Apply(ctx, again); err != nil {
			t.Fatal(err)
		}
	}
	if want := r.Writer.(*Memory).Bytes(); !bytes.Equal(again.Bytes(), want) || string(want[10:17]) != "hew\x00\x00ld" {
		t.Errorf("%q", again.Bytes()[10:17])
	}
}
