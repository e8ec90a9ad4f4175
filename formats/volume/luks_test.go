package volume_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/crypt/luks"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
)

const passphrase = "correct horse"

// cryptsetup runs it with the passphrase on standard input.
func cryptsetup(t testing.TB, args ...string) {
	t.Helper()
	images.NeedTool(t, "cryptsetup")
	cmd := exec.Command("cryptsetup", append([]string{"--batch-mode", "--key-file=-"}, args...)...)
	cmd.Stdin = strings.NewReader(passphrase)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// sectors are bytes that say where they are, each sector other than all others.
func sectors(n int) []byte {
	b := make([]byte, n)
	for at := 0; at+16 <= n; at += 16 {
		binary.BigEndian.PutUint64(b[at:], uint64(at)*0x9E3779B97F4A7C15)
	}
	return b
}

// quick makes unlocking take no time.
var quick = []string{"--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"}

// encrypted is a container of data that cryptsetup encrypted, in a file and without device-mapper.
func encrypted(t testing.TB, data []byte, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "luks.img")
	if err := os.WriteFile(path, append(bytes.Clone(data), make([]byte, 8*mib)...), 0o600); err != nil {
		t.Fatal(err)
	}
	cryptsetup(t, append(append([]string{"reencrypt", "--encrypt", "--type=luks2", "--reduce-device-size=8M"}, args...), path)...)
	return path
}

