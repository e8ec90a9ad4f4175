package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/guestctl/guestctl/formats/block"
	"github.com/guestctl/guestctl/formats/block/blocktest"
	"github.com/guestctl/guestctl/vfs"
)

// A Checker recovers states and judges them.
type Checker struct {
	Driver vfs.Driver
	Trees  []string
	Dir    string // for the images that e2fsck reads
}

// Recover opens the image for writing, which recovers it, and compares its
// tree. It gives what was written to recover and to close it again.
func (c *Checker) Recover(ctx context.Context, image []byte, first, last int) (*Recorder, error) {
	rec := NewRecorder(append([]byte(nil), image...), "")
	return rec, c.recoverOn(ctx, rec, first, last)
}

func (c *Checker) recoverOn(ctx context.Context, rec *Recorder, first, last int) error {
	fs, err := c.Driver.Open(ctx, []block.Device{rec}, vfs.Options{Writable: true})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.compare(ctx, fs, first, last); err != nil {
		_ = fs.Close(ctx)
		return err
	}
	if err := fs.Close(ctx); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// compare finds the tree among those from first to last.
func (c *Checker) compare(ctx context.Context, fs vfs.FileSystem, first, last int) error {
	got, err := Tree(ctx, fs)
	if err != nil {
		return fmt.Errorf("tree: %w", err)
	}
	last = min(last, len(c.Trees)-1)
	for i := last; i >= first; i-- {
		if c.Trees[i] == got {
			return nil
		}
	}
	for i, tree := range c.Trees {
		if tree == got {
			return fmt.Errorf("the tree is that of operation %d, expected %d to %d", i, first, last)
		}
	}
	return fmt.Errorf("the tree is that of no operation, expected %d to %d: %s", first, last, difference(c.Trees[last], got))
}

// difference is the lines that only one of two trees has.
func difference(want, got string) string {
	var out []string
	in := func(line string, text string) bool { return strings.Contains("\n"+text+"\n", "\n"+line+"\n") }
	for line := range strings.SplitSeq(want, "\n") {
		if !in(line, got) {
			out = append(out, "- "+line)
		}
	}
	for line := range strings.SplitSeq(got, "\n") {
		if !in(line, want) {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out[:min(len(out), 6)], "; ")
}

// harmless is what e2fsck may say of a filesystem whose last user ended
// without closing it, besides its own words.
var harmless = regexp.MustCompile(`^(e2fsck .*|.*: recovering journal|Pass \d.*|Clearing orphaned inode .*|.*orphaned.*|Setting free (blocks|inodes) count to .*|` +
	`Free (blocks|inodes) count wrong \(.*|Fix\? yes|.*\*\*\*\*\* FILE SYSTEM WAS MODIFIED \*\*\*\*\*|.*: \d+/\d+ files .*|)$`)

// Fsck has e2fsck replay the journal of a copy and check it: nothing but
// orphans may be left to do, and nothing after that. Then our driver reads it.
func (c *Checker) Fsck(ctx context.Context, image []byte, first, last int) error {
	path := filepath.Join(c.Dir, "state.img")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return err
	}
	if err := Replay(ctx, path); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fs, err := c.Driver.Open(ctx, []block.Device{blocktest.NewMemory(b)}, vfs.Options{})
	if err != nil {
		return err
	}
	return c.compare(ctx, fs, first, last)
}

// Replay has e2fsck replay the journal of the image at path and check it:
// nothing but orphans may be left to do, and nothing after that.
func Replay(ctx context.Context, path string) error {
	if out, err := exec.CommandContext(ctx, "e2fsck", "-fy", "-E", "journal_only", path).CombinedOutput(); exitOver(err, 1) {
		return fmt.Errorf("e2fsck -E journal_only: %w: %s", err, out)
	}
	out, err := exec.CommandContext(ctx, "e2fsck", "-fy", path).CombinedOutput()
	if exitOver(err, 1) {
		return fmt.Errorf("e2fsck -fy: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if !harmless.MatchString(strings.TrimSpace(line)) {
			return fmt.Errorf("e2fsck -fy: %s", out)
		}
	}
	if out, err := exec.CommandContext(ctx, "e2fsck", "-fn", path).CombinedOutput(); err != nil {
		return fmt.Errorf("e2fsck -fn: %w: %s", err, out)
	}
	return nil
}

// Silent has e2fsck look at an image that must be without a fault.
func (c *Checker) Silent(ctx context.Context, image []byte) error {
	path := filepath.Join(c.Dir, "clean.img")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "e2fsck", "-fn", path).CombinedOutput()
	if err != nil || strings.Count(string(out), "\n") > 7 {
		return fmt.Errorf("e2fsck -fn: %v: %s", err, out)
	}
	return nil
}

func exitOver(err error, code int) bool {
	var e *exec.ExitError
	return err != nil && (!errors.As(err, &e) || e.ExitCode() > code)
}

// Marked says what is wrong with the marks of an ext4 image: a journal that
// holds something on a filesystem that does not say so, which the kernel would
// throw away. journal is where the journal's first block lies.
func Marked(image []byte, journal int64) error {
	const recover, incompat, start = 0x4, 1024 + 0x60, 0x1C
	if binary.BigEndian.Uint32(image[journal+start:]) != 0 && binary.LittleEndian.Uint32(image[incompat:])&recover == 0 {
		return fmt.Errorf("the journal holds something, and the superblock does not say so")
	}
	return nil
}
