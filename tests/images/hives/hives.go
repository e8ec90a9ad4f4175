// Package hives makes hives of the Windows registry for tests: an empty one, byte
// by byte, which hivexregedit fills.
package hives

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// The layout, once more and on its own: the tests would not see a wrong offset
// that both sides share.
const (
	bins    = 4096
	rootOff = 0x20
	rootLen = 0x60
	skOff   = rootOff + rootLen
	skLen   = 0x30
)

// Empty is a hive with a root key and nothing in it, of version 1.5.
func Empty() []byte {
	b := make([]byte, bins+4096)
	le := binary.LittleEndian
	copy(b, "regf")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 1)
	le.PutUint64(b[12:], 133_000_000_000_000_000)
	le.PutUint32(b[20:], 1)
	le.PutUint32(b[24:], 5)
	le.PutUint32(b[32:], 1)
	le.PutUint32(b[36:], rootOff)
	le.PutUint32(b[40:], 4096)
	le.PutUint32(b[44:], 1)
	copy(b[bins:], "hbin")
	le.PutUint32(b[bins+8:], 4096)
	le.PutUint64(b[bins+20:], 133_000_000_000_000_000)
	cell := func(off, size int) []byte {
		le.PutUint32(b[bins+off:], uint32(-size))
		return b[bins+off+4 : bins+off+size]
	}
	nk := cell(rootOff, rootLen)
	copy(nk, "nk")
	le.PutUint16(nk[2:], 0x2c)
	le.PutUint64(nk[4:], 133_000_000_000_000_000)
	for _, off := range []int{28, 32, 40, 48} {
		le.PutUint32(nk[off:], 0xffffffff)
	}
	le.PutUint32(nk[44:], skOff)
	le.PutUint16(nk[72:], 4)
	copy(nk[76:], "ROOT")
	sk := cell(skOff, skLen)
	copy(sk, "sk")
	le.PutUint32(sk[4:], skOff)
	le.PutUint32(sk[8:], skOff)
	le.PutUint32(sk[12:], 1)
	le.PutUint32(sk[16:], 20)
	copy(sk[20:], "\x01\x00\x00\x80") // a security descriptor without anything
	free := skOff + skLen
	le.PutUint32(b[bins+free:], uint32(4096-free))
	Seal(b)
	return b
}

// Seal sets the checksum of a base block.
func Seal(b []byte) {
	var c uint32
	for i := 0; i < 508; i += 4 {
		c ^= binary.LittleEndian.Uint32(b[i:])
	}
	binary.LittleEndian.PutUint32(b[508:], c)
}

// Make is a hive with the keys and values of a .reg file, whose header is left
// out and whose keys start with a backslash: [\Microsoft\Windows].
func Make(t testing.TB, reg string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hive")
	if err := os.WriteFile(file, Empty(), 0o600); err != nil {
		t.Fatal(err)
	}
	Merge(t, file, reg)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Merge adds such keys and values to the hive in file.
func Merge(t testing.TB, file, reg string) {
	t.Helper()
	images.NeedTool(t, "hivexregedit")
	cmd := exec.Command("hivexregedit", "--merge", file, "--encoding", "UTF-16LE")
	cmd.Stdin = strings.NewReader("Windows Registry Editor Version 5.00\n\n" + parents(reg))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hivexregedit: %v: %s", err, bytes.TrimSpace(out))
	}
}

// parents puts the keys above each key before it, which hivexregedit wants.
func parents(reg string) string {
	var b strings.Builder
	seen := map[string]bool{}
	for line := range strings.Lines(reg) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), `[\`); ok {
			path = strings.TrimSuffix(path, "]")
			for i, c := range path {
				if c == '\\' && !seen[path[:i]] {
					seen[path[:i]] = true
					b.WriteString(`[\` + path[:i] + "]\n\n")
				}
			}
			seen[path] = true
		}
		b.WriteString(line)
	}
	return b.String()
}
