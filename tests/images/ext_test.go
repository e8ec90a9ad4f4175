package images

import "testing"

func TestExtVariants(t *testing.T) {
	for _, v := range ExtVariants() {
		t.Run(v.Name, func(t *testing.T) { Ext(t, v.Name) })
	}
}

func TestDirtyVariants(t *testing.T) {
	for _, v := range DirtyVariants() {
		t.Run(v.Name, func(t *testing.T) { Dirty(t, v.Name) })
	}
	t.Run("debian", func(t *testing.T) { DirtyDebian(t) })
}
