package volume_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/crypt"
	"github.com/guestctl/guestctl/formats/volume"
	"github.com/guestctl/guestctl/tests/images"
)

// A bitlk is a volume of cryptsetup's tests: what images.conf says of it.
type bitlk map[string]string

// bitlkFiles reads the files of the archive that are wanted, and images.conf.
func bitlkFiles(t testing.TB, want func(name string) bool) (files map[string][]byte, conf map[string]bitlk) {
	t.Helper()
	f, err := os.Open(images.BitLocker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files, conf = map[string][]byte{}, map[string]bitlk{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || name != "images.conf" && !want(name) {
			continue
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	section := ""
	for line := range strings.Lines(string(files["images.conf"])) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			conf[section] = bitlk{}
		} else if key, value, ok := strings.Cut(line, "="); ok && section != "" {
			conf[section][key] = value
		}
	}
	delete(files, "images.conf")
	return files, conf
}

// isShort says whether an image is read in `make test`; the others need a minute.
func isShort(name string) bool {
	return slices.Contains([]string{"bitlk-aes-xts-128-startup-key.img", "bitlk-aes-cbc-elephant-128.img", "bitlk-aes-cbc-128-4k.img"}, name) ||
		strings.HasSuffix(name, ".BEK")
}

// TestBitLocker compares with the SHA-256 that comes with volumes that Windows encrypted.
func TestBitLocker(t *testing.T) {
	want := isShort
	if os.Getenv("GUESTCTL_LONG") != "" {
		want = func(string) bool { return true }
	}
	files, conf := bitlkFiles(t, want)
	dir := t.TempDir()
	opened := 0
	for name, b := range files {
		if !strings.HasSuffix(name, ".img") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := conf[strings.TrimSuffix(name, ".img")]
			scanWith := func(k *crypt.Keys) *volume.Volume {
				vols, _ := scanDevices(t, []volume.Device{{Name: "sda", Dev: blocktest.NewMemory(b)}}, volume.Options{Keys: k})
				if v := byName(vols, "cryptsda"); v != nil {
					return v
				}
				return &vols[0]
			}
			if strings.Contains(name, "-eow") || strings.Contains(name, "clearkey") { // which is one as well
				if v := scanWith(nil); v.Err == nil || !strings.Contains(v.Err.Error(), "encrypt-on-write") {
					t.Errorf("%+v", v)
				}
				return
			}
			if v := scanWith(nil); v.UUID != c["GUID"] || !errors.Is(v.Err, syscall.ENOKEY) {
				t.Errorf("without a key: %+v", v)
			}
			if v := scanWith(keys(t, "all:key:wrong")); !errors.Is(v.Err, syscall.EKEYREJECTED) {
				t.Errorf("with a wrong key: %+v", v)
			}
			selectors := []string{c["GUID"] + ":key:" + c["RP"]}
			if c["PW"] != "" {
				selectors = append(selectors, "sda:key:"+c["PW"])
			}
			if id := c["SK_VMK_GUID"]; id != "" {
				file := filepath.Join(dir, "key.BEK")
				if err := os.WriteFile(file, files[strings.ToUpper(id)+".BEK"], 0o600); err != nil {
					t.Fatal(err)
				}
				selectors = append(selectors, "all:file:"+file)
			}
			for _, s := range selectors {
				v := scanWith(keys(t, s))
				if v.Err != nil {
					t.Errorf("%s: %v", s, v.Err)
					continue
				}
				opened++
				got := contents(t, v.Dev)
				sum := sha256.Sum256(got)
				if c["SHA256SUM"] != "" && hex.EncodeToString(sum[:]) != c["SHA256SUM"] {
					t.Errorf("%s: other bytes (%d)", s, len(got))
				}
				if head := string(got[:512]); !strings.Contains(head, "NTFS") && !strings.Contains(head, "EXFAT") && !strings.Contains(head, "FAT") {
					t.Errorf("%s: no file system is inside", s)
				}
			}
		})
	}
	if opened < 5 {
		t.Errorf("%d volumes opened: the test compares too little", opened)
	}
}

