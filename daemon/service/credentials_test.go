package service_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
	"github.com/guestctl/guestctl/tests/images"
)

// encrypted makes a LUKS2 container of a small image, and answers its path and
// UUID.
func encrypted(t *testing.T, passphrase string) (path, uuid string) {
	t.Helper()
	images.NeedTool(t, "cryptsetup")
	path = small(t)
	must(t, os.Truncate(path, 24<<20))
	cmd := exec.Command("cryptsetup", "--batch-mode", "--key-file=-", "reencrypt", "--encrypt", "--type=luks2", "--reduce-device-size=8M",
		"--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", path)
	cmd.Stdin = strings.NewReader(passphrase)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cryptsetup: %v: %s", err, out)
	}
	out, err := exec.Command("cryptsetup", "luksUUID", path).Output()
	must(t, err)
	return path, strings.TrimSpace(string(out))
}

// unlocked says whether the filesystem in an encrypted image is found. It
// leaves the image detached.
func unlocked(t *testing.T, d *daemon, path string) bool {
	t.Helper()
	img := attach(t, d, path)
	list, err := d.Filesystems(t.Context(), img.ID)
	must(t, err)
	must(t, d.Detach(t.Context(), img.ID, false))
	return slices.ContainsFunc(list.Filesystems, func(f api.Filesystem) bool { return f.Type == "ext4" && f.Readable })
}

// Keys come from systemd's credentials and from files that the configuration
// names; a reload reads them again.
func TestKeys(t *testing.T) {
	path, uuid := encrypted(t, "a passphrase")
	credentials, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(filepath.Join(credentials, "all"), []byte("a passphrase"), 0o600)) // not called luks.
	must(t, os.WriteFile(key, []byte("a passphrase"), 0o600))
	d := start(t, func(c *service.Config) { c.Credentials = credentials })
	if unlocked(t, d, path) {
		t.Fatal("the test is void: it is open without a key")
	}
	cfg := service.DefaultConfig()
	for _, c := range []struct {
		what, credential string
		keys             []string
		want             bool
	}{
		{"a credential for all", "luks.all", nil, true},
		{"a credential for another volume", "luks.sdb7", nil, false},
		{"a credential for its UUID", "luks." + uuid, nil, true},
		{"a file", "", []string{uuid + ":file:" + key}, true},
		{"none again", "", nil, false},
	} {
		if c.credential != "" {
			must(t, os.WriteFile(filepath.Join(credentials, c.credential), []byte("a passphrase\n"), 0o600))
		}
		cfg.Keys = c.keys
		_, _, err := d.broker.Reload(cfg)
		must(t, err)
		if got := unlocked(t, d, path); got != c.want {
			t.Errorf("%s: unlocked is %v", c.what, got)
		}
		if c.credential != "" {
			must(t, os.Remove(filepath.Join(credentials, c.credential)))
		}
	}
}
