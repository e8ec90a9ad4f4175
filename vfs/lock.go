package vfs

import (
	"cmp"
	"slices"
	"sync"
)

// inodeLocks are the locks of a Tree's inodes, as many as are held or waited
// for.
type inodeLocks struct {
	mu    sync.Mutex // guards the map and the counts; a leaf
	locks map[inodeKey]*inodeLock
}

type inodeLock struct {
	sync.RWMutex
	users int // who holds it or waits for it
}

func (l *inodeLocks) get(key inodeKey) *inodeLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.locks[key]
	if k == nil {
		k = new(inodeLock)
		l.locks[key] = k
	}
	k.users++
	return k
}

func (l *inodeLocks) put(key inodeKey, k *inodeLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.locks, key)
	}
}

// share locks an inode for reading, until the function that it answers is
// called.
func (l *inodeLocks) share(ino Ino) (unlock func()) {
	key := inodeKey{ino.Tree, ino.Num}
	k := l.get(key)
	k.RLock()
	return func() {
		k.RUnlock()
		l.put(key, k)
	}
}

// lock locks inodes for changes, in the order of their numbers, until the
// function that it answers is called. An inode may be named twice.
func (l *inodeLocks) lock(inos ...Ino) (unlock func()) {
	keys := make([]inodeKey, 0, 2)
	for _, ino := range inos {
		keys = append(keys, inodeKey{ino.Tree, ino.Num})
	}
	slices.SortFunc(keys, func(a, b inodeKey) int {
		return cmp.Or(cmp.Compare(a.tree, b.tree), cmp.Compare(a.num, b.num))
	})
	keys = slices.Compact(keys)
	held := make([]*inodeLock, len(keys))
	for i, key := range keys {
		held[i] = l.get(key)
		held[i].Lock()
	}
	return func() {
		for i, k := range held {
			k.Unlock()
			l.put(keys[i], k)
		}
	}
}
