package images

import (
	"testing"
	"time"
)

// BitLocker is a gzipped tar of volumes that Windows encrypted, with the file images.conf that has the passwords and
// the SHA-256 of what they hold: those of cryptsetup's own tests.
func BitLocker(t testing.TB) string {
	t.Helper()
	r := &recipe{name: "bitlk", script: "bitlk", ext: "tgz", tools: []string{"curl", "xz", "gzip"}, limit: 10 * time.Minute}
	return r.make(t)
}
