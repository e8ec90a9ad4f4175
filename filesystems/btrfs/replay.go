package btrfs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/ondisk"
)

const (
	whatLog = "btrfs log"
	// replayLimit bounds the memory of a replay, in bytes.
	replayLimit = 512 << 20
)

// recoverLog replays the log into memory. There is a log tree for each
// subvolume in which something was fsynced since the last commit; the tree of
// logs names them.
func (fs *FileSystem) recoverLog(ctx context.Context) error {
	generation := fs.sb.generation() + 1
	logs := &tree{fs: fs, id: treeLogID, root: blockRef{fs.sb.logRoot(), generation, int(fs.sb.logLevel())}}
	after := &recovered{edits: map[uint64]map[uint64]*object{}}
	held, replayed, objects := int64(0), 0, 0
	c, err := logs.ceil(ctx, key{treeLogID, rootItemType, 0})
	for ; err == nil && c.ok && c.key.id == treeLogID && c.key.typ == rootItemType; err = c.next(ctx) {
		id := c.key.off
		log, _, err := fs.treeOf(treeLogID, c.data)
		if err != nil {
			return err
		}
		sv, err := fs.subvolume(ctx, id)
		if err == syscall.ENOENT {
			continue // it was deleted after the fsync
		}
		if err != nil {
			return err
		}
		r := &replay{fs: fs, sv: sv, log: log, after: after, edits: map[uint64]*object{}, fixups: map[uint64]bool{}, held: &held, transid: generation}
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("subvolume %d: %w", id, err)
		}
		after.edits[id] = r.edits
		replayed++
		objects += len(r.edits)
	}
	if err != nil {
		return err
	}
	after.tidy(uint64(fs.geo.sector), fs.geo.sum.size)
	fs.after = after
	// Those that were opened for the replay know nothing of it.
	clear(fs.subvolumes)
	fs.log.InfoContext(ctx, "btrfs: log replayed into memory", slog.Int("subvolumes", replayed), slog.Int("inodes", objects), slog.Int("checksums", len(after.csums)))
	return nil
}

// A replay brings the items of one log tree into its subvolume, as Linux does
// at its next mount: first the inodes, then the names of directories, then all
// else, then the counts of links.
type replay struct {
	fs      *FileSystem
	sv      *subvolume // as committed
	log     *tree
	after   *recovered
	edits   map[uint64]*object
	fixups  map[uint64]bool // inodes whose links are to be counted
	held    *int64          // bytes of memory
	transid uint64
}

type stage int

const (
	stageInodes stage = iota
	stageIndex
	stageAll
)

func (r *replay) corrupt(format string, args ...any) error {
	return ondisk.Corrupt(whatLog, int64(r.log.root.bytenr), format, args...)
}

func (r *replay) run(ctx context.Context) error {
	for st := stageInodes; st <= stageAll; st++ {
		ignored := uint64(0) // an inode without links, whose items are not replayed
		c, err := r.log.ceil(ctx, key{})
		for ; err == nil && c.ok; err = c.next(ctx) {
			if c.key.typ == inodeItemType && c.key.id != ignored && len(c.data) >= inodeItemSize && inodeItem(c.data).nlink() == 0 {
				ignored = c.key.id
			}
			if ignored != 0 && c.key.id == ignored {
				continue
			}
			if err := r.item(ctx, st, c.key, c.data); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return r.fixLinks(ctx)
}

// item replays one item of the log.
func (r *replay) item(ctx context.Context, st stage, k key, data []byte) error {
	switch {
	case k.typ == inodeItemType && st == stageInodes:
		return r.inode(ctx, k.id, data)
	case k.typ == dirIndexType && st == stageIndex:
		return r.dirIndex(ctx, k, data)
	case st < stageAll:
	case k.typ == xattrItemType:
		o, err := r.object(ctx, k.id)
		if err == nil {
			o.set(k.typ, k.off, data)
		}
		return err
	case k.typ == inodeRefType || k.typ == inodeExtrefType:
		return r.reference(ctx, k, data)
	case k.typ == extentDataType:
		return r.extent(ctx, k, data)
	case k.typ == extentCsumType && k.id == extentCsumID:
		return r.csum(k.off, data)
	}
	return nil
}

func (r *replay) csum(start uint64, data []byte) error {
	sector, size := uint64(r.fs.geo.sector), uint64(r.fs.geo.sum.size)
	count := uint64(len(data)) / size
	if start%sector != 0 || start > 1<<62 {
		return r.corrupt("checksums of %d", start)
	}
	if err := r.hold(int64(len(data))); err != nil {
		return err
	}
	r.after.csums = append(r.after.csums, sumRange{start, start + count*sector, bytes.Clone(data[:count*size])})
	return nil
}

// itemCost is what an edited item costs besides its bytes.
const itemCost = 64

func (r *replay) hold(n int64) error {
	if *r.held += n + itemCost; *r.held > replayLimit {
		return block.ErrOverlayFull
	}
	return nil
}

// object gives all items of an objectid, to be edited.
func (r *replay) object(ctx context.Context, id uint64) (*object, error) {
	if o := r.edits[id]; o != nil {
		return o, nil
	}
	o := &object{id: id}
	c, err := r.sv.ceil(ctx, key{id: id})
	for ; err == nil && c.ok && c.key.id == id; err = c.next(ctx) {
		if err := r.hold(int64(len(c.data))); err != nil {
			return nil, err
		}
		o.items = append(o.items, item{c.key.typ, c.key.off, c.data})
	}
	if err != nil {
		return nil, err
	}
	if err := r.hold(0); err != nil {
		return nil, err
	}
	r.edits[id] = o
	return o, nil
}

// get gives an item as it is at this point of the replay.
func (r *replay) get(ctx context.Context, k key) ([]byte, bool, error) {
	if o := r.edits[k.id]; o != nil {
		if it := o.get(k.typ, k.off); it != nil {
			return it.data, true, nil
		}
		return nil, false, nil
	}
	return r.sv.get(ctx, k)
}
