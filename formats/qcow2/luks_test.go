package qcow2_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/formats/crypt"
	format "github.com/guestctl/guestctl/formats/image"
	"github.com/guestctl/guestctl/formats/ondisk"
	"github.com/guestctl/guestctl/formats/qcow2"
	"github.com/guestctl/guestctl/formats/raw"
	"github.com/guestctl/guestctl/tests/images"
)

// encrypted is an image that qemu-img encrypted, and the disk inside it.
func encryptedImage(t testing.TB, options string) (path string, disk []byte) {
	t.Helper()
	images.NeedTool(t, "qemu-img")
	dir := t.TempDir()
	disk = make([]byte, 3<<20+512)
	for i := range disk[:1<<20] {
		disk[i] = byte(i>>9 ^ i*7)
	}
	copy(disk[2<<20+100000:], "in a cluster of its own")
	plain := filepath.Join(dir, "plain.raw")
	if err := os.WriteFile(plain, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "luks.qcow2")
	var out []byte
	var err error
	for range 10 { // qemu measures the processor, and sometimes finds no time passed
		out, err = exec.Command("qemu-img", "convert", "-O", "qcow2", "--object", "secret,id=s,data=correct horse",
			"-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"+options, plain, path).CombinedOutput()
		if !strings.Contains(string(out), "CPU usage") {
			break
		}
	}
	if err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	return path, disk
}

func openKeys(t testing.TB, path string, keys *crypt.Keys) (format.Image, error) {
	t.Helper()
	f, err := raw.OpenFile(path, raw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	list, err := qcow2.Format().Open(context.Background(), f, format.Options{Keys: keys})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { list[0].Close() })
	return list[0], nil
}

// TestLUKS reads what qemu-img encrypted.
func TestLUKS(t *testing.T) {
	for name, options := range map[string]string{
		"default":   "",
		"128 bits":  ",encrypt.cipher-alg=aes-128",
		"cbc essiv": ",encrypt.cipher-alg=aes-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha1",
		"small":     ",cluster_size=512",
	} {
		t.Run(name, func(t *testing.T) {
			path, disk := encryptedImage(t, options)
			keys := &crypt.Keys{}
			keys.AddPassphrase([]byte("correct horse"))
			img, err := openKeys(t, path, keys)
			if err != nil {
				t.Fatal(err)
			}
			blocktest.Run(t, img, disk)
		})
	}
}

// TestLUKSLocked says what is missing.
func TestLUKSLocked(t *testing.T) {
	path, _ := encryptedImage(t, "")
	locked := (*crypt.LockedError)(nil)
	if _, err := openKeys(t, path, nil); !errors.As(err, &locked) || !errors.Is(err, syscall.ENOKEY) || !strings.Contains(err.Error(), "--key") {
		t.Errorf("without a key: %v", err)
	}
	wrong := &crypt.Keys{}
	wrong.AddPassphrase([]byte("wrong"))
	if _, err := openKeys(t, path, wrong); !errors.Is(err, syscall.EKEYREJECTED) {
		t.Errorf("with a wrong key: %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b[:4096], []byte{0x05, 0x37, 0xbe, 0x77})
	if at < 0 {
		t.Fatal("no pointer to the LUKS header")
	}
	for name, damage := range map[string]func(b []byte){
		"beyond":     func(b []byte) { b[at+8] = 0x7f },
		"length":     func(b []byte) { b[at+16] = 0x7f },
		"no pointer": func(b []byte) { b[at] = 9 },
		"magic":      func(b []byte) { i := bytes.Index(b, []byte("LUKS\xba\xbe")); b[i] = 0 },
	} {
		c := bytes.Clone(b)
		damage(c)
		_, err := qcow2.Format().Open(context.Background(), block.Device(blocktest.NewMemory(c)), format.Options{Keys: wrong})
		if corrupt := (*ondisk.CorruptError)(nil); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
