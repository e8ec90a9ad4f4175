package files

import (
	"bytes"
	"context"
	"fmt"
	"syscall"

	"github.com/guestctl/guestctl/vfs"
)

const (
	// binaryWindow is how much of a file is looked at for a NUL.
	binaryWindow = 32 << 10
	// maxLine bounds a line that is searched, in bytes.
	maxLine = 64 << 20
	// maxHits bounds the matches of one file that are kept until they are
	// emitted, in bytes; what goes beyond is searched when it is emitted.
	maxHits = 1 << 20
)

// GrepOptions are the choices of Grep.
type GrepOptions struct {
	Pattern   *Pattern
	Invert    bool    // lines that do not match
	Recursive bool    // the regular files below a directory
	Include   []*Glob // with Recursive, only files with one of these names
	Text      bool    // a binary file is searched as text
	NoBinary  bool    // a binary file never matches
	Count     bool    // count, and give no lines
	First     bool    // whether any line matches, and give no lines
	Max       int     // stop a file after so many lines; 0: all
	Workers   int
	Problem   func(error)
}

// A Hit is what Grep found in one file.
type Hit struct {
	Path   string
	Count  int64  // lines found: 1 with First, and in a binary file
	Binary bool   // it is binary: there are no Lines
	Lines  []Line // neither with Count nor with First
	More   bool   // another Hit of the same file follows
}

// A Line is a line found.
type Line struct {
	Number int64 // from 1
	Off    int64 // of its first byte
	Text   []byte
}

// Grep searches the file at path, or with Recursive the regular files below it,
// and gives every file in the order of Walk, those without a match too, with the
// Count 0. A Hit is valid until each returns. A file that cannot be read to its
// end is handed to Problem; what was found before is given.
func Grep(ctx context.Context, ns *vfs.Namespace, path string, opt GrepOptions, each func(*Hit) error) error {
	from, err := Resolve(ctx, ns, path, true)
	if err != nil {
		return err
	}
	if !opt.Recursive || !from.isDir() {
		if err := Regular(from); err != nil {
			return err
		}
	}
	walk := func(ctx context.Context, visit func(*Entry) error) error {
		return Walk(ctx, ns, from, WalkOptions{MaxDepth: -1}, visit)
	}
	wants := func(e *Entry) bool {
		for _, g := range opt.Include {
			if g.Match(e.Name) {
				return true
			}
		}
		return len(opt.Include) == 0 || e.Depth == 0
	}
	// A file that finds more than is kept is searched again where it is emitted.
	early := func(ctx context.Context, it *item) any {
		found := &found{}
		s := newSearch(&opt, it.Path, func(h *Hit) error {
			if found.bytes += hitBytes(h); found.bytes > maxHits || found.hit != nil {
				return errTooMany
			}
			kept := *h
			found.hit = &kept
			return nil
		})
		found.err = s.file(ctx, it)
		return found
	}
	return bulk(ctx, plan{workers: opt.Workers, work: early, wants: wants}, walk, func(it *item) error {
		if it.Err != nil {
			opt.Problem(it.Err)
			return nil
		}
		f, ok := it.result.(*found)
		if !ok {
			if it.err != nil {
				opt.Problem(it.err)
			}
			return nil
		}
		err := f.err
		if err == errTooMany {
			var failed error
			err = newSearch(&opt, it.Path, func(h *Hit) error {
				failed = each(h)
				return failed
			}).large(ctx, it.Entry)
			if failed != nil {
				return failed
			}
		} else if f.hit != nil {
			if err := each(f.hit); err != nil {
				return err
			}
		}
		if err != nil {
			opt.Problem(err)
		}
		return nil
	})
}

// found is what a worker found in a file.
type found struct {
	hit   *Hit
	bytes int
	err   error
}

// errTooMany says that a file has more matches than are kept.
var errTooMany = fmt.Errorf("too many matches to keep")

func hitBytes(h *Hit) int {
	n := 0
	for _, l := range h.Lines {
		n += len(l.Text) + 48
	}
	return n
}

// A search goes through one file.
type search struct {
	opt    *GrepOptions
	each   func(*Hit) error
	hit    Hit
	held   int   // bytes of hit's lines
	line   int64 // number of the line that comes next
	off    int64 // of that line
	looked bool  // whether the file is binary is known
	done   bool
}

