package images

import "testing"

// TestMake makes every image that `make test` reads, so that the tests which come after find them in the cache; it is
// what `make images` runs.
func TestMake(t *testing.T) {
	for _, img := range []struct {
		name string
		make func(testing.TB) Image
	}{
		{"debian", Debian}, {"qcow2", DebianQcow2}, {"overlay", DebianOverlay}, {"zlib", DebianZlib}, {"zstd", DebianZstd},
	} {
		t.Run(img.name, func(t *testing.T) {
			if got := img.make(t); got.Path == "" {
				t.Error("an image without a path")
			}
		})
	}
}
