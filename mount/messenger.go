package mount

import (
	"sync"

	"github.com/guestctl/guestctl/vfs"
)

// A messenger tells the kernel what others have changed, from a goroutine of its own: the kernel takes a directory's lock
// for it, which a request that waits for us may hold.
type messenger struct {
	m    *fileSystem
	conn kernel
	done sync.WaitGroup

	mu    sync.Mutex // guards queue; a leaf
	queue []message
	wake  chan struct{}
}

type message struct {
	tree  *vfs.Tree
	event vfs.Event
}

func newMessenger(m *fileSystem) *messenger { return &messenger{m: m, wake: make(chan struct{}, 1)} }

// add never waits.
func (g *messenger) add(t *vfs.Tree, e vfs.Event) {
	g.mu.Lock()
	g.queue = append(g.queue, message{t, e})
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *messenger) start(conn kernel) {
	g.conn = conn
	g.done.Go(func() {
		for {
			select {
			case <-g.m.ctx.Done():
				return
			case <-g.wake:
			}
			g.mu.Lock()
			queue := g.queue
			g.queue = nil
			g.mu.Unlock()
			for _, msg := range queue {
				g.tell(msg)
			}
		}
	})
}

func (g *messenger) wait() { g.done.Wait() }

// tell has the kernel forget; that it does not know is no error.
func (g *messenger) tell(msg message) {
	_, id := g.m.number(vfs.Node{Tree: msg.tree, Ino: msg.event.Ino})
	const attributes, contents = -1, 0 // offsets: a negative one leaves the pages alone
	off := int64(attributes)
	if msg.event.Contents {
		off = contents
	}
	if msg.event.Name != "" {
		g.conn.EntryNotify(id, msg.event.Name)
	}
	g.conn.InodeNotify(id, off, 0)
}