func newSearch(opt *GrepOptions, path string, each func(*Hit) error) *search {
	return &search{opt: opt, each: each, hit: Hit{Path: path}, line: 1}
}

// file searches an item of bulk and gives what it found.
func (s *search) file(ctx context.Context, it *item) error {
	if !it.small {
		return s.large(ctx, it.Entry)
	}
	if it.err == nil {
		if err := s.text(it.data); err != nil {
			return err
		}
	}
	if err := s.each(&s.hit); err != nil {
		return err
	}
	return it.err
}

// large searches a file of any size.
func (s *search) large(ctx context.Context, e *Entry) error {
	var text []byte // a line that was begun, then what is read
	var failed error
	err := stream(ctx, e.Inode, 0, e.Attr.Size, noHoles, func(seg *segment) error {
		switch {
		case s.done:
			return errDone
		case seg.err != nil:
			failed = &Error{Op: "read", Path: e.Path, Err: atByte(seg.off, seg.err)}
			return failed
		}
		begun := len(text)
		text = append(text, seg.p...)
		whole := len(text)
		if seg.off+seg.n < e.Attr.Size {
			whole = begun + bytes.LastIndexByte(seg.p, '\n') + 1
			if whole == begun {
				if len(text) > maxLine {
					failed = &Error{Op: "search", Path: e.Path,
						Err: fmt.Errorf("the line at byte %d is longer than %d bytes: %w", s.off, maxLine, syscall.EFBIG)}
					return failed
				}
				return nil
			}
		}
		s.look(text)
		if err := s.text(text[:whole]); err != nil {
			return err
		}
		text = append(text[:0], text[whole:]...)
		return nil
	})
	if err == errDone {
		err = nil
	}
	if err != nil && failed == nil {
		return err
	}
	if err := s.each(&s.hit); err != nil {
		return err
	}
	return failed
}

// errDone ends the reading of a file whose answer is known.
var errDone = fmt.Errorf("done")

// look decides, once, whether the file is binary.
func (s *search) look(text []byte) {
	if s.looked || s.opt.Text {
		return
	}
	s.looked = true
	s.hit.Binary = bytes.IndexByte(text[:min(len(text), binaryWindow)], 0) >= 0
	s.done = s.hit.Binary && s.opt.NoBinary
}

// text searches whole lines; the last one may lack its line break.
func (s *search) text(text []byte) error {
	s.look(text)
	lines := s.opt.Pattern.in(text)
	from := 0
	for from < len(text) && !s.done {
		start, end, ok := s.nextLine(&lines, from)
		if !ok {
			break
		}
		s.line += int64(bytes.Count(text[from:start], []byte{'\n'}))
		if err := s.take(text[start:end], s.off+int64(start)); err != nil {
			return err
		}
		s.line++
		from = end + 1
	}
	if from < len(text) {
		s.line += int64(bytes.Count(text[from:], []byte{'\n'}))
	}
	s.off += int64(len(text))
	return nil
}

// nextLine is the next line to report.
func (s *search) nextLine(l *lines, from int) (start, end int, ok bool) {
	if !s.opt.Invert {
		return l.next(from)
	}
	return l.nextOther(from)
}

// take counts a line and keeps it where lines are wanted.
func (s *search) take(line []byte, off int64) error {
	s.hit.Count++
	switch {
	case s.opt.First:
		s.done = true
		return nil
	case s.opt.Count:
	case s.hit.Binary:
		s.done = true
		return nil
	default:
		if s.held += len(line) + 48; s.held > maxHits && len(s.hit.Lines) > 0 {
			s.hit.More = true
			if err := s.each(&s.hit); err != nil {
				return err
			}
			s.hit.Lines, s.hit.More, s.held = s.hit.Lines[:0], false, len(line)
		}
		s.hit.Lines = append(s.hit.Lines, Line{Number: s.line, Off: off, Text: bytes.Clone(line)})
	}
	if s.opt.Max > 0 && s.hit.Count >= int64(s.opt.Max) {
		s.done = true
	}
	return nil
}
