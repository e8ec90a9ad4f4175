package vfs

import "sync"

// An inomap gives each (tree, inode) of a Namespace a number of 64 bits, so
// that tar and rsync never take two files of two filesystems for hard links.
//
//	63     62 .. 48        47 .. 0
//	spill  tree's index    inode number
//
// An inode of the first tree keeps the number that the guest sees. What does
// not fit (a number of 2^48 and more, 0 and 1, a btrfs subvolume, a tree
// beyond 2^15) gets the next spill number, kept for as long as the Namespace.
type inomap struct {
	mu    sync.Mutex // guards all below
	spill map[spillKey]uint64
	nodes []Node // of spill number spillBit+i
}

// spillKey leaves the generation out, as inodeKey does.
type spillKey struct {
	tree     *Tree
	sub, num uint64
}

const (
	treeShift = 48
	numMask   = 1<<treeShift - 1
	maxTrees  = 1 << 15
	spillBit  = 1 << 63
)

// number is the number of n, whose tree has the given index.
func (m *inomap) number(n Node, index int) uint64 {
	if n.Ino.Num > 1 && n.Ino.Num <= numMask && n.Ino.Tree == 0 && index < maxTrees {
		return uint64(index)<<treeShift | n.Ino.Num
	}
	key := spillKey{n.Tree, n.Ino.Tree, n.Ino.Num}
	m.mu.Lock()
	defer m.mu.Unlock()
	if num, ok := m.spill[key]; ok {
		return num
	}
	if m.spill == nil {
		m.spill = make(map[spillKey]uint64)
	}
	num := uint64(spillBit) + uint64(len(m.nodes))
	m.nodes = append(m.nodes, n)
	m.spill[key] = num
	return num
}

// node is the Node that got num, given the trees by index.
func (m *inomap) node(num uint64, trees []*Tree) (Node, bool) {
	if num&spillBit != 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		if i := num &^ spillBit; i < uint64(len(m.nodes)) {
			return m.nodes[i], true
		}
		return Node{}, false
	}
	index := num >> treeShift
	if index >= uint64(len(trees)) || num&numMask <= 1 {
		return Node{}, false
	}
	return Node{trees[index], Ino{Num: num & numMask}}, true
}