// Pieces are a large device of zeros with pieces of bytes, so that a small seed makes a large volume.
type pieces struct {
	headDisk
	at map[int64][]byte
}

func (p pieces) ReadAt(ctx context.Context, b []byte, off int64) (int, error) {
	n, err := p.headDisk.ReadAt(ctx, b, off)
	for at, piece := range p.at {
		if at < off+int64(n) && off < at+int64(len(piece)) {
			if at >= off {
				copy(b[at-off:n], piece)
			} else {
				copy(b[:n], piece[off-at:])
			}
		}
	}
	return n, err
}

// bitlkPieces are the boot sector, and the first metadata area, of a volume.
func bitlkPieces(t testing.TB) (boot, meta []byte, off, size int64) {
	t.Helper()
	files, _ := bitlkFiles(t, func(name string) bool { return name == "bitlk-aes-cbc-128-4k.img" })
	b := files["bitlk-aes-cbc-128-4k.img"]
	off = int64(b[176]) | int64(b[177])<<8 | int64(b[178])<<16 | int64(b[179])<<24
	return bytes.Clone(b[:512]), bytes.Clone(b[off : off+4096]), off, int64(len(b))
}

// TestBitLockerHostile gives a named error for metadata that nobody writes.
func TestBitLockerHostile(t *testing.T) {
	boot, meta, off, size := bitlkPieces(t)
	for name, c := range map[string]struct {
		damage func(boot, meta []byte)
		says   string
	}{
		"good":       {func(_, _ []byte) {}, "no key for it was given"},
		"vista":      {func(boot, _ []byte) { boot[160] ^= 1 }, "Vista"},
		"sector":     {func(boot, _ []byte) { boot[11] = 7 }, "sectors of"},
		"offset":     {func(boot, _ []byte) { boot[183], boot[191], boot[199] = 0x7f, 0x7f, 0x7f }, "a copy at byte"},
		"signature":  {func(_, meta []byte) { meta[0] = 0 }, "no signature"},
		"version":    {func(_, meta []byte) { meta[10] = 1 }, "version 1"},
		"state":      {func(_, meta []byte) { meta[12] = 2 }, "has not ended"},
		"areas":      {func(_, meta []byte) { meta[39] = 0x7f }, "a copy at byte"},
		"entries":    {func(_, meta []byte) { meta[67] = 0x7f }, "bytes of entries"},
		"entry":      {func(_, meta []byte) { meta[112] = 3; meta[113] = 0 }, "an entry of"},
		"no entries": {func(_, meta []byte) { meta[112] = 0; meta[113] = 0 }, "no encrypted key"},
	} {
		b, m := bytes.Clone(boot), bytes.Clone(meta)
		c.damage(b, m)
		dev := pieces{headDisk{nil, size}, map[int64][]byte{0: b, off: m}}
		vols, _ := scanDevices(t, []volume.Device{{Name: "sda", Dev: dev}}, volume.Options{})
		said := ""
		for _, v := range vols {
			said += fmt.Sprint(v.Err)
		}
		if !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// FuzzBitLocker reads damaged metadata; nothing is derived without a key.
func FuzzBitLocker(f *testing.F) {
	boot, meta, off, size := bitlkPieces(f)
	f.Add(boot, meta[:2048])
	f.Fuzz(func(t *testing.T, boot, meta []byte) {
		if len(boot) > 512 || len(meta) > 4096 {
			return
		}
		dev := pieces{headDisk{nil, size}, map[int64][]byte{0: boot, off: meta}}
		vols, _, err := volume.Scan(context.Background(), []volume.Device{{Name: "sda", Dev: dev}}, volume.Options{})
		if err != nil || len(vols) == 0 {
			t.Fatal(len(vols), err)
		}
		for _, v := range vols {
			if v.Dev != nil && v.Dev.Size() > 0 {
				v.Dev.ReadAt(context.Background(), make([]byte, 4096), 0)
			}
		}
	})
}

var _ block.Device = pieces{}
