package images

import (
	"testing"
	"time"
)

// DynamicDisks is a gzipped tar of disks that Windows Server made dynamic: those of libldm's own tests.
func DynamicDisks(t testing.TB) string {
	t.Helper()
	r := &recipe{name: "ldm", script: "ldm", ext: "tgz", tools: []string{"curl", "xz", "gzip"}, limit: 10 * time.Minute}
	return r.make(t)
}
