package ext4

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/guestctl/guestctl/filesystems/ext4/jbd2"
	"github.com/guestctl/guestctl/filesystems/txn"
	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

// writer is what a filesystem that is open for writing has besides.
type writer struct {
	dev     block.Writer
	manager *txn.Manager

	mu     sync.Mutex // guards all below, and is held while a bitmap is read; a leaf otherwise
	groups []groupState
	blocks uint64 // free blocks in all, as the descriptors say
	inodes uint64 // free inodes in all

	orphans []uint32 // the orphan list, its head last; changed by the open Tx only
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
	incompatWrite = incompatFiletype | incompatRecover | incompatExtents | incompat64bit | incompatFlexBg | incompatCsumSeed
	roWrite       = roSparseSuper | roLargeFile | roHugeFile | roGdtCsum | roDirNlink | roExtraIsize | roMetadataCsum | roOrphanPresent
	compatWrite   = compatHasJournal | compatExtAttr | compatResizeInode | compatDirIndex | compatSparseSuper2 |
		compatFastCommit | compatStableInodes | compatOrphanFile
	incompatMust = incompatFiletype | incompatExtents
)

// cannotWrite says why a filesystem can be read only, by name; nil where it can
// be written.
func cannotWrite(sb superblock) error {
	var why []string
	why = append(why, featureNames('C', sb.featureCompat()&^compatWrite)...)
	why = append(why, featureNames('I', sb.featureIncompat()&^incompatWrite)...)
	why = append(why, featureNames('R', sb.featureRoCompat()&^roWrite)...)
	for _, f := range featureNames('I', incompatMust&^sb.featureIncompat()) {
		why = append(why, "no "+f)
	}
	if !sb.hasCompat(compatHasJournal) {
		why = append(why, "no has_journal")
	}
	detail := ""
	switch {
	case len(why) > 0:
		detail = "writing with " + strings.Join(why, ", ")
	case sb.journalInum() == 0:
		detail = "writing with an external journal"
	case sb.creatorOS() == osHurd:
		detail = "writing a filesystem of the Hurd"
	case sb.state()&stateErrors != 0:
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing after the kernel found errors in it", Remedy: "run e2fsck"}
	case sb.revLevel() == 0:
		detail = "writing revision 0"
	}
	if detail == "" {
		return nil
	}
	return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: detail, Remedy: "open it read-only"}
}

// writerKinds sets the kinds that only a writer uses, and the seals.
func (fs *FileSystem) writerKinds() {
	k := &fs.kinds
	k.extents.Seal, k.dir.Seal, k.xattrs.Seal = fs.sealExtentBlock, fs.sealDirBlock, fs.sealXattrBlock
	k.super = &txn.Kind{Name: "ext4 superblock", Seal: fs.sealSuper}
	k.descs = &txn.Kind{Name: "ext4 group descriptors"}
	k.blockBitmap = &txn.Kind{Name: "ext4 block bitmap"}
	k.inodeBitmap = &txn.Kind{Name: "ext4 inode bitmap"}
}

// openWriter recovers the journal to the device and makes fs writable.
func openWriter(ctx context.Context, fs *FileSystem, dev block.Writer) error {
	if err := cannotWrite(fs.sb); err != nil {
		return err
	}
	if dev.Size() < fs.geo.bytes() {
		return fmt.Errorf("the device has %d bytes and its ext4 filesystem %d: it is not written", dev.Size(), fs.geo.bytes())
	}
	fs.geo.writable = true
	journal, err := fs.journalWriter(ctx, dev)
	if err != nil {
		return err
	}
	j, err := jbd2.Open(ctx, journal, fs.geo.blockSize, fs.log)
	if err != nil {
		return err
	}
	if fs.sb.hasIncompat(incompatRecover) {
		if err := fs.recoverTo(ctx, j, dev); err != nil {
			return fmt.Errorf("the journal, which holds changes, cannot be replayed: %w", err)
		}
	} else if !j.Clean() {
		return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing: the journal holds changes, but the superblock says that nothing needs recovery", Remedy: "run e2fsck"}
	}
	log, err := jbd2.NewWriter(ctx, j, journal, jbd2.Features{Checksums: fs.geo.metadataCsum, Wide: fs.sb.hasIncompat(incompat64bit)})
	if err != nil {
		return err
	}
	w := &writer{dev: dev}
	fs.w = w
	if err := fs.countGroups(ctx); err != nil {
		return err
	}
	w.manager = txn.NewManager(fs.store, dev, log, fs.geo.blockSize, txn.ManagerOptions{
		Activate: fs.activate, Clean: fs.markClean, BeforeCommit: fs.beforeCommit, Log: fs.log,
		Marked: fs.sb.hasIncompat(incompatRecover),
	})
	if err := fs.processOrphans(ctx); err != nil {
		return fmt.Errorf("inodes that were deleted while in use cannot be freed: %w", err)
	}
	return nil
}

