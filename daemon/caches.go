package daemon

import (
	"slices"

	"github.com/guestctl/guestctl/formats/block"
)

// The caches of a Guest.
const (
	CacheImage    = "image"    // tables of images, and what was decompressed of them
	CacheMetadata = "metadata" // verified metadata of filesystems
	CacheInodes   = "inodes"   // inodes of the trees
)

// CacheStats say how each of the Guest's caches does. It must not be closed.
func (g *Guest) CacheStats() map[string]block.CacheStats {
	var images, metadata, inodes block.CacheStats
	g.src.mu.Lock()
	list := slices.Clone(g.src.images)
	g.src.mu.Unlock()
	for _, img := range list {
		if c, ok := img.(block.Cached); ok {
			images.Add(c.CacheStats())
		}
	}
	for _, f := range g.found {
		if c, ok := f.fs.(block.Cached); ok {
			metadata.Add(c.CacheStats())
		}
	}
	for _, t := range g.ns.Trees() {
		inodes.Add(t.CacheStats())
	}
	return map[string]block.CacheStats{CacheImage: images, CacheMetadata: metadata, CacheInodes: inodes}
}
