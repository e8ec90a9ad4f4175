package ext4

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/filesystems/txn/redo"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// writer is what a filesystem that is open for writing has besides.
type writer struct {
	dev     block.Writer
	manager *txn.Manager
	redo    *redo.Log // nil where there is a journal

	mu     sync.Mutex // guards all below, and is held while a bitmap is read; a leaf otherwise
	groups []groupState
	blocks uint64 // free blocks in all, as the descriptors say
	inodes uint64 // free inodes in all

	waiting atomic.Int64 // blocks that were freed and wait for that to be durable

	// Both are changed by the open Tx only.
	orphans []uint32              // the orphan list, its head last
	slots   map[uint32]orphanSlot // of the inodes that the last user left in the orphan file
}

// groupState is what the allocators keep of a group.
type groupState struct {
	free     uint32 // blocks, as the descriptor says
	inodes   uint32
	dirs     uint32
	held     []byte // a bitmap of blocks not to be given out: reserved, or freed and not durable; nil for none
	heldN    uint32 // bits in held
	verified bool   // the bitmaps were compared with the descriptor
}

const (
	// The features that the writer keeps right. What is not among them makes
	// the filesystem read-only.
	incompatWrite = incompatFiletype | incompatRecover | incompatExtents | incompat64bit | incompatFlexBg | incompatCsumSeed | incompatLargedir | incompatMetaBg | incompatInlineData
	roWrite       = roSparseSuper | roLargeFile | roHugeFile | roGdtCsum | roDirNlink | roExtraIsize | roMetadataCsum | roOrphanPresent
	compatWrite   = compatHasJournal | compatExtAttr | compatResizeInode | compatDirIndex | compatSparseSuper2 |
		compatFastCommit | compatStableInodes | compatOrphanFile
)

// cannotWrite says why the filesystem can be read only, by name; nil where it
// can be written.
func (fs *FileSystem) cannotWrite() error {
	sb := fs.sb
	var why []string
	why = append(why, featureNames('C', sb.featureCompat()&^compatWrite)...)
	why = append(why, featureNames('I', sb.featureIncompat()&^incompatWrite)...)
	why = append(why, featureNames('R', sb.featureRoCompat()&^roWrite)...)
	detail := ""
	switch {
	case len(why) > 0:
		detail = "writing with " + strings.Join(why, ", ")
	case sb.revLevel() == 0:
		detail = "writing revision 0"
	case !sb.hasCompat(compatHasJournal) && fs.opt.Sidecar == nil:
		detail = "writing without a journal, and without a place beside the image for a log,"
	case !sb.hasCompat(compatHasJournal) && sb.hasIncompat(incompatRecover):
		detail = "writing with needs_recovery and without a journal"
	case sb.hasCompat(compatHasJournal) && sb.journalInum() == 0:
		detail = "writing with an external journal"
	case sb.creatorOS() == osHurd:
		detail = "writing a filesystem of the Hurd"
	case sb.state()&stateErrors != 0:
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing after the kernel found errors in it", Remedy: "run e2fsck"}
	}
	if detail == "" {
		return nil
	}
	return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: detail, Remedy: "open it read-only"}
}

// writerKinds sets the kinds that only a writer uses, and the seals.
func (fs *FileSystem) writerKinds() {
	k := &fs.kinds
	k.extents.Seal, k.dir.Seal, k.xattrs.Seal, k.orphans.Seal = fs.sealExtentBlock, fs.sealDirBlock, fs.sealXattrBlock, fs.sealOrphanBlock
	k.super = &txn.Kind{Name: "ext4 superblock", Seal: fs.sealSuper}
	k.descs = &txn.Kind{Name: "ext4 group descriptors"}
	k.blockBitmap = &txn.Kind{Name: "ext4 block bitmap"}
	k.inodeBitmap = &txn.Kind{Name: "ext4 inode bitmap"}
}

// openWriter recovers the journal to the device and makes fs writable.
func openWriter(ctx context.Context, fs *FileSystem, dev block.Writer) error {
	if err := fs.cannotWrite(); err != nil {
		return err
	}
	if dev.Size() < fs.geo.bytes() {
		return fmt.Errorf("the device has %d bytes and its ext4 filesystem %d: it is not written", dev.Size(), fs.geo.bytes())
	}
	fs.geo.writable = true
	log, err := fs.openLog(ctx, dev)
	if err != nil {
		return err
	}
	w := &writer{dev: dev}
	w.redo, _ = log.(*redo.Log)
	fs.w = w
	if err := fs.countGroups(ctx); err != nil {
		return err
	}
	w.manager = txn.NewManager(fs.store, dev, log, fs.geo.blockSize, txn.ManagerOptions{
		Activate: fs.activate, Clean: fs.markClean, BeforeCommit: fs.beforeCommit, Log: fs.log,
		Marked: fs.marked(fs.sb),
	})
	if err := fs.processOrphans(ctx); err != nil {
		return fmt.Errorf("inodes that were deleted while in use cannot be freed: %w", err)
	}
	return nil
}

// beforeCommit puts the counts into the superblock, once a transaction.
func (fs *FileSystem) beforeCommit(ctx context.Context, t *txn.Tx) error {
	sb, err := fs.editSuper(ctx, t)
	if err != nil {
		return err
	}
	fs.w.mu.Lock()
	defer fs.w.mu.Unlock()
	sb.setFreeBlocks(fs.w.blocks)
	sb.setFreeInodes(uint32(fs.w.inodes))
	return nil
}

// countGroups reads all descriptors into the allocators' table.
func (fs *FileSystem) countGroups(ctx context.Context) error {
	w := fs.w
	w.groups = make([]groupState, fs.geo.groups)
	for group := range fs.geo.groups {
		d, err := fs.readDesc(ctx, group)
		if err != nil {
			return err
		}
		g := &w.groups[group]
		g.free, g.inodes, g.dirs = d.freeBlocks(), d.freeInodes(), d.usedDirs()
		w.blocks += uint64(g.free)
		w.inodes += uint64(g.inodes)
	}
	return nil
}

// generation is a new inode's.
func generation() uint32 { return rand.Uint32() }