// recoverTo replays the journal home and reads the filesystem anew.
func (fs *FileSystem) recoverTo(ctx context.Context, j *jbd2.Journal, dev block.Writer) error {
	replay, err := j.Recover(ctx, dev)
	if err != nil {
		return err
	}
	fs.replay = replay
	if replay.Torn == "" {
		// Fast commits change the filesystem by its own rules; they are shown, and not written home.
		if err := fs.use(ctx, fs.base); err != nil {
			return fmt.Errorf("after the replay: %w", err)
		}
		if err := fs.replayFastCommits(ctx, j); err != nil {
			return err
		}
		if fs.edits != nil {
			return &ondisk.UnsupportedError{What: "ext4 filesystem", Detail: "writing with fast commits to replay", Remedy: "mount it once with the kernel, or open it read-only"}
		}
	}
	if err := dev.Sync(txn.BarrierRecovered.With(ctx)); err != nil {
		return err
	}
	if err := fs.use(ctx, fs.base); err != nil {
		return fmt.Errorf("after the replay: %w", err)
	}
	fs.geo.writable = true
	fs.log.InfoContext(ctx, "ext4: journal replayed", "transactions", replay.Transactions, "blocks", replay.Blocks)
	return cannotWrite(fs.sb)
}

// superAddr is the block that holds the superblock, and where in it.
func (fs *FileSystem) superAddr() (at txn.Addr, in int) {
	size := fs.geo.blockSize
	return txn.Addr{Off: superOffset &^ int64(size-1), Len: size}, superOffset & (size - 1)
}

// sealSuper is the Seal of the superblock.
func (fs *FileSystem) sealSuper(b []byte, _ txn.Addr) {
	_, in := fs.superAddr()
	sb := superblock(b[in : in+superSize])
	if fs.geo.metadataCsum {
		sb.setChecksum(ondisk.CRC32C(^uint32(0), sb[:superChecksum]))
	}
}

// activate marks the filesystem as one whose journal must be replayed.
func (fs *FileSystem) activate(ctx context.Context) error {
	return fs.markSuper(ctx, txn.BarrierActivate, func(sb superblock) {
		sb.setFeatureIncompat(sb.featureIncompat() | incompatRecover)
	})
}

// markClean takes the mark away.
func (fs *FileSystem) markClean(ctx context.Context) error {
	return fs.markSuper(ctx, txn.BarrierClosed, func(sb superblock) {
		sb.setFeatureIncompat(sb.featureIncompat() &^ incompatRecover)
		sb.setFeatureRoCompat(sb.featureRoCompat() &^ roOrphanPresent)
	})
}

// markSuper changes the superblock at home, beside the log. It is called where
// what is home is what was committed last.
func (fs *FileSystem) markSuper(ctx context.Context, barrier txn.Barrier, set func(sb superblock)) error {
	sb := make(superblock, superSize)
	if err := block.ReadFull(ctx, fs.w.dev, sb, superOffset); err != nil {
		return fmt.Errorf("reading the superblock: %w", err)
	}
	set(sb)
	if fs.geo.metadataCsum {
		sb.setChecksum(ondisk.CRC32C(^uint32(0), sb[:superChecksum]))
	}
	if _, err := fs.w.dev.WriteAt(ctx, sb, superOffset); err != nil {
		return err
	}
	return fs.w.dev.Sync(barrier.With(ctx))
}

// editSuper gives the superblock to be changed.
func (fs *FileSystem) editSuper(ctx context.Context, t *txn.Tx) (superblock, error) {
	at, in := fs.superAddr()
	b, err := t.Edit(ctx, at, fs.kinds.super)
	if err != nil {
		return nil, err
	}
	sb := superblock(b[in : in+superSize])
	// What the log brings home is marked, as home is by then.
	sb.setFeatureIncompat(sb.featureIncompat() | incompatRecover)
	return sb, nil
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
