package vfs

import (
	"context"
	"errors"
	"syscall"
)

// change makes one change with the locks of inos held, and calls then before
// they are given back.
func (c *Client) change(ctx context.Context, op string, do func(tx Tx) error, then func(), inos ...Ino) error {
	w := c.t.w
	if w == nil {
		return syscall.EROFS
	}
	defer w.locks.lock(inos...)()
	err := w.roomy(ctx, func() error {
		tx, err := w.fs.Begin(ctx, Op{Name: op, Inos: inos, Time: now()})
		if err != nil {
			return err
		}
		if err := do(tx); err != nil {
			tx.Abort()
			return err
		}
		return tx.Commit(false)
	})
	if err != nil {
		return c.t.failed(op, inos[0], err)
	}
	if then != nil {
		then()
	}
	return nil
}

// roomy does something once more where the filesystem is full, after a Sync:
// what was deleted may be given out again once that is durable.
func (w *writable) roomy(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if err := w.fs.Sync(ctx); err != nil {
		return err
	}
	return do()
}

// checkNames is ENAMETOOLONG where the filesystem cannot have one of the names.
func (c *Client) checkNames(names ...string) error {
	for _, name := range names {
		if len(name) > c.t.nameMax {
			return syscall.ENAMETOOLONG
		}
	}
	return nil
}

// Create makes a file, directory, symlink or node in a directory; use says
// that it is in use from the start, until Release. EEXIST, ENOSPC, EMLINK.
func (c *Client) Create(ctx context.Context, dir Ino, name string, what New, use bool) (ino Ino, err error) {
	if err := c.checkNames(name); err != nil {
		return Ino{}, err
	}
	err = c.change(ctx, "create in directory", func(tx Tx) (err error) {
		ino, err = tx.Create(ctx, dir, name, what)
		return err
	}, func() {
		if use {
			c.use(ino)
		}
	}, dir)
	if err == nil {
		c.tell(Event{Ino: dir, Name: name})
	}
	return ino, err
}

// CreateUnnamed makes a file without a name in the filesystem of dir, which
// Link may give one. It is in use until Release.
func (c *Client) CreateUnnamed(ctx context.Context, dir Ino, what New) (ino Ino, err error) {
	err = c.change(ctx, "create below directory", func(tx Tx) (err error) {
		ino, err = tx.CreateUnnamed(ctx, dir, what)
		return err
	}, func() {
		c.use(ino)
		c.t.w.keeps(ino, false)
	}, dir)
	return ino, err
}

// Link gives a file another name.
func (c *Client) Link(ctx context.Context, ino, dir Ino, name string) error {
	if err := c.checkNames(name); err != nil {
		return err
	}
	err := c.change(ctx, "link in directory", func(tx Tx) error { return tx.Link(ctx, ino, dir, name) }, nil, dir, ino)
	if err == nil {
		c.tell(Event{Ino: dir, Name: name}, Event{Ino: ino})
	}
	return err
}

// Unlink takes a name away: of a directory, which must be empty, where isDir.
// The inode is freed where it was the last one and nobody uses it.
func (c *Client) Unlink(ctx context.Context, dir Ino, name string, isDir bool) error {
	if err := c.checkNames(name); err != nil {
		return err
	}
	var gone Ino
	err := c.change(ctx, "unlink in directory", func(tx Tx) (err error) {
		gone, err = tx.Unlink(ctx, dir, name, isDir)
		return err
	}, c.removed, dir)
	if err != nil {
		return err
	}
	c.t.w.evict(ctx, gone)
	c.tell(Event{Ino: dir, Name: name}, Event{Ino: gone})
	return nil
}

func (c *Client) removed() { c.t.w.removals.Add(1) }

// Rename is renameat2(2) within the filesystem.
func (c *Client) Rename(ctx context.Context, fromDir Ino, from string, toDir Ino, to string, flags RenameFlags) error {
	if err := c.checkNames(from, to); err != nil {
		return err
	}
	if flags&^(RenameNoReplace|RenameExchange) != 0 || flags == RenameNoReplace|RenameExchange {
		return syscall.EINVAL
	}
	var gone Ino
	err := c.change(ctx, "rename from directory", func(tx Tx) (err error) {
		gone, err = tx.Rename(ctx, fromDir, from, toDir, to, flags)
		return err
	}, c.removed, fromDir, toDir)
	if err != nil {
		return err
	}
	events := []Event{{Ino: fromDir, Name: from}, {Ino: toDir, Name: to}}
	if gone != (Ino{}) {
		c.t.w.evict(ctx, gone)
		events = append(events, Event{Ino: gone})
	}
	c.tell(events...)
	return nil
}

// Setattr changes what ch names.
func (c *Client) Setattr(ctx context.Context, ino Ino, ch Change) error {
	err := c.change(ctx, "change inode", func(tx Tx) error { return tx.Setattr(ctx, ino, ch) }, nil, ino)
	if err == nil {
		c.tell(Event{Ino: ino})
	}
	return err
}

// SetXattr sets an extended attribute; flags are those of setxattr(2).
func (c *Client) SetXattr(ctx context.Context, ino Ino, name string, value []byte, flags int) error {
	if value == nil {
		value = []byte{}
	}
	return c.xattr(ctx, ino, name, value, flags)
}

// RemoveXattr removes an extended attribute; ENODATA where there is none.
func (c *Client) RemoveXattr(ctx context.Context, ino Ino, name string) error {
	return c.xattr(ctx, ino, name, nil, 0)
}

func (c *Client) xattr(ctx context.Context, ino Ino, name string, value []byte, flags int) error {
	switch name {
	case "user.", "trusted.", "security.":
		return syscall.EINVAL // as the kernel, which knows the families of names
	}
	err := c.change(ctx, "set an extended attribute of inode", func(tx Tx) error { return tx.SetXattr(ctx, ino, name, value, flags) }, nil, ino)
	if err == nil {
		c.tell(Event{Ino: ino})
	}
	return err
}