func keys(t testing.TB, selectors ...string) *crypt.Keys {
	t.Helper()
	k := &crypt.Keys{}
	for _, s := range selectors {
		if err := k.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func scanLocked(t testing.TB, b []byte, k *crypt.Keys) ([]volume.Volume, []error) {
	t.Helper()
	return scanDevices(t, []volume.Device{{Name: "sda", Dev: blocktest.NewMemory(b)}}, volume.Options{Keys: k})
}

// TestLUKS compares with the data that cryptsetup encrypted.
func TestLUKS(t *testing.T) {
	data := sectors(mib + 4096)
	for name, c := range map[string]struct {
		args []string
		v1   bool
	}{
		"xts 512":         {append(quick, "--cipher=aes-xts-plain64", "--key-size=512"), false},
		"xts 256":         {append(quick, "--cipher=aes-xts-plain64", "--key-size=256", "--hash=sha1"), false},
		"xts plain":       {append(quick, "--cipher=aes-xts-plain", "--key-size=512", "--hash=sha512"), false},
		"cbc essiv":       {append(quick, "--cipher=aes-cbc-essiv:sha256", "--key-size=256", "--hash=ripemd160"), false},
		"cbc plain64":     {append(quick, "--cipher=aes-cbc-plain64", "--key-size=128"), false},
		"4096":            {append(quick, "--sector-size=4096"), false},
		"1024":            {append(quick, "--sector-size=1024"), false},
		"argon2id":        {[]string{"--pbkdf=argon2id", "--pbkdf-force-iterations=4", "--pbkdf-memory=1024", "--pbkdf-parallel=2"}, false},
		"argon2i":         {[]string{"--pbkdf=argon2i", "--pbkdf-force-iterations=4", "--pbkdf-memory=64", "--pbkdf-parallel=1"}, false},
		"luks1 xts":       {append(quick, "--cipher=aes-xts-plain64", "--key-size=512", "--sector-size=512"), true},
		"luks1 cbc essiv": {append(quick, "--cipher=aes-cbc-essiv:sha256", "--key-size=256", "--sector-size=512", "--hash=sha1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			path := encrypted(t, data, c.args...)
			if c.v1 {
				cryptsetup(t, "convert", "--type=luks1", path)
			}
			b := readImage(t, path)
			vols, warnings := scanLocked(t, b, keys(t, "all:key:wrong", "sda:key:"+passphrase))
			if len(warnings) > 0 {
				t.Errorf("warnings: %v", warnings)
			}
			v := byName(vols, "cryptsda")
			if v == nil || v.Err != nil {
				t.Fatalf("%+v", vols)
			}
			if want := map[bool]string{false: "LUKS2", true: "LUKS1"}[c.v1]; v.Kind != want {
				t.Errorf("it is %s, not %s", v.Kind, want)
			}
			// cryptsetup moves the data behind a header of half the space that it was given.
			want := append(bytes.Clone(data), make([]byte, int(v.Dev.Size())-len(data))...)
			got := contents(t, v.Dev)
			if !bytes.Equal(got[:len(data)], want[:len(data)]) {
				t.Fatal("other data")
			}
			blocktest.Run(t, v.Dev, got)
		})
	}
}

// TestLUKSKeys selects keys as libguestfs does.
func TestLUKSKeys(t *testing.T) {
	path := encrypted(t, sectors(mib), quick...)
	out, err := exec.Command("cryptsetup", "luksUUID", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	uuid := strings.TrimSpace(string(out))
	dir := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	// A second key: a file with a zero byte and a newline in it.
	binaryKey := file("binary", "\x00two\nlines")
	cmd := exec.Command("cryptsetup", "luksAddKey", "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--key-file="+file("first", passphrase), path, binaryKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup luksAddKey: %v: %s", err, out)
	}
	b := readImage(t, path)
	for selector, opens := range map[string]bool{
		"sda:key:" + passphrase:                            true,
		"/dev/sda:key:" + passphrase:                       true,
		uuid + ":key:" + passphrase:                        true,
		strings.ToUpper(uuid) + ":key:" + passphrase:       true,
		"all:key:" + passphrase:                            true,
		"cryptsda:key:" + passphrase:                       true,
		"all:file:" + file("newline", passphrase+"\n"):     true,
		"all:file:" + file("plain", passphrase):            true,
		"sda:file:" + binaryKey:                            true,
		"sdb:key:" + passphrase:                            false,
		"all:key:" + passphrase + "x":                      false,
		"all:file:" + file("other", "not it\n"+passphrase): false,
		"all:key:": false,
		"00000000-0000-0000-0000-000000000000:key:" + uuid: false,
	} {
		k := keys(t, selector)
		vols, _ := scanLocked(t, b, k)
		v := byName(vols, "cryptsda")
		if v == nil || (v.Err == nil) != opens {
			t.Errorf("%s: %+v", selector, v)
			continue
		}
		locked := (*crypt.LockedError)(nil)
		if !opens && (!errors.As(v.Err, &locked) || !strings.Contains(v.Err.Error(), "--key sda:key:") || !strings.Contains(v.Err.Error(), uuid)) {
			t.Errorf("%s: %v", selector, v.Err)
		}
		if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(s, passphrase) || strings.Contains(s, "two") {
			t.Errorf("a key shows: %s", s)
		}
		k.Wipe()
		if !k.Empty() {
			t.Error("keys are left")
		}
	}
	vols, _ := scanLocked(t, b, nil)
	if v := byName(vols, "cryptsda"); v == nil || !errors.Is(v.Err, syscall.ENOKEY) || v.UUID != uuid {
		t.Errorf("%+v", v)
	}
	if v := byName(vols, "sda"); v == nil || v.Holds != "luks" {
		t.Errorf("%+v", v)
	}
	for _, bad := range []string{"", "sda", "sda:key", ":key:x", "sda:pass:x", "sda:clevis", "sda:file:" + dir + "/missing"} {
		if err := (&crypt.Keys{}).Add(bad); err == nil || strings.Contains(err.Error(), passphrase) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// sealLUKS2 makes the checksum of the header copy at off right.
func sealLUKS2(b []byte, off int) {
	if len(b) < off+4096 || string(b[off+72:off+79]) != "sha256\x00" {
		return
	}
	size := int(binary.BigEndian.Uint64(b[off+8:]))
	if size < 4096 || size > len(b)-off {
		return
	}
	clear(b[off+448 : off+512])
	sum := sha256.Sum256(b[off : off+size])
	copy(b[off+448:], sum[:])
}

// TestLUKSDamage uses the second header where the first is damaged.
func TestLUKSDamage(t *testing.T) {
	path := encrypted(t, sectors(mib), quick...)
	good := readImage(t, path)
	k := keys(t, "all:key:"+passphrase)
	swap := func(b []byte, old, new string) {
		if len(old) != len(new) {
			t.Fatalf("%q and %q", old, new)
		}
		for _, off := range []int{0, 0x4000} {
			at := bytes.Index(b[off:off+0x4000], []byte(old))
			if at < 0 {
				t.Fatalf("no %s", old)
			}
			copy(b[off+at:], new)
			sealLUKS2(b, off)
		}
	}
	for name, c := range map[string]struct {
		damage  func(b []byte)
		warning []string
		says    string // "" where it opens
	}{
		"first json":  {func(b []byte) { b[5000] ^= 1 }, []string{"LUKS2 header", "bad checksum", "the second LUKS2 header is used"}, ""},
		"first gone":  {func(b []byte) { clear(b[:4096]) }, nil, ""},
		"second json": {func(b []byte) { b[0x4000+5000] ^= 1 }, []string{"second LUKS2 header is damaged"}, ""},
		"both":        {func(b []byte) { b[5000] ^= 1; b[0x4000+5000] ^= 1 }, nil, "bad checksum"},
		"version 3":   {func(b []byte) { b[7] = 3 }, nil, "version 3"},
		"cipher": {func(b []byte) {
			swap(b, `"encryption":"aes-xts-plain64","sector_size"`, `"encryption":"tea-xts-plain64","sector_size"`)
		}, nil, "tea-xts-plain64"},
		"hash":          {func(b []byte) { swap(b, `"hash":"sha256"`, `"hash":"md5666"`) }, nil, "md5666"},
		"integrity":     {func(b []byte) { swap(b, `"iv_tweak":"0"`, `"integrity":99`) }, nil, "dm-integrity"},
		"segment":       {func(b []byte) { swap(b, `"type":"crypt"`, `"type":"other"`) }, nil, "other"},
		"no json":       {func(b []byte) { swap(b, `{"keyslots"`, `["keyslots"`) }, nil, "JSON"},
		"area":          {func(b []byte) { swap(b, `"offset":"32768"`, `"offset":"99999"`) }, nil, "none of the"},
		"area beyond":   {func(b []byte) { swap(b, `"size":"258048"`, `"size":"111111"`) }, nil, "needs"},
		"stripes":       {func(b []byte) { swap(b, `"stripes":4000`, `"stripes":9e99`) }, nil, "JSON"},
		"many stripes":  {func(b []byte) { swap(b, `"stripes":4000`, `"stripes":-123`) }, nil, "stripes"},
		"no iterations": {func(b []byte) { swap(b, `"iterations":1000`, `"iterations":-999`) }, nil, "iterations"},
	} {
		b := bytes.Clone(good)
		c.damage(b)
		vols, warnings := scanLocked(t, b, k)
		if c.warning != nil {
			hasWarning(t, warnings, c.warning...)
		}
		v := byName(vols, "cryptsda")
		switch {
		case c.says == "" && (v == nil || v.Err != nil):
			t.Errorf("%s: %+v", name, vols)
		case c.says != "":
			said := ""
			for _, v := range vols {
				said += fmt.Sprint(v.Err)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("%s: %s", name, said)
			}
		}
	}
}

// TestLUKSBounds ends where a header asks for days of work.
func TestLUKSBounds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sha, _ := crypt.NewHash("sha256")
	if _, err := crypt.PBKDF2(ctx, sha, []byte("x"), []byte("y"), 1<<30, 64); !errors.Is(err, context.Canceled) {
		t.Errorf("PBKDF2 that is cancelled: %v", err)
	}
	for _, c := range [][3]int{{1, 5 << 20, 1}, {1 << 30, 1 << 20, 1}, {1, 1 << 20, 1000}, {0, 1 << 10, 1}, {1, 0, 1}} {
		if _, err := crypt.Argon2(context.Background(), "argon2id", nil, nil, c[0], c[1], c[2], 32); err == nil {
			t.Errorf("Argon2 with %v is taken", c)
		}
	}
}

// TestPBKDF2 has the vector of RFC 6070 with two million iterations less.
func TestPBKDF2(t *testing.T) {
	sha1, _ := crypt.NewHash("sha1")
	key, err := crypt.PBKDF2(context.Background(), sha1, []byte("passwordPASSWORDpassword"), []byte("saltSALTsaltSALTsaltSALTsaltSALTsalt"), 4096, 25)
	if want := "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"; err != nil || fmt.Sprintf("%x", key) != want {
		t.Errorf("%x, %v", key, err)
	}
}

// FuzzLUKS reads damaged headers with right checksums, with a key.
func FuzzLUKS(f *testing.F) {
	path := encrypted(f, sectors(mib), append(quick, "--luks2-metadata-size=16k")...)
	b := readImage(f, path)
	second := bytes.Clone(b[:0x2000])
	f.Add(b[:0x2000], true)
	cryptsetup(f, "convert", "--type=luks1", path)
	f.Add(readImage(f, path)[:1024], false)
	_ = second
	size := int64(len(b))
	f.Fuzz(func(t *testing.T, head []byte, seal bool) {
		if len(head) > 0x4000 {
			return
		}
		b := append(slices.Clone(head), make([]byte, 0x4000-len(head))...)
		if seal {
			sealLUKS2(b, 0)
		}
		dev := headDisk{b, size}
		h, err := luks.Read(context.Background(), dev, func(error) {})
		if h == nil || err != nil {
			if err == nil {
				t.Error("neither header nor error")
			}
			return
		}
		if cheap(b) {
			h.Unlock(context.Background(), dev, [][]byte{[]byte("x")})
		}
	})
}

// cheap says whether nothing in a header asks for much work, so that fuzzing stays fast.
func cheap(b []byte) bool {
	if b[7] == 1 {
		return false
	}
	return bytes.Contains(b, []byte(`"iterations":1000,`)) && !bytes.Contains(b, []byte("argon2"))
}
