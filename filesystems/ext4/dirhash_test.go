package ext4

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/tests/images"
)

// TestDirHash compares all hashes with those of debugfs.
func TestDirHash(t *testing.T) {
	images.NeedTool(t, "debugfs")
	const uuid = "6a1b2c3d-0006-4e5f-8a9b-000000000006"
	bytes := []byte{0x6a, 0x1b, 0x2c, 0x3d, 0, 6, 0x4e, 0x5f, 0x8a, 0x9b, 0, 0, 0, 0, 0, 6}
	var seed [4]uint32
	for i := range seed {
		seed[i] = binary.LittleEndian.Uint32(bytes[4*i:])
	}
	versions := []string{"legacy", "half_md4", "tea", "legacy_unsigned", "half_md4_unsigned", "tea_unsigned"}
	var names []string
	for n := 1; n <= 255; n += 1 + n/9 {
		names = append(names, strings.Repeat("abcdefghijklmnop", 16)[:n], strings.Repeat("ÄöÜ€", 64)[:n/9*9+3])
	}
	type ask struct {
		version int
		seeded  bool
		name    string
	}
	var asks []ask
	var commands strings.Builder
	for v := range versions {
		for _, seeded := range []bool{false, true} {
			for _, name := range names {
				asks = append(asks, ask{v, seeded, name})
				fmt.Fprintf(&commands, "dx_hash -h %d ", v) // by number: debugfs has no names for the unsigned ones
				if seeded {
					fmt.Fprintf(&commands, "-s %s ", uuid)
				}
				fmt.Fprintf(&commands, "%s\n", name)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(file, []byte(commands.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("debugfs", "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := regexp.MustCompile(`(?m)^Hash of .* is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)$`).FindAllStringSubmatch(string(out), -1)
	if len(said) != len(asks) {
		t.Fatalf("debugfs gave %d hashes of %d:\n%.500s", len(said), len(asks), out)
	}
	for i, a := range asks {
		var s [4]uint32
		if a.seeded {
			s = seed
		}
		hash, minor, ok := dirHash(uint8(a.version), s, []byte(a.name))
		if got := fmt.Sprintf("%x %x", hash, minor); !ok || got != said[i][1]+" "+said[i][2] {
			t.Errorf("%s, seeded %v, %q: %s, %v; debugfs says %s %s", versions[a.version], a.seeded, a.name, got, ok, said[i][1], said[i][2])
		}
	}
	if _, _, ok := dirHash(hashSip, seed, []byte("x")); ok {
		t.Error("a keyed hash was computed without a key")
	}
}

// TestFold compares names that are one under casefold, and names that are not.
func TestFold(t *testing.T) {
	for _, same := range [][2]string{
		{"README", "readme"}, {"Straße", "STRASSE"}, {"ÄÖÜ", "äöü"}, {"A\u030Angstrom", "ångstrom"}, {"\u212Bngstrom", "ångstrom"},
		{"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"ﬃ", "FFI"}, {"soft\u00ADhyphen", "SoftHyphen"}, {"zero\u200Bwidth", "zerowidth"}, {"\uFEFFbom", "BOM"},
	} {
		a, oka := fold(same[0])
		b, okb := fold(same[1])
		if !oka || !okb || a != b {
			t.Errorf("%q folds to %q, %q to %q", same[0], a, same[1], b)
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"e", "é"}, {"ı", "i"}, {"Ｆ", "F"}} {
		a, _ := fold(other[0])
		if b, _ := fold(other[1]); a == b {
			t.Errorf("%q and %q fold to one name", other[0], other[1])
		}
	}
	if _, ok := fold("\xff"); ok {
		t.Error("what is no UTF-8 was folded")
	}
}
